package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// version is a filter that writes its name into each event, and can be told to fail.
type version struct {
	name   string
	fail   atomic.Pointer[error]
	open   error
	closed atomic.Int64
}

func (v *version) failing(err error) *version {
	v.fail.Store(&err)
	return v
}

func (v *version) digest() string { return strings.Repeat(v.name, 64)[:64] }

func (v *version) Open(context.Context) (filter.Instance, error) { return versionInstance{v}, v.open }
func (v *version) Describe() filter.Description {
	return filter.Description{Kind: "wasm", Digest: v.digest()}
}
func (v *version) Close() error {
	v.closed.Add(1)
	return nil
}

type versionInstance struct{ *version }

func (i versionInstance) Close() error { return nil }
func (i versionInstance) Apply(_ context.Context, c *filter.Call) (auditrelay.Verdict, error) {
	if err := i.fail.Load(); err != nil && *err != nil {
		return auditrelay.NoVerdict, *err
	}
	return auditrelay.Keep, c.Document.Put(0, []byte("tag"), []byte(`"`+i.name+`"`))
}

var errTrap = &filter.Error{Cause: auditrelay.CauseTrap, Err: errors.New("it traps")}

// rolling returns a relay with two callbacks that list filter f, whose version in force is a.
func rolling(t *testing.T, o runtime.Options) (r *runtime.Runtime, one, two *memorySink) {
	t.Helper()
	one, two = &memorySink{}, &memorySink{}
	for name, sink := range map[string]*memorySink{"one": one, "two": two} {
		o.Callbacks = append(o.Callbacks, quick(runtime.Callback{Name: name, Digest: "1", Sink: sink, Chunk: auditrelay.Chunking{Events: 7},
			Steps: []runtime.Step{{Name: "f", Filter: &version{name: "a"}}}}))
	}
	return start(t, o), one, two
}

func rollOut(t *testing.T, r *runtime.Runtime, o runtime.Rollout, v *version) runtime.RolloutStatus {
	t.Helper()
	o.Filter, o.Kind, o.Digest = "f", "module", v.digest()
	status, err := r.StartRollout(t.Context(), o, v, runtime.By{Principal: "ops", Reason: "TICKET-1"})
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func some(prefix string, n int) (events []string) {
	for i := range n {
		events = append(events, event(fmt.Sprint(prefix, i), "created"))
	}
	return events
}

// ended waits until the rollout has ended.
func ended(t *testing.T, r *runtime.Runtime) runtime.RolloutStatus {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		s, err := r.LastRollout()
		if err != nil || time.Now().After(deadline) {
			t.Fatal(s, err)
		}
		if s.State != runtime.RolloutRunning {
			return s
		}
	}
}

// byTag returns the sequences of the delivered events with a version's tag.
func byTag(s *memorySink, tag string) (sequences []uint64) {
	for sequence, line := range s.lines() {
		if strings.Contains(line, `"tag":"`+tag+`"`) {
			sequences = append(sequences, sequence)
		}
	}
	return sequences
}

func TestRolloutTakesAShare(t *testing.T) {
	r, one, two := rolling(t, runtime.Options{})
	submit(t, r, some("before", 20)...)
	settle(t, r)
	v := &version{name: "b"}
	started := rollOut(t, r, runtime.Rollout{Share: 0.3, Events: 1000}, v)
	if started.From["one"] != 21 || started.From["two"] != 21 || started.State != runtime.RolloutRunning {
		t.Errorf("%+v", started)
	}
	if _, err := r.StartRollout(t.Context(), runtime.Rollout{Filter: "f"}, &version{name: "c"}, runtime.By{}); !errors.Is(err, runtime.ErrRollout) {
		t.Errorf("a second one: %v", err)
	}
	submit(t, r, some("while", 300)...)
	settle(t, r)
	// Each event has one version on all callbacks, and its receipt names it.
	tried := byTag(one, "b")
	if n := len(tried); n < 50 || n > 140 || n != len(byTag(two, "b")) {
		t.Errorf("%d and %d of 300 events went through the new version", n, len(byTag(two, "b")))
	}
	for _, sequence := range tried {
		if sequence < 21 || !strings.Contains(two.lines()[sequence], `"tag":"b"`) {
			t.Errorf("sequence %d", sequence)
		}
	}
	for _, receipt := range receiptsOf(t, r, runtime.ReceiptQuery{}) {
		sink := map[string]*memorySink{"one": one, "two": two}[receipt.Callback]
		line := sink.lines()[receipt.Sequence]
		if len(receipt.Filters) == 0 { // an own record
			if strings.Contains(line, `"tag"`) {
				t.Errorf("an own record: %s", line)
			}
			continue
		}
		if want := receipt.Filters[0].Digest[:1]; len(receipt.Filters) != 1 || !strings.Contains(line, `"tag":"`+want+`"`) {
			t.Errorf("the receipt names %s: %s", receipt.Filters[0].Digest, line)
		}
	}
	status, err := r.LastRollout()
	if err != nil || len(status.Counts) != 2 || status.Counts[0].Judged != uint64(len(tried)) || status.Counts[1].Judged != uint64(len(tried)) || status.Counts[0].Failed != 0 {
		t.Errorf("%+v %v", status, err)
	}
	// A replay makes the same choice.
	if _, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "one", From: 21, To: 321}); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	if n := len(byTag(one, "b")); n != len(tried) {
		t.Errorf("after a replay %d events show the new version, before %d", n, len(tried))
	}
	if again, _ := r.LastRollout(); again.Counts[0] != status.Counts[0] {
		t.Errorf("a replay was counted: %+v", again.Counts)
	}
	// Promotion: the caller puts the version in force; here it does nothing.
	if _, err := r.Promote(t.Context(), "f", runtime.By{Principal: "ops"}, func(runtime.Rollout) error { return errDown }); !errors.Is(err, errDown) {
		t.Errorf("%v", err)
	}
	if s, err := r.Promote(t.Context(), "f", runtime.By{Principal: "ops"}, func(o runtime.Rollout) error { return nil }); err != nil || s.State != runtime.RolloutPromoted || v.closed.Load() != 1 {
		t.Errorf("%+v %v; closed %d times", s, err, v.closed.Load())
	}
	if _, err := r.RollBack(t.Context(), "f", runtime.By{}); !errors.Is(err, runtime.ErrNoRollout) {
		t.Errorf("%v", err)
	}
}

func TestRolloutIsRolledBack(t *testing.T) {
	for name, c := range map[string]struct {
		fail     error
		open     error
		gate     auditrelay.MustNotLeave
		refusing bool
		why      string
		most     uint64 // failures
	}{
		"the version fails":         {fail: errTrap, why: "failed on callback", most: 40},
		"the gate":                  {gate: auditrelay.MustNotLeave{Paths: []string{"tag_of_b"}}, why: "failed on callback", most: 40},
		"the destination refuses":   {refusing: true, why: "failed on callback", most: 40},
		"it cannot be started":      {open: errDown, why: "cannot judge", most: 0},
		"its breaker opens":         {fail: &filter.Error{Cause: auditrelay.CauseBreaker, Err: errors.New("it rests")}, why: "cannot judge", most: 0},
		"it never gets enough time": {fail: &filter.Error{Cause: auditrelay.CauseWallTime, Err: errors.New("slow")}, why: "cannot judge", most: 0},
	} {
		t.Run(name, func(t *testing.T) {
			sink := &memorySink{}
			if c.refusing {
				sink.deliver = func(p auditrelay.Payload) error {
					if strings.Contains(string(p.Body), `"tag":"b"`) {
						return refuse(auditrelay.Refused)
					}
					return nil
				}
			}
			current := &version{name: "a"}
			r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "one", Digest: "1", Sink: sink, MustNotLeave: c.gate,
				Chunk: auditrelay.Chunking{Events: 10}, Steps: []runtime.Step{{Name: "f", Filter: current}}})}})
			v := (&version{name: "b", open: c.open}).failing(c.fail)
			tried := filter.Filter(v)
			if c.gate.Paths != nil {
				tried = fn(func(c *filter.Call) (auditrelay.Verdict, error) {
					return auditrelay.Keep, c.Document.Put(0, []byte("tag_of_b"), []byte("1"))
				}).filter()
				tried = &describedAs{tried, v.digest()}
			}
			o := runtime.Rollout{Filter: "f", Digest: v.digest(), Share: 0.5, Bound: 0.1, Events: 20}
			if _, err := r.StartRollout(t.Context(), o, tried, runtime.By{Principal: "ops"}); err != nil {
				t.Fatal(err)
			}
			submit(t, r, some("e", 200)...)
			s := ended(t, r)
			if s.State != runtime.RolloutRolledBack || !strings.Contains(s.Why, c.why) || s.EndedBy != "auditrelay" {
				t.Errorf("%+v", s)
			}
			settle(t, r)
			a := account(t, r, "one")
			for until := time.Now().Add(20 * time.Second); a.Pending > 0 && time.Now().Before(until); a = account(t, r, "one") {
				settle(t, r) // the end is read before its write counts as accepted
			}
			if a.DeadLettered > c.most || c.most > 0 && a.DeadLettered < 3 || a.Delivered+a.DeadLettered != a.Assigned || a.Assigned != 202 {
				t.Errorf("%+v", a)
			}
			if !c.refusing && s.Counts[0].Failed != a.DeadLettered {
				t.Errorf("counted %+v, account %+v", s.Counts, a)
			}
			// Events chosen for the version pass through the one in force now.
			submit(t, r, some("later", 50)...)
			settle(t, r)
			if later := account(t, r, "one"); later.DeadLettered != a.DeadLettered || later.Delivered != a.Delivered+50 {
				t.Errorf("%+v, then %+v", a, later)
			}
			// The dead letters can be replayed, and then also pass through it.
			if _, err := r.ReplayDeadLetters(t.Context(), "one", runtime.By{Principal: "ops"}); err != nil {
				t.Fatal(err)
			}
			settle(t, r)
			if a := account(t, r, "one"); a.DeadLettered != 0 || a.Delivered != a.Assigned {
				t.Errorf("after the replay: %+v", a)
			}
		})
	}
}

// describedAs gives a filter a digest.
type describedAs struct {
	filter.Filter
	digest string
}

func (d *describedAs) Describe() filter.Description {
	return filter.Description{Kind: "redact", Digest: d.digest}
}

// TestSealedPayloadsKeepTheirVersion: payloads that the new version processed are delivered as
// sealed, after a rollback and after a restart.
func TestSealedPayloadsKeepTheirVersion(t *testing.T) {
	dir := t.TempDir()
	r, one, two := rolling(t, runtime.Options{Dir: dir})
	down := func(auditrelay.Payload) error { return errDown }
	one.set(down)
	two.set(down)
	rollOut(t, r, runtime.Rollout{Share: 1, Events: 1000}, &version{name: "b"})
	submit(t, r, some("e", 5)...)
	await(t, r, "one", "sealed", func(s runtime.CallbackStatus) bool { return s.Cursor == s.Head })
	await(t, r, "two", "sealed", func(s runtime.CallbackStatus) bool { return s.Cursor == s.Head })
	if s, err := r.RollBack(t.Context(), "f", runtime.By{Principal: "ops"}); err != nil || s.State != runtime.RolloutRolledBack || s.Why != "by ops" {
		t.Fatalf("%+v %v", s, err)
	}
	submit(t, r, some("later", 5)...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r, one, two = rolling(t, runtime.Options{Dir: dir})
	settle(t, r)
	for _, s := range []*memorySink{one, two} {
		if next, former := len(byTag(s, "b")), len(byTag(s, "a")); next != 5 || former != 5 {
			t.Errorf("%d events of the new version, %d of the one in force", next, former)
		}
	}
}

// TestRolloutGoesOnAfterARestart: with the same choice of events, and its counts.
func TestRolloutGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	r, one, _ := rolling(t, runtime.Options{Dir: dir})
	rollOut(t, r, runtime.Rollout{Share: 0.5, Bound: 0.5, Events: 10}, &version{name: "b"})
	submit(t, r, some("e", 100)...)
	settle(t, r)
	before := map[uint64]string{}
	for sequence, line := range one.lines() {
		before[sequence] = line
	}
	was, err := r.LastRollout()
	if err != nil {
		t.Fatal(err)
	}
	reopen := func(open func(context.Context, runtime.Rollout) (filter.Filter, error)) {
		t.Helper()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r, one, _ = rolling(t, runtime.Options{Dir: dir, OpenRollout: open})
	}
	v := &version{name: "b"}
	reopen(func(_ context.Context, o runtime.Rollout) (filter.Filter, error) {
		if o.Digest != v.digest() || o.Filter != "f" {
			t.Errorf("%+v", o)
		}
		return v, nil
	})
	if s, err := r.LastRollout(); err != nil || s.State != runtime.RolloutRunning || fmt.Sprint(s.Counts) != fmt.Sprint(was.Counts) || s.Counts[0].Judged == 0 {
		t.Errorf("%+v %v, before %+v", s, err, was.Counts)
	}
	if _, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "one", From: 1, To: 102}); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	for sequence, line := range before {
		if now := one.lines()[sequence]; !strings.Contains(line, "auditrelay_") && now != line {
			t.Errorf("sequence %d went otherwise after the restart: %s, then %s", sequence, line, now)
		}
	}
	// If its version cannot be loaded, a rollout is rolled back. If its version is in force, it
	// is promoted.
	reopen(func(context.Context, runtime.Rollout) (filter.Filter, error) { return nil, errDown })
	if s := ended(t, r); s.State != runtime.RolloutRolledBack || !strings.Contains(s.Why, "could not be loaded at the start") {
		t.Errorf("%+v", s)
	}
	rollOut(t, r, runtime.Rollout{}, &version{name: "b"})
	reopen(func(context.Context, runtime.Rollout) (filter.Filter, error) { return nil, runtime.ErrRolloutInForce })
	if s := ended(t, r); s.State != runtime.RolloutPromoted {
		t.Errorf("%+v", s)
	}
	// After a kill between the counts and the rollback, the rollback is repeated.
	rollOut(t, r, runtime.Rollout{}, &version{name: "b"})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = start(t, runtime.Options{Dir: dir, OpenRollout: func(context.Context, runtime.Rollout) (filter.Filter, error) { return v, nil },
		Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "one", Digest: "2", Sink: one, Steps: []runtime.Step{{Name: "f", Filter: &version{name: "a"}}}})},
		Removed:   []string{"two"}})
	if s := ended(t, r); s.State != runtime.RolloutRolledBack || !strings.Contains(s.Why, "configured anew") {
		t.Errorf("%+v", s)
	}
}

// TestRolloutAndReload: a reload that does not change the filter's callbacks does not affect a
// rollout; any other reload ends it. No event is lost or doubled meanwhile.
func TestRolloutAndReload(t *testing.T) {
	r, one, two := rolling(t, runtime.Options{})
	v := &version{name: "b"}
	rollOut(t, r, runtime.Rollout{Share: 0.5, Events: 1000}, v)
	callbacks := func(digest string) []runtime.Callback {
		var all []runtime.Callback
		for name, sink := range map[string]*memorySink{"one": one, "two": two} {
			d := digest
			if name == "two" {
				d = "1"
			}
			all = append(all, quick(runtime.Callback{Name: name, Digest: d, Sink: sink, Steps: []runtime.Step{{Name: "f", Filter: &version{name: "a"}}}}))
		}
		return all
	}
	submit(t, r, some("e", 100)...)
	if err := r.Apply(t.Context(), callbacks("1"), nil); err != nil {
		t.Fatal(err)
	}
	submit(t, r, some("f", 100)...)
	settle(t, r)
	if s, err := r.LastRollout(); err != nil || s.State != runtime.RolloutRunning || s.Counts[0].Judged < 60 {
		t.Errorf("%+v %v", s, err)
	}
	submit(t, r, some("g", 100)...)
	if err := r.Apply(t.Context(), callbacks("2"), nil); err != nil {
		t.Fatal(err)
	}
	submit(t, r, some("h", 100)...)
	if s := ended(t, r); s.State != runtime.RolloutRolledBack || !strings.Contains(s.Why, "configured anew") {
		t.Errorf("%+v", s)
	}
	settle(t, r)
	for name, sink := range map[string]*memorySink{"one": one, "two": two} {
		if a := account(t, r, name); a.Delivered != a.Assigned || len(byTag(sink, "a"))+len(byTag(sink, "b")) != 400 {
			t.Errorf("%s: %+v, %d and %d", name, a, len(byTag(sink, "a")), len(byTag(sink, "b")))
		}
	}
	if err := r.Close(); err != nil || v.closed.Load() != 1 {
		t.Errorf("%v; the version was closed %d times", err, v.closed.Load())
	}
}

// TestTakenBackBeforeTheStart: a rollback that the journal could not record ends the rollout in
// the user's name at the next start. Until then the rollout judges nothing.
func TestTakenBackBeforeTheStart(t *testing.T) {
	dir := t.TempDir()
	r, _, _ := rolling(t, runtime.Options{Dir: dir})
	started := rollOut(t, r, runtime.Rollout{Share: 1}, &version{name: "b"})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r, one, _ := rolling(t, runtime.Options{Dir: dir, OpenRollout: func(_ context.Context, o runtime.Rollout) (filter.Filter, error) {
		return nil, fmt.Errorf("opening it: %w", &runtime.TakenBackError{ID: started.ID, By: "ann", Err: errDown})
	}})
	submit(t, r, some("e", 20)...)
	if s := ended(t, r); s.State != runtime.RolloutRolledBack || s.EndedBy != "ann" || s.ByItself() || s.Why != "by ann, before the relay started anew" {
		t.Errorf("%+v", s)
	}
	settle(t, r)
	if n := len(byTag(one, "b")); n != 0 {
		t.Errorf("it judged %d events", n)
	}
}

// TestRollingBackWhatIsPromoted: while a version is put in force, no rollback is recorded. If
// that fails, the version is rolled back.
func TestRollingBackWhatIsPromoted(t *testing.T) {
	r, _, _ := rolling(t, runtime.Options{})
	by := runtime.By{Principal: "ops"}
	rollOut(t, r, runtime.Rollout{Share: 0.5}, &version{name: "b"})
	s, err := r.Promote(t.Context(), "f", by, func(runtime.Rollout) error {
		if s, err := r.RollBack(t.Context(), "f", by); !errors.Is(err, runtime.ErrNoRollout) {
			t.Errorf("it was rolled back on its way: %+v %v", s, err)
		}
		return nil
	})
	if err != nil || s.State != runtime.RolloutPromoted {
		t.Errorf("%+v %v", s, err)
	}
	rollOut(t, r, runtime.Rollout{Share: 0.5}, &version{name: "c"})
	if _, err := r.Promote(t.Context(), "f", by, func(runtime.Rollout) error {
		_, _ = r.RollBack(t.Context(), "f", by)
		return errDown
	}); !errors.Is(err, errDown) {
		t.Error(err)
	}
	if s := ended(t, r); s.State != runtime.RolloutRolledBack {
		t.Errorf("%+v", s)
	}
}

// TestAnotherFilterThatCannotJudge: a failure of a later filter does not count as a failure of
// the version.
func TestAnotherFilterThatCannotJudge(t *testing.T) {
	sink, behind := &memorySink{}, &version{name: "z"}
	behind.failing(&filter.Error{Cause: auditrelay.CauseBreaker, Err: errDown})
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "one", Digest: "1", Sink: sink,
		Steps: []runtime.Step{{Name: "f", Filter: &version{name: "a"}}, {Name: "z", Filter: behind}}})}})
	rollOut(t, r, runtime.Rollout{Share: 1}, &version{name: "b"})
	submit(t, r, some("e", 20)...)
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		if s, err := r.Callback("one"); err != nil || time.Now().After(deadline) {
			t.Fatal(s, err)
		} else if s.State == runtime.StateDegraded {
			break
		}
	}
	if s, err := r.LastRollout(); err != nil || s.State != runtime.RolloutRunning {
		t.Errorf("%+v %v", s, err)
	}
	behind.failing(nil)
	r.Retry("one")
	settle(t, r)
	if n := len(sink.lines()); n < 20 {
		t.Errorf("%d delivered", n)
	}
}

// TestWhatWasSealedBeforeARollout: an earlier payload that the destination refuses later does
// not count as a failure of the version.
func TestWhatWasSealedBeforeARollout(t *testing.T) {
	var refusing atomic.Bool
	sink := &memorySink{}
	sink.deliver = func(p auditrelay.Payload) error {
		switch {
		case !strings.Contains(string(p.Body), `"tag":"a"`):
			return nil
		case refusing.Load():
			return refuse(auditrelay.Refused)
		}
		return errDown
	}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "one", Digest: "1", Sink: sink,
		Chunk: auditrelay.Chunking{Events: 10}, Steps: []runtime.Step{{Name: "f", Filter: &version{name: "a"}}}})}})
	judged := func(done func(c runtime.CallbackStatus, s runtime.RolloutStatus) bool) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
			c, err := r.Callback("one")
			s, _ := r.LastRollout()
			if err != nil || time.Now().After(deadline) {
				t.Fatal(c, s, err)
			}
			if done(c, s) {
				return
			}
		}
	}
	submit(t, r, some("before", 10)...)
	judged(func(c runtime.CallbackStatus, _ runtime.RolloutStatus) bool { return c.Cursor >= 11 })
	rollOut(t, r, runtime.Rollout{Share: 1}, &version{name: "b"})
	submit(t, r, some("while", 10)...)
	judged(func(_ runtime.CallbackStatus, s runtime.RolloutStatus) bool {
		return len(s.Counts) == 1 && s.Counts[0].Judged == 10
	})
	refusing.Store(true)
	r.Retry("one")
	settle(t, r)
	if a := account(t, r, "one"); a.DeadLettered != 10 {
		t.Errorf("%+v", a)
	}
	if s, err := r.LastRollout(); err != nil || s.State != runtime.RolloutRunning || s.Counts[0].Failed != 0 {
		t.Errorf("%+v %v", s, err)
	}
}
