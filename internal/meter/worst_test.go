package meter

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

var (
	worstTime = flag.Duration("meter.worst.time", 0, "how long to look for the code with the most nanoseconds a unit")
	worstSeed = flag.Uint64("meter.worst.seed", 1, "of that search")
	worstKeep = flag.Bool("meter.worst.keep", false, "keep the worst in testdata/worst")
)

// guestSlice is the fuel that builtin/wasm gives at a time.
const guestSlice = 12 << 10

// A timing is the measured cost of running a shape.
type timing struct {
	perUnit float64       // nanoseconds of processor time
	calls   int           // number of calls to the host
	below   int64         // the lowest fuel
	err     error         // the final error
	used    int64         // units
	took    time.Duration // processor time
}

// timeShape runs a module with a budget, in slices as for guests.
func timeShape(tb testing.TB, wasm []byte, budget int64, rounds int) (timing, error) {
	m, err := Rewrite(wasm, Options{})
	if err != nil {
		return timing{}, err
	}
	ctx := context.Background()
	h := newHost(tb)
	defer h.runtime.Close(ctx)
	h.slice = guestSlice
	live, err := h.runtime.InstantiateWithConfig(ctx, m.Wasm, wazero.NewModuleConfig())
	if err != nil {
		return timing{}, err
	}
	chain(live.Memory())
	fuel := live.ExportedGlobal(ExportFuel).(api.MutableGlobal)
	best := timing{perUnit: 1e9}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	dice := rand.New(rand.NewPCG(1, 1))
	for range rounds {
		// Each round starts elsewhere. Otherwise caches would contain the data of the last one.
		live.Memory().WriteUint32Le(0, dice.Uint32()&(live.Memory().Size()-64))
		h.budget, h.calls, h.below = budget, 0, 0
		fuel.Set(0)
		start := threadTime()
		_, err := live.ExportedFunction("f").Call(ctx)
		took := threadTime() - start
		used := budget - h.budget - int64(fuel.Get())
		t := timing{float64(took) / float64(max(used, 1)), h.calls, h.below, err, used, took}
		if !errors.Is(err, errFuel) {
			return t, err
		}
		if t.perUnit < best.perUnit {
			best = t
		}
	}
	return best, nil
}

// chain makes each 64 bytes of memory contain the address of another block, in an order that no
// processor predicts.
func chain(m api.Memory) {
	data, ok := m.Read(0, m.Size())
	if !ok {
		return
	}
	for at := 0; at+64 <= len(data); at += 64 {
		binary.LittleEndian.PutUint32(data[at:], (uint32(at)*1664525+1013904256)&uint32(len(data)-64))
	}
}

// TestSearchWorst searches the code that gets the most time for its fuel: first every
// instruction alone, then mutations of the worst.
func TestSearchWorst(t *testing.T) {
	if *worstTime == 0 {
		t.Skip("a search, not a test: make worst runs it")
	}
	type scored struct {
		shape *worstShape
		timing
	}
	r := rand.New(rand.NewPCG(*worstSeed, 2))
	ops := plainOps()
	var all []scored
	tried, trapped := 0, 0
	try := func(s *worstShape) {
		tried++
		took, err := timeShape(t, s.module(), 200_000, 2)
		if err != nil {
			trapped++
			return
		}
		all = append(all, scored{s, took})
	}
	base, err := timeShape(t, (&worstShape{Genes: []gene{{Op: opI64Add, B: 1}}, Pages: 1, Repeat: 50}).module(), 2_000_000, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range ops {
		memory := lookup(op).immediate == immMemory || lookup(op).immediate == immMemoryLane
		for _, pages := range []int{1, 256, 1024} {
			for how := range 4 {
				if memory || pages == 1 {
					try(&worstShape{Genes: []gene{{Op: op, B: how}}, Pages: pages, Repeat: 30, Start: how})
				}
			}
		}
	}
	for kind := genePlain + 1; kind < geneKinds; kind++ {
		for _, n := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 1000} {
			for a := range 2 {
				try(&worstShape{Genes: []gene{{Kind: kind, A: a, B: a, N: n}}, Pages: 256, Repeat: 10, Extra: min(n, 1000)})
			}
		}
	}
	worse := func(a, b scored) int { return cmp.Compare(b.perUnit, a.perUnit) }
	alone := len(all)
	niches := map[string][]scored{}
	for end := time.Now().Add(*worstTime); time.Now().Before(end); {
		for _, s := range all {
			n := s.shape.niche()
			niches[n] = append(niches[n], s)
		}
		all = all[:0]
		// In each niche take the worst or any other one. A single front would soon contain only
		// slow memory.
		for _, n := range slices.Sorted(maps.Keys(niches)) {
			slices.SortFunc(niches[n], worse)
			niches[n] = niches[n][:min(len(niches[n]), 60)]
			from := niches[n][min(int(r.ExpFloat64()*8), len(niches[n])-1)]
			try(from.shape.mutate(r, ops))
		}
	}
	t.Logf("%d shapes tried, %d trapped, %d of one gene; an addition takes %.2f ns a unit", tried, trapped, alone, base.perUnit)
	for _, n := range slices.Sorted(maps.Keys(niches)) {
		// Measure again for longer: on a busy machine anything may look slow once.
		again := niches[n][:min(12, len(niches[n]))]
		for i := range again {
			if took, err := timeShape(t, again[i].shape.module(), 400_000, 3); err == nil {
				again[i].timing = took
			}
		}
		slices.SortFunc(again, worse)
		saved := false
		for _, s := range again[:min(2, len(again))] {
			t.Logf("%-12s %6.2f ns a unit, %4.0f times an addition, %.2f ms a slice: %s", n, s.perUnit, s.perUnit/base.perUnit, s.perUnit*guestSlice/1e6, s.shape)
			if wasm := s.shape.module(); *worstKeep && !saved && len(wasm) < 128<<10 {
				saved = true
				if err := os.WriteFile(filepath.Join("testdata", "worst", n+".wasm"), wasm, 0o644); err != nil { //nolint:gosec // a test's data
					t.Fatal(err)
				}
			}
		}
	}
}

// TestTheWorstIsBounded compares the worst shapes found by the search with the meter's
// promises: each calls the host once per slice, ends by its budget, and uses no more.
func TestTheWorstIsBounded(t *testing.T) {
	files, err := filepath.Glob("testdata/worst/*.wasm")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		wasm, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		const budget = 12 * guestSlice
		took, err := timeShape(t, wasm, budget, 1)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		// It calls after each slice. One charge, for code that did not run any more, may exceed
		// the budget.
		if took.calls < 10 || took.used > budget+guestSlice {
			t.Errorf("%s: %d looks at the host, lowest fuel %d, %d units used of %d", file, took.calls, took.below, took.used, budget)
		}
	}
}
