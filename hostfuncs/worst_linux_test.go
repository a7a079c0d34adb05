package hostfuncs

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
)

var (
	worstTime = flag.Duration("hostfuncs.worst.time", 0, "how long to look for the calls of host functions with the most nanoseconds a unit")
	worstSeed = flag.Uint64("hostfuncs.worst.seed", 1, "of that search")
	worstKeep = flag.Bool("hostfuncs.worst.keep", false, "keep the worst in testdata/worst")
)

// counter is a global of a metered module.
type counter struct {
	api.MutableGlobal
	v uint64
}

func (c *counter) Get() uint64  { return c.v }
func (c *counter) Set(v uint64) { c.v = v }

// looking is a context that records checks of the clock.
type looking struct {
	context.Context
	last, longest time.Duration
	state         *State
	function      string // the function that ran in the longest interval
}

func (l *looking) Err() error {
	now, _ := threadTime()
	if now-l.last > l.longest {
		l.longest = now - l.last
		if l.state != nil {
			l.function = l.state.function
		}
	}
	l.last = now
	return nil
}

// hostTiming is the processor time of a shape.
type hostTiming struct {
	start   float64       // ns per unit of interned values
	guest   float64       // ns per unit in the guest's process
	replay  float64       // the same in the relay, which repeats the edits
	longest time.Duration // between two checks of the clock
	longIn  string        // the function that ran in that interval
	units   int64
	calls   int
	end     *filter.Error
}

func (t *hostTiming) worst() float64 { return max(t.guest, t.replay, t.start) }

// leastUnits is the minimum cost of any event: a start, passing it to the guest, and the work
// after a failure. Work within this fuel costs nothing extra.
const leastUnits = 200_000

// laboratory is a guest's memory without a guest.
type laboratory struct {
	module    api.Module
	memory    []byte
	functions map[string]*labFunction
	calls     int // in this run
}

type labFunction struct {
	Function
	params []string
	run    api.GoModuleFunc
}

func newLaboratory(tb testing.TB) *laboratory {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	tb.Cleanup(func() { r.Close(ctx) })
	// (module (memory (export "memory") 256))
	wasm := []byte("\x00asm\x01\x00\x00\x00\x05\x04\x01\x00\x80\x02\x07\x0a\x01\x06memory\x02\x00")
	m, err := r.Instantiate(ctx, wasm)
	if err != nil {
		tb.Fatal(err)
	}
	l := &laboratory{module: m, functions: map[string]*labFunction{}}
	l.memory, _ = m.Memory().Read(0, guestMemory)
	for _, f := range append(V1(), WASI()...) {
		l.functions[f.Name] = &labFunction{f, strings.Fields(f.Params), f.Go()}
	}
	return l
}

func (s *hostShape) policy() *Policy {
	p := &Policy{Emit: map[string]bool{"alerts": true}, Keys: map[string]auditrelay.Key{"pseudonyms": {Secret: "k"}}, Metrics: map[string]*atomic.Uint64{"seen": new(atomic.Uint64)},
		Has: map[string]bool{}, Config: s.event(), Document: document.Limits{Bytes: 1 << 20, Depth: 64}, EmitBytes: 256 << 10, EmitCount: 16, EditBytes: 4 << 20, TextBytes: 1 << 10, Paths: 1024, Regexes: 256}
	for _, w := range s.Write {
		if parsed, err := document.ParsePath(w); err == nil {
			p.Asked, p.Granted = append(p.Asked, parsed), append(p.Granted, parsed)
		}
	}
	return p
}

// guarded calls f and returns its failure.
func guarded(f func()) (failure *filter.Error) {
	defer func() {
		if p := recover(); p != nil {
			var ok bool
			if failure, ok = p.(*filter.Error); !ok {
				panic(p)
			}
		}
	}()
	f()
	return nil
}

// time runs a shape with a budget of fuel.
func (l *laboratory) time(s *hostShape, budget int64, most time.Duration) (t hostTiming, ok bool) {
	data := s.event()
	if document.Check(data, document.Limits{}) != nil {
		return t, false
	}
	texts := s.texts()
	begins := lay(l.memory, texts)
	clock := &looking{Context: context.Background()}
	policy := s.policy()
	state := NewState(clock, policy)
	state.Say = func(slog.Level, func() string) {}
	state.Record()
	state.tank.count, state.tank.depth, state.tank.refused = new(counter), new(counter), new(counter)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	began, _ := threadTime()
	state.Fill(1_000_000_000, time.Hour)
	t.end = guarded(func() { l.intern(state, s) })
	now, _ := threadTime()
	t.start = float64(now-began) / float64(max(state.Spent(), leastUnits))
	if t.end != nil {
		return t, false
	}

	d := new(document.Document)
	d.Limits = document.Limits{Bytes: 16 << 20, Depth: 64}
	d.Reset(data)
	call := &filter.Call{Event: &auditrelay.Event{ID: "e", Data: data}, Document: d}
	began, _ = threadTime()
	clock.last, clock.longest, clock.state = began, 0, state
	state.Begin(call)
	state.Fill(budget, time.Hour)
	t.end = guarded(func() {
		last := int32(-1)
		for began := time.Now(); t.calls&15 != 0 || time.Since(began) < most; t.calls++ {
			l.calls = t.calls
			last = l.call(state, s, &s.Calls[t.calls%len(s.Calls)], begins, texts, last)
		}
	})
	t.units = state.Spent()
	_ = clock.Err()
	t.longest, t.longIn = clock.longest, clock.function
	t.guest = float64(clock.last-began) / float64(max(t.units, leastUnits))
	if log := state.Recorded(); t.end == nil || t.end.Cause == auditrelay.CauseFuel {
		t.replay = l.replay(policy, s.Paths, data, log, budget, max(t.units, leastUnits))
	}
	state.End()
	return t, true
}

func (l *laboratory) replay(policy *Policy, paths []string, data, log []byte, budget, units int64) float64 {
	r, err := NewReplay(policy, paths)
	if err != nil {
		return 0
	}
	d := new(document.Document)
	d.Limits = document.Limits{Bytes: 16 << 20, Depth: 64}
	d.Reset(data)
	call := &filter.Call{Event: &auditrelay.Event{ID: "e", Data: data}, Document: d}
	began, _ := threadTime()
	_ = r.Edit(call, log, budget)
	now, _ := threadTime()
	return float64(now-began) / float64(units)
}

func (l *laboratory) intern(state *State, s *hostShape) {
	stack := make([]uint64, 8)
	for _, all := range []struct {
		function string
		texts    []string
	}{{"path", s.Paths}, {"regex", s.Regexes}, {"detector", s.Detectors}} {
		f := l.functions[all.function]
		for _, text := range all.texts {
			n := copy(l.memory[guestBuffer:], text)
			stack[0], stack[1] = guestBuffer, uint64(n) //nolint:gosec // small
			f.run(state, l.module, stack)
		}
	}
}

// call makes a call. It returns the result if that is a node, and last otherwise.
func (l *laboratory) call(state *State, s *hostShape, c *hostCall, begins []uint64, texts [][]byte, last int32) int32 {
	f := l.functions[c.Name]
	var stack [8]uint64
	for i, name := range f.params {
		a := c.A[i]
		switch name {
		case "p":
			stack[i] = uint64(1 + a%len(s.Paths)) //nolint:gosec // small
		case "r":
			stack[i] = uint64(regexHandle + 1 + a%len(s.Regexes)) //nolint:gosec // small
		case "d":
			stack[i] = uint64(detectorHandle + 1 + a%len(s.Detectors)) //nolint:gosec // small
		case "h":
			if stack[i] = uint64(regexHandle + 1 + a%len(s.Regexes)); a%3 == 0 { //nolint:gosec // small
				stack[i] = uint64(detectorHandle + 1 + a/3%len(s.Detectors)) //nolint:gosec // small
			}
		case "node", "parent":
			stack[i] = uint64(uint32(l.choose(state, s, a, last))) //nolint:gosec // a node
		case "previous":
			if stack[i] = uint64(uint32(last)); a%4 == 0 { //nolint:gosec // a node
				stack[i] = 1<<32 - 1
			}
		case "ptr", "name_ptr", "key_ptr":
			k := a % len(begins)
			switch {
			case name == "name_ptr" && c.Name == "emit":
				k = 5
			case name == "key_ptr" && strings.HasPrefix(c.Name, "hmac"):
				k = 6
			case name == "name_ptr" && c.Name == "count":
				k = 7
			}
			text := texts[k]
			if c.Name == "query" {
				text = []byte(queryText(a))
				copy(l.memory[guestBuffer:], text)
				stack[i] = guestBuffer
			} else {
				stack[i] = begins[k]
			}
			stack[i+1] = uint64(len(text))
		case "buf", "iovs", "stat", "written", "in", "out", "events", "time":
			stack[i] = guestBuffer
			if name == "iovs" {
				stack[i] = guestVectors
				stack[i+1] = vectors(l.memory, a, texts[c.A[i+1]%len(texts)], begins[c.A[i+1]%len(begins)])
			}
		case "cap":
			stack[i] = []uint64{0, 4 << 20}[a%2]
		case "operation":
			stack[i] = uint64(1 + a%2) //nolint:gosec // small
		case "fd":
			stack[i] = uint64(1 + a%2) //nolint:gosec // small
		case "n", "level", "id", "count":
			stack[i] = []uint64{0, 1, 3, 100, 1 << 30}[a%5]
		case "len":
			if c.Name == "random_get" {
				stack[i] = []uint64{0, 1, 100, 1 << 20}[a%4]
			}
		}
	}
	f.run(state, l.module, stack[:])
	if f.Result == "node" {
		return int32(uint32(stack[0])) //nolint:gosec // a node
	}
	return last
}

// choose returns a node as a guest could get it: the result of a call, a match of a path, a
// member of the event, or any number.
func (l *laboratory) choose(state *State, s *hostShape, how int, last int32) int32 {
	var stack [2]uint64
	ask := func(function string) int32 {
		f := l.functions[function]
		f.run(state, l.module, stack[:])
		return int32(uint32(stack[0])) //nolint:gosec // a node
	}
	const all = 20_000
	switch how % 7 {
	case 0:
		return last
	case 1:
		stack[0] = uint64(1 + how/7%len(s.Paths)) //nolint:gosec // small
		return ask("find")
	case 2:
		return int32(how / 7 % 1000) //nolint:gosec // small
	case 3: // one after the other
		return int32(1 + l.calls%all) //nolint:gosec // small
	case 4: // backwards
		return int32(all - l.calls%all) //nolint:gosec // small
	case 5: // scattered
		return int32(1 + l.calls*7919%all) //nolint:gosec // small
	}
	member := int32(-1)
	for range 2 + how/7%len(s.Event) {
		stack[0], stack[1] = 0, uint64(uint32(member)) //nolint:gosec // a node
		member = ask("child")
	}
	return member
}

// TestTheWorstCallsAreBounded compares the worst calls found by the search, before and after
// weights were set, with the limit of a unit.
func TestTheWorstCallsAreBounded(t *testing.T) {
	if RaceDetector {
		t.Skip("it measures; make test runs it without the race detector")
	}
	files, err := filepath.Glob("testdata/worst/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	lab := newLaboratory(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var s hostShape
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(file, err)
		}
		best, ok := lab.time(&s, 4_000_000, time.Second)
		for n := range 5 { // on a busy machine anything may look slow once
			if n >= 2 && best.worst() < worstUnit/4 && best.longest < longestLook/2 {
				break
			}
			again, _ := lab.time(&s, 4_000_000, time.Second)
			if again.longest < best.longest {
				best.longest, best.longIn = again.longest, again.longIn
			}
			if again.worst() < best.worst() {
				again.longest, again.longIn = best.longest, best.longIn
				best = again
			}
		}
		if t.Logf("%s: start %.2f, guest %.2f, replay %.2f ns a unit, %v between looks (%s), %d units, %v", file, best.start, best.guest, best.replay, best.longest, best.longIn, best.units, best.end); !ok || best.worst() > worstUnit {
			t.Errorf("%s: %.1f ns a unit, %v: %s", file, best.worst(), best.end, &s)
		}
		if best.longest > longestLook {
			t.Errorf("%s: %v of processor time between two looks at the clock, in %s: %s", file, best.longest, best.longIn, &s)
		}
	}
}

// worstUnit is the maximum duration of a host function's unit in nanoseconds, with room for a
// busy machine.
const worstUnit = 25

// longestLook is the maximum time of a guest in host functions without a check of the clock.
// The target is 2 ms; the rest is room for a busy machine.
const longestLook = 6 * time.Millisecond

// TestSearchWorstCalls searches calls of host functions with the most time for their fuel: each
// function with adversarial arguments, together with others.
func TestSearchWorstCalls(t *testing.T) {
	if *worstTime == 0 {
		t.Skip("a search, not a test: make worst runs it")
	}
	type scored struct {
		shape *hostShape
		hostTiming
	}
	lab := newLaboratory(t)
	r := rand.New(rand.NewPCG(*worstSeed, 3))
	names := slices.Sorted(maps.Keys(lab.functions))
	names = slices.DeleteFunc(names, func(n string) bool {
		return slices.Contains([]string{"path", "regex", "detector", "fail", "proc_exit"}, n)
	})
	best := map[string][]scored{}
	worse := func(a, b scored) int { return cmp.Compare(b.worst(), a.worst()) }
	tried := 0
	for end := time.Now().Add(*worstTime); time.Now().Before(end); {
		for _, name := range names {
			tried++
			var s *hostShape
			if front := best[name]; len(front) == 0 || r.IntN(5) == 0 {
				s = randomHost(r, name)
			} else {
				s = front[min(int(r.ExpFloat64()*4), len(front)-1)].shape.mutate(r)
			}
			took, ok := lab.time(s, 4_000_000, 100*time.Millisecond)
			if !ok {
				continue
			}
			best[name] = append(best[name], scored{s, took})
			slices.SortFunc(best[name], worse)
			best[name] = best[name][:min(20, len(best[name]))]
		}
	}
	t.Logf("%d shapes tried", tried)
	var all []scored
	for _, name := range names {
		again := best[name][:min(4, len(best[name]))]
		for i := range again { // on a busy machine anything may look slow once
			for range 3 {
				if took, ok := lab.time(again[i].shape, 4_000_000, 100*time.Millisecond); ok && took.worst() < again[i].worst() {
					again[i].hostTiming = took
				}
			}
		}
		slices.SortFunc(again, worse)
		if len(again) > 0 {
			all = append(all, again[0])
		}
	}
	slices.SortFunc(all, worse)
	for _, s := range all {
		t.Logf("%-16s start %5.2f guest %6.2f replay %6.2f ns a unit, %v between looks (%s), %d units in %d calls, end %v: %s", s.shape.Calls[0].Name, s.start, s.guest, s.replay, s.longest, s.longIn, s.units, s.calls, s.end, s.shape)
		if *worstKeep {
			text, err := json.MarshalIndent(s.shape, "", " ")
			if err == nil {
				err = os.WriteFile(filepath.Join("testdata", "worst", s.shape.Calls[0].Name+".json"), text, 0o644) //nolint:gosec // a test's data
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
