package meter

import (
	"fmt"
	"strings"
)

// reservedPrefix begins the names of imports and exports of the rewritten module.
const reservedPrefix = "auditrelay_meter"

const (
	kindFunc = iota
	kindTable
	kindMemory
	kindGlobal
)

func (m *module) funcType(r *reader) {
	at := r.at
	if form := r.byte(); form != 0x60 && r.err == nil {
		hint := ""
		if form == 0x4e || form == 0x4f || form == 0x50 || form == 0x5f || form == 0x5e {
			hint = " (garbage collection)"
		}
		r.fail(at, "type %d: unknown form %#x%s", len(m.types), form, hint)
	}
	m.types = append(m.types, funcType{params: m.valueTypes(r, "parameters"), results: m.valueTypes(r, "results")})
}

func (m *module) valueTypes(r *reader, what string) []valueType {
	n := r.count(m.limits.Params, what)
	at := r.at
	for range n {
		r.valueType()
	}
	if r.err != nil {
		return nil
	}
	return m.bytes[at:r.at:r.at]
}

func (m *module) typeIndex(r *reader) uint32 {
	at := r.at
	i := r.u32()
	if int(i) >= len(m.types) {
		r.fail(at, "unknown type %d", i)
		return 0
	}
	return i
}

func (m *module) importItem(r *reader) {
	at := r.at
	module, name := r.name(m.limits.NameBytes), r.name(m.limits.NameBytes)
	if strings.HasPrefix(module, reservedPrefix) || strings.HasPrefix(name, reservedPrefix) {
		r.fail(at, "import %.100q %.100q: names that start with %s are reserved", module, name, reservedPrefix)
	}
	at = r.at
	kind := r.byte()
	switch kind {
	case kindFunc:
		m.funcs = append(m.funcs, m.typeIndex(r))
		if len(m.funcs) > m.limits.Functions {
			r.fail(at, "%d functions, the limit is %d", len(m.funcs), m.limits.Functions)
		}
	case kindTable:
		m.table(r, true)
		if len(m.tables) > m.limits.Tables {
			r.fail(at, "%d tables, the limit is %d", len(m.tables), m.limits.Tables)
		}
	case kindMemory:
		m.memory(r, true)
	case kindGlobal:
		m.globals = append(m.globals, m.globalType(r, true))
		if len(m.globals) > m.limits.Globals {
			r.fail(at, "%d globals, the limit is %d", len(m.globals), m.limits.Globals)
		}
	case 4:
		r.fail(at, "import %.100q %.100q: a tag (exceptions)", module, name)
	default:
		r.fail(at, "import %.100q %.100q: unknown kind %d", module, name, kind)
	}
	if r.err != nil {
		return
	}
	i := Import{Module: module, Name: name, Kind: Kind(kind)}
	if kind == kindFunc {
		i.Type = m.functionType(uint32(len(m.funcs) - 1))
	}
	m.imports = append(m.imports, i)
}

func (r *reader) bounds() bounds {
	at := r.at
	var b bounds
	switch flag := r.byte(); {
	case flag <= 1:
		b.hasMax = flag == 1
	case flag <= 3:
		r.fail(at, "shared limits (threads)")
	case flag <= 7:
		r.fail(at, "64-bit limits (memory64)")
	default:
		r.fail(at, "unknown limits flag %#x", flag)
	}
	b.min = r.u32()
	if b.hasMax {
		b.max = r.u32()
		if b.min > b.max {
			r.fail(at, "size minimum %d must not be greater than maximum %d", b.min, b.max)
		}
	}
	return b
}

func (m *module) table(r *reader, imported bool) {
	t := table{element: r.refType(), imported: imported}
	at := r.at
	if t.size = r.bounds(); int64(t.size.min) > int64(m.limits.TableItems) {
		r.fail(at, "table of %d items, the limit is %d", t.size.min, m.limits.TableItems)
	}
	m.tables = append(m.tables, t)
}

func (m *module) memory(r *reader, imported bool) {
	at := r.at
	mem := memory{size: r.bounds(), imported: imported}
	switch {
	case len(m.memories) > 0:
		r.fail(at, "more than one memory (multiple memories are not supported)")
	case mem.size.min > maxPages || mem.size.max > maxPages:
		r.fail(at, "memory size must be at most %d pages (4 GiB)", maxPages)
	case int64(mem.size.min) > int64(m.limits.MemoryPages):
		r.fail(at, "memory of %d pages, the limit is %d", mem.size.min, m.limits.MemoryPages)
	}
	m.memories = append(m.memories, mem)
}

func (m *module) globalType(r *reader, imported bool) global {
	g := global{value: r.valueType(), imported: imported}
	at := r.at
	b := r.byte()
	if b > 1 {
		r.fail(at, "malformed mutability %#x", b)
	}
	g.mutable = b == 1
	return g
}

// global reads one defined global. Its expression sees only the imported globals.
func (m *module) global(r *reader, imported int) {
	g := m.globalType(r, false)
	m.constant(r, g.value, imported)
	m.globals = append(m.globals, g)
}

func (m *module) function(r *reader) uint32 {
	at := r.at
	i := r.u32()
	if int(i) >= len(m.funcs) {
		r.fail(at, "unknown function %d", i)
	} else if r.err == nil {
		m.refs = append(m.refs, reference{at, r.at, i})
	}
	return i
}

func (m *module) export(r *reader) {
	at := r.at
	name := r.name(m.limits.NameBytes)
	if strings.HasPrefix(name, reservedPrefix) {
		r.fail(at, "export %.100q: names that start with %s are reserved", name, reservedPrefix)
	}
	if _, ok := m.exports[name]; ok {
		r.fail(at, "export %.100q twice", name)
	}
	kindAt := r.at
	e := export{kind: r.byte(), order: len(m.exports)}
	n := 0
	switch e.kind {
	case kindFunc:
		e.index = m.function(r)
		m.exports[name] = e
		return
	case kindTable:
		n = len(m.tables)
	case kindMemory:
		n = len(m.memories)
	case kindGlobal:
		n = len(m.globals)
	default:
		r.fail(kindAt, "export %.100q: unknown kind %d", name, e.kind)
	}
	if e.index = r.u32(); int(e.index) >= n {
		r.fail(at, "export %.100q: no such index %d", name, e.index)
	}
	m.exports[name] = e
}

func (m *module) startItem(r *reader) {
	m.sections[sectionStart] = section{at: r.at, end: r.end, count: 1}
	at := r.at
	m.start = int(m.function(r))
	if r.err != nil {
		return
	}
	if t := m.types[m.funcs[m.start]]; len(t.params)+len(t.results) > 0 {
		r.fail(at, "start function: expected no parameters and no results, found %s", t)
	}
}

func (m *module) element(r *reader) {
	at := r.at
	flag := r.u32()
	if flag > 7 {
		r.fail(at, "unknown kind %d of element segment", flag)
	}
	passive, explicit, exprs := flag&1 != 0, flag&2 != 0, flag&4 != 0
	var index uint32
	if !passive {
		if explicit {
			index = r.u32()
		}
		if int(index) >= len(m.tables) {
			r.fail(at, "unknown table %d", index)
		}
		m.constant(r, i32, len(m.globals))
	}
	element := funcref
	if passive || explicit {
		kindAt := r.at
		if exprs {
			element = r.refType()
		} else if kind := r.byte(); kind != 0 {
			r.fail(kindAt, "unknown element kind %#x", kind)
		}
	}
	if r.err == nil && !passive && m.tables[index].element != element {
		r.fail(at, "segment of %s for a table of %s", typeName(element), typeName(m.tables[index].element))
	}
	n := r.count(m.limits.ElementItems-m.items, "items of element segments")
	m.items += n
	for range n {
		if exprs {
			m.constant(r, element, len(m.globals))
		} else {
			m.function(r)
		}
	}
	m.elements = append(m.elements, element)
}

func (m *module) data(r *reader) {
	at := r.at
	switch flag := r.u32(); flag {
	case 0, 2:
		if flag == 2 && r.u32() != 0 {
			r.fail(at, "unknown memory (multiple memories are not supported)")
		}
		if len(m.memories) == 0 {
			r.fail(at, "unknown memory 0")
		}
		m.constant(r, i32, len(m.globals))
	case 1:
	default:
		r.fail(at, "unknown kind %d of data segment", flag)
	}
	r.bytes(r.u32())
}

// constant reads a constant expression: one instruction, then end. It may read imported
// immutable globals below the index globals.
func (m *module) constant(r *reader, want valueType, globals int) {
	in := r.instruction(&m.limits)
	if r.err != nil {
		return
	}
	got := unknown
	switch in.op {
	case opI32Const:
		got = i32
	case opI64Const:
		got = i64
	case opF32Const:
		got = f32
	case opF64Const:
		got = f64
	case opV128Const:
		got = v128
	case opRefNull:
		got = in.block
	case opRefFunc:
		got = funcref
		r.at = in.at + 1
		m.function(r)
	case opGlobalGet:
		switch {
		case int(in.x) >= globals:
			r.fail(in.at, "unknown global %d", in.x)
		case !m.globals[in.x].imported || m.globals[in.x].mutable:
			r.fail(in.at, "constant expression required: global %d is not an imported constant (extended constant expressions are not supported)", in.x)
		default:
			got = m.globals[in.x].value
		}
	default:
		r.fail(in.at, "constant expression required, found %s", in.info.name)
	}
	if r.err == nil && got != want {
		r.fail(in.at, "type mismatch: constant of type %s, expected %s", typeName(got), typeName(want))
	}
	at := r.at
	if next := r.instruction(&m.limits); next.op != opEnd && r.err == nil {
		r.fail(at, "constant expression of more than one instruction (extended constant expressions are not supported)")
	}
}

// declare records which functions ref.func may name: those that the module names outside code,
// except as its start function.
func (m *module) declare() {
	m.declared = make([]bool, len(m.funcs))
	start := m.sections[sectionStart]
	for _, ref := range m.refs {
		if start.count == 0 || ref.at < start.at || ref.at >= start.end {
			m.declared[ref.index] = true
		}
	}
}

func (m *module) funcName(i int) string { return fmt.Sprintf("function %d", m.imported+i) }
