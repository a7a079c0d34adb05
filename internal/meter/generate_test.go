package meter

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// A generator creates random valid modules that terminate: every function call and loop
// iteration takes a step from a global, and returns if none is left. They sometimes trap on
// purpose.
type generator struct {
	*rand.Rand
	types   [][2][]valueType // parameters, results
	imports []int            // types of imported functions
	funcs   []int            // types of the module's own
	globals []global
	byType  map[valueType][]operationCode // instructions with that result

	locals []valueType
	labels [][]valueType // operands of branches to open blocks, innermost last; nil if not allowed
	result []valueType
	code   []byte
	budget int
	steps  int // the global
}

type operationCode struct {
	op   uint16
	info *operation
}

const (
	genTables   = 2 // 0 and 1 of funcref, 2 of externref
	genElements = 3
	genData     = 3
)

var valueTypes = []valueType{i32, i64, f32, f64, v128, funcref, externref}

func newGenerator(seed uint64) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 7)), byType: map[valueType][]operationCode{}}
	add := func(op uint16, info *operation) {
		sig := info.signature
		if sig == "" || sig[len(sig)-1] == '>' {
			return
		}
		t := letterType(sig[len(sig)-1])
		g.byType[t] = append(g.byType[t], operationCode{op, info})
	}
	for op := range coreOperations {
		add(uint16(op), &coreOperations[op])
	}
	for op := range bulkOperations {
		add(0xfc00|uint16(op), &bulkOperations[op])
	}
	for op := range vectorOperations {
		add(0xfd00|uint16(op), &vectorOperations[op])
	}
	return g
}

func (g *generator) valueTypes(most int) []valueType {
	out := make([]valueType, g.IntN(most+1))
	for i := range out {
		out[i] = g.anyType()
	}
	return out
}

func (g *generator) anyType() valueType {
	// Prefer numbers.
	if g.IntN(3) > 0 {
		return valueTypes[g.IntN(4)]
	}
	return valueTypes[g.IntN(len(valueTypes))]
}

func vector(items ...[]byte) []byte {
	out := appendUnsigned(nil, uint64(len(items)))
	for _, item := range items {
		out = append(out, item...)
	}
	return out
}

func sectionBytes(id byte, content []byte) []byte {
	return append(appendUnsigned([]byte{id}, uint64(len(content))), content...)
}

// module returns one complete module. Function k is exported as f<k>, with its name in the name
// section; globals as g<k>; the memory as memory.
func (g *generator) module() []byte {
	g.types = [][2][]valueType{{nil, nil}, {{i32}, {i32}}}
	for range 3 + g.IntN(5) {
		g.types = append(g.types, [2][]valueType{g.valueTypes(4), g.valueTypes(3)})
	}
	if g.IntN(8) == 0 {
		g.types = append(g.types, [2][]valueType{g.valueTypes(40), g.valueTypes(20)})
	}
	g.imports = []int{1, 0}[:g.IntN(3)]
	for range 2 + g.IntN(4) {
		g.funcs = append(g.funcs, g.IntN(len(g.types)))
	}
	g.funcs = append(g.funcs, 0, 1)
	for _, t := range valueTypes {
		g.globals = append(g.globals, global{value: t, mutable: true})
	}
	for range g.IntN(4) {
		g.globals = append(g.globals, global{value: g.anyType(), mutable: g.IntN(2) == 0})
	}
	g.steps = len(g.globals)

	out := []byte("\x00asm\x01\x00\x00\x00")
	add := func(id byte, items ...[]byte) { out = append(out, sectionBytes(id, vector(items...))...) }
	var items [][]byte
	next := func() (out [][]byte) { out, items = items, nil; return out }
	for _, t := range g.types {
		items = append(items, append(append(appendUnsigned([]byte{0x60}, uint64(len(t[0]))), t[0]...), append([]byte{byte(len(t[1]))}, t[1]...)...))
	}
	add(sectionType, next()...)
	for i, t := range g.imports {
		items = append(items, append(appendName(appendName(nil, "env"), fmt.Sprintf("h%d", i)), kindFunc, byte(t)))
	}
	add(sectionImport, next()...)
	for _, t := range g.funcs {
		items = append(items, []byte{byte(t)})
	}
	add(sectionFunction, next()...)
	add(sectionTable, []byte{funcref, 0, 10}, []byte{funcref, 1, 5, 12}, []byte{externref, 1, 4, 8})
	add(sectionMemory, []byte{1, 1, 3})
	for _, gl := range g.globals {
		items = append(items, append(append([]byte{gl.value, b2i(gl.mutable)}, g.constant(gl.value, true)...), opEnd))
	}
	items = append(items, append(appendSigned([]byte{i32, 1, opI32Const}, 300), opEnd))
	add(sectionGlobal, next()...)
	items = append(items, append(appendName(nil, "memory"), kindMemory, 0))
	for i := range g.funcs {
		items = append(items, append(appendName(nil, fmt.Sprintf("f%d", i)), kindFunc, byte(len(g.imports)+i)))
	}
	for i := range len(g.globals) + 1 {
		items = append(items, append(appendName(nil, fmt.Sprintf("g%d", i)), kindGlobal, byte(i)))
	}
	add(sectionExport, next()...)
	if g.IntN(4) == 0 {
		out = append(out, sectionBytes(sectionStart, []byte{byte(len(g.imports) + len(g.funcs) - 2)})...)
	}
	all := []byte{byte(len(g.imports) + len(g.funcs))}
	for i := range all[0] {
		all = append(all, i)
	}
	add(sectionElement,
		append(append([]byte{0, opI32Const, 1, opEnd}, 5), g.functionIndices(5)...),
		append(append([]byte{1, 0}, 4), g.functionIndices(4)...),
		[]byte{5, funcref, 3, opRefFunc, g.functionIndices(1)[0], opEnd, opRefNull, funcref, opEnd, opRefFunc, 0, opEnd},
		append([]byte{3, 0}, all...))
	out = append(out, sectionBytes(sectionDataCount, []byte{genData})...)
	for i := range g.funcs {
		f := g.function(i)
		items = append(items, append(appendUnsigned(nil, uint64(len(f))), f...))
	}
	add(sectionCode, next()...)
	add(sectionData, append([]byte{0, opI32Const, 8, opEnd, 16}, g.bytes(16)...), append([]byte{1, 40}, g.bytes(40)...), []byte{1, 0})
	for i := range len(g.imports) + len(g.funcs) {
		items = append(items, appendName([]byte{byte(i)}, fmt.Sprintf("name%d", i)))
	}
	functions := vector(next()...)
	name := append(appendName(nil, "name"), append(appendUnsigned([]byte{namesFunctions}, uint64(len(functions))), functions...)...)
	return append(out, sectionBytes(sectionCustom, name)...)
}

func b2i(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func (g *generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g *generator) functionIndices(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(g.IntN(len(g.imports) + len(g.funcs)))
	}
	return out
}

func (g *generator) function(i int) []byte {
	t := g.types[g.funcs[i]]
	own := append(g.valueTypes(5), i32)
	g.locals = append(append([]valueType(nil), t[0]...), own...)
	g.labels, g.result, g.budget = [][]valueType{t[1]}, t[1], 20+g.IntN(150)
	depth := 4
	if g.IntN(40) == 0 {
		g.budget, depth = 3000, 9 // large enough to be charged in several places
	}
	g.code = nil
	for range 1 + g.IntN(8) {
		g.statement(depth)
	}
	g.values(t[1], depth)
	body := g.code

	out := appendUnsigned(nil, uint64(len(own)))
	for _, l := range own {
		out = append(out, 1, l)
	}
	// Without steps left, unreachable is a valid result.
	out = append(out, g.step()...)
	out = append(out, opIf, noValue, opUnreachable, opEnd)
	return append(append(out, body...), opEnd)
}

// step takes one step and leaves whether none is left.
func (g *generator) step() []byte {
	out := appendIndexed(nil, opGlobalGet, g.steps)
	out = append(out, opI32Const, 0x7f, opI32Add)
	out = appendIndexed(out, opGlobalSet, g.steps)
	out = appendIndexed(out, opGlobalGet, g.steps)
	return append(out, opI32Const, 1, 0x48) // lt_s
}

// constant appends nothing. It returns the code of a constant.
func (g *generator) constant(t valueType, init bool) []byte {
	small := g.IntN(2) == 0
	switch t {
	case i32:
		v := int32(g.Uint32())
		if small {
			v = int32(g.IntN(40))
		}
		return appendSigned([]byte{opI32Const}, int64(v))
	case i64:
		v := int64(g.Uint64())
		if small {
			v = int64(g.IntN(40))
		}
		return appendSigned([]byte{opI64Const}, v)
	case f32:
		v := []float32{0, 1, -1.5, 3e9, float32(math.Inf(1)), float32(math.NaN()), g.Float32() * 100}[g.IntN(7)]
		return le(opF32Const, uint64(math.Float32bits(v)), 4)
	case f64:
		v := []float64{0, 1, -1.5, 3e9, 1e19, math.Inf(-1), math.NaN(), g.Float64() * 100}[g.IntN(8)]
		return le(opF64Const, math.Float64bits(v), 8)
	case v128:
		return append([]byte{0xfd, 0x0c}, g.bytes(16)...)
	case funcref:
		if !init || g.IntN(2) == 0 {
			return []byte{opRefFunc, g.functionIndices(1)[0]}
		}
	}
	return []byte{opRefNull, t}
}

func le(op byte, v uint64, n int) []byte {
	out := []byte{op}
	for i := range n {
		out = append(out, byte(v>>(8*i)))
	}
	return out
}
