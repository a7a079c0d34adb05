package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// wide is a filter that accepts up to twelve events at a time, or fewer if room is smaller.
type wide struct {
	apply fn
	room  int // events at a time; 0: only one by one, with Apply

	mu      sync.Mutex
	batches []int
}

func (f *wide) Open(context.Context) (filter.Instance, error) {
	if f.room == 0 {
		return &narrowInstance{f}, nil
	}
	return &wideInstance{narrowInstance{f}}, nil
}

func (f *wide) Close() error { return nil }

func (f *wide) Width() int { return max(1, 4*f.room) }

type narrowInstance struct{ filter *wide }

func (i *narrowInstance) Close() error { return nil }

func (i *narrowInstance) Apply(_ context.Context, call *filter.Call) (auditrelay.Verdict, error) {
	return i.filter.apply(call)
}

type wideInstance struct{ narrowInstance }

func (i *wideInstance) ApplyAll(ctx context.Context, calls []filter.Call, verdicts []auditrelay.Verdict) (int, error) {
	i.filter.mu.Lock()
	i.filter.batches = append(i.filter.batches, len(calls))
	i.filter.mu.Unlock()
	for k := range calls[:min(len(calls), i.filter.room)] {
		var err error
		if verdicts[k], err = i.Apply(ctx, &calls[k]); err != nil {
			return k, err
		}
	}
	return min(len(calls), i.filter.room), nil
}

// TestABatchIsAsEventByEvent: events processed side by side end as they do one by one, whatever
// a step does to each.
func TestABatchIsAsEventByEvent(t *testing.T) {
	run := func(room int) (out []string, f *wide) {
		first := func(c *filter.Call) (auditrelay.Verdict, error) {
			c.Touched = []filter.Touch{{Path: "first", Operation: c.Event.ID, Count: 1}}
			return auditrelay.Keep, c.Document.Put(0, []byte("first"), []byte(`"`+c.Event.ID+`"`))
		}
		f = &wide{room: room, apply: func(c *filter.Call) (auditrelay.Verdict, error) {
			var n int
			if _, err := fmt.Sscan(c.Event.ID, &n); err != nil {
				return auditrelay.NoVerdict, err
			}
			c.Reason = "for " + c.Event.ID
			c.Touched = []filter.Touch{{Path: "second", Operation: "put", Count: n}}
			c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`{"of":` + c.Event.ID + `}`)})
			if err := c.Document.Put(0, []byte("second"), fmt.Append(nil, n)); err != nil {
				return auditrelay.NoVerdict, err
			}
			switch n % 7 {
			case 2:
				return auditrelay.Drop, nil
			case 4:
				return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseTrap, Err: errors.New("it trapped")}
			case 5:
				return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseWallTime, Final: true, Err: errors.New("it took too long, twice")}
			case 6:
				panic("an event's own words")
			}
			return auditrelay.Keep, nil
		}}
		sink, alerts := &memorySink{}, &memorySink{}
		r := start(t, runtime.Options{Workers: 2, Callbacks: []runtime.Callback{
			quick(runtime.Callback{Name: "archive", Sink: sink, Steps: []runtime.Step{
				{Name: "first", Filter: &closing{apply: first}},
				{Name: "second", Filter: f, Emits: []string{"alerts"}},
				{Name: "third", Filter: &closing{apply: first2}},
				{Name: "watches", Filter: &wide{apply: f.apply, room: room}, Role: auditrelay.RoleObserve, Emits: []string{"alerts"}},
			}}),
			quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEmitted, Sink: alerts}),
		}})
		var events []string
		for i := range 200 {
			events = append(events, event(fmt.Sprint(i), "created"))
		}
		submit(t, r, events...)
		settle(t, r)
		for i := range 200 {
			e := ending(t, r, fmt.Sprint(i), "archive")
			out = append(out, fmt.Sprintf("%d: %v %v %v %q", i, e.Outcome, e.Cause, e.Filter, e.Reason))
		}
		account := await(t, r, "archive", "settled", func(s runtime.CallbackStatus) bool { return s.Account.Balanced }).Account
		out = append(out, fmt.Sprintf("%+v", account), fmt.Sprintf("%+v", await(t, r, "alerts", "settled", func(s runtime.CallbackStatus) bool { return s.Account.Balanced }).Account))
		var lines []string
		for _, line := range sink.lines() {
			if !strings.Contains(line, "tombstone") {
				lines = append(lines, line)
			}
		}
		slices.Sort(lines)
		return append(out, lines...), f
	}
	want, _ := run(0)
	for _, room := range []int{2, 5, 64} {
		got, f := run(room)
		if !slices.Equal(got, want) {
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Fatalf("room for %d: got %s\nwant %s", room, got[i], want[i])
				}
			}
			t.Fatalf("room for %d: %d lines, want %d", room, len(got), len(want))
		}
		if n := slices.Max(f.batches); n < 2 {
			t.Errorf("room for %d: no more than %d at a time", room, n)
		}
	}
}

func first2(c *filter.Call) (auditrelay.Verdict, error) {
	return auditrelay.Keep, c.Document.Put(0, []byte("third"), []byte(`3`))
}
