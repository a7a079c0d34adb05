package wasm_test

import (
	"errors"
	"testing"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/filter"
)

// State left by a guest is gone for the next event if isolation is by event, and is kept
// otherwise.
func TestIsolation(t *testing.T) {
	for _, name := range []string{"counter", "vector", "growth", "table", "segment", "clock"} {
		t.Run(name, func(t *testing.T) {
			o := options(t, "isolation/"+name)
			shared := open(t, load(t, o))
			apply(t, shared, event)
			if v, err := shared.Apply(t.Context(), newCall(t, event)); v == auditrelay.Keep || err != nil && name != "segment" {
				t.Errorf("isolation by instance, the second event: got %v, %v; want what the first left to be found", v, err)
			}

			o.Isolation = auditrelay.IsolationEvent
			isolated := open(t, load(t, o))
			var fuel int64
			for n := range 5 {
				v, _, call := apply(t, isolated, event)
				if v != auditrelay.Keep {
					t.Fatalf("isolation by event, event %d: got %v, want keep", n, v)
				}
				if n > 0 && call.Usage.Fuel != fuel {
					t.Errorf("event %d took %d units of fuel, the one before %d", n, call.Usage.Fuel, fuel)
				}
				fuel = call.Usage.Fuel
			}
		})
	}
}

// The same event takes the same fuel in every instance, of every language.
func TestTheSameEventTakesTheSameFuel(t *testing.T) {
	for _, name := range []string{"reference-c", "reference-go", "redact-go"} {
		o := options(t, name+"/"+name)
		o.Isolation = auditrelay.IsolationEvent
		m := load(t, o)
		seen := map[int64]bool{}
		for range 3 {
			i := open(t, m)
			for range 3 {
				_, _, call := apply(t, i, event)
				seen[call.Usage.Fuel] = true
			}
		}
		if len(seen) != 1 || seen[0] {
			t.Errorf("%s: got these amounts of fuel: %v", name, seen)
		}
	}
}

// The maximum memory of an instance is reserved from the global budget at its start, and
// released when it ends in any way.
func TestInstancesShareABudget(t *testing.T) {
	o := options(t, "hostile/unreachable")
	o.Limits.Memory, o.Limits.Stack = 1<<20, 1<<20
	o.Budget = wasm.NewBudget(4 << 20)
	m := load(t, o)
	first, second := open(t, m), open(t, m)
	_, err := m.Open(t.Context())
	f, ok := errors.AsType[*filter.Error](err)
	if !ok || f.Cause != auditrelay.CauseWallTime || !errors.Is(err, wasm.ErrBudget) {
		t.Fatalf("a third instance: got %v, want cause wall_time and ErrBudget", err)
	}
	if _, err := first.Apply(t.Context(), newCall(t, event)); err == nil {
		t.Fatal("no failure")
	}
	third := open(t, m)
	_ = second.Close()
	_ = second.Close()
	fourth := open(t, m)
	if _, err := m.Open(t.Context()); !errors.Is(err, wasm.ErrBudget) {
		t.Errorf("a fifth instance beside two: got %v, want ErrBudget", err)
	}
	_, _ = third, fourth
}

// An instance renewed for every event releases its memory.
func TestRenewedInstancesKeepTheirPlaceInTheBudget(t *testing.T) {
	o := options(t, "isolation/table")
	o.Isolation = auditrelay.IsolationEvent
	o.Budget = wasm.NewBudget(o.Limits.Footprint())
	i := open(t, load(t, o))
	for range 10 {
		if v, _, _ := apply(t, i, event); v != auditrelay.Keep {
			t.Fatalf("got %v, want keep", v)
		}
	}
}
