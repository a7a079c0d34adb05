package wasm

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/hostfuncs"
)

// BenchmarkMeter runs every example with and without the meter, alternately, on the same events
// and host functions, and reports the ratio of their times. The host's work is included and
// equal for both.
func BenchmarkMeter(b *testing.B) {
	files, err := filepath.Glob("../../guests/examples/*/cases.json")
	if err != nil || len(files) == 0 {
		b.Fatal(err)
	}
	for _, file := range files {
		kind := filepath.Base(filepath.Dir(file))
		modules, _ := filepath.Glob("../../testdata/wasm/examples/" + kind + "-*.wasm")
		if own := "../../testdata/wasm/" + kind + "/" + kind + ".wasm"; len(modules) == 0 {
			modules = []string{own}
		}
		for _, module := range modules {
			b.Run(strings.TrimSuffix(filepath.Base(module), ".wasm"), func(b *testing.B) { benchmarkMeter(b, module, file) })
		}
	}
}

func benchmarkMeter(b *testing.B, module, cases string) {
	text, err := os.ReadFile(cases)
	if err != nil {
		b.Fatal(err)
	}
	var spec struct {
		Config json.RawMessage
		Keys   map[string]auditrelay.Secret
		Cases  []struct {
			Event   json.RawMessage
			Verdict string
		}
	}
	if err := json.Unmarshal(text, &spec); err != nil {
		b.Fatal(err)
	}
	wasm, err := os.ReadFile(module)
	if err != nil {
		b.Fatal(err)
	}
	o := Options{Name: "ratio", Wasm: wasm, Config: spec.Config, Logger: slog.New(slog.DiscardHandler),
		Grants: Grants{Write: []string{"**"}, Emit: []string{"alerts", "urgent"}}}
	o.Keys = map[string]auditrelay.Key{"pseudonyms": {Secret: "a key of the benchmark's own"}}
	for name, secret := range spec.Keys {
		o.Keys[name] = auditrelay.Key{Secret: secret}
	}
	o.Grants.Keys = []string{"pseudonyms"}
	var events [][]byte
	for _, c := range spec.Cases {
		if c.Verdict != "fail" {
			events = append(events, c.Event)
		}
	}
	metered, given := open(b, o, true), open(b, o, false)
	for range 50 { // warm up
		metered(events)
		given(events)
	}
	var with, without time.Duration
	for b.Loop() {
		start := time.Now()
		metered(events)
		middle := time.Now()
		given(events)
		with, without = with+middle.Sub(start), without+time.Since(middle)
	}
	b.ReportMetric(float64(with)/float64(without), "ratio")
	b.ReportMetric(float64(with)/float64(b.N*len(events)), "metered-ns/event")
}

// open returns a function that passes events to a module, with or without the meter.
func open(b *testing.B, o Options, meter bool) func(events [][]byte) {
	ctx := context.Background()
	m := &Module{name: o.Name, limits: o.Limits.withDefaults(), log: o.Logger}
	o.CacheDir = ""
	code, given, err := m.prepare(o)
	if err == nil {
		if !meter {
			code.wasm = o.Wasm
		}
		err = m.compile(ctx, o, code, given)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Close() })
	state := hostfuncs.NewState(ctx, m.policy)
	state.Fill(1<<60, time.Hour)
	live, err := m.runtime.InstantiateModule(state, m.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		b.Fatal(err)
	}
	if meter {
		state.Attach(live)
	}
	var stack [1]uint64
	for _, name := range []string{exportInitialize, exportInit} {
		if f := live.ExportedFunction(name); f != nil {
			if err := f.CallWithStack(state, stack[:]); err != nil {
				b.Fatal(err)
			}
		}
	}
	state.End()
	event := live.ExportedFunction(exportEvent)
	d := new(document.Document)
	call := &filter.Call{Event: &auditrelay.Event{ID: "1", Sequence: 42}, Document: d}
	return func(events [][]byte) {
		for range 20 {
			for _, e := range events {
				d.Reset(e)
				call.Event.Data, call.Emitted = e, call.Emitted[:0]
				state.Begin(call)
				state.Fill(1<<40, time.Hour)
				if err := event.CallWithStack(state, stack[:]); err != nil {
					b.Fatal(err)
				}
				state.Commit()
				state.End()
			}
		}
	}
}
