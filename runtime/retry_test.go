package runtime_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime"
)

// TestTransientFailuresAreRetried: the same bytes are sent until they are accepted. The state
// is reported, and logged once per change.
func TestTransientFailuresAreRetried(t *testing.T) {
	cases := []struct {
		name string
		fail func() error
	}{
		{"an unclassified error", func() error { return errDown }},
		{"a transient error", func() error { return refuse(auditrelay.Transient) }},
		{"a throttled request", func() error { return refuse(auditrelay.Throttled) }},
		{"a panic", func() error { panic("secret-of-the-sink") }},
		{"record errors that name nothing", func() error { return &auditrelay.RecordErrors{} }},
		{"record errors that name what was not sent", func() error {
			return &auditrelay.RecordErrors{Records: []auditrelay.RecordError{{Sequence: 99, Err: errDown}}}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var tries atomic.Int64
			var mu sync.Mutex
			bodies := map[string]bool{}
			sink := &memorySink{deliver: func(p auditrelay.Payload) error {
				mu.Lock()
				bodies[p.Key+string(p.Body)] = true
				mu.Unlock()
				if tries.Add(1) <= 5 {
					return c.fail()
				}
				return nil
			}}
			var l logs
			r := start(t, runtime.Options{Logger: l.logger(), Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
			submit(t, r, event("a", "created"))
			settle(t, r)
			s := await(t, r, "archive", "active", inState(runtime.StateActive))
			if got, want := s.Account, (runtime.Account{Assigned: 1, Delivered: 1, Balanced: true}); got != want {
				t.Errorf("account\n got %+v\nwant %+v", got, want)
			}
			failures := uint64(0)
			for _, n := range s.Failures {
				failures += n
			}
			if s.LastError != "" || s.Attempts != 6 || failures != 5 {
				t.Errorf("status: %+v", s)
			}
			if len(bodies) != 1 {
				t.Errorf("%d different payloads were sent, want the same each time", len(bodies))
			}
			if d, a := l.count("callback is degraded"), l.count("callback is active"); d != 1 || a != 1 || l.count("secret-of-the-sink") != 0 {
				t.Errorf("logged degraded %d and active %d times, want once each: %q", d, a, l.lines)
			}
			if end := ending(t, r, "a", "archive"); end.Outcome != auditrelay.Delivered || end.Attempts != 6 || end.Location == "" {
				t.Errorf("explained: %+v", end)
			}
		})
	}
}

// TestRetryAfterIsHonoured: no attempt comes before the time requested by the destination.
func TestRetryAfterIsHonoured(t *testing.T) {
	const asked = 150 * time.Millisecond
	var mu sync.Mutex
	var times []time.Time
	sink := &memorySink{deliver: func(auditrelay.Payload) error {
		mu.Lock()
		defer mu.Unlock()
		times = append(times, time.Now())
		if len(times) == 1 {
			return &auditrelay.DeliveryError{Kind: auditrelay.Throttled, RetryAfter: asked, Err: errors.New("slow down")}
		}
		return nil
	}}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	submit(t, r, event("a", "created"))
	settle(t, r)
	if len(times) != 2 || times[1].Sub(times[0]) < asked {
		t.Errorf("attempts at %v, want two, %v apart", times, asked)
	}
}

// TestDestinationRefusesUsAsAWhole: the callback stalls with its own state, nothing is
// dead-lettered, and Resume triggers an immediate attempt.
func TestDestinationRefusesUsAsAWhole(t *testing.T) {
	cases := []struct {
		kind  auditrelay.ErrorKind
		state runtime.State
	}{
		{auditrelay.Unauthorized, runtime.StateAuthError},
		{auditrelay.Misconfigured, runtime.StateMisconfigured},
	}
	for _, c := range cases {
		t.Run(string(c.state), func(t *testing.T) {
			sink := &memorySink{deliver: func(auditrelay.Payload) error { return refuse(c.kind) }}
			var l logs
			r := start(t, runtime.Options{Logger: l.logger(), Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
			submit(t, r, event("a", "created"))
			s := await(t, r, "archive", string(c.state), inState(c.state))
			if s.LastError == "" || s.Reason == "" || s.Account.Pending != 1 || s.Account.DeadLettered != 0 || s.Since.IsZero() {
				t.Errorf("status: %+v", s)
			}
			if n, _ := sink.count(); n != 1 {
				t.Errorf("%d attempts while the destination refuses us, want 1", n)
			}
			sink.set(nil)
			if err := r.Resume(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
				t.Fatal(err)
			}
			settle(t, r)
			await(t, r, "archive", "active", inState(runtime.StateActive))
			if n := l.count("callback is " + string(c.state)); n != 1 {
				t.Errorf("the state was logged %d times", n)
			}
		})
	}
}

// TestDeadSinkDelaysNobody: neither Submit nor another callback waits for a silent sink.
func TestDeadSinkDelaysNobody(t *testing.T) {
	block := make(chan struct{})
	dead := &memorySink{deliver: func(auditrelay.Payload) error { <-block; return errDown }}
	live := &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "dead", Sink: dead}), quick(runtime.Callback{Name: "live", Sink: live})}})
	defer close(block)
	for _, id := range []string{"a", "b", "c"} {
		submit(t, r, event(id, "created"))
		await(t, r, "live", "settled", func(s runtime.CallbackStatus) bool { return s.Account.Settled() })
	}
	if got := account(t, r, "dead"); got.Pending != 3 {
		t.Errorf("the dead callback: %+v", got)
	}
	if n := len(live.lines()); n != 3 {
		t.Errorf("%d events at the live sink, want 3", n)
	}
}

// TestOneFailingPayloadKeepsTheStateDegraded: while one payload is retried, successful others
// do not change the callback's state.
func TestOneFailingPayloadKeepsTheStateDegraded(t *testing.T) {
	var fixed atomic.Bool
	sink := &parallelSink{memorySink{deliver: func(p auditrelay.Payload) error {
		if p.Sequences[0] == 1 && !fixed.Load() {
			return errDown
		}
		return nil
	}}}
	var l logs
	r := start(t, runtime.Options{Logger: l.logger(), Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink, InFlight: 8})}})
	submit(t, r, event("e1", "created"))
	await(t, r, "archive", "degraded", inState(runtime.StateDegraded))
	for i := range uint64(5) {
		submit(t, r, event(strings.Repeat("x", int(i)+1), "created"))
		await(t, r, "archive", "ahead", func(s runtime.CallbackStatus) bool { return s.Account.Delivered == i+1 })
	}
	fixed.Store(true)
	settle(t, r)
	await(t, r, "archive", "active", inState(runtime.StateActive))
	if d, a := l.count("callback is degraded"), l.count("callback is active"); d != 1 || a != 1 {
		t.Errorf("degraded was logged %d times and active %d, want once each", d, a)
	}
}

// parallelSink accepts several payloads at a time.
type parallelSink struct{ memorySink }

func (*parallelSink) Concurrency() int { return 4 }

// rotatingSink is refused until it has read its credentials again.
type rotatingSink struct {
	memorySink
	refreshed atomic.Int64
}

func (s *rotatingSink) Refresh() { s.refreshed.Add(1); s.set(nil) }

// TestOperatorsRefreshCredentials: a callback with refused credentials that would wait an hour
// delivers at once after resume, attach, and a reload that keeps it.
func TestOperatorsRefreshCredentials(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(r *runtime.Runtime, c runtime.Callback) error
	}{
		{"resume", func(r *runtime.Runtime, c runtime.Callback) error {
			return r.Resume(t.Context(), c.Name, runtime.By{Principal: "ops"})
		}},
		{"attach", func(r *runtime.Runtime, c runtime.Callback) error {
			return r.Attach(t.Context(), c.Name, runtime.By{Principal: "ops"})
		}},
		{"reload", func(r *runtime.Runtime, c runtime.Callback) error {
			return r.Apply(t.Context(), []runtime.Callback{c}, nil)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sink := &rotatingSink{}
			sink.deliver = func(auditrelay.Payload) error { return refuse(auditrelay.Unauthorized) }
			c := quick(runtime.Callback{Name: "archive", Digest: "same", Sink: sink})
			c.Backoff = auditrelay.Backoff{Initial: time.Hour, Max: time.Hour}
			r := start(t, runtime.Options{Callbacks: []runtime.Callback{c}})
			submit(t, r, event("a", "created"))
			await(t, r, "archive", "failed once", func(s runtime.CallbackStatus) bool { return s.Attempts > 0 })
			again := c
			again.Sink = &memorySink{}
			if err := tc.do(r, again); err != nil {
				t.Fatal(err)
			}
			settle(t, r)
			if got := sink.refreshed.Load(); got != 1 || len(sink.lines()) == 0 {
				t.Errorf("refreshed %d times, delivered %v", got, sink.lines())
			}
		})
	}
}
