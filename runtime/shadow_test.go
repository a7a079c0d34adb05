package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// shadowed waits for a result.
func shadowed(t *testing.T, r *runtime.Runtime, callback string, ok func(runtime.ShadowResult) bool) (result runtime.ShadowResult) {
	t.Helper()
	eventually(t, func() bool {
		var err error
		if result, err = r.Shadow(callback); err != nil {
			t.Fatal(err)
		}
		return ok(result)
	})
	return result
}

func maskPath(t *testing.T, path string) fn {
	t.Helper()
	p, err := document.ParsePath(path)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *filter.Call) (auditrelay.Verdict, error) {
		return auditrelay.Keep, c.Document.SetString(c.Document.Find(p), []byte("***"))
	}
}

// A shadow compares what another filter would do to live events, by path, outcome and record.
// Nothing of it reaches a destination or an account.
func TestShadowCompares(t *testing.T) {
	archive, alerts := &memorySink{}, &memorySink{}
	now := maskPath(t, "secret")
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: archive, Steps: []runtime.Step{{Name: "mask", Filter: now.filter(), Emits: []string{"alerts"}}}}),
		quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEmitted, Sink: alerts}),
	}})
	other := maskPath(t, "object_id")
	would := &closing{apply: func(c *filter.Call) (auditrelay.Verdict, error) {
		c.Usage = filter.Usage{Fuel: 100, Memory: 64 << 10}
		switch c.Event.ID {
		case "dropped":
			return auditrelay.Drop, nil
		case "failed":
			return auditrelay.NoVerdict, errors.New("it breaks")
		case "telling":
			c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`{"told":true}`)})
			return now(c)
		case "same":
			return now(c)
		case "slow":
			return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseWallTime, Err: errors.New("too slow")}
		}
		return other(c)
	}}
	if err := r.StartShadow(runtime.ShadowOptions{Callback: "archive", Filter: "mask", With: map[string]filter.Filter{"mask": would}, Events: 6}); err != nil {
		t.Fatal(err)
	}
	submit(t, r, event("exposing", "created"), event("dropped", "created"), event("failed", "created"), event("telling", "created"), event("same", "created"), event("slow", "created"))
	settle(t, r)
	got := shadowed(t, r, "archive", func(s runtime.ShadowResult) bool { return !s.Ended.IsZero() })
	if got.Events != 6 || got.Same != 1 || got.Changed != 5 || got.Exposing != 1 || got.Emitting != 1 || got.Missed != 0 || !strings.Contains(got.End, "event limit") {
		t.Errorf("%+v", got)
	}
	if want := []runtime.ShadowPath{{Path: "secret", Exposed: 1}, {Path: "object_id", Hidden: 1}}; !slices.Equal(got.Paths, want) {
		t.Errorf("%+v", got.Paths)
	}
	if want := []runtime.ShadowOutcome{{Now: auditrelay.Delivered, Would: auditrelay.Filtered, Events: 1}, {Now: auditrelay.Delivered, Would: auditrelay.DeadLettered, Events: 1}, {Now: auditrelay.Delivered, Would: auditrelay.Pending, Events: 1}}; !slices.Equal(got.Outcomes, want) {
		t.Errorf("%+v", got.Outcomes)
	}
	if got.Failures[auditrelay.CauseFail] != 1 || got.Failures[auditrelay.CauseWallTime] != 1 {
		t.Errorf("%+v", got.Failures)
	}
	// The slow one was tried twice.
	if got.Would.Events != 7 || got.Would.Fuel != 700 || got.Would.Memory != 64<<10 || got.Now.Events != 6 {
		t.Errorf("%+v %+v", got.Now, got.Would)
	}
	if first := ending(t, r, "exposing", "archive"); len(got.Examples) != 5 || first.Outcome != auditrelay.Delivered {
		t.Errorf("%v %+v", got.Examples, first)
	}
	for _, line := range archive.lines() {
		if strings.Contains(line, "s3cr3t") {
			t.Errorf("the shadow's record left: %s", line)
		}
	}
	if a := account(t, r, "archive"); a.Delivered != 6 || a.DeadLettered != 0 || len(alerts.lines()) != 0 {
		t.Errorf("%+v %v", a, alerts.lines())
	}
	if _, _, closed := would.counts(); closed != 1 {
		t.Errorf("closed %d times", closed)
	}
	if err := r.DropShadow("archive"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Shadow("archive"); !errors.Is(err, runtime.ErrNoShadow) {
		t.Error(err)
	}
}

// A hanging shadow delays neither the callback nor the end of the relay. Events for which it
// had no room are counted.
func TestShadowNeverHoldsDelivery(t *testing.T) {
	sink := &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink, Steps: []runtime.Step{{Name: "keep", Filter: fn(keep).filter()}}})}})
	var called atomic.Bool
	hanging := hangs{&called}
	if err := r.StartShadow(runtime.ShadowOptions{Callback: "archive", Filter: "keep", With: map[string]filter.Filter{"keep": hanging}}); err != nil {
		t.Fatal(err)
	}
	for k := range 20 {
		var events []string
		for i := range 100 {
			events = append(events, event(fmt.Sprintf("%d-%d", k, i), "created"))
		}
		submit(t, r, events...)
	}
	settle(t, r)
	if a := account(t, r, "archive"); a.Delivered != 2000 {
		t.Errorf("%+v", a)
	}
	got := shadowed(t, r, "archive", func(runtime.ShadowResult) bool { return called.Load() })
	if got.Missed < 1000 || got.Events != 0 {
		t.Errorf("%+v", got)
	}
	if err := r.EndShadow("archive", "enough"); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.Shadow("archive"); got.End != "enough" {
		t.Errorf("%+v", got)
	}
}

// hangs is a filter that blocks until its context ends.
type hangs struct{ called *atomic.Bool }

func (h hangs) Open(context.Context) (filter.Instance, error) { return h, nil }
func (h hangs) Close() error                                  { return nil }
func (h hangs) Apply(ctx context.Context, _ *filter.Call) (auditrelay.Verdict, error) {
	h.called.Store(true)
	<-ctx.Done()
	return auditrelay.NoVerdict, ctx.Err()
}

func TestShadowEnds(t *testing.T) {
	options := func(name string, with filter.Filter) runtime.Options {
		return runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: name, Digest: "1", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "keep", Filter: with}}})}}
	}
	with := func() map[string]filter.Filter { return map[string]filter.Filter{"keep": fn(keep).filter()} }
	r := start(t, options("archive", fn(keep).filter()))
	for what, o := range map[string]runtime.ShadowOptions{
		"no callback":     {Callback: "nobody", Filter: "keep", With: with()},
		"no filter":       {Callback: "archive", Filter: "other", With: map[string]filter.Filter{"other": fn(keep).filter()}},
		"nothing to try":  {Callback: "archive", Filter: "keep"},
		"too many events": {Callback: "archive", Filter: "keep", With: with(), Events: runtime.MaxShadowEvents + 1},
		"too long":        {Callback: "archive", Filter: "keep", With: with(), Time: runtime.MaxShadowTime + 1},
		"negative":        {Callback: "archive", Filter: "keep", With: with(), Time: -1},
	} {
		if err := r.StartShadow(o); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if err := r.StartShadow(runtime.ShadowOptions{Callback: "archive", Filter: "keep", With: with(), Time: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	got := shadowed(t, r, "archive", func(s runtime.ShadowResult) bool { return !s.Ended.IsZero() })
	if !strings.Contains(got.End, "time limit") {
		t.Errorf("%+v", got)
	}
	if err := r.StartShadow(runtime.ShadowOptions{Callback: "archive", Filter: "keep", With: with()}); err != nil {
		t.Fatal("an ended shadow is in the way:", err)
	}
	if err := r.StartShadow(runtime.ShadowOptions{Callback: "archive", Filter: "keep", With: with()}); !errors.Is(err, runtime.ErrShadows) {
		t.Error(err)
	}
	// An Apply that replaces the callback ends the shadow.
	changed := options("archive", fn(keep).filter()).Callbacks
	changed[0].Digest = "2"
	if err := r.Apply(t.Context(), changed, nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.Shadow("archive"); got.Ended.IsZero() || !strings.Contains(got.End, "reconfigured") {
		t.Errorf("%+v", got)
	}
}

// A switch at a boundary divides the events of each callback at one sequence, for any number of
// workers.
func TestAtBoundaryDividesAtOneSequence(t *testing.T) {
	var version atomic.Int64
	judged := func(c *filter.Call) (auditrelay.Verdict, error) {
		v := version.Load()
		path, _ := document.ParsePath("object_id")
		return auditrelay.Keep, c.Document.SetString(c.Document.Find(path), fmt.Appendf(nil, "v%d", v))
	}
	sinks := []*memorySink{{}, {}}
	var callbacks []runtime.Callback
	for i, s := range sinks {
		callbacks = append(callbacks, quick(runtime.Callback{Name: fmt.Sprintf("c%d", i), Sink: s, Steps: []runtime.Step{{Name: "f", Filter: fn(judged).filter()}}}))
	}
	r := start(t, runtime.Options{Workers: 4, Callbacks: callbacks})
	n := 0
	more := func() {
		var events []string
		for range 200 {
			n++
			events = append(events, event(fmt.Sprintf("e%d", n), "created"))
		}
		submit(t, r, events...)
	}
	type switched struct{ from map[string]uint64 }
	var switches []switched
	for range 10 {
		more()
		err := r.AtBoundary([]string{"c1", "c0", "nobody"}, func(from map[string]uint64) error {
			version.Add(1)
			switches = append(switches, switched{from})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	more()
	settle(t, r)
	for i, s := range sinks {
		name, lines := fmt.Sprintf("c%d", i), s.lines()
		if len(lines) != n {
			t.Fatalf("%s: %d lines of %d", name, len(lines), n)
		}
		for _, line := range lines {
			var id, v int
			if _, err := fmt.Sscanf(line[strings.Index(line, `"e`):], `"e%d"`, &id); err != nil {
				t.Fatal(line)
			}
			if _, err := fmt.Sscanf(line[strings.Index(line, `"v`):], `"v%d"`, &v); err != nil {
				t.Fatal(line)
			}
			want := 0
			for _, sw := range switches {
				if uint64(id) >= sw.from[name] { // ids are the sequences
					want++
				}
			}
			if v != want {
				t.Fatalf("%s: event %d was judged by version %d, not %d: %v", name, id, v, want, switches)
			}
		}
	}
}

// Apply divides the events of each callback at one sequence too. Begins returns it.
func TestApplyDividesAtOneSequence(t *testing.T) {
	sinks := []*memorySink{{}, {}}
	callbacks := func(version int) (all []runtime.Callback) {
		judged := func(c *filter.Call) (auditrelay.Verdict, error) {
			path, _ := document.ParsePath("object_id")
			return auditrelay.Keep, c.Document.SetString(c.Document.Find(path), fmt.Appendf(nil, "v%d", version))
		}
		for i, s := range sinks {
			all = append(all, quick(runtime.Callback{Name: fmt.Sprintf("c%d", i), Digest: fmt.Sprint(version), Sink: s, Steps: []runtime.Step{{Name: "f", Filter: fn(judged).filter()}}}))
		}
		return all
	}
	r := start(t, runtime.Options{Workers: 4, Callbacks: callbacks(0)})
	n := 0
	more := func() {
		var events []string
		for range 200 {
			n++
			events = append(events, event(fmt.Sprintf("e%d", n), "created"))
		}
		submit(t, r, events...)
	}
	var switches []map[string]uint64
	for version := range 5 {
		more()
		if err := r.Apply(t.Context(), callbacks(version+1), nil); err != nil {
			t.Fatal(err)
		}
		switches = append(switches, r.Begins([]string{"c0", "c1", "nobody"}))
	}
	more()
	settle(t, r)
	for i, s := range sinks {
		name, lines := fmt.Sprintf("c%d", i), s.lines()
		if len(lines) != n {
			t.Fatalf("%s: %d lines of %d", name, len(lines), n)
		}
		for _, line := range lines {
			var id, v int
			if _, err := fmt.Sscanf(line[strings.Index(line, `"e`):], `"e%d"`, &id); err != nil {
				t.Fatal(line)
			}
			if _, err := fmt.Sscanf(line[strings.Index(line, `"v`):], `"v%d"`, &v); err != nil {
				t.Fatal(line)
			}
			want := 0
			for _, from := range switches {
				if len(from) != 2 {
					t.Fatal(from)
				}
				if uint64(id) >= from[name] { // ids are the sequences
					want++
				}
			}
			if v != want {
				t.Fatalf("%s: event %d was judged by version %d, not %d: %v", name, id, v, want, switches)
			}
		}
	}
}
