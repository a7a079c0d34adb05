package format_test

import (
	"encoding/json"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/internal/format"
)

// TestAnEnvelopeSaysTheOrigin: the event's bytes are unchanged, and its origin is beside them. The
// event cannot choose it.
func TestAnEnvelopeSaysTheOrigin(t *testing.T) {
	o := enveloped
	const data = `{"id":"a","origin":{"principal":"forged"},"event":1,"before_value":"}]\"" }`
	e := event("team-x", data)
	e.Provenance = auditrelay.Provenance{Source: "http", Principal: `pro"xy`, Address: "192.0.2.1"}
	const want = `{"origin":{"namespace":"team-x","source":"http","principal":"pro\"xy","journal":"` + journal + `","sequence":7},"event":` + data + `}`
	w := format.New(o, journal).Writer()
	if got := w.Append([]byte("x"), e, e.Data); string(got) != "x"+want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got := string(w.Added()); got != strings.Replace(want, data, "{}", 1) {
		t.Errorf("for the gate: %s", got)
	}
	var record struct {
		Origin struct{ Principal string }
	}
	if err := json.Unmarshal([]byte(want), &record); err != nil || record.Origin.Principal != `pro"xy` {
		t.Errorf("%+v, %v", record, err)
	}
	r := format.New(o, journal).Tombstone(auditrelay.Record{Namespace: "team-x", Source: "http", Sequence: 7, Tombstone: true, Data: []byte(`{"auditrelay_tombstone":true}`)})
	if got := string(r.Data); got != `{"origin":{"namespace":"team-x","source":"http","journal":"`+journal+`","sequence":7},"event":{"auditrelay_tombstone":true}}` {
		t.Errorf("a tombstone: %s", got)
	}
}
