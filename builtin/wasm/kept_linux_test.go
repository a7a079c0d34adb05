package wasm_test

import (
	"runtime"
	"testing"

	"auditrelay"
)

// heap returns this process's heap after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // small
}

// A guest's large answer leaves nothing in this process: each worker of a callback has its own
// instance of each guest.
func TestLargeAnswersAreNotKept(t *testing.T) {
	o := options(t, "hostile/edit-large")
	o.Worker, o.Limits.Fuel = []string{program, "internal-guest"}, 1<<30
	m := load(t, o)
	before := heap()
	for range 8 {
		i := open(t, m)
		if v, text, _ := apply(t, i, event); v != auditrelay.Keep || len(text) < 900_000 {
			t.Fatalf("got %v, %d bytes", v, len(text))
		}
	}
	if grown := heap() - before; grown > 8<<20 {
		t.Errorf("8 instances keep %d MiB", grown>>20)
	}
}
