package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// reopen closes r and starts the same relay again.
func reopen(t *testing.T, r *runtime.Runtime, o runtime.Options) *runtime.Runtime {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return start(t, o)
}

func TestPauseRetainsOverARestart(t *testing.T) {
	sink := &memorySink{}
	o := runtime.Options{Dir: t.TempDir(), Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}}
	r := start(t, o)
	if err := r.Pause(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
		t.Fatal(err)
	}
	submit(t, r, event("a", "created"))
	settle(t, r)
	r = reopen(t, r, o)
	s, err := r.Callback("archive")
	if err != nil || s.State != runtime.StatePaused || !strings.Contains(s.Reason, "ops") || s.Account.Pending != 2 || len(sink.lines()) != 0 {
		t.Errorf("after a restart: %+v, %v", s, err)
	}
	if err := r.Resume(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	if got, want := account(t, r, "archive"), (runtime.Account{Assigned: 3, Delivered: 3, Balanced: true}); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
	if err := r.Pause(t.Context(), "nobody", runtime.By{Principal: ""}); !errors.Is(err, runtime.ErrNoCallback) {
		t.Errorf("pause of an unknown callback: %v", err)
	}
}

func TestDetachSkipsOverARestart(t *testing.T) {
	sink := &memorySink{}
	o := runtime.Options{Dir: t.TempDir(), Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}}
	r := start(t, o)
	submit(t, r, event("a", "created"))
	settle(t, r)
	if err := r.Detach(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
		t.Fatal(err)
	}
	submit(t, r, event("b", "created"))
	settle(t, r)
	r = reopen(t, r, o)
	submit(t, r, event("c", "created"))
	settle(t, r)
	if s, err := r.Callback("archive"); err != nil || s.State != runtime.StateDetached {
		t.Errorf("after a restart: %+v, %v", s, err)
	}
	if end := ending(t, r, "c", "archive"); end.Outcome != auditrelay.Skipped || end.Cause != auditrelay.CauseDetached {
		t.Errorf("explained: %+v", end)
	}
	if err := r.Attach(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
		t.Fatal(err)
	}
	submit(t, r, event("d", "created"))
	settle(t, r)
	if got, want := account(t, r, "archive"), (runtime.Account{Assigned: 6, Delivered: 3, Skipped: 3, Balanced: true}); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
}

// TestRetain: what happens if a callback with a dead sink exceeds its limits.
func TestRetain(t *testing.T) {
	bounds := []struct {
		name   string
		retain auditrelay.Retain
	}{
		{"by bytes", auditrelay.Retain{Bytes: 500}},
		{"by age", auditrelay.Retain{Age: time.Millisecond}},
	}
	for _, bound := range bounds {
		// One chunk is sealed and stays. retain applies to everything after it.
		setup := func(t *testing.T, then auditrelay.RetainThen) (*runtime.Runtime, *memorySink) {
			sink := &memorySink{deliver: func(auditrelay.Payload) error { return errDown }}
			c := quick(runtime.Callback{Name: "archive", Sink: sink, InFlight: 1, Retain: bound.retain})
			c.Retain.Then = then
			r := start(t, runtime.Options{Callbacks: []runtime.Callback{c}})
			submit(t, r, event("a", "created"))
			return r, sink
		}
		t.Run(bound.name+", block", func(t *testing.T) {
			r, sink := setup(t, auditrelay.RetainBlock)
			deadline := time.Now().Add(10 * time.Second)
			accepted := uint64(1)
			for ; ; accepted++ {
				_, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(event(strings.Repeat("x", int(accepted%200)+1), "created"))})
				if unavailable, ok := errors.AsType[*runtime.UnavailableError](err); ok {
					if unavailable.RetryAfter <= 0 || !strings.Contains(err.Error(), "archive") {
						t.Errorf("refused with %+v", unavailable)
					}
					break
				}
				if err != nil || time.Now().After(deadline) {
					t.Fatalf("%d events are accepted, %v", accepted, err)
				}
			}
			if r.Stats().NotAccepting == "" || r.Ready() == nil {
				t.Error("stats do not tell that nothing is accepted")
			}
			sink.set(nil)
			if err := r.Resume(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
				t.Fatal(err)
			}
			settle(t, r)
			await(t, r, "archive", "accepting", func(runtime.CallbackStatus) bool { return r.Ready() == nil })
			if got := account(t, r, "archive"); got.Delivered != got.Assigned || got.DeadLettered+got.Skipped != 0 {
				t.Errorf("account: %+v", got)
			}
		})
		t.Run(bound.name+", dead_letter", func(t *testing.T) {
			r, sink := setup(t, auditrelay.RetainDeadLetter)
			await(t, r, "archive", "sealed", func(s runtime.CallbackStatus) bool { return s.InFlight > 0 || s.Account.DeadLettered > 0 })
			submit(t, r, event("b", "created"), event("c", "created"), event("d", "created"), event("e", "created"))
			await(t, r, "archive", "bounded", func(s runtime.CallbackStatus) bool { return s.Account.DeadLettered > 0 })
			sink.set(nil)
			if err := r.Resume(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
				t.Fatal(err)
			}
			settle(t, r)
			got := account(t, r, "archive")
			if got.Assigned != 6 || got.DeadLettered == 0 || got.Delivered+got.DeadLettered != 6 {
				t.Errorf("account: %+v", got)
			}
			s, _ := r.Callback("archive")
			if s.Causes["retention"] != got.DeadLettered {
				t.Errorf("causes: %v", s.Causes)
			}
			lines := sink.lines()
			for id, seq := range map[string]uint64{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5} {
				if ending(t, r, id, "archive").Outcome == auditrelay.DeadLettered {
					asTombstone(t, lines[seq])
				}
			}
		})
		t.Run(bound.name+", detach", func(t *testing.T) {
			r, sink := setup(t, auditrelay.RetainDetach)
			await(t, r, "archive", "sealed or detached", func(s runtime.CallbackStatus) bool {
				return s.InFlight > 0 || s.State == runtime.StateDetached
			})
			submit(t, r, event("b", "created"), event("c", "created"), event("d", "created"))
			await(t, r, "archive", "detached", inState(runtime.StateDetached))
			settle(t, r)
			sink.set(nil)
			if got := account(t, r, "archive"); got.Skipped == 0 {
				t.Errorf("account: %+v", got)
			}
			if err := r.Attach(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
				t.Fatal(err)
			}
			settle(t, r)
			if got := account(t, r, "archive"); got.Delivered+got.Skipped != 5 {
				t.Errorf("account: %+v", got)
			}
		})
	}
}

// TestReplayIsNotRetained: a replay's events are old by nature. retain applies only to events
// that the callback itself has not delivered.
func TestReplayIsNotRetained(t *testing.T) {
	for _, then := range []auditrelay.RetainThen{auditrelay.RetainBlock, auditrelay.RetainDeadLetter, auditrelay.RetainDetach} {
		sink := &memorySink{}
		c := quick(runtime.Callback{Name: "archive", Sink: sink, Retain: auditrelay.Retain{Bytes: 400, Then: then}})
		c.Chunk.Age = time.Microsecond
		r := start(t, runtime.Options{Callbacks: []runtime.Callback{c}})
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			submit(t, r, event(id, "created"))
			settle(t, r)
		}
		started, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive"})
		if err != nil {
			t.Fatal(err)
		}
		settle(t, r)
		if s := replayStatus(t, r, started.ID); s.Account.Delivered != 5 || s.Account.DeadLettered+s.Account.Skipped != 0 {
			t.Errorf("then %d: %+v", then, s)
		}
		if err := r.Ready(); err != nil {
			t.Errorf("then %d: a replay closes the door: %v", then, err)
		}
	}
}

func TestDrainDeliversWhatIsLeft(t *testing.T) {
	sink := &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{{Name: "archive", Sink: sink, Chunk: auditrelay.Chunking{Age: time.Hour}}}})
	submit(t, r, event("a", "created"), event("b", "created"))
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(sink.lines()); n != 2 {
		t.Errorf("%d events were delivered, want 2", n)
	}
	if _, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(event("c", "created"))}); !errors.Is(err, runtime.ErrClosed) {
		t.Errorf("submit after a drain: %v", err)
	}
}

// TestDrainEndsAtItsDeadline: undelivered events wait for the next start.
func TestDrainEndsAtItsDeadline(t *testing.T) {
	sink := &memorySink{deliver: func(auditrelay.Payload) error { return errDown }}
	var l logs
	o := runtime.Options{Dir: t.TempDir(), Logger: l.logger(), Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}}
	r := start(t, o)
	submit(t, r, event("a", "created"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "archive") {
		t.Fatalf("drain: %v", err)
	}
	sink.set(nil)
	r = start(t, o)
	settle(t, r)
	if got, want := account(t, r, "archive"), (runtime.Account{Assigned: 1, Delivered: 1, Balanced: true}); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
}

// TestDrainKeepsTheDoorOpen: while it waits for an unavailable destination, it still accepts
// events. They are delivered after the next start.
func TestDrainKeepsTheDoorOpen(t *testing.T) {
	sink := &memorySink{deliver: func(auditrelay.Payload) error { return errDown }}
	var l logs
	o := runtime.Options{Dir: t.TempDir(), Logger: l.logger(), Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}}
	r := start(t, o)
	submit(t, r, event("before", "created"))
	ctx, cancel := context.WithCancel(t.Context())
	drained := make(chan error, 1)
	go func() { drained <- r.Drain(ctx) }()
	for i := range 20 { // some of them during the drain, whenever it began
		submit(t, r, event(fmt.Sprint("while", i), "created"))
	}
	select {
	case err := <-drained:
		t.Fatal("it did not wait:", err)
	default:
	}
	cancel()
	if err := <-drained; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(event("after", "created"))}); !errors.Is(err, runtime.ErrClosed) {
		t.Errorf("submit after a drain: %v", err)
	}
	sink.set(nil)
	r = start(t, o)
	settle(t, r)
	if got, want := account(t, r, "archive"), (runtime.Account{Assigned: 21, Delivered: 21, Balanced: true}); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
}

// TestCloseBreaksOffADelivery: a close does not count as the destination's failure.
func TestCloseBreaksOffADelivery(t *testing.T) {
	entered := make(chan struct{})
	sink := &hangingSink{entered: entered}
	var l logs
	r := start(t, runtime.Options{Logger: l.logger(), Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	submit(t, r, event("a", "created"))
	<-entered
	waited := make(chan error, 1)
	go func() { waited <- r.Settled(context.Background()) }()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; !errors.Is(err, runtime.ErrClosed) {
		t.Errorf("Settled during Close: %v", err)
	}
	if n := l.count("degraded"); n != 0 {
		t.Errorf("logged: %q", l.lines)
	}
}

// hangingSink hangs in a delivery until it is told to stop.
type hangingSink struct {
	memorySink
	entered chan struct{}
}

func (s *hangingSink) Deliver(ctx context.Context, _ auditrelay.Payload) (auditrelay.Receipt, error) {
	close(s.entered)
	<-ctx.Done()
	return auditrelay.Receipt{}, ctx.Err()
}

// TestCloseClosesEverythingOnce: instances first, then their filter, then the sink.
func TestCloseClosesEverythingOnce(t *testing.T) {
	shared := &closing{}
	one, two := &memorySink{}, &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "one", Sink: one, Steps: []runtime.Step{{Name: "f", Filter: shared}}}),
		quick(runtime.Callback{Name: "two", Sink: two, Steps: []runtime.Step{{Name: "f", Filter: shared}}})}})
	submit(t, r, event("a", "created"))
	settle(t, r)
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, one1 := one.count()
	_, two1 := two.count()
	opened, instances, filters := shared.counts()
	if one1 != 1 || two1 != 1 || filters != 1 || opened == 0 || instances != opened {
		t.Errorf("closed: sinks %d and %d, filter %d, instances %d of %d", one1, two1, filters, instances, opened)
	}
}

// valueFilter cannot be distinguished from others of its type.
type valueFilter struct{ verdicts []auditrelay.Verdict }

func (f valueFilter) Open(context.Context) (filter.Instance, error) { return f, nil }
func (f valueFilter) Close() error                                  { return nil }
func (f valueFilter) Apply(context.Context, *filter.Call) (auditrelay.Verdict, error) {
	return f.verdicts[0], nil
}

func TestFilterThatCannotBeCompared(t *testing.T) {
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: &memorySink{},
		Steps: []runtime.Step{{Name: "f", Filter: valueFilter{[]auditrelay.Verdict{auditrelay.Drop}}}}})}})
	submit(t, r, event("a", "created"))
	settle(t, r)
	if got := account(t, r, "archive"); got.Filtered != 1 {
		t.Errorf("account: %+v", got)
	}
}

// Detaching discards everything sealed for a dead destination, on disk too, and skips later
// events, also on a paused callback.
func TestDetachFreesWhatIsSealedAndSkipsWhatComes(t *testing.T) {
	sink := &memorySink{}
	sink.set(func(auditrelay.Payload) error { return errDown })
	c := quick(runtime.Callback{Name: "archive", Sink: sink, InFlight: 2, Chunk: auditrelay.Chunking{Events: 2}})
	dir := t.TempDir()
	r := start(t, runtime.Options{Dir: dir, Callbacks: []runtime.Callback{c}})
	for i := range 10 {
		submit(t, r, event(fmt.Sprint(i), "created"))
	}
	await(t, r, "archive", "full", func(s runtime.CallbackStatus) bool { return s.InFlight == 2 })
	if err := r.Pause(t.Context(), "archive", runtime.By{Principal: "an operator"}); err != nil {
		t.Fatal(err)
	}
	if err := r.Detach(t.Context(), "archive", runtime.By{Principal: "an operator"}); err != nil {
		t.Fatal(err)
	}
	submit(t, r, event("new", "deleted"))
	settle(t, r)
	s, err := r.Callback("archive")
	if err != nil {
		t.Fatal(err)
	}
	if want := (runtime.Account{Assigned: 13, Skipped: 13, Balanced: true}); s.Account != want || s.InFlight != 0 || s.State != runtime.StateDetached {
		t.Errorf("detached: %+v", s)
	}
	for _, id := range []string{"0", "9", "new"} {
		if end := ending(t, r, id, "archive"); end.Outcome != auditrelay.Skipped || end.Cause != auditrelay.CauseDetached {
			t.Errorf("%s: %+v", id, end)
		}
	}

	// It continues with later events, after a restart too.
	sink.set(nil)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = start(t, runtime.Options{Dir: dir, Callbacks: []runtime.Callback{c}})
	for _, do := range []func(context.Context, string, runtime.By) error{r.Resume, r.Attach} {
		if err := do(t.Context(), "archive", runtime.By{Principal: "an operator"}); err != nil {
			t.Fatal(err)
		}
	}
	submit(t, r, event("after", "created"))
	settle(t, r)
	if got, want := account(t, r, "archive"), (runtime.Account{Assigned: 16, Skipped: 13, Delivered: 3, Balanced: true}); got != want {
		t.Errorf("attached again: %+v", got)
	}
	// The event, the own records of the acts since, and those of the pause and the detachment,
	// which the callback had skipped.
	if writes := sink.lines(); len(writes) != 5 {
		t.Errorf("delivered: %v", writes)
	}
}

// TestARefusedActInterruptsNothing: an operator who saw an older version is refused at once, and a
// delivery in progress counts when it ends.
func TestARefusedActInterruptsNothing(t *testing.T) {
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	sink := &memorySink{deliver: func(auditrelay.Payload) error {
		arrived <- struct{}{}
		<-release
		return nil
	}}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	submit(t, r, event("e1", "created"))
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	refused := make(chan error, 1)
	go func() { refused <- r.Pause(ctx, "archive", runtime.By{Principal: "ops", Seen: "an older version"}) }()
	select {
	case err := <-refused:
		if !errors.Is(err, runtime.ErrChanged) {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("the refusal waits for the delivery")
	}
	close(release)
	settle(t, r)
	if n := len(arrived); n != 0 || len(sink.lines()) != 1 {
		t.Errorf("%d further deliveries; arrived: %v", n, sink.lines())
	}
}
