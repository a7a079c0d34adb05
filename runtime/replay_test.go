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

func replayStatus(t *testing.T, r *runtime.Runtime, id string) runtime.CallbackStatus {
	t.Helper()
	list, err := r.Callbacks()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if s.Replay == id {
			if !s.Account.Balanced {
				t.Errorf("the replay's account does not balance: %+v", s.Account)
			}
			return s
		}
	}
	t.Fatalf("no replay %q in %+v", id, list)
	return runtime.CallbackStatus{}
}

func TestReplayOfARange(t *testing.T) {
	sink := &memorySink{}
	var tag atomic.Pointer[string]
	first := "first"
	tag.Store(&first)
	mark := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		return auditrelay.Keep, c.Document.Put(0, []byte("tag"), []byte(`"`+*tag.Load()+`"`))
	})
	o := runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink, Steps: []runtime.Step{{Name: "mark", Filter: mark.filter()}}})}}
	r := start(t, o)
	submit(t, r, tenEvents()...)
	settle(t, r)
	before := account(t, r, "archive")

	dry, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", From: 3, To: 6, DryRun: true})
	if err != nil || dry.ID != "" || dry.Events != 3 || dry.From != 3 || dry.To != 6 {
		t.Errorf("dry run: %+v, %v", dry, err)
	}
	second := "second"
	tag.Store(&second)
	started, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", From: 3, To: 6, By: runtime.By{Principal: "ops"}})
	if err != nil || started.ID == "" || started.Events != 3 {
		t.Fatalf("replay: %+v, %v", started, err)
	}
	settle(t, r)
	s := replayStatus(t, r, started.ID)
	if want := (runtime.Account{Assigned: 3, Delivered: 3, Balanced: true}); s.Account != want || !s.Done {
		t.Errorf("the replay's account\n got %+v\nwant %+v", s, want)
	}
	before.Assigned++ // the own record of the replay
	before.Delivered++
	if got := account(t, r, "archive"); got != before {
		t.Errorf("the callback's own account changed to %+v", got)
	}
	again := 0
	for key, p := range sink.objects {
		if strings.HasPrefix(key, started.ID+"/") {
			again += strings.Count(string(p.Body), `"tag":"second"`)
		}
	}
	if again != 3 {
		t.Errorf("%d records were delivered by the replay, want 3", again)
	}
	x, err := r.Explain(t.Context(), "", "e3")
	if err != nil || len(x.Callbacks) != 2 || x.Callbacks[1].Replay != started.ID || x.Callbacks[1].Outcome != auditrelay.Delivered {
		t.Errorf("explained: %+v, %v", x.Callbacks, err)
	}

	for _, req := range []runtime.ReplayRequest{{Callback: "nobody"}, {Callback: "archive", From: 6, To: 3}} {
		if _, err := r.Replay(t.Context(), req); err == nil {
			t.Errorf("%+v: no error", req)
		}
	}
	if none, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", From: 12}); err != nil || none.ID != "" || none.Events != 0 {
		t.Errorf("a replay of nothing: %+v, %v", none, err)
	}
}

func TestReplayByTime(t *testing.T) {
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: &memorySink{}})}})
	submit(t, r, event("a", "created"))
	settle(t, r)
	results := submit(t, r, event("b", "created"))
	middle := results[0].Received
	for _, c := range []struct {
		name     string
		from, to time.Time
		want     uint64
	}{
		{"from", middle, time.Time{}, 1},
		{"to", time.Time{}, middle, 1},
		{"the future", time.Now().Add(time.Hour), time.Time{}, 0},
		{"all", time.Unix(1, 0), time.Now().Add(time.Hour), 2},
	} {
		got, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", FromTime: c.from, ToTime: c.to, DryRun: true})
		if err != nil || got.Events != c.want {
			t.Errorf("%s: %+v, %v; want %d events", c.name, got, err, c.want)
		}
	}
}

// TestReplaySurvivesARestart: it continues from its own cursor.
func TestReplaySurvivesARestart(t *testing.T) {
	sink := &memorySink{}
	o := runtime.Options{Dir: t.TempDir(), Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}}
	r := start(t, o)
	submit(t, r, tenEvents()...)
	settle(t, r)
	sink.set(func(auditrelay.Payload) error { return errDown })
	started, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive"})
	if err != nil {
		t.Fatal(err)
	}
	r = reopen(t, r, o)
	if s := replayStatus(t, r, started.ID); s.Done || s.Account.Pending != 10 {
		t.Errorf("after a restart: %+v", s)
	}
	sink.set(nil)
	settle(t, r)
	if s := replayStatus(t, r, started.ID); s.Account.Delivered != 10 {
		t.Errorf("the replay: %+v", s)
	}
	r = reopen(t, r, o)
	if s := replayStatus(t, r, started.ID); !s.Done || s.Account.Delivered != 10 {
		t.Errorf("a replay that is done: %+v", s)
	}
}

// TestReplayEmitsOnlyWhenAsked: and then with its own ids.
func TestReplayEmitsOnlyWhenAsked(t *testing.T) {
	r, alerts := alerting(t, "")
	submit(t, r, event("a", "blocked"))
	settle(t, r)
	for _, emit := range []bool{false, true} {
		before := len(alerts.lines())
		if _, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", Emit: emit}); err != nil {
			t.Fatal(err)
		}
		settle(t, r)
		want := before
		if emit {
			want++
		}
		if got := len(alerts.lines()); got != want {
			t.Errorf("emit %v: %d alerts, want %d", emit, got, want)
		}
	}
}

func TestDeadLetters(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	rules := func(digest string) runtime.Callback {
		return quick(runtime.Callback{Name: "archive", Digest: digest, Sink: &memorySink{}, Steps: []runtime.Step{{Name: "rules", Filter: fn(
			func(c *filter.Call) (auditrelay.Verdict, error) {
				if broken.Load() {
					return auditrelay.NoVerdict, nil
				}
				if c.Event.ID == "e9" {
					return auditrelay.Drop, nil
				}
				return auditrelay.Keep, nil
			}).filter()}}})
	}
	first := rules("1")
	dir := t.TempDir()
	r := start(t, runtime.Options{Dir: dir, Callbacks: []runtime.Callback{first}})
	submit(t, r, tenEvents()...)
	settle(t, r)
	if got := account(t, r, "archive"); got.DeadLettered != 10 {
		t.Fatalf("account: %+v", got)
	}

	page, err := r.DeadLetters(t.Context(), "archive", 4, 3)
	if err != nil || len(page) != 3 || page[0].Sequence != 5 || page[2].Sequence != 7 || page[0].Data != nil {
		t.Errorf("a page: %+v, %v", page, err)
	}
	if d, err := r.DeadLetter(t.Context(), "archive", 5); err != nil || string(d.Data) != event("e4", "created") || d.Attempts != 1 {
		t.Errorf("one: %+v, %v", d, err)
	}
	if _, err := r.DeadLetter(t.Context(), "archive", 99); !errors.Is(err, runtime.ErrNoDeadLetter) {
		t.Errorf("one that is not there: %v", err)
	}
	if _, err := r.DeadLetters(t.Context(), "nobody", 0, 3); !errors.Is(err, runtime.ErrNoCallback) {
		t.Errorf("of an unknown callback: %v", err)
	}

	if n, err := r.DiscardDeadLetters(t.Context(), "archive", runtime.By{Principal: "ops"}, 1, 2, 2, 99); err != nil || n != 2 {
		t.Errorf("discarded %d, %v", n, err)
	}
	if end := ending(t, r, "e0", "archive"); end.Outcome != auditrelay.Discarded {
		t.Errorf("explained: %+v", end)
	}

	// Still broken: dead-lettered once more, without a second tombstone.
	if n, err := r.ReplayDeadLetters(t.Context(), "archive", runtime.By{Principal: "ops"}, 3); err != nil || n != 1 {
		t.Errorf("replayed %d, %v", n, err)
	}
	settle(t, r)
	if d, err := r.DeadLetter(t.Context(), "archive", 3); err != nil || d.Attempts != 2 {
		t.Errorf("set aside again: %+v, %v", d, err)
	}

	// The filter is repaired, and the callback configured again.
	broken.Store(false)
	fixed := rules("2")
	if err := r.Apply(t.Context(), []runtime.Callback{fixed}, nil); err != nil {
		t.Fatal(err)
	}
	if n, err := r.ReplayDeadLetters(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil || n != 8 {
		t.Errorf("replayed %d, %v", n, err)
	}
	settle(t, r)
	want := runtime.Account{Assigned: 13, Delivered: 10, Filtered: 1, Discarded: 2, Balanced: true}
	if got := account(t, r, "archive"); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
	if end := ending(t, r, "e4", "archive"); end.Outcome != auditrelay.Delivered || end.Tombstone || end.Key == "" || end.Cause != "" {
		t.Errorf("explained: %+v", end)
	}
	if end := ending(t, r, "e9", "archive"); end.Outcome != auditrelay.Filtered || end.Cause != auditrelay.CauseDrop {
		t.Errorf("explained: %+v", end)
	}
	if line := fixed.Sink.(*memorySink).lines()[5]; line != event("e4", "created") {
		t.Errorf("delivered: %s", line)
	}
	if left, err := r.DeadLetters(t.Context(), "archive", 0, 0); err != nil || len(left) != 0 {
		t.Errorf("left: %+v, %v", left, err)
	}
	r = reopen(t, r, runtime.Options{Dir: dir, Callbacks: []runtime.Callback{rules("2")}})
	if got := account(t, r, "archive"); got != want {
		t.Errorf("account after a restart\n got %+v\nwant %+v", got, want)
	}
}

// TestDiscardWaitsForAReplay: an event being replayed is not discarded meanwhile. Otherwise it
// would be delivered although it was discarded.
func TestDiscardWaitsForAReplay(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	entered, leave := make(chan struct{}), make(chan struct{})
	sink := &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink, Steps: []runtime.Step{{Name: "rules", Filter: fn(
		func(*filter.Call) (auditrelay.Verdict, error) {
			if broken.Load() {
				return auditrelay.NoVerdict, nil
			}
			close(entered)
			<-leave
			return auditrelay.Keep, nil
		}).filter()}}})}})
	submit(t, r, event("a", "created"))
	settle(t, r)
	broken.Store(false)
	if n, err := r.ReplayDeadLetters(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil || n != 1 {
		t.Fatalf("replayed %d, %v", n, err)
	}
	<-entered
	if n, err := r.DiscardDeadLetters(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil || n != 0 {
		t.Errorf("discarded %d, %v while it was judged", n, err)
	}
	close(leave)
	settle(t, r)
	if got, want := account(t, r, "archive"), (runtime.Account{Assigned: 2, Delivered: 2, Balanced: true}); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
}

// TestCancelledReplay: events that a replay has not delivered when it is cancelled are skipped,
// also after a restart. Its delivered events and the callback itself stay unchanged.
func TestCancelledReplay(t *testing.T) {
	sink := &memorySink{}
	o := runtime.Options{Dir: t.TempDir(), Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink, Chunk: auditrelay.Chunking{Events: 2}})}}
	r := start(t, o)
	submit(t, r, tenEvents()...)
	settle(t, r)
	sink.set(func(p auditrelay.Payload) error {
		if strings.Contains(p.Key, "/1-") || !strings.Contains(p.Key[1:], "/") && p.Key[0] == '/' {
			return nil // the replay's first payload, and the callback's own
		}
		return errDown
	})
	started, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", From: 1, To: 11})
	if err != nil {
		t.Fatal(err)
	}
	name := "archive@" + started.ID
	await(t, r, name, "half done", func(s runtime.CallbackStatus) bool { return s.Account.Delivered == 2 && s.Failures != nil })
	if _, err := r.CancelReplay(t.Context(), "archive", "nobody", runtime.By{}); !errors.Is(err, runtime.ErrNoCallback) {
		t.Errorf("another replay: %v", err)
	}
	if _, err := r.CancelReplay(t.Context(), "archive", started.ID, runtime.By{Principal: "ops", Reason: "enough"}); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = start(t, o)
	settle(t, r)
	s := replayStatus(t, r, started.ID)
	if want := (runtime.Account{Assigned: 10, Delivered: 2, Skipped: 8, Balanced: true}); s.Account != want || !s.Done || !strings.Contains(s.Reason, "cancelled by ops") {
		t.Errorf("the replay\n got %+v", s)
	}
	if got := account(t, r, "archive"); got.Delivered != got.Assigned || got.Assigned != 12 { // two records
		t.Errorf("the callback: %+v", got)
	}
	records, _, err := r.OwnRecords(t.Context(), 1, 10)
	if err != nil || len(records) != 2 || !strings.Contains(string(records[1].Data), `"act":"cancel"`) || !strings.Contains(string(records[1].Data), `"reason":"enough"`) {
		t.Errorf("%+v %v", records, err)
	}
	if _, err := r.CancelReplay(t.Context(), "archive", started.ID, runtime.By{}); !errors.Is(err, runtime.ErrNoCallback) {
		t.Errorf("one that is done: %v", err)
	}
}

// TestAReplayThatEndsWhileOthersChange: a replay that ends while Apply changes another callback is
// done for everybody.
func TestAReplayThatEndsWhileOthersChange(t *testing.T) {
	sink := &memorySink{}
	of := func(i int) []runtime.Callback {
		archive := quick(runtime.Callback{Name: "archive", Sink: sink, Digest: "same"})
		other := quick(runtime.Callback{Name: "other", Sink: &memorySink{}, Digest: fmt.Sprint(i)})
		return []runtime.Callback{archive, other}
	}
	r := start(t, runtime.Options{Callbacks: of(0)})
	submit(t, r, event("e1", "created"))
	settle(t, r)
	for i := range 300 {
		started, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", From: 1, To: 2})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(t.Context(), of(i+1), nil); err != nil {
			t.Fatal(err)
		}
		settle(t, r)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if _, err := r.CancelReplay(ctx, "archive", started.ID, runtime.By{}); !errors.Is(err, runtime.ErrNoCallback) {
			t.Fatalf("round %d: cancelling an ended replay: %v", i, err)
		}
		cancel()
	}
}
