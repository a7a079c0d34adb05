package splunk_test

import (
	"fmt"
	"testing"

	"auditrelay"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/logstore"
)

// A real log store has every event, with equal content, through faults of every kind. Only
// events whose answer was lost are doubled.
func TestARealStore(t *testing.T) {
	store := logstore.Start(t)
	proxy := faultproxy.Start(t, store.URL)
	proxy.Script(faultproxy.Pass, faultproxy.Answer(500, `{"text":"Internal server error","code":8}`), faultproxy.Pass,
		faultproxy.Answer(503, `{"text":"Server is busy","code":9}`, "Retry-After", "1"), faultproxy.Torn(100), faultproxy.LoseAnswer,
		faultproxy.Answer(502, "<html>"), faultproxy.Pass)
	o := options(proxy.URL)
	o.MaxRequestBytes = 10_000
	s := newSink(t, o)
	c := chunk(1, 300)
	payloads, err := s.Render(c)
	if err != nil || len(payloads) < 4 {
		t.Fatalf("%d payloads, %v", len(payloads), err)
	}
	for _, p := range payloads {
		for attempt := 0; ; attempt++ {
			_, err := s.Deliver(t.Context(), p)
			if err == nil {
				break
			}
			if kind := auditrelay.KindOf(err); kind != auditrelay.Transient && kind != auditrelay.Throttled || attempt > 10 {
				t.Fatal(err)
			}
		}
	}
	logs := store.Await(t, 300)
	seen := map[string]int{}
	for _, l := range logs {
		if l["fields.auditrelay_sequence"] != l["event.id"] || l["fields.auditrelay_journal"] != "j.1" || l["sourcetype"] != "_json" || l["_time"] != "2026-03-14T15:09:26.535Z" {
			t.Fatalf("a log is not what was sent: %v", l)
		}
		seen[l["event.id"]]++
	}
	for i := range 300 {
		if seen[fmt.Sprint(i+1)] == 0 {
			t.Errorf("event %d is not there", i+1)
		}
	}
	if doubled := len(logs) - len(seen); doubled == 0 || doubled > len(payloads[2].Sequences)+1 {
		t.Errorf("%d events doubled: want those of the one lost answer", doubled)
	}
}
