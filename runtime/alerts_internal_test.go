package runtime

import (
	"testing"

	"auditrelay"
)

// TestOnlyTheRelayMakesAlerts: no event of a sender or a guest passes as an alert.
func TestOnlyTheRelayMakesAlerts(t *testing.T) {
	alert := []byte(`{"id":"a","table_name":"auditrelay_alert"}`)
	for _, c := range []struct {
		name  string
		event auditrelay.Event
		want  bool
	}{
		{"an alert", auditrelay.Event{Namespace: auditrelay.NamespaceRelay, Data: alert}, true},
		{"another own event", auditrelay.Event{Namespace: auditrelay.NamespaceRelay, Data: []byte(`{"table_name":"auditrelay_config","object_id":"auditrelay_alert"}`)}, false},
		{"a sender's", auditrelay.Event{Namespace: auditrelay.NamespaceLiteLLM, Data: alert}, false},
		{"a guest's", auditrelay.Event{Namespace: auditrelay.NamespaceEmitted, Data: alert, Emission: &auditrelay.Emission{}}, false},
	} {
		if got := isAlert(&c.event); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
