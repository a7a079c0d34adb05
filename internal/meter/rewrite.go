package meter

import (
	"cmp"
	"slices"
)

// The names that a rewritten module imports and exports.
const (
	// ImportModule.ImportExhausted is a function () -> (), called when fuel or depth
	// has fallen below zero. It reads both: with depth below zero it must not
	// return; else it may add to fuel, which may still be below zero then and is
	// looked at again at the next charge, and return. It is called inside guests'
	// calls and inside the start function, when the exports are there already.
	ImportModule    = reservedPrefix
	ImportExhausted = "exhausted"

	// ExportFuel is a mutable i64: the units that are left, 0 in a new instance.
	// Whoever does work on a guest's behalf subtracts it there.
	ExportFuel = reservedPrefix + "_fuel"
	// ExportDepth is a mutable i64: the slots that are left, Options.Depth in a new
	// instance and whenever nothing runs in an instance that has not failed. A host
	// that goes on with one that has failed must set it to that again.
	ExportDepth = reservedPrefix + "_depth"
	// ExportRefused is a mutable i32: 0 in a new instance, 1 once a memory or table
	// was not grown, where the module got -1. Whoever reads it sets it to 0 again;
	// save and restore leave it alone.
	ExportRefused = reservedPrefix + "_refused"
	// ExportSave is a function () -> () that keeps the values of all mutable globals
	// of the module's own aside; ExportRestore brings those back. Neither is
	// charged.
	ExportSave    = reservedPrefix + "_save"
	ExportRestore = reservedPrefix + "_restore"
)

// DefaultDepth is how much of the stack calls may take where Options do not say.
const DefaultDepth = 1 << 18

// Options are Rewrite's; the zero value is the default.
type Options struct {
	Limits Limits

	// Depth is how much of the stack calls may take, in slots of 8 bytes.
	// 0: DefaultDepth, which is 2 MiB. In code made to take more than it seems to, wazero
	// may use some 16 times that; its own end is at 50 to 100 MB.
	Depth int64

	// Custom names a custom section whose content Facts.Custom is to hold.
	Custom string
}

// Metered is a rewritten module and what is known of it.
type Metered struct {
	Wasm  []byte
	Facts Facts
}

// Facts are what a host needs to know of a module without compiling it.
type Facts struct {
	Imports   []Import // as given, without the meter's own
	Exports   []Export // in the order of the module
	Functions int      // of the module's own
	Start     bool
	Custom    [][]byte // of the first two custom sections named Options.Custom; they alias the module

	MemoryMin, MemoryMax uint32 // pages; both 0 without memory
	TableItems           uint32 // that all tables together may come to have
	MutableGlobals       int    // of the module's own, which save and restore know
	ImportsState         bool   // imports a memory, table or global: outside what save and restore reach, and not clamped

	// What makes an instance differ from a new one beyond its memory's content and
	// its globals: the module has instructions that do such.
	GrowsMemory   bool
	WritesTables  bool
	DropsSegments bool
}

// Kind is what is imported or exported.
type Kind uint8

const (
	Function Kind = iota
	Table
	Memory
	Global
)

func (k Kind) String() string { return [...]string{"function", "table", "memory", "global"}[k] }

// FunctionType holds value types by their codes in the binary format. It aliases
// the module.
type FunctionType struct{ Params, Results []byte }

// Import is one thing that a module imports; Type is a function's.
type Import struct {
	Module, Name string
	Kind         Kind
	Type         FunctionType
}

// Export is one thing that a module exports; Type is a function's.
type Export struct {
	Name string
	Kind Kind
	Type FunctionType
}

// Inspect validates a module as Rewrite does, and rewrites nothing.
func Inspect(wasm []byte, o Options) (*Facts, error) {
	m, err := decodeWith(wasm, o)
	if err != nil {
		return nil, err
	}
	facts := newEncoder(m, 0).facts()
	return &facts, nil
}

func decodeWith(wasm []byte, o Options) (*module, *Error) {
	return decode(wasm, o.Limits.withDefaults(), o.Custom)
}

// Rewrite validates a module and returns it rewritten. The error is an *Error.
// The bytes it returns depend on its arguments and Version alone. It keeps
// nothing of wasm.
func Rewrite(wasm []byte, o Options) (*Metered, error) {
	m, err := decodeWith(wasm, o)
	if err != nil {
		return nil, err
	}
	e := newEncoder(m, cmp.Or(o.Depth, DefaultDepth))
	facts := e.facts()
	return &Metered{Wasm: e.encode(), Facts: facts}, nil
}

func (e *encoder) facts() Facts {
	m := e.m
	f := Facts{
		Imports:        m.imports,
		Exports:        m.exportList(),
		Custom:         m.custom,
		Functions:      len(m.funcs) - m.imported,
		Start:          m.start >= 0,
		MutableGlobals: len(m.mutable()),
		GrowsMemory:    m.growsMemory,
		WritesTables:   m.writesTables,
		DropsSegments:  m.dropsSegments,
	}
	for _, mem := range m.memories {
		f.MemoryMin, f.MemoryMax = mem.size.min, e.memoryMax(mem)
		f.ImportsState = f.ImportsState || mem.imported
	}
	for _, t := range m.tables {
		f.TableItems += e.tableMax(t)
		f.ImportsState = f.ImportsState || t.imported
	}
	for _, g := range m.globals {
		f.ImportsState = f.ImportsState || g.imported
	}
	return f
}

// exportList returns the exports in the order of the module.
func (m *module) exportList() []Export {
	out := make([]Export, 0, len(m.exports))
	for name, e := range m.exports {
		x := Export{Name: name, Kind: Kind(e.kind)}
		if e.kind == kindFunc {
			x.Type = m.functionType(e.index)
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b Export) int { return cmp.Compare(m.exports[a.Name].order, m.exports[b.Name].order) })
	return out
}

func (m *module) functionType(function uint32) FunctionType {
	t := m.types[m.funcs[function]]
	return FunctionType{t.params, t.results}
}
