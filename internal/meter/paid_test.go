package meter

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// counted returns a metered module that also counts the weight of each executed instruction in
// a separate global, exported as "executed". It does not count the length of bulk operations.
func counted(t *testing.T, wasm []byte) []byte {
	t.Helper()
	m, err := decode(wasm, Limits{}.withDefaults(), "")
	if err != nil {
		t.Fatal(err)
	}
	counter := len(m.globals)
	m.globals = append(m.globals, global{value: i64, mutable: true})
	m.extend(sectionGlobal, []byte{i64, 1, opI64Const, 0, opEnd})
	m.extend(sectionExport, appendUnsigned(append(appendName(nil, "executed"), kindGlobal), uint64(counter)))

	e := newEncoder(m, 1<<17)
	plan := e.plan
	e.plan = func(b *body) []edit {
		var all []edit
		r := &reader{module: m.bytes, at: b.code, end: b.end}
		planned := plan(b)
		for r.at < b.end {
			for len(planned) > 0 && planned[0].at <= r.at && planned[0].end == planned[0].at {
				all, planned = append(all, planned[0]), planned[1:]
			}
			in := r.instruction(&m.limits)
			if in.info.weight > 0 {
				all = append(all, edit{in.at, in.at, editCount, int64(in.info.weight)})
			}
			for len(planned) > 0 && planned[0].at < r.at {
				all, planned = append(all, planned[0]), planned[1:]
			}
		}
		return all
	}
	e.apply = func(out []byte, ed *edit) []byte {
		if ed.kind != editCount {
			return e.edit(out, ed)
		}
		out = appendIndexed(out, opGlobalGet, counter)
		out = append(appendSigned(append(out, opI64Const), ed.value), opI64Add)
		return appendIndexed(out, opGlobalSet, counter)
	}
	return e.encode()
}

const editCount editKind = 100

// extend adds an item to a section and moves the section to the end.
func (m *module) extend(id int, item []byte) {
	s := &m.sections[id]
	moved := len(m.bytes) - s.at
	for i, ref := range m.refs {
		if ref.at >= s.at && ref.at < s.end {
			m.refs[i].at, m.refs[i].end = ref.at+moved, ref.end+moved
		}
	}
	m.bytes = append(append(append([]byte(nil), m.bytes...), m.bytes[s.at:s.end]...), item...)
	s.at, s.end, s.count = s.at+moved, len(m.bytes), s.count+1
}

// With any budget, generated modules execute no more than they paid for, and stop within
// Overshoot of their budget.
func TestPaidBeforeExecuted(t *testing.T) {
	var most int64
	stopped, charged, executedAll := 0, int64(0), int64(0)
	for seed := range uint64(150) {
		g := newGenerator(seed)
		ctx := context.Background()
		h := newHost(t)
		emptyEnv(t, h)
		compiled, err := h.runtime.CompileModule(ctx, counted(t, g.module()))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for range 6 {
			budget := int64(rand.Uint64N(3000))
			h.budget, h.slice = 1<<40, 1<<40
			live, err := h.runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(""))
			if err != nil {
				break
			}
			fuel, executed := live.ExportedGlobal(ExportFuel).(api.MutableGlobal), live.ExportedGlobal("executed").(api.MutableGlobal)
			f := live.ExportedFunction("f0")
			var args []uint64
			for n, p := range f.Definition().ParamTypes() {
				args = append(args, argument(p, seed+uint64(n))...)
			}
			fuel.Set(uint64(budget))
			executed.Set(0)
			h.budget = 0
			_, err = f.Call(ctx, args...)
			ran, paid := int64(executed.Get()), budget-int64(fuel.Get())
			if ran > paid+freeWeight { // f0 itself may be a function paid for by its callers
				t.Fatalf("seed %d: executed %d, paid %d", seed, ran, paid)
			}
			if ran > budget {
				most = max(most, ran-budget)
				stopped++
			}
			if err == nil {
				charged, executedAll = charged+paid, executedAll+ran
			}
			_ = live.Close(ctx)
		}
		_ = h.runtime.Close(ctx)
	}
	t.Logf("%d runs went past their budget, by %d at most; whole runs: executed %d, charged %d", stopped, most, executedAll, charged)
	if most > Overshoot {
		t.Errorf("executed %d more than the budget, Overshoot is %d", most, Overshoot)
	}
}

func emptyEnv(t testing.TB, h *host) {
	t.Helper()
	b := h.runtime.NewHostModuleBuilder("env")
	one := []api.ValueType{api.ValueTypeI32}
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {}), one, one).Export("h0")
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {}), nil, nil).Export("h1")
	if _, err := b.Instantiate(context.Background()); err != nil {
		t.Fatal(err)
	}
}
