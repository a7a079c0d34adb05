// Package relaytest runs the engine with one callback, for tests about events that a
// destination refuses.
package relaytest

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime"
)

// Relay is an engine with one callback. The test stops it when it ends.
type Relay struct {
	t      testing.TB
	engine *runtime.Runtime
}

// Start starts a relay that delivers to sink. Pauses between attempts are short.
func Start(t testing.TB, sink auditrelay.Sink) *Relay {
	t.Helper()
	r, err := runtime.Open(t.Context(), runtime.Options{Logger: slog.New(slog.DiscardHandler), Callbacks: []runtime.Callback{{
		Name: "c", Sink: sink, Chunk: auditrelay.Chunking{Age: 10 * time.Millisecond},
		Backoff: auditrelay.Backoff{Initial: time.Millisecond, Max: 10 * time.Millisecond},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return &Relay{t, r}
}

// Submit submits n events, numbered from from, in one transaction. Events with a number in
// noted contain note.
func (r *Relay) Submit(from, n int, note string, noted ...int) {
	r.t.Helper()
	marked := map[int]bool{}
	for _, i := range noted {
		marked[i] = true
	}
	events := make([]runtime.Submission, n)
	for i := range events {
		extra := ""
		if marked[from+i] {
			extra = fmt.Sprintf(`,"note":%q`, note)
		}
		events[i].Data = fmt.Appendf(nil, `{"id":"e-%d","action":"updated","table_name":"T"%s}`, from+i, extra)
	}
	if _, err := r.engine.Submit(r.t.Context(), events...); err != nil {
		r.t.Fatal(err)
	}
}

// Await waits until the callback's status satisfies want.
func (r *Relay) Await(want func(runtime.CallbackStatus) bool) runtime.CallbackStatus {
	r.t.Helper()
	var status runtime.CallbackStatus
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		var err error
		if status, err = r.engine.Callback("c"); err != nil {
			r.t.Fatal(err)
		}
		if want(status) {
			return status
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("after a minute the callback is %s, %+v: %s", status.State, status.Account, status.LastError)
		}
	}
}

// Isolates checks that the engine finds the event with note if a destination refuses it: all
// others are delivered.
func Isolates(t testing.TB, sink auditrelay.Sink, note string) {
	t.Helper()
	r := Start(t, sink)
	r.Submit(0, 40, note, 17)
	status := r.Await(func(s runtime.CallbackStatus) bool { return s.Account.Pending == 0 })
	if status.Account.DeadLettered != 1 || status.Account.Delivered != 39 || status.State != runtime.StateActive {
		t.Errorf("one event of 40 is bad: %s, %+v: %s", status.State, status.Account, status.LastError)
	}
}

// Stalls checks that a destination that refuses every request stalls the callback after at most
// few dead letters, and that the other events wait.
func Stalls(t testing.TB, sink auditrelay.Sink, few uint64) {
	t.Helper()
	r := Start(t, sink)
	r.Submit(0, 400, "")
	status := r.Await(func(s runtime.CallbackStatus) bool { return s.State == runtime.StateMisconfigured })
	if a := status.Account; a.DeadLettered > few || a.Pending < 400-few {
		t.Errorf("a request that is always refused: %+v, want at most %d dead letters", a, few)
	}
}
