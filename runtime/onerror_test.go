package runtime_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// TestOnErrorFailsClosed: for every kind of filter failure, the original never reaches the
// destination, a tombstone takes its place, and on_error decides whether the event is kept or
// discarded.
func TestOnErrorFailsClosed(t *testing.T) {
	failing := func(cause auditrelay.Cause) fn {
		return func(*filter.Call) (auditrelay.Verdict, error) {
			return auditrelay.Keep, &filter.Error{Cause: cause, Err: errors.New("it failed")}
		}
	}
	cases := []struct {
		name  string
		apply fn
		cause auditrelay.Cause
	}{
		{"a trap", failing(auditrelay.CauseTrap), auditrelay.CauseTrap},
		{"a broken ABI", failing(auditrelay.CauseProtocol), auditrelay.CauseProtocol},
		{"rejected output", failing(auditrelay.CauseRejectedOutput), auditrelay.CauseRejectedOutput},
		{"fail", failing(auditrelay.CauseFail), auditrelay.CauseFail},
		{"out of memory", failing(auditrelay.CauseMemory), auditrelay.CauseMemory},
		{"out of fuel", failing(auditrelay.CauseFuel), auditrelay.CauseFuel},
		{"stack", failing(auditrelay.CauseStack), auditrelay.CauseStack},
		{"hops", failing(auditrelay.CauseHops), auditrelay.CauseHops},
		{"a plain error", func(*filter.Call) (auditrelay.Verdict, error) { return auditrelay.Keep, errors.New("no") }, auditrelay.CauseFail},
		{"an error without a cause", failing(auditrelay.CauseNone), auditrelay.CauseFail},
		{"no verdict", func(*filter.Call) (auditrelay.Verdict, error) { return auditrelay.NoVerdict, nil }, auditrelay.CauseProtocol},
		{"an unknown verdict", func(*filter.Call) (auditrelay.Verdict, error) { return 9, nil }, auditrelay.CauseProtocol},
		{"a panic", func(c *filter.Call) (auditrelay.Verdict, error) { panic(string(c.Event.Data)) }, auditrelay.CausePanic},
		{"an edit, then a panic", func(c *filter.Call) (auditrelay.Verdict, error) {
			_ = c.Document.Replace([]byte(`{"half":"done"}`))
			panic("late")
		}, auditrelay.CausePanic},
		{"an emit without a grant", func(c *filter.Call) (auditrelay.Verdict, error) {
			c.Emitted = append(c.Emitted, filter.Emit{Target: "elsewhere", Data: []byte(`{}`)})
			return auditrelay.Keep, nil
		}, auditrelay.CauseProtocol},
		{"an emit that is no JSON", func(c *filter.Call) (auditrelay.Verdict, error) {
			c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`nonsense`)})
			return auditrelay.Keep, nil
		}, auditrelay.CauseRejectedOutput},
		{"emits without end", func(c *filter.Call) (auditrelay.Verdict, error) {
			for range auditrelay.MaxEmitCount + 1 {
				c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`{}`)})
			}
			return auditrelay.Keep, nil
		}, auditrelay.CauseRejectedOutput},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, onError := range []auditrelay.OnError{auditrelay.OnErrorDeadLetter, auditrelay.OnErrorDiscard} {
				sink, alerts := &memorySink{}, &memorySink{}
				bad := &closing{apply: func(call *filter.Call) (auditrelay.Verdict, error) {
					if call.Event.ID != "bad" {
						return auditrelay.Keep, nil
					}
					return c.apply(call)
				}}
				r := start(t, runtime.Options{Workers: 1, Callbacks: []runtime.Callback{
					quick(runtime.Callback{Name: "archive", Sink: sink,
						Steps: []runtime.Step{{Name: "rules", Filter: bad, OnError: onError, Emits: []string{"alerts"}}}}),
					quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEmitted, Sink: alerts}),
				}})
				submit(t, r, event("a", "created"), event("bad", "deleted"), event("c", "updated"))
				settle(t, r)

				want := runtime.Account{Assigned: 3, Delivered: 2, Balanced: true}
				outcome := auditrelay.DeadLettered
				if onError == auditrelay.OnErrorDiscard {
					outcome = auditrelay.Discarded
					want.Discarded = 1
				} else {
					want.DeadLettered = 1
				}
				if got := account(t, r, "archive"); got != want {
					t.Errorf("account\n got %+v\nwant %+v", got, want)
				}
				lines := sink.lines()
				ts := asTombstone(t, lines[2])
				if ts.Sequence != 2 || ts.Cause != string(c.cause) || ts.Outcome != outcome.String() || ts.Action != "deleted" ||
					len(ts.IDDigest) != 32 || ts.Received == "" {
					t.Errorf("tombstone: %+v", ts)
				}
				if len(lines) != 3 || strings.Contains(lines[2], "s3cr3t") || strings.Contains(lines[2], "half") {
					t.Errorf("at the destination: %v", lines)
				}
				if n := len(alerts.lines()); n != 0 {
					t.Errorf("a failed filter emitted %d records", n)
				}
				end := ending(t, r, "bad", "archive")
				if end.Outcome != outcome || end.Cause != c.cause || end.Filter != "rules" || !end.Tombstone || end.Key == "" {
					t.Errorf("explained: %+v", end)
				}
				dead, err := r.DeadLetters(t.Context(), "archive", 0, 10)
				if err != nil {
					t.Fatal(err)
				}
				if (len(dead) == 1) != (onError == auditrelay.OnErrorDeadLetter) {
					t.Errorf("dead letters: %+v", dead)
				}
				for _, d := range dead {
					if d.Cause != c.cause || d.Filter != "rules" || d.ID != "bad" || d.Data != nil || strings.Contains(d.Error, "s3cr3t") {
						t.Errorf("dead letter: %+v", d)
					}
				}
				// The failed instance was closed, and another one opened after it.
				if opened, closed, _ := bad.counts(); opened != 2 || closed != 1 {
					t.Errorf("%d instances were opened and %d closed, want 2 and 1", opened, closed)
				}
			}
		})
	}
}

// TestHostConditionsHoldTheChunk: a fault of the host decides nothing about an event. The event
// is retried until it passes.
func TestHostConditionsHoldTheChunk(t *testing.T) {
	failing := func(cause auditrelay.Cause) error {
		return &filter.Error{Cause: cause, Err: errors.New("not now")}
	}
	cases := []struct {
		name        string
		open, apply error
	}{
		{"an instance takes too long", nil, failing(auditrelay.CauseWallTime)},
		{"an instance cannot be renewed", nil, failing(auditrelay.CauseInit)},
		{"no instance can be opened", failing(auditrelay.CauseInit), nil},
		{"no instance can be opened, without a cause", errors.New("no memory"), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var well atomic.Bool
			sink := &memorySink{}
			f := &closing{
				open: func() error {
					if well.Load() {
						return nil
					}
					return c.open
				},
				apply: func(*filter.Call) (auditrelay.Verdict, error) {
					if well.Load() || c.apply == nil {
						return auditrelay.Keep, nil
					}
					return auditrelay.NoVerdict, c.apply
				}}
			r := start(t, runtime.Options{Callbacks: []runtime.Callback{
				quick(runtime.Callback{Name: "archive", Sink: sink, Steps: []runtime.Step{{Name: "rules", Filter: f}}})}})
			submit(t, r, event("a", "created"))
			s := await(t, r, "archive", "degraded", func(s runtime.CallbackStatus) bool {
				return s.State == runtime.StateDegraded && s.Failures["filter"] >= 3
			})
			if s.Account.Pending != 1 || s.LastError == "" || !s.Account.Balanced {
				t.Errorf("while it cannot be judged: %+v", s)
			}
			well.Store(true)
			settle(t, r)
			if got, want := account(t, r, "archive"), (runtime.Account{Assigned: 1, Delivered: 1, Balanced: true}); got != want {
				t.Errorf("account\n got %+v\nwant %+v", got, want)
			}
			if s := await(t, r, "archive", "active", inState(runtime.StateActive)); s.LastError != "" {
				t.Errorf("after recovery: %+v", s)
			}
		})
	}
}

func TestOpenThatPanicsHoldsTheChunk(t *testing.T) {
	var well atomic.Bool
	f := &closing{open: func() error {
		if !well.Load() {
			panic("no")
		}
		return nil
	}}
	sink := &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: sink, Steps: []runtime.Step{{Name: "rules", Filter: f}}})}})
	submit(t, r, event("a", "created"))
	await(t, r, "archive", "degraded", inState(runtime.StateDegraded))
	well.Store(true)
	settle(t, r)
	if got := account(t, r, "archive"); got.Delivered != 1 {
		t.Errorf("account: %+v", got)
	}
}

// TestRecoversWhenAllIsFiltered: a callback recovers even if nothing is left to deliver.
func TestRecoversWhenAllIsFiltered(t *testing.T) {
	var tries atomic.Int64
	f := fn(func(*filter.Call) (auditrelay.Verdict, error) {
		if tries.Add(1) < 6 {
			return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseWallTime, Err: errors.New("slow")}
		}
		return auditrelay.Drop, nil
	})
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "rules", Filter: f.filter()}}})}})
	submit(t, r, event("a", "created"))
	settle(t, r)
	s := await(t, r, "archive", "active", inState(runtime.StateActive))
	if s.Failures["filter"] == 0 || s.Account.Filtered != 1 || s.LastError != "" {
		t.Errorf("status: %+v", s)
	}
}
