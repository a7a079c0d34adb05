package datadog_test

import (
	"fmt"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/logstore"
)

// A real log store has every event, with equal content, through faults of every kind. Only
// events whose answer was lost are doubled.
func TestARealStore(t *testing.T) {
	store := logstore.Start(t)
	proxy := faultproxy.Start(t, store.URL+"/insert/datadog")
	proxy.Script(faultproxy.Pass, faultproxy.Answer(500, ""), faultproxy.Pass, faultproxy.Answer(429, "", "Retry-After", "1"),
		faultproxy.Torn(100), faultproxy.LoseAnswer, faultproxy.Answer(502, "<html>"), faultproxy.Pass)
	o := options(proxy.URL)
	o.MaxEvents = 20
	s := newSink(t, o)
	c := chunk(1, 200)
	ambiguous := 0
	for _, p := range render(t, s, c) {
		for attempt := 0; ; attempt++ {
			_, err := s.Deliver(t.Context(), p)
			if err == nil {
				break
			}
			if kind := auditrelay.KindOf(err); kind != auditrelay.Transient && kind != auditrelay.Throttled || attempt > 10 {
				t.Fatal(err)
			}
			ambiguous += len(p.Sequences)
		}
	}
	want := map[string]bool{}
	for _, r := range c.Records {
		want[string(r.Data)] = true
	}
	logs := store.Await(t, 200)
	seen := map[string]int{}
	for _, l := range logs {
		if !want[l["_msg"]] || l["ddsource"] != "auditrelay" {
			t.Fatalf("a log that was not sent: %v", l)
		}
		if at, err := time.Parse(time.RFC3339Nano, l["_time"]); err != nil || time.Since(at) > time.Hour {
			t.Fatalf("its time is %s", l["_time"])
		}
		seen[l["_msg"]]++
	}
	doubled := len(logs) - len(seen)
	if len(seen) != 200 || doubled > 20 {
		t.Errorf("%d of 200 events are there, %d doubled of at most 20 that were ambiguous (%d attempts failed)", len(seen), doubled, ambiguous)
	}
	if doubled == 0 {
		t.Error(fmt.Errorf("no answer was lost: the faults did not happen"))
	}
}
