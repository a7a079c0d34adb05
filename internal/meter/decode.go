package meter

import "bytes"

const (
	sectionCustom = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
)

var sectionNames = [13]string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data", "data count"}

// order returns the position of a section. The data count precedes the code.
func order(id byte) int {
	if id == sectionDataCount {
		return 2*sectionElement + 1
	}
	return 2 * int(id)
}

// decode reads and validates the whole module.
func decode(wasm []byte, l Limits, custom string) (*module, *Error) {
	m := &module{bytes: wasm, limits: l, wanted: custom, exports: map[string]export{}, start: -1, dataCount: -1}
	r := &reader{module: wasm, end: len(wasm), what: "header"}
	switch {
	case len(wasm) > l.ModuleBytes:
		r.fail(0, "%d bytes, the limit is %d", len(wasm), l.ModuleBytes)
	case !bytes.Equal(r.bytes(4), []byte("\x00asm")):
		r.fail(0, "magic header not detected: not a WebAssembly binary")
	case !bytes.Equal(r.bytes(4), []byte{1, 0, 0, 0}):
		r.fail(4, "unknown binary version (a component, or newer than 1)")
	}
	last := 0
	for r.left() > 0 {
		r.what = "section header"
		at := r.at
		id := r.byte()
		switch {
		case id == 13:
			r.fail(at, "unknown section 13 (exceptions)")
		case id > sectionDataCount:
			r.fail(at, "unknown section %d", id)
		case id != sectionCustom && order(id) == last:
			r.fail(at, "section %s twice", sectionNames[id])
		case id != sectionCustom && order(id) < last:
			r.fail(at, "section %s out of order", sectionNames[id])
		}
		size := r.u32()
		if r.err == nil && uint64(size) > uint64(r.left()) {
			r.fail(at, "section %s: %d bytes announced, %d left", sectionNames[id], size, r.left())
		}
		if r.err != nil {
			return nil, r.err
		}
		s := &reader{module: wasm, at: r.at, end: r.at + int(size), what: "section " + sectionNames[id]}
		m.section(s, id)
		if s.err == nil && s.left() > 0 {
			s.fail(s.at, "%d bytes left over", s.left())
		}
		if s.err != nil {
			return nil, s.err
		}
		r.at = s.end
		if id != sectionCustom {
			last = order(id)
		}
	}
	r.what = "module"
	switch {
	case r.err != nil:
	case len(m.bodies) != len(m.funcs)-m.imported:
		r.fail(r.end, "%d functions declared, %d bodies", len(m.funcs)-m.imported, len(m.bodies))
	case m.dataCount >= 0 && m.dataCount != m.sections[sectionData].count:
		r.fail(r.end, "%d data segments announced, %d found", m.dataCount, m.sections[sectionData].count)
	}
	return m, r.err
}

func (m *module) section(r *reader, id byte) {
	l := &m.limits
	s := &m.sections[id]
	// each reads a vector: a count, then that number of items.
	each := func(limit int, items string, item func(r *reader)) {
		s.count = r.count(limit, items)
		s.at, s.end = r.at, r.end
		for range s.count {
			item(r)
			if r.err != nil {
				return
			}
		}
	}
	switch id {
	case sectionCustom:
		switch name := r.name(l.NameBytes); {
		case r.err != nil:
		case name == "name" && m.names.at == 0:
			m.names = names{at: r.at, end: r.end}
		case name == m.wanted && name != "" && len(m.custom) < 2:
			m.custom = append(m.custom, m.bytes[r.at:r.end:r.end])
		}
		r.at = r.end
	case sectionType:
		each(l.Types, "types", m.funcType)
	case sectionImport:
		each(l.Imports, "imports", m.importItem)
		m.imported = len(m.funcs)
	case sectionFunction:
		each(l.Functions-m.imported, "functions", func(r *reader) { m.funcs = append(m.funcs, m.typeIndex(r)) })
	case sectionTable:
		each(l.Tables-len(m.tables), "tables", func(r *reader) { m.table(r, false) })
	case sectionMemory:
		each(l.ModuleBytes, "memories", func(r *reader) { m.memory(r, false) })
	case sectionGlobal:
		imported := len(m.globals)
		each(l.Globals-imported, "globals", func(r *reader) { m.global(r, imported) })
	case sectionExport:
		each(l.Exports, "exports", m.export)
	case sectionStart:
		m.startItem(r)
	case sectionElement:
		each(l.Elements, "element segments", m.element)
	case sectionDataCount:
		m.dataCount = int(r.u32())
	case sectionCode:
		m.declare()
		v := newValidator(m)
		each(l.Functions, "function bodies", func(r *reader) { m.body(r, v) })
	case sectionData:
		each(l.DataSegments, "data segments", m.data)
	}
}
