package meter

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

var rounds = flag.Int("meter.rounds", 600, "generated modules for TestExact; seeds count up from -meter.seed")
var firstSeed = flag.Uint64("meter.seed", 1, "the first seed")

// Generated modules behave the same with and without rewriting: results, traps with their stack
// traces, memory, globals, and calls of the host.
func TestExact(t *testing.T) {
	n := *rounds
	if testing.Short() {
		n = min(n, 100)
	}
	var c comparison
	const batch = 100 // the remains of each batch are released
	for done := 0; done < n; done += batch {
		t.Run(fmt.Sprint(done), func(t *testing.T) {
			for i := done; i < min(done+batch, n); i++ {
				c.compare(t, *firstSeed+uint64(i))
			}
		})
		if t.Failed() {
			break
		}
	}
	t.Logf("%d modules, %d calls, %d where wazero's compiler is at fault; traps: %v", c.modules, c.calls, c.faults, c.traps)
	if c.traps[""] < c.calls/20 {
		t.Error("hardly any call returns: the generator is not worth much")
	}
}

// A comparison counts what was compared.
type comparison struct {
	modules, calls, faults int
	traps                  map[string]int
}

func (c *comparison) compare(t *testing.T, seed uint64) {
	wasm := newGenerator(seed).module()
	m, err := Rewrite(wasm, Options{Depth: 1 << 23}) // recursion ends when the steps are used up
	replay := fmt.Sprintf("go test ./internal/meter -run TestExact -meter.rounds 1 -meter.seed %d", seed)
	if err != nil {
		t.Fatalf("%s: %v", replay, err)
	}
	c.modules++
	want, got := observe(t, newHost(t), seed, wasm), observe(t, newHost(t), seed, m.Wasm)
	if difference := want.compare(got); difference != "" {
		// wazero's compiler has its own faults. In that case the interpreter gives equal
		// results, and the compiler differs from the interpreter.
		interpreter := wazero.NewRuntimeConfigInterpreter()
		right := observe(t, newHostWith(t, interpreter), seed, wasm)
		if d := right.compare(observe(t, newHostWith(t, interpreter), seed, m.Wasm)); d != "" {
			t.Fatalf("%s: %s", replay, d)
		}
		if right.compare(want) == "" && right.compare(got) == "" {
			t.Fatalf("%s: %s", replay, difference)
		}
		t.Logf("seed %d: wazero's compiler differs from its interpreter (wrong unmetered: %t, metered: %t)", seed, right.compare(want) != "", right.compare(got) != "")
		c.faults++
		return
	}
	c.calls += len(want.calls)
	if c.traps == nil {
		c.traps = map[string]int{}
	}
	for _, call := range want.calls {
		_, trap, _ := strings.Cut(call, "wasm error: ")
		line, _, _ := strings.Cut(trap, "\n")
		c.traps[line]++
	}
}

// The generator uses every instruction.
func TestGeneratorReachesAll(t *testing.T) {
	seen := map[uint16]int{}
	for seed := range uint64(500) {
		wasm := newGenerator(seed).module()
		m, err := decodeWith(wasm, Options{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i := range m.bodies {
			r := &reader{module: wasm, at: m.bodies[i].code, end: m.bodies[i].end}
			for r.left() > 0 {
				seen[r.instruction(&m.limits).op]++
			}
		}
	}
	check := func(first uint16, operations []operation) {
		for i, o := range operations {
			if op := first + uint16(i); o.name != "" && seen[op] == 0 {
				t.Errorf("%#x %s is not generated", op, o.name)
			}
		}
	}
	check(0, coreOperations[:])
	check(0xfc00, bulkOperations[:])
	check(0xfd00, vectorOperations[:])
}

type observation struct {
	calls   []string
	globals string
	memory  []byte
}

func (o observation) compare(p observation) string {
	for k := range o.calls {
		if k >= len(p.calls) || o.calls[k] != p.calls[k] {
			return fmt.Sprintf("call %d:\nunmetered %s\nmetered   %s", k, o.calls[k], strings.Join(p.calls[k:min(k+1, len(p.calls))], ""))
		}
	}
	if o.globals != p.globals {
		return fmt.Sprintf("globals\nunmetered %s\nmetered   %s", o.globals, p.globals)
	}
	if !bytes.Equal(o.memory, p.memory) {
		return "memories differ"
	}
	return ""
}

// observe runs every function of a generated module, in order, in one instance.
func observe(t *testing.T, h *host, seed uint64, wasm []byte) observation {
	ctx := context.Background()
	defer h.runtime.Close(ctx)
	var o observation
	_, err := h.runtime.NewHostModuleBuilder("env").
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
		o.calls = append(o.calls, fmt.Sprint("host ", uint32(stack[0])))
		stack[0] = uint64(uint32(stack[0]) * 7)
	}), []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}).Export("h0").
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {
		o.calls = append(o.calls, "host")
	}), nil, nil).Export("h1").Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := h.runtime.CompileModule(ctx, wasm)
	if err != nil {
		t.Fatalf("seed %d: compile: %v", seed, err)
	}
	live, err := h.runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		_, text, _ := strings.Cut(err.Error(), "failed: ") // wazero puts the function's index before it
		o.calls = append(o.calls, "start: "+text)
		return o
	}
	steps := live.ExportedGlobal("g" + fmt.Sprint(lastGlobal(live))).(api.MutableGlobal)
	for i := 0; live.ExportedFunction(fmt.Sprint("f", i)) != nil; i++ {
		f := live.ExportedFunction(fmt.Sprint("f", i))
		def := f.Definition()
		for k := range uint64(3) {
			steps.Set(200)
			var args []uint64
			for n, p := range def.ParamTypes() {
				args = append(args, argument(p, k*31+uint64(n)+seed)...)
			}
			results, err := f.Call(ctx, args...)
			o.calls = append(o.calls, fmt.Sprint(hideRefs(def.ResultTypes(), results), err))
		}
	}
	all, _ := live.Memory().Read(0, live.Memory().Size())
	o.memory = bytes.Clone(all)
	for i := range lastGlobal(live) + 1 {
		g := live.ExportedGlobal(fmt.Sprint("g", i))
		if g.Type() != funcref && g.Type() != api.ValueTypeExternref {
			o.globals += fmt.Sprintf("g%d=%#x ", i, g.Get())
		}
	}
	return o
}

func lastGlobal(m api.Module) int {
	i := 0
	for m.ExportedGlobal(fmt.Sprint("g", i+1)) != nil {
		i++
	}
	return i
}

func argument(t api.ValueType, n uint64) []uint64 {
	v := n * 0x9e3779b97f4a7c15 >> (n % 60)
	switch t {
	case api.ValueTypeI32:
		return []uint64{uint64(uint32(v))}
	case api.ValueTypeF32:
		return []uint64{uint64(math.Float32bits(float32(v)))}
	case api.ValueTypeF64:
		return []uint64{math.Float64bits(float64(v))}
	case v128:
		return []uint64{v, n}
	case funcref, api.ValueTypeExternref:
		return []uint64{0}
	}
	return []uint64{v}
}

// hideRefs replaces references by whether they are null: their values are addresses.
func hideRefs(types []api.ValueType, results []uint64) []string {
	var out []string
	for _, t := range types {
		if len(results) == 0 {
			break
		}
		switch t {
		case v128:
			out = append(out, fmt.Sprintf("%#x:%#x", results[0], results[1]))
			results = results[2:]
			continue
		case funcref, api.ValueTypeExternref:
			out = append(out, fmt.Sprint(results[0] == 0))
		default:
			out = append(out, fmt.Sprintf("%#x", results[0]))
		}
		results = results[1:]
	}
	return out
}
