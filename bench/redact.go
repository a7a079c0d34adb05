package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	goruntime "runtime"
	"strings"
	"syscall"
	"time"

	"auditrelay"
	"auditrelay/bench/floors"
	"auditrelay/builtin/wasm"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/test/corpus"
)

// redactGroup compares the reference redaction by guests, through host functions, with one pass
// over the bytes that trusts its input. It measures CPU time per event.
func redactGroup(dir string, n int) error {
	events := make([]auditrelay.Event, 1000)
	for i := range events {
		events[i].Data = corpus.AppendReference(nil, uint64(i))
	}
	rows := []*row{
		{name: "floors.RedactScan", measure: func(int) (float64, error) { return scan(events, n), nil }},
		{name: "floors.RedactScan again (the noise)", measure: func(int) (float64, error) { return scan(events, n), nil }},
	}
	var allocations []string
	for _, name := range []string{"reference-go", "reference-c", "simd-c"} {
		g, err := openGuest(name, auditrelay.IsolationInstance)
		if err != nil {
			return err
		}
		defer g.close()
		perEvent, err := g.allocations(events)
		if err != nil {
			return err
		}
		allocations = append(allocations, fmt.Sprintf("%s: %.3f allocations an event in steady state", name, perEvent))
		rows = append(rows, &row{name: name + ", document and serialising included", measure: func(int) (float64, error) { return g.redact(events, n) }})
	}
	for _, r := range []struct {
		name, what string
		isolation  auditrelay.Isolation
	}{
		{"reference-c", "isolated by event (64 KB)", auditrelay.IsolationEvent},
		{"hostile/keep", "a guest that keeps without looking: the call", auditrelay.IsolationInstance},
	} {
		g, err := openGuest(r.name, r.isolation)
		if err != nil {
			return err
		}
		defer g.close()
		rows = append(rows, &row{name: r.name + ", " + r.what, measure: func(int) (float64, error) { return g.redact(events, n) }})
	}
	for _, name := range []string{"reference-go", "reference-c"} {
		o := workerOptions(dir, name)
		b, err := openBatch(o)
		if err != nil {
			return err
		}
		defer b.close()
		rows = append(rows, &row{name: name + " in a worker, 128 at a time, both processes", measure: func(int) (float64, error) { return b.cpu(events, 128, n) }})
	}
	all, err := peers()
	if err != nil {
		return err
	}
	for i := range all {
		p := &all[i]
		if p.close != nil {
			defer p.close()
		}
		if err := p.check(events, func(e []byte) ([]byte, bool) { return floors.RedactScan(nil, e) }); err != nil {
			return err
		}
		rows = append(rows, &row{name: p.name, measure: func(int) (float64, error) { return p.redact(events, n) }})
	}
	if err := interleave(rows); err != nil {
		return err
	}
	table("The reference redaction (mask one field, delete one nested field, drop one action), 0.86 KB events", "ns/event", rows)
	for _, line := range allocations {
		fmt.Println("  " + line)
	}
	return textGroup(n)
}

// textGroup compares the same redaction if updated_values is a string with JSON. The floor, the
// SIMD guest and the plugin do not look into strings, so the Go guest comes first.
func textGroup(n int) error {
	events := make([]auditrelay.Event, 1000)
	for i := range events {
		events[i].Data = corpus.AppendReferenceText(nil, uint64(i))
	}
	g, err := openGuest("reference-go", auditrelay.IsolationInstance)
	if err != nil {
		return err
	}
	defer g.close()
	c, err := openGuest("reference-c", auditrelay.IsolationInstance)
	if err != nil {
		return err
	}
	defer c.close()
	rows := []*row{
		{name: "reference-go, document and serialising included", measure: func(int) (float64, error) { return g.redact(events, n) }},
		{name: "reference-go again (the noise)", measure: func(int) (float64, error) { return g.redact(events, n) }},
		{name: "reference-c, document and serialising included", measure: func(int) (float64, error) { return c.redact(events, n) }},
	}
	// The guests' output must equal the floor's output for the same event with its values as an
	// object.
	want := func(text []byte) ([]byte, bool) {
		for i := range events {
			if string(events[i].Data) == string(text) {
				return floors.RedactScan(nil, corpus.AppendReference(nil, uint64(i)))
			}
		}
		return nil, false
	}
	all := append(textPeers(),
		peer{name: "reference-go", one: g.output},
		peer{name: "reference-c", one: c.output})
	for i := range all {
		p := &all[i]
		if err := p.check(events, want); err != nil {
			return err
		}
		if p.share > 0 {
			rows = append(rows, &row{name: p.name, measure: func(int) (float64, error) { return p.redact(events, n) }})
		}
	}
	if err := interleave(rows); err != nil {
		return err
	}
	table("The same with updated_values as JSON text in a string", "ns/event", rows)
	return nil
}

// output returns the guest's output, or nil for a dropped event.
func (g *runningGuest) output(event []byte) ([]byte, error) {
	g.out = g.out[:0]
	err := g.one(context.Background(), new(filter.Call), &auditrelay.Event{Data: event})
	return g.out, err
}

// cpu returns the CPU time used by the process.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func scan(events []auditrelay.Event, n int) float64 {
	var out []byte
	begin := cpu()
	for i := range n {
		out, _ = floors.RedactScan(out[:0], events[i%len(events)].Data)
	}
	return float64(cpu()-begin) / float64(n)
}

// runningGuest is a guest in the form used by an engine worker.
type runningGuest struct {
	module   *wasm.Module
	instance filter.Instance
	document document.Document
	out      []byte
}

func openGuest(name string, isolation auditrelay.Isolation) (*runningGuest, error) {
	file := "../testdata/wasm/" + name
	if !strings.Contains(name, "/") {
		file += "/" + name
	}
	code, err := os.ReadFile(file + ".wasm")
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	module, err := wasm.Load(ctx, wasm.Options{Name: name, Wasm: code, Grants: wasm.Grants{Write: []string{"**"}}, Isolation: isolation, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	instance, err := module.Open(ctx)
	if err != nil {
		return nil, err
	}
	return &runningGuest{module: module, instance: instance}, nil
}

func (g *runningGuest) close() {
	g.instance.Close()
	g.module.Close()
}

func (g *runningGuest) one(ctx context.Context, call *filter.Call, e *auditrelay.Event) error {
	g.document.Reset(e.Data)
	*call = filter.Call{Event: e, Document: &g.document}
	verdict, err := g.instance.Apply(ctx, call)
	if err == nil && verdict == auditrelay.Keep {
		g.out = g.document.Append(g.out[:0])
	}
	return err
}

func (g *runningGuest) redact(events []auditrelay.Event, n int) (float64, error) {
	ctx := context.Background()
	call := new(filter.Call)
	begin := cpu()
	for i := range n {
		if err := g.one(ctx, call, &events[i%len(events)]); err != nil {
			return 0, err
		}
	}
	return float64(cpu()-begin) / float64(n), nil
}

// allocations counts allocations, and compares the output with the floor's meanwhile.
func (g *runningGuest) allocations(events []auditrelay.Event) (float64, error) {
	ctx := context.Background()
	call := new(filter.Call)
	for i := range events {
		if err := g.one(ctx, call, &events[i]); err != nil {
			return 0, err
		}
		want, keep := floors.RedactScan(nil, events[i].Data)
		if keep && string(want) != string(g.out) {
			return 0, fmt.Errorf("the guest's output differs from the floor's:\n%s\n%s", g.out, want)
		}
	}
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	for round := 0; round < 10; round++ {
		for i := range events {
			if err := g.one(ctx, call, &events[i]); err != nil {
				return 0, err
			}
		}
	}
	goruntime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(10*len(events)), nil
}
