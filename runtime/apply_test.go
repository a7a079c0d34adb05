package runtime_test

import (
	"context"
	"errors"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime"
)

func callbackOf(name string, from auditrelay.From) (runtime.Callback, *memorySink) {
	sink := &memorySink{}
	return quick(runtime.Callback{Name: name, Sink: sink, From: from}), sink
}

var now, beginning = auditrelay.From{}, auditrelay.From{Kind: auditrelay.FromBeginning}

// TestWhereANewCallbackStarts: its account begins at the same place.
func TestWhereANewCallbackStarts(t *testing.T) {
	first, _ := callbackOf("first", now)
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{first}})
	submit(t, r, event("a", "created"), event("b", "created"))
	middle := submit(t, r, event("c", "created"))[0].Received
	settle(t, r)

	early, earlySink := callbackOf("early", beginning)
	late, lateSink := callbackOf("late", now)
	since, sinceSink := callbackOf("since", auditrelay.From{Kind: auditrelay.FromTime, Time: middle})
	future, _ := callbackOf("future", auditrelay.From{Kind: auditrelay.FromTime, Time: time.Now().Add(time.Hour)})
	first, _ = callbackOf("first", now)
	if err := r.Apply(t.Context(), []runtime.Callback{first, early, late, since, future}, nil); err != nil {
		t.Fatal(err)
	}
	submit(t, r, event("d", "created"))
	settle(t, r)
	for name, want := range map[string]uint64{"first": 4, "early": 4, "late": 1, "since": 2, "future": 1} {
		if got := account(t, r, name); got.Assigned != want || got.Delivered != want {
			t.Errorf("%s: %+v, want %d events", name, got, want)
		}
	}
	if e, l, s := len(earlySink.lines()), len(lateSink.lines()), len(sinceSink.lines()); e != 4 || l != 1 || s != 2 {
		t.Errorf("delivered: early %d, late %d, since %d", e, l, s)
	}
	if end := ending(t, r, "a", "late"); end.Assigned {
		t.Errorf("explained: %+v", end)
	}
}

// TestRemovingIsExplicit: a callback with pending events is only removed if its name is listed.
// Its dead letters stay until they are discarded.
func TestRemovingIsExplicit(t *testing.T) {
	dir := t.TempDir()
	dead := &memorySink{deliver: func(p auditrelay.Payload) error {
		if p.Sequences[0] == 1 {
			return refuse(auditrelay.Refused)
		}
		return errDown
	}}
	gone := quick(runtime.Callback{Name: "gone", Sink: whole{dead}})
	stays, _ := callbackOf("stays", now)
	r := start(t, runtime.Options{Dir: dir, Callbacks: []runtime.Callback{gone, stays}})
	submit(t, r, event("bad", "created"))
	await(t, r, "gone", "dead-lettered", func(s runtime.CallbackStatus) bool { return s.Account.DeadLettered == 1 })
	submit(t, r, event("b", "created"), event("c", "created"))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}

	stays, _ = callbackOf("stays", now)
	o := runtime.Options{Dir: dir, Callbacks: []runtime.Callback{stays}}
	_, err := runtime.Open(t.Context(), o)
	removal, ok := errors.AsType[*runtime.RemovalError](err)
	if !ok || removal.Callback != "gone" || removal.Pending != 2 || removal.Dead != 1 || !strings.Contains(err.Error(), "renamed_from") {
		t.Fatalf("open without it: %v", err)
	}

	stays, _ = callbackOf("stays", now)
	o = runtime.Options{Dir: dir, Callbacks: []runtime.Callback{stays}, Removed: []string{"gone"}}
	r = start(t, o)
	submit(t, r, event("later", "created"))
	settle(t, r)
	list, err := r.Callbacks()
	if err != nil || len(list) != 2 || list[1].State != runtime.StateRemoved {
		t.Fatalf("callbacks: %+v, %v", list, err)
	}
	want := runtime.Account{Assigned: 3, DeadLettered: 1, Skipped: 2, Balanced: true}
	if list[1].Account != want {
		t.Errorf("account\n got %+v\nwant %+v", list[1].Account, want)
	}
	if end := ending(t, r, "c", "gone"); end.Outcome != auditrelay.Skipped || end.Cause != auditrelay.CauseOperator {
		t.Errorf("explained: %+v", end)
	}
	if end := ending(t, r, "later", "gone"); end.Assigned {
		t.Errorf("explained: %+v", end)
	}
	if d, err := r.DeadLetters(t.Context(), "gone", 0, 10); err != nil || len(d) != 1 {
		t.Errorf("dead letters: %+v, %v", d, err)
	}
	if n, err := r.DiscardDeadLetters(t.Context(), "gone", runtime.By{Principal: "ops"}); err != nil || n != 1 {
		t.Errorf("discarded %d, %v", n, err)
	}
	if _, err := r.ReplayDeadLetters(t.Context(), "gone", runtime.By{Principal: "ops"}); !errors.Is(err, runtime.ErrNoCallback) {
		t.Errorf("replay on a removed callback: %v", err)
	}
}

// TestNameMadeAgain: a callback that returns continues its numbers, accounts and dead letters,
// and gets nothing twice.
func TestNameMadeAgain(t *testing.T) {
	for _, from := range []auditrelay.From{now, beginning} {
		c, first := callbackOf("archive", now)
		r := start(t, runtime.Options{Callbacks: []runtime.Callback{c}})
		first.set(refuseID("bad", refuse(auditrelay.Refused)))
		submit(t, r, event("bad", "created"))
		settle(t, r)
		first.set(func(auditrelay.Payload) error { return errDown })
		submit(t, r, event("given-up", "created"))
		await(t, r, "archive", "sealed", func(s runtime.CallbackStatus) bool { return s.InFlight > 0 })
		payloads := await(t, r, "archive", "sealed", func(s runtime.CallbackStatus) bool { return true }).Payloads
		if err := r.Apply(t.Context(), nil, []string{"archive"}); err != nil {
			t.Fatal(err)
		}
		submit(t, r, event("between", "created"))
		c, second := callbackOf("archive", from)
		if err := r.Apply(t.Context(), []runtime.Callback{c}, nil); err != nil {
			t.Fatal(err)
		}
		submit(t, r, event("after", "created"))
		settle(t, r)

		want := runtime.Account{Assigned: 3, Delivered: 1, DeadLettered: 1, Skipped: 1, Balanced: true}
		outcome := auditrelay.Pending
		if from == beginning { // only the missing ones, including the own record of its removal
			want.Assigned, want.Delivered, outcome = 5, 3, auditrelay.Delivered
		}
		if got := account(t, r, "archive"); got != want {
			t.Errorf("account\n got %+v\nwant %+v", got, want)
		}
		if end := ending(t, r, "between", "archive"); end.Outcome != outcome || end.Assigned != (from == beginning) {
			t.Errorf("explained: %+v", end)
		}
		if end := ending(t, r, "given-up", "archive"); end.Outcome != auditrelay.Skipped {
			t.Errorf("explained: %+v", end)
		}
		for _, p := range second.objects {
			if p.Number <= payloads {
				t.Errorf("payload number %d was used before", p.Number)
			}
		}
		if n, err := r.ReplayDeadLetters(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil || n != 1 {
			t.Errorf("replayed %d, %v", n, err)
		}
		settle(t, r)
		if got := account(t, r, "archive"); got.DeadLettered != 0 {
			t.Errorf("account: %+v", got)
		}
	}
}

// TestRename: the new name takes over cursor, accounts and dead letters.
func TestRename(t *testing.T) {
	dir := t.TempDir()
	c, first := callbackOf("old", now)
	first.set(refuseID("bad", refuse(auditrelay.Refused)))
	r := start(t, runtime.Options{Dir: dir, Callbacks: []runtime.Callback{c}})
	submit(t, r, event("bad", "created"), event("b", "created"))
	settle(t, r)
	if err := r.Pause(t.Context(), "old", runtime.By{Principal: "ops"}); err != nil {
		t.Fatal(err)
	}
	submit(t, r, event("c", "created"))

	c, second := callbackOf("new", beginning)
	c.RenamedFrom = "old"
	o := runtime.Options{Dir: dir, Callbacks: []runtime.Callback{c}}
	r = reopen(t, r, o)
	if err := r.Resume(t.Context(), "new", runtime.By{Principal: "ops"}); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	want := runtime.Account{Assigned: 5, Delivered: 4, DeadLettered: 1, Balanced: true} // including own records of pause and resume
	if got := account(t, r, "new"); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
	if n := len(second.lines()); n != 3 {
		t.Errorf("%d events were delivered under the new name, want 3", n)
	}
	if end := ending(t, r, "bad", "new"); end.Outcome != auditrelay.DeadLettered {
		t.Errorf("explained: %+v", end)
	}
	r = reopen(t, r, o) // renamed_from may stay in the configuration
	if got := account(t, r, "new"); got != want {
		t.Errorf("account after a restart\n got %+v\nwant %+v", got, want)
	}
}

// A configuration that omits a callback is refused even if the callback has nothing pending:
// events accepted meanwhile would never reach it.
func TestALostCallbackIsRefusedUnlessItIsRemoved(t *testing.T) {
	dir := t.TempDir()
	build := func(name string) runtime.Callback {
		c, _ := callbackOf(name, now)
		return c
	}
	r := start(t, runtime.Options{Dir: dir, Callbacks: []runtime.Callback{build("archive"), build("siem")}})
	submit(t, r, event("a", "created"))
	settle(t, r)
	refused := func(err error, names ...string) {
		t.Helper()
		for _, name := range names {
			if err == nil || !strings.Contains(err.Error(), "callback "+name+" is no longer configured") {
				t.Errorf("%s is lost: %v", name, err)
			}
		}
	}
	refused(r.Apply(t.Context(), []runtime.Callback{build("archive")}, nil), "siem")
	refused(r.Apply(t.Context(), nil, nil), "archive", "siem")
	submit(t, r, event("b", "created"))
	settle(t, r)
	if got := account(t, r, "siem").Delivered; got != 2 {
		t.Errorf("siem got %d of 2 events", got)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := runtime.Open(t.Context(), runtime.Options{Dir: dir, Callbacks: []runtime.Callback{build("archive")}})
	refused(err, "siem")
	r = start(t, runtime.Options{Dir: dir, Callbacks: []runtime.Callback{build("archive")}, Removed: []string{"siem"}})
	// Once removed, it need not stay in the list of removed callbacks.
	if err := r.Apply(t.Context(), []runtime.Callback{build("archive")}, nil); err != nil {
		t.Error(err)
	}
}

func TestRenamesThatContradict(t *testing.T) {
	build := func(name, from string) runtime.Callback {
		c, _ := callbackOf(name, now)
		c.RenamedFrom = from
		return c
	}
	cases := []struct {
		name      string
		callbacks []runtime.Callback
		removed   []string
		want      string
	}{
		{"one name to two", []runtime.Callback{build("x", "old"), build("y", "old")}, nil, "both say renamed_from"},
		{"from one that stays", []runtime.Callback{build("x", "old"), build("old", "")}, nil, "is configured, and x says"},
		{"to the name of a removed one", []runtime.Callback{build("former", "old")}, nil, "choose another name"},
		{"configured and removed", []runtime.Callback{build("old", "")}, []string{"old"}, "both configured and listed"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sink := &memorySink{}
			running := quick(runtime.Callback{Name: "old", Digest: "1", Sink: sink})
			r := start(t, runtime.Options{Callbacks: []runtime.Callback{build("former", ""), running}})
			if err := r.Apply(t.Context(), []runtime.Callback{running}, []string{"former"}); err != nil {
				t.Fatal(err)
			}
			if err := r.Apply(t.Context(), c.callbacks, c.removed); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("apply: %v", err)
			}
			for _, c := range c.callbacks { // the new sinks are closed
				if _, closed := c.Sink.(*memorySink).count(); closed != 1 {
					t.Errorf("the sink of %s was closed %d times", c.Name, closed)
				}
			}
			// Nothing has changed.
			submit(t, r, event("a", "created"))
			settle(t, r)
			if _, closed := sink.count(); closed != 0 || len(sink.lines()) != 2 { // including the own record of the removal
				t.Error("the running callback was disturbed")
			}
		})
	}
}

// TestReceivesChanges: from then on another class of events is assigned. Earlier events keep
// their outcome.
func TestReceivesChanges(t *testing.T) {
	r, _ := alerting(t, "")
	submit(t, r, event("a", "blocked"), event("b", "created"))
	settle(t, r)
	alerts := &memorySink{}
	if err := r.Apply(t.Context(), []runtime.Callback{quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEvents, Sink: alerts})}, []string{"archive"}); err != nil {
		t.Fatal(err)
	}
	submit(t, r, event("c", "created"))
	settle(t, r)
	if got, want := account(t, r, "alerts"), (runtime.Account{Assigned: 3, Delivered: 3, Balanced: true}); got != want { // including the own record of the removal
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
	e, err := r.Event(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if end := ending(t, r, e.ID, "alerts"); end.Outcome != auditrelay.Delivered {
		t.Errorf("the emitted record: %+v", end)
	}
	if end := ending(t, r, "b", "alerts"); end.Assigned {
		t.Errorf("what came before the change: %+v", end)
	}
}

// TestApplyLeavesTheUnchangedAlone: Apply compares digests. For an unchanged callback it closes
// the new sink, not the running one, and it closes nothing twice.
func TestApplyLeavesTheUnchangedAlone(t *testing.T) {
	shared := &closing{}
	build := func(name, digest string, sink *memorySink) runtime.Callback {
		return quick(runtime.Callback{Name: name, Digest: digest, Sink: sink, Steps: []runtime.Step{{Name: "f", Filter: shared}}})
	}
	keepA, keepB, changed := &memorySink{}, &memorySink{}, &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{build("a", "1", keepA), build("b", "1", changed)}})
	submit(t, r, event("x", "created"))
	settle(t, r)
	spare := &memorySink{}
	// b changes; a comes with a new sink of the same digest.
	if err := r.Apply(t.Context(), []runtime.Callback{build("a", "1", spare), build("b", "2", keepB)}, nil); err != nil {
		t.Fatal(err)
	}
	submit(t, r, event("y", "created"))
	settle(t, r)
	// b changes again and keeps its sink.
	if err := r.Apply(t.Context(), []runtime.Callback{build("a", "1", keepA), build("b", "3", keepB)}, nil); err != nil {
		t.Fatal(err)
	}
	submit(t, r, event("z", "created"))
	settle(t, r)
	closed := func(s *memorySink) int { _, n := s.count(); return n }
	if closed(spare) != 1 || closed(changed) != 1 || closed(keepA) != 0 || closed(keepB) != 0 {
		t.Errorf("closed: spare %d, changed %d, kept %d and %d", closed(spare), closed(changed), closed(keepA), closed(keepB))
	}
	if _, _, n := shared.counts(); n != 0 {
		t.Errorf("the shared filter was closed %d times", n)
	}
	if len(keepA.lines()) != 3 || len(keepB.lines()) != 2 || len(changed.lines()) != 1 {
		t.Errorf("delivered: %d, %d, %d", len(keepA.lines()), len(keepB.lines()), len(changed.lines()))
	}
	if err := r.Apply(t.Context(), nil, []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	opened, instances, filters := shared.counts()
	if filters != 1 || instances != opened || closed(keepA) != 1 || closed(keepB) != 1 {
		t.Errorf("after all are gone: filter closed %d times, instances %d of %d, sinks %d and %d", filters, instances, opened, closed(keepA), closed(keepB))
	}
}

// exclusiveSink locks its destination from its first delivery until it is closed.
type exclusiveSink struct {
	memorySink
	holder *atomic.Pointer[exclusiveSink]
	tried  chan bool // receives whether the destination was free at the first delivery
	once   sync.Once
	down   bool // the destination is down, so sealed payloads wait for the next sink
}

func (s *exclusiveSink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	free := s.holder.CompareAndSwap(nil, s) || s.holder.Load() == s
	s.once.Do(func() { s.tried <- free })
	if s.down || !free {
		return auditrelay.Receipt{}, refuse(auditrelay.Transient)
	}
	return s.memorySink.Deliver(ctx, p)
}

func (s *exclusiveSink) Close() error {
	for range 1000 { // give a premature delivery time to happen
		goruntime.Gosched()
	}
	s.holder.CompareAndSwap(s, nil)
	return s.memorySink.Close()
}

// TestApplyClosesBeforeItStarts: the previous sink of a changed callback releases the
// destination before the new one uses it.
func TestApplyClosesBeforeItStarts(t *testing.T) {
	const rounds = 20
	var holder atomic.Pointer[exclusiveSink]
	tried := make(chan bool, 1)
	build := func(round int) []runtime.Callback {
		sink := &exclusiveSink{holder: &holder, tried: tried, down: round < rounds}
		return []runtime.Callback{quick(runtime.Callback{Name: "archive", Digest: strconv.Itoa(round), Sink: sink})}
	}
	r := start(t, runtime.Options{Callbacks: build(0)})
	submit(t, r, event("x", "created"))
	for round := range rounds {
		if !<-tried {
			t.Fatalf("round %d: the sink before still held the destination", round)
		}
		if err := r.Apply(t.Context(), build(round+1), nil); err != nil {
			t.Fatal(err)
		}
	}
	if !<-tried {
		t.Fatal("the last: the sink before still held the destination")
	}
	settle(t, r)
}

// TestApplyWhileEverythingRuns: no event is lost or doubled, and commands given meanwhile reach
// the callback.
func TestApplyWhileEverythingRuns(t *testing.T) {
	sink := &memorySink{}
	build := func() runtime.Callback { return quick(runtime.Callback{Name: "archive", Sink: sink}) }
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{build()}})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := errors.Join(r.Pause(t.Context(), "archive", runtime.By{Principal: "x"}), r.Resume(t.Context(), "archive", runtime.By{Principal: "x"})); err != nil {
				t.Errorf("pause and resume: %v", err)
				return
			}
			if _, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", DryRun: i%4 > 0}); err != nil {
				t.Errorf("replay: %v", err)
				return
			}
		}
	})
	for range 20 {
		submit(t, r, event(time.Now().String(), "created"))
		if err := r.Apply(t.Context(), []runtime.Callback{build()}, nil); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	settle(t, r)
	// Each replay left an own record.
	if got := account(t, r, "archive"); got.Assigned < 20 || got.Delivered != got.Assigned || !got.Balanced {
		t.Errorf("account: %+v", got)
	}
	if n := len(sink.lines()); uint64(n) != account(t, r, "archive").Delivered {
		t.Errorf("%d events were delivered", n)
	}
}

// TestCloseDuringEverything: Close ends during any activity.
func TestCloseDuringEverything(t *testing.T) {
	for range 10 {
		r, _ := alerting(t, "")
		var wg sync.WaitGroup
		for _, do := range []func() error{
			func() error {
				_, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(event(time.Now().String(), "blocked"))})
				return err
			},
			func() error { return r.Pause(t.Context(), "archive", runtime.By{Principal: ""}) },
			func() error { return r.Resume(t.Context(), "archive", runtime.By{Principal: ""}) },
			func() error {
				_, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive"})
				return err
			},
			func() error {
				_, err := r.ReplayDeadLetters(t.Context(), "archive", runtime.By{Principal: ""})
				return err
			},
			func() error {
				return r.Apply(t.Context(), []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: &memorySink{}})}, []string{"alerts"})
			},
			func() error { return r.Settled(t.Context()) },
			func() error { _, err := r.Callbacks(); return err },
			func() error { _, err := r.Explain(t.Context(), "", "x"); return err },
		} {
			wg.Go(func() {
				for range 1000 {
					if r.Ready() != nil {
						return
					}
					_ = do()
				}
			})
		}
		eventually(t, func() bool { return r.Stats().Accepted > 5 })
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for tick := time.NewTicker(time.Millisecond); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}
