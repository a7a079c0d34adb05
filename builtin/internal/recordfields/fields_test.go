package recordfields_test

import (
	"testing"

	"auditrelay"
	"auditrelay/builtin/internal/recordfields"
)

// Fields come from the document as it is, by LiteLLM's names or by the mapping; a tombstone
// and a text in another type have none.
func TestOf(t *testing.T) {
	litellm := []byte(`{"id":"i","action":"updated","changed_by":"ada","object_id":"o","table_name":"T"}`)
	for name, tt := range map[string]struct {
		record auditrelay.Record
		want   recordfields.Fields
	}{
		"LiteLLM's":   {auditrelay.Record{Data: litellm}, recordfields.Fields{ID: "i", Action: "updated", Actor: "ada", Object: "o", ObjectType: "T"}},
		"no texts":    {auditrelay.Record{Data: []byte(`{"id":7,"changed_by":null,"object_id":{}}`)}, recordfields.Fields{}},
		"a tombstone": {auditrelay.Record{Data: litellm, Tombstone: true}, recordfields.Fields{}},
		"mapped": {auditrelay.Record{Data: []byte(`{"a":{"b":"x"},"n":7}`), Mapping: &auditrelay.Mapping{ID: "{n}/{a.b}", Action: "=login", Actor: "a.b", Object: "n"}},
			recordfields.Fields{ID: "7/x", Action: "login", Actor: "x", Object: "7"}},
		"mapped, and gone": {auditrelay.Record{Data: []byte(`{}`), Mapping: &auditrelay.Mapping{ID: "id", Action: "verb", Actor: "who"}}, recordfields.Fields{}},
	} {
		if got := recordfields.Of(tt.record); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
	recordfields.Mapped(auditrelay.Record{Data: litellm}, func(name, value string) { t.Errorf("LiteLLM's are told twice: %s %s", name, value) })
}
