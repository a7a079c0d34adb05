package slot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/cli/internal/slot"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// counting is a sink that holds every record against what a switch must not do.
type counting struct {
	mu    sync.Mutex
	seen  []byte // by event: how often it was delivered
	marks [3]int // by mark
	wrong []string
}

func (c *counting) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	p := auditrelay.Payload{Key: fmt.Sprintf("%d-%d", chunk.From, chunk.To)}
	for i := range chunk.Records {
		r := &chunk.Records[i]
		p.Body = append(append(p.Body, r.Data...), '\n')
		p.Sequences = append(p.Sequences, r.Sequence)
	}
	return []auditrelay.Payload{p}, nil
}

func (c *counting) Deliver(_ context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for line := range bytes.Lines(p.Body) {
		var id int
		if _, err := fmt.Sscanf(string(line), `{"id":"e-%d"`, &id); err != nil || id >= len(c.seen) {
			c.wrong = append(c.wrong, string(line))
			continue
		}
		c.seen[id]++
		mark := 0
		for n := 1; n <= 2; n++ {
			if bytes.HasSuffix(bytes.TrimSpace(line), fmt.Appendf(nil, `"first":%d,"second":%d}`, n, n)) {
				mark = n
			}
		}
		c.marks[mark]++
		if mark == 0 {
			c.wrong = append(c.wrong, string(line))
		}
	}
	return auditrelay.Receipt{}, nil
}

// A switch under full load loses, doubles and half-filters nothing: every event is
// delivered once, marked twice by one module.
func TestASwitchUnderLoad(t *testing.T) {
	events, switches := 1_000_000, 100
	if testing.Short() {
		events = 10_000
	}
	version := func(n int) *wasm.Module {
		o := options(t, fmt.Sprintf("switch/mark-%d", n))
		o.Name = "marks"
		m, err := wasm.Load(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	slot := slot.New("marks")
	if err := slot.Switch(version(1)); err != nil {
		t.Fatal(err)
	}
	sink := &counting{seen: make([]byte, events)}
	r, err := runtime.Open(t.Context(), runtime.Options{Callbacks: []runtime.Callback{{
		Name: "all", Steps: []runtime.Step{{Name: "marks", Filter: slot}}, Sink: sink,
		Chunk: auditrelay.Chunking{Events: 500},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()

	var wg sync.WaitGroup
	const producers, batch = 4, 100
	for p := range producers {
		wg.Go(func() {
			for at := p * batch; at < events; at += producers * batch {
				var batched []runtime.Submission
				for id := at; id < min(at+batch, events); id++ {
					batched = append(batched, runtime.Submission{Data: fmt.Appendf(nil, `{"id":"e-%d","action":"created"}`, id)})
				}
				if _, err := r.Submit(t.Context(), batched...); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	// Switches spread over the whole run: one each time another part of the events
	// is delivered.
	delivered := func() int {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		return sink.marks[0] + sink.marks[1] + sink.marks[2]
	}
	for n := range switches {
		next := version(1 + (n+1)%2)
		for delivered() < n*events/(switches+20) && !t.Failed() {
			if err := t.Context().Err(); err != nil {
				t.Fatal(err)
			}
		}
		if err := slot.Switch(next); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if err := r.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, n := range sink.seen {
		if n != 1 {
			t.Fatalf("event %d was delivered %d times", id, n)
		}
	}
	if len(sink.wrong) > 0 {
		t.Errorf("%d records are not as one module makes them, such as %s", len(sink.wrong), sink.wrong[0])
	}
	if sink.marks[1] == 0 || sink.marks[2] == 0 {
		t.Errorf("marks %v: both modules should have judged", sink.marks)
	}
	t.Logf("%d events, %d switches, marks %v", events, switches, sink.marks)
}

// A slot holds events back until it has a module, and its instances go on with
// whichever it has.
func TestASlotWithoutAModuleLetsNothingPass(t *testing.T) {
	slot := slot.New("rules")
	_, err := slot.Open(t.Context())
	if f, ok := errors.AsType[*filter.Error](err); !ok || f.Cause != auditrelay.CauseWallTime {
		t.Fatalf("got %v, want cause wall_time", err)
	}
	for _, c := range []struct {
		name string
		want auditrelay.Verdict
	}{{"keep", auditrelay.Keep}, {"drop", auditrelay.Drop}} {
		m, err := wasm.Load(t.Context(), options(t, "hostile/"+c.name))
		if err != nil {
			t.Fatal(err)
		}
		if err := slot.Switch(m); err != nil {
			t.Fatal(err)
		}
		i, err := slot.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if v := apply(t, i); v != c.want {
			t.Errorf("%s: got %v", c.name, v)
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := slot.Close(); err != nil {
		t.Error(err)
	}
	if _, err := slot.Open(t.Context()); err == nil {
		t.Error("a closed slot was opened")
	}
}

// Instances of the old module that no event is in end with the switch, so that
// what they took of the budget is there for the new ones.
func TestASwitchGivesBackWhatIdleInstancesHold(t *testing.T) {
	o := options(t, "hostile/keep")
	o.Limits.Memory, o.Limits.Stack = 1<<20, 1<<20
	o.Budget = wasm.NewBudget(3 * o.Limits.Footprint())
	slot := slot.New("keep")
	defer slot.Close()
	var idle []filter.Instance
	for range 5 {
		m, err := wasm.Load(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := slot.Switch(m); err != nil {
			t.Fatal(err)
		}
		for len(idle) < 2 {
			i, err := slot.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			idle = append(idle, i)
		}
		for _, i := range idle {
			if v := apply(t, i); v != auditrelay.Keep {
				t.Errorf("got %v", v)
			}
		}
	}
}

// options are those of a filter that is granted nothing but writing.
func options(t *testing.T, name string) wasm.Options {
	return wasm.Options{
		Name: filepath.Base(name), File: filepath.Join("../../../testdata/wasm", name+".wasm"),
		Grants: wasm.Grants{Write: []string{"**"}}, Logger: slog.New(slog.DiscardHandler),
	}
}

// apply runs one event.
func apply(t *testing.T, i filter.Instance) auditrelay.Verdict {
	t.Helper()
	data := []byte(`{"id":"e-1","action":"updated"}`)
	d := new(document.Document)
	d.Reset(data)
	v, err := i.Apply(t.Context(), &filter.Call{Document: d, Event: &auditrelay.Event{ID: "e-1", Sequence: 42, Data: data}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}
