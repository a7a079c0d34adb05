package meter

import "slices"

const (
	ownGlobals = 3 // fuel, depth, refused; the shadows are extra
	ownExports = ownGlobals + 2
)

// An encoder writes the rewritten module. Everything that it adds comes last in its index
// space, except the import, which moves the module's own functions by one.
type encoder struct {
	m     *module
	depth int64

	// plan returns the changes of a body. A test wraps it to count.
	plan  func(*body) []edit
	apply func([]byte, *edit) []byte

	nothing int // type () -> ()
	length  int // type (i32) -> (i32)
	types   []byte
	added   int // types

	getFuel, setFuel, checkFuel []byte
	getDepth, setDepth          []byte
	setRefused                  []byte
	callExhausted               []byte
}

func newEncoder(m *module, depth int64) *encoder {
	e := &encoder{m: m, depth: depth, plan: (&planner{m: m}).plan}
	e.apply = e.edit
	e.nothing = e.addType(nil, nil)
	e.length = e.addType([]valueType{i32}, []valueType{i32})
	fuel := len(m.globals)
	e.getFuel = appendIndexed(nil, opGlobalGet, fuel)
	e.setFuel = appendIndexed(nil, opGlobalSet, fuel)
	e.getDepth = appendIndexed(nil, opGlobalGet, fuel+1)
	e.setDepth = appendIndexed(nil, opGlobalSet, fuel+1)
	e.setRefused = appendIndexed(nil, opGlobalSet, fuel+2)
	e.callExhausted = appendIndexed(nil, opCall, m.imported)
	e.checkFuel = append(e.checkFuel, e.getFuel...)
	e.checkFuel = append(e.checkFuel, opI64Const, 0, opI64LtS)
	e.checkFuel = e.orExhausted(e.checkFuel)
	return e
}

func (e *encoder) orExhausted(code []byte) []byte {
	code = append(code, opIf, noValue)
	return append(append(code, e.callExhausted...), opEnd)
}

func (e *encoder) addType(params, results []valueType) int {
	for i, t := range e.m.types {
		if slices.Equal(t.params, params) && slices.Equal(t.results, results) {
			return i
		}
	}
	e.m.types = append(e.m.types, funcType{params, results})
	e.types = append(e.types, 0x60)
	e.types = append(appendUnsigned(e.types, uint64(len(params))), params...)
	e.types = append(appendUnsigned(e.types, uint64(len(results))), results...)
	e.added++
	return len(e.m.types) - 1
}

// moved returns a function's index in the rewritten module.
func (e *encoder) moved(function int) int {
	if function >= e.m.imported {
		function++
	}
	return function
}

func (e *encoder) helperIndex(i int) int { return len(e.m.funcs) + 1 + i }

func (e *encoder) shadow(k int) int { return len(e.m.globals) + ownGlobals + k }

func (e *encoder) memoryMax(mem memory) uint32 {
	most := uint32(e.m.limits.MemoryPages)
	switch {
	case mem.imported:
		return maxPages
	case mem.size.hasMax:
		return min(most, mem.size.max)
	}
	return most
}

func (e *encoder) tableMax(t table) uint32 {
	most := uint32(min(e.m.limits.TableItems, 1<<31-1))
	if t.size.hasMax {
		most = min(most, t.size.max)
	}
	return most
}

// encode returns the whole module. It writes the code first, since blocks around bodies may
// need types of their own.
func (e *encoder) encode() []byte {
	code := e.code()
	out := make([]byte, 0, len(e.m.bytes)+len(code)/8+4096)
	out = append(out, e.m.bytes[:8]...)
	add := func(id byte, count int, content ...[]byte) {
		size := len(appendUnsigned(nil, uint64(count)))
		for _, c := range content {
			size += len(c)
		}
		out = appendUnsigned(append(out, id), uint64(size))
		out = appendUnsigned(out, uint64(count))
		for _, c := range content {
			out = append(out, c...)
		}
	}
	given := func(id int) []byte { return e.m.bytes[e.m.sections[id].at:e.m.sections[id].end] }
	count := func(id int) int { return e.m.sections[id].count }

	add(sectionType, len(e.m.types), given(sectionType), e.types)
	add(sectionImport, count(sectionImport)+1, given(sectionImport), e.importItem())
	add(sectionFunction, count(sectionFunction)+helpers, given(sectionFunction), e.helperTypes())
	if count(sectionTable) > 0 {
		add(sectionTable, count(sectionTable), e.tables())
	}
	if count(sectionMemory) > 0 {
		add(sectionMemory, count(sectionMemory), e.memories())
	}
	shadows := e.globals()
	add(sectionGlobal, count(sectionGlobal)+ownGlobals+len(e.m.mutable()), e.moveReferences(sectionGlobal), shadows)
	add(sectionExport, count(sectionExport)+ownExports, e.moveReferences(sectionExport), e.exports())
	if e.m.start >= 0 {
		out = append(out, sectionStart)
		index := appendUnsigned(nil, uint64(e.moved(e.m.start)))
		out = append(appendUnsigned(out, uint64(len(index))), index...)
	}
	if count(sectionElement) > 0 {
		add(sectionElement, count(sectionElement), e.moveReferences(sectionElement))
	}
	if e.m.dataCount >= 0 {
		add(sectionDataCount, e.m.dataCount)
	}
	add(sectionCode, len(e.m.bodies)+helpers, code)
	if count(sectionData) > 0 {
		add(sectionData, count(sectionData), given(sectionData))
	}
	return e.appendNames(out)
}

func (e *encoder) importItem() []byte {
	item := appendName(appendName(nil, ImportModule), ImportExhausted)
	return appendUnsigned(append(item, kindFunc), uint64(e.nothing))
}

func (e *encoder) helperTypes() []byte {
	var out []byte
	for i := range helpers {
		t := e.length
		if i >= helperSave {
			t = e.nothing
		}
		out = appendUnsigned(out, uint64(t))
	}
	return out
}

func (e *encoder) tables() []byte {
	var out []byte
	for _, t := range e.m.tables {
		if !t.imported {
			out = append(out, t.element, 1)
			out = appendUnsigned(out, uint64(t.size.min))
			out = appendUnsigned(out, uint64(e.tableMax(t)))
		}
	}
	return out
}

func (e *encoder) memories() []byte {
	mem := e.m.memories[0]
	out := appendUnsigned([]byte{1}, uint64(mem.size.min))
	return appendUnsigned(out, uint64(e.memoryMax(mem)))
}

// globals returns the meter's own globals: fuel, depth, refused, and the shadows that save
// fills.
func (e *encoder) globals() []byte {
	out := []byte{i64, 1, opI64Const, 0, opEnd}
	out = append(appendSigned(append(out, i64, 1, opI64Const), e.depth), opEnd)
	out = append(out, i32, 1, opI32Const, 0, opEnd)
	for _, g := range e.m.mutable() {
		t := e.m.globals[g].value
		out = append(out, t, 1)
		switch t {
		case i32:
			out = append(out, opI32Const, 0)
		case i64:
			out = append(out, opI64Const, 0)
		case f32:
			out = append(out, opF32Const, 0, 0, 0, 0)
		case f64:
			out = append(out, opF64Const, 0, 0, 0, 0, 0, 0, 0, 0)
		case v128:
			out = append(out, opV128Const>>8, opV128Const&0xff)
			out = append(out, make([]byte, 16)...)
		default:
			out = append(out, opRefNull, t)
		}
		out = append(out, opEnd)
	}
	return out
}

func (e *encoder) exports() []byte {
	fuel := uint64(len(e.m.globals))
	out := appendUnsigned(append(appendName(nil, ExportFuel), kindGlobal), fuel)
	out = appendUnsigned(append(appendName(out, ExportDepth), kindGlobal), fuel+1)
	out = appendUnsigned(append(appendName(out, ExportRefused), kindGlobal), fuel+2)
	for _, h := range []int{helperSave, helperRestore} {
		out = appendUnsigned(append(appendName(out, helperNames[h]), kindFunc), uint64(e.helperIndex(h)))
	}
	return out
}

// moveReferences returns a section's content with new function indices.
func (e *encoder) moveReferences(id int) []byte {
	s := e.m.sections[id]
	var out []byte
	at := s.at
	for _, ref := range e.m.refs {
		if ref.at >= s.at && ref.at < s.end {
			out = append(out, e.m.bytes[at:ref.at]...)
			out = appendUnsigned(out, uint64(e.moved(int(ref.index))))
			at = ref.end
		}
	}
	return append(out, e.m.bytes[at:s.end]...)
}
