package runtime_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// If an event cannot be judged for now, because of the host's condition or a module's pause,
// nothing is decided about it. Earlier events continue, and it stays pending. Once the filter
// works again, it and all later events arrive normally.
func TestWhatCannotBeJudgedForNowIsHeld(t *testing.T) {
	for _, cause := range []auditrelay.Cause{auditrelay.CauseWallTime, auditrelay.CauseInit, auditrelay.CauseBreaker} {
		t.Run(string(cause), func(t *testing.T) {
			var works atomic.Bool
			rules := &closing{apply: func(c *filter.Call) (auditrelay.Verdict, error) {
				if c.Event.ID == "e-50" && !works.Load() {
					return auditrelay.NoVerdict, &filter.Error{Cause: cause, Err: errors.New("not now")}
				}
				return auditrelay.Keep, nil
			}}
			sink := &memorySink{}
			r := start(t, runtime.Options{Workers: 4, Callbacks: []runtime.Callback{
				quick(runtime.Callback{Name: "archive", Sink: sink, Steps: []runtime.Step{{Name: "rules", Filter: rules}}}),
			}})
			for n := range 100 {
				submit(t, r, event(fmt.Sprintf("e-%d", n), "created"))
			}
			s := await(t, r, "archive", "degraded, with what stands before delivered", func(s runtime.CallbackStatus) bool {
				return s.State == runtime.StateDegraded && s.Account.Delivered == 50
			})
			if s.Account.Pending != 50 || s.Account.DeadLettered != 0 || !strings.Contains(s.LastError, "rules") {
				t.Errorf("held: %+v", s)
			}
			works.Store(true)
			r.Retry("archive")
			settle(t, r)
			if got := account(t, r, "archive"); got != (runtime.Account{Assigned: 100, Delivered: 100, Balanced: true}) {
				t.Errorf("account: %+v", got)
			}
			lines := sink.lines()
			for n := range 100 {
				if want := fmt.Sprintf(`"id":"e-%d"`, n); !strings.Contains(lines[uint64(n+1)], want) {
					t.Errorf("sequence %d is not %s: %s", n+1, want, lines[uint64(n+1)])
				}
			}
		})
	}
}

// An observer sees events in their current state, on its own document. Nothing it does or fails
// to do changes them.
func TestAnObserverChangesNothing(t *testing.T) {
	scrub := func(c *filter.Call) (auditrelay.Verdict, error) {
		return auditrelay.Keep, c.Document.Replace([]byte(`{"scrubbed":true}`))
	}
	for _, c := range []struct {
		name   string
		apply  fn
		open   error
		fails  bool
		alerts int
	}{
		{"it keeps", keep, nil, false, 0},
		{"it sees what filters before it made", func(c *filter.Call) (auditrelay.Verdict, error) {
			if got := string(c.Document.Append(nil)); got != `{"scrubbed":true}` {
				return auditrelay.NoVerdict, errors.New(got)
			}
			return auditrelay.Keep, nil
		}, nil, false, 0},
		{"it emits", func(c *filter.Call) (auditrelay.Verdict, error) {
			c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`{"id":"seen"}`)})
			return auditrelay.Keep, nil
		}, nil, false, 1},
		{"it edits", func(c *filter.Call) (auditrelay.Verdict, error) {
			return auditrelay.Keep, c.Document.Replace([]byte(`{"observer":"was here"}`))
		}, nil, false, 0},
		{"it drops", func(*filter.Call) (auditrelay.Verdict, error) { return auditrelay.Drop, nil }, nil, true, 0},
		{"it emits and fails", func(c *filter.Call) (auditrelay.Verdict, error) {
			c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`{}`)})
			return auditrelay.Keep, errors.New("no")
		}, nil, true, 0},
		{"it panics", func(*filter.Call) (auditrelay.Verdict, error) { panic("no") }, nil, true, 0},
		{"it says nothing", func(*filter.Call) (auditrelay.Verdict, error) { return auditrelay.NoVerdict, nil }, nil, true, 0},
		{"it does not start", keep, errors.New("no"), true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			sink, alerts, log := &memorySink{}, &memorySink{}, &logs{}
			observer := &closing{apply: c.apply}
			if c.open != nil {
				observer.open = func() error { return c.open }
			}
			r := start(t, runtime.Options{Workers: 1, Logger: log.logger(), Callbacks: []runtime.Callback{
				quick(runtime.Callback{Name: "archive", Sink: sink, Steps: []runtime.Step{
					{Name: "scrub", Filter: &closing{apply: scrub}},
					{Name: "watch", Filter: observer, Role: auditrelay.RoleObserve, Emits: []string{"alerts"}},
				}}),
				quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEmitted, Sink: alerts}),
			}})
			submit(t, r, event("a", "created"))
			submit(t, r, event("b", "created"))
			settle(t, r)
			if got := account(t, r, "archive"); got != (runtime.Account{Assigned: 2, Delivered: 2, Balanced: true}) {
				t.Errorf("account: %+v", got)
			}
			for _, line := range sink.lines() {
				if line != `{"scrubbed":true}` {
					t.Errorf("delivered: %s", line)
				}
			}
			s, err := r.Callback("archive")
			if err != nil {
				t.Fatal(err)
			}
			want := uint64(0)
			if c.fails {
				want = 2
			}
			if s.Failures["observer"] != want || s.State != runtime.StateActive {
				t.Errorf("%d failures, state %s; want %d", s.Failures["observer"], s.State, want)
			}
			if told := log.count("an observer fails"); told != min(int(want), 1) {
				t.Errorf("told %d times of %d failures, want once", told, want)
			}
			if n := len(alerts.lines()); n != 2*c.alerts {
				t.Errorf("%d records were emitted, want %d", n, 2*c.alerts)
			}
		})
	}
}
