package runtime_test

import (
	"fmt"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// emitting keeps every event and, for the blocked ones or for emitted ones, emits one record to
// target.
func emitting(target string) fn {
	return func(c *filter.Call) (auditrelay.Verdict, error) {
		if c.Event.Action == auditrelay.ActionBlocked {
			c.Emitted = append(c.Emitted, filter.Emit{Target: target, Data: fmt.Appendf(nil, `{"alert":%q}`, c.Event.ID)})
		}
		return auditrelay.Keep, nil
	}
}

func alerting(t *testing.T, dir string) (*runtime.Runtime, *memorySink) {
	alerts := &memorySink{}
	r := start(t, runtime.Options{Dir: dir, Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "watch", Filter: emitting("alerts").filter(), Emits: []string{"alerts"}}}}),
		quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEmitted, Sink: alerts}),
	}})
	return r, alerts
}

func TestEmittedRecordsAreEventsOfTheirOwn(t *testing.T) {
	r, alerts := alerting(t, t.TempDir())
	submit(t, r, event("a", "blocked"), event("b", "created"))
	settle(t, r)
	if got, want := account(t, r, "archive"), (runtime.Account{Assigned: 2, Delivered: 2, Balanced: true}); got != want {
		t.Errorf("archive\n got %+v\nwant %+v", got, want)
	}
	if got, want := account(t, r, "alerts"), (runtime.Account{Assigned: 1, Delivered: 1, Balanced: true}); got != want {
		t.Errorf("alerts\n got %+v\nwant %+v", got, want)
	}
	e, err := r.Event(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	want := auditrelay.Emission{Target: "alerts", Callback: "archive", Filter: "watch", Sequence: 1, Hops: 1}
	if e.Emission == nil || *e.Emission != want || e.Namespace != auditrelay.NamespaceEmitted || e.Provenance.Source != "guest" {
		t.Errorf("the emitted event: %+v", e)
	}
	if line := alerts.lines()[3]; line != `{"alert":"a"}` {
		t.Errorf("delivered: %s", line)
	}
	if end := ending(t, r, e.ID, "archive"); end.Assigned {
		t.Errorf("the archive is assigned what it emitted: %+v", end)
	}
}

// TestEmitsAreNotDoubledByARestart: a chunk is sealed together with its emitted records.
func TestEmitsAreNotDoubledByARestart(t *testing.T) {
	dir := t.TempDir()
	r, _ := alerting(t, dir)
	submit(t, r, event("a", "blocked"))
	settle(t, r)
	for range 3 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r, _ = alerting(t, dir)
		settle(t, r)
	}
	if got := account(t, r, "alerts"); got.Assigned != 1 {
		t.Errorf("alerts: %+v", got)
	}
}

// TestCallbackWithoutASinkOnlyEmits: kept events count as delivered with the seal.
func TestCallbackWithoutASinkOnlyEmits(t *testing.T) {
	alerts := &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "watch", Steps: []runtime.Step{
			{Name: "watch", Filter: emitting("alerts").filter(), Emits: []string{"alerts"}},
			{Name: "picky", Filter: fn(func(c *filter.Call) (auditrelay.Verdict, error) {
				if c.Event.ID == "bad" {
					return auditrelay.NoVerdict, nil
				}
				return auditrelay.Keep, nil
			}).filter()}}}),
		quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesBoth, Sink: alerts}),
	}})
	submit(t, r, event("a", "blocked"), event("bad", "created"))
	settle(t, r)
	if got, want := account(t, r, "watch"), (runtime.Account{Assigned: 2, Delivered: 1, DeadLettered: 1, Balanced: true}); got != want {
		t.Errorf("watch\n got %+v\nwant %+v", got, want)
	}
	if got, want := account(t, r, "alerts"), (runtime.Account{Assigned: 3, Delivered: 3, Balanced: true}); got != want {
		t.Errorf("alerts\n got %+v\nwant %+v", got, want)
	}
	if end := ending(t, r, "bad", "watch"); end.Outcome != auditrelay.DeadLettered || end.Tombstone {
		t.Errorf("explained: %+v", end)
	}
}

// TestManyEmitsFitInTheirTransactions: if a chunk emits more than fits in one transaction, the
// chunk is shortened.
func TestManyEmitsFitInTheirTransactions(t *testing.T) {
	many := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		for i := range 1000 {
			c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: fmt.Appendf(nil, `{"n":%d}`, i)})
		}
		return auditrelay.Keep, nil
	})
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "many", Filter: many.filter(), Emits: []string{"alerts"}}}}),
		quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEmitted, Sink: &memorySink{}}),
	}})
	var events []string
	for i := range 70 {
		events = append(events, event(fmt.Sprint(i), "created"))
	}
	submit(t, r, events...)
	settle(t, r)
	if got, want := account(t, r, "alerts"), (runtime.Account{Assigned: 70_000, Delivered: 70_000, Balanced: true}); got != want {
		t.Errorf("alerts\n got %+v\nwant %+v", got, want)
	}
}

func TestEmitsMustFormNoCycle(t *testing.T) {
	step := func(targets ...string) []runtime.Step {
		return []runtime.Step{{Name: "f", Filter: fn(keep).filter(), Emits: targets}}
	}
	cases := []struct {
		name      string
		callbacks []runtime.Callback
		want      []string
	}{
		{"to itself", []runtime.Callback{{Name: "a", Receives: auditrelay.ReceivesBoth, Steps: step("a")}}, []string{"callback a", "cycle"}},
		{"by a detour", []runtime.Callback{
			{Name: "a", Receives: auditrelay.ReceivesBoth, Steps: step("b")},
			{Name: "b", Receives: auditrelay.ReceivesEmitted, Steps: step("c")},
			{Name: "c", Receives: auditrelay.ReceivesEmitted, Steps: step("a")}}, []string{"cycle"}},
		{"to nobody", []runtime.Callback{{Name: "a", Steps: step("nobody")}}, []string{"nobody", "no callback"}},
		{"to one that receives none", []runtime.Callback{{Name: "a", Steps: step("b")}, {Name: "b", Sink: &memorySink{}}}, []string{"receives no emitted"}},
		{"everything else at once", []runtime.Callback{{Name: "A!"}, {Name: "x", Sink: &memorySink{}}, {Name: "x", Sink: &memorySink{}}, {Name: "y", Steps: []runtime.Step{{Name: "gone"}}}},
			[]string{"a name is", "neither a sink", "there twice", "filter gone is missing"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, err := runtime.Open(t.Context(), runtime.Options{Callbacks: c.callbacks})
			if err == nil {
				r.Close()
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in the error: %v", want, err)
				}
			}
		})
	}
}

// TestHopsAreBounded: too long a chain of callbacks ends in dead letters.
func TestHopsAreBounded(t *testing.T) {
	var callbacks []runtime.Callback
	for i := range 10 {
		c := quick(runtime.Callback{Name: fmt.Sprint("c", i), Sink: &memorySink{}})
		if i > 0 {
			c.Receives = auditrelay.ReceivesEmitted
		}
		if i < 9 {
			next := fmt.Sprint("c", i+1)
			c.Steps = []runtime.Step{{Name: "on", Filter: emitting(next).filter(), Emits: []string{next}}}
		}
		callbacks = append(callbacks, c)
	}
	r := start(t, runtime.Options{Callbacks: callbacks})
	submit(t, r, event("a", "blocked"))
	settle(t, r)
	if got, want := account(t, r, "c8"), (runtime.Account{Assigned: 1, DeadLettered: 1, Balanced: true}); got != want {
		t.Errorf("c8\n got %+v\nwant %+v", got, want)
	}
	if got := account(t, r, "c9"); got.Assigned != 0 {
		t.Errorf("c9: %+v", got)
	}
}
