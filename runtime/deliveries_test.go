package runtime_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime"
)

// TestAttemptsAreSeen: each attempt at a payload is shown with its answer, also after a reload,
// both for the event and for the callback.
func TestAttemptsAreSeen(t *testing.T) {
	var tries atomic.Int64
	answers := func(auditrelay.Payload) error {
		switch tries.Add(1) {
		case 1:
			return &auditrelay.DeliveryError{Kind: auditrelay.Throttled, Status: 429, Answer: "slow\ndown", Reason: auditrelay.ReasonAnswer, Err: errors.New("status 429")}
		case 2:
			panic("secret-of-the-sink")
		}
		return nil
	}
	callback := func(digest string, deliver func(auditrelay.Payload) error) runtime.Callback {
		return quick(runtime.Callback{Name: "archive", Digest: digest, Sink: &memorySink{deliver: deliver}})
	}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{callback("a", answers)}})
	began := time.Now()
	submit(t, r, event("a", "created"))
	settle(t, r)

	check := func(when string, history []runtime.Attempt) {
		t.Helper()
		want := []struct {
			result runtime.AttemptResult
			status int
			kind   string
			reason auditrelay.AttemptReason
			answer string
		}{
			{runtime.AttemptRetried, 429, "throttled", auditrelay.ReasonAnswer, "slow down"},
			{runtime.AttemptRetried, 0, "transient", auditrelay.ReasonPanic, ""},
			{runtime.AttemptDelivered, 0, "", auditrelay.ReasonNone, ""},
		}
		if len(history) != len(want) {
			t.Fatalf("%s: %d attempts: %+v", when, len(history), history)
		}
		for i, a := range history {
			w := want[i]
			if a.Result != w.result || a.Status != w.status || a.Kind != w.kind || a.Reason != w.reason || a.Answer != w.answer ||
				a.Number != i+1 || a.Payload != 1 || a.Bytes == 0 || a.At.Before(began) || a.Took < 0 ||
				a.NextTry.IsZero() != (w.result == runtime.AttemptDelivered) || (a.Error == "") != (w.kind == "") {
				t.Errorf("%s: attempt %d: %+v", when, i+1, a)
			}
		}
	}
	check("explained", ending(t, r, "a", "archive").History)
	if err := r.Apply(t.Context(), []runtime.Callback{callback("b", nil)}, nil); err != nil {
		t.Fatal(err)
	}
	check("after a reload", ending(t, r, "a", "archive").History)
	list, next, err := r.Deliveries(t.Context(), runtime.DeliveryQuery{ID: "a"})
	if err != nil || len(list) != 1 || next != "" {
		t.Fatalf("deliveries of the event: %+v, %q, %v", list, next, err)
	}
	check("listed", list[0].History)
	if d := list[0]; d.State != runtime.DeliveryDelivered || d.Attempts != 3 || d.First != 1 || d.Last != 1 || d.Location == "" || d.At.IsZero() {
		t.Errorf("listed: %+v", d)
	}
	s, err := r.Callback("archive")
	if err != nil || len(s.Recent) != 3 || s.Recent[0].Number != 3 {
		t.Errorf("the callback's recent attempts: %+v, %v", s.Recent, err)
	}
}

// TestDeliveriesByState: waiting, failing, delivered, refused and abandoned payloads are found
// by state. A refused payload is listed with its replacements.
func TestDeliveriesByState(t *testing.T) {
	sink := &memorySink{deliver: func(p auditrelay.Payload) error {
		if p.Sequences[0] <= 3 && len(p.Sequences) > 0 {
			for _, s := range p.Sequences {
				if s == 2 {
					return refuse(auditrelay.Refused)
				}
			}
			return nil
		}
		return errDown
	}}
	c := quick(runtime.Callback{Name: "archive", Sink: sink})
	c.Chunk.Events = 3
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{c}})
	submit(t, r, event("a", "created"), event("b", "created"), event("c", "created"))
	settle(t, r)
	submit(t, r, event("d", "created"))
	await(t, r, "archive", "degraded", inState(runtime.StateDegraded))

	states := func(q runtime.DeliveryQuery) map[runtime.DeliveryState]int {
		t.Helper()
		counts := map[runtime.DeliveryState]int{}
		seen := map[uint64]bool{}
		for {
			list, next, err := r.Deliveries(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range list {
				if seen[d.Payload] {
					t.Fatalf("payload %d is on two pages", d.Payload)
				}
				seen[d.Payload] = true
				counts[d.State]++
			}
			if q.After = next; next == "" {
				return counts
			}
		}
	}
	all := states(runtime.DeliveryQuery{Callback: "archive", Limit: 1})
	failing := all[runtime.DeliveryFailing] + all[runtime.DeliverySending]
	if all[runtime.DeliveryReplaced] == 0 || all[runtime.DeliveryDelivered] == 0 || failing != 1 {
		t.Errorf("by state: %v", all)
	}
	if got := states(runtime.DeliveryQuery{State: runtime.DeliveryReplaced, Limit: 2}); got[runtime.DeliveryReplaced] != all[runtime.DeliveryReplaced] || len(got) != 1 {
		t.Errorf("replaced alone: %v of %v", got, all)
	}
	if got := states(runtime.DeliveryQuery{State: runtime.DeliveryUndelivered}); got[runtime.DeliveryFailing]+got[runtime.DeliverySending] != 1 || got[runtime.DeliveryReplaced]+got[runtime.DeliveryDelivered] > 0 {
		t.Errorf("undelivered alone: %v of %v", got, all)
	}
	list, _, err := r.Deliveries(t.Context(), runtime.DeliveryQuery{ID: "b"})
	if err != nil || len(list) < 2 || list[len(list)-1].Payload != 1 || list[len(list)-1].State != runtime.DeliveryReplaced {
		t.Errorf("the refused event's payloads: %+v, %v", list, err)
	}
	if err := r.Detach(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	if got := states(runtime.DeliveryQuery{State: runtime.DeliveryGivenUp}); got[runtime.DeliveryGivenUp] != 1 {
		t.Errorf("after a detach: %v", states(runtime.DeliveryQuery{}))
	}
	for _, q := range []runtime.DeliveryQuery{{After: "x"}, {After: "archive:"}, {After: "archive:-1"}, {After: "archive:x"}} {
		if _, _, err := r.Deliveries(t.Context(), q); !errors.Is(err, runtime.ErrBadPage) {
			t.Errorf("after %q: %v", q.After, err)
		}
	}
	if _, _, err := r.Deliveries(t.Context(), runtime.DeliveryQuery{Callback: "none"}); !errors.Is(err, runtime.ErrNoCallback) {
		t.Errorf("an unknown callback: %v", err)
	}
	if _, _, err := r.Deliveries(t.Context(), runtime.DeliveryQuery{ID: "none"}); !errors.Is(err, runtime.ErrNotSeen) {
		t.Errorf("an unknown event: %v", err)
	}
}

// TestDeliveriesOutliveARestart: the durable part of a payload is listed, without its attempts.
func TestDeliveriesOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	for life := range 2 {
		sink := &memorySink{}
		r := start(t, runtime.Options{Dir: dir, Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
		if life == 0 {
			submit(t, r, event("a", "created"))
			settle(t, r)
		}
		list, _, err := r.Deliveries(t.Context(), runtime.DeliveryQuery{})
		if err != nil || len(list) != 1 || list[0].State != runtime.DeliveryDelivered || len(list[0].History) != 1-life {
			t.Errorf("life %d: %s, %v", life, fmt.Sprintf("%+v", list), err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
