package meter

import (
	"cmp"
	"slices"
)

// The names of imports and exports of a rewritten module.
const (
	// ImportModule.ImportExhausted is a function () -> (), called when fuel or depth has fallen
	// below zero. It reads both. If depth is below zero, it must not return. Otherwise it may
	// add fuel and return; if fuel is still below zero, the next charge checks it again. It is
	// called inside guests' calls and inside the start function, when the exports already
	// exist.
	ImportModule    = reservedPrefix
	ImportExhausted = "exhausted"

	// ExportFuel is a mutable i64: the remaining units, 0 in a new instance. A host function
	// that works for a guest subtracts its cost here.
	ExportFuel = reservedPrefix + "_fuel"
	// ExportDepth is a mutable i64: the remaining slots. It is Options.Depth in a new instance,
	// and whenever nothing runs in an instance that has not failed. A host that continues with
	// a failed instance must reset it to that value.
	ExportDepth = reservedPrefix + "_depth"
	// ExportRefused is a mutable i32: 0 in a new instance, 1 after a memory or table could not
	// grow and the module got -1. The reader resets it to 0. Save and restore do not change it.
	ExportRefused = reservedPrefix + "_refused"
	// ExportSave is a function () -> () that saves the values of all mutable globals of the
	// module. ExportRestore restores them. Neither is charged.
	ExportSave    = reservedPrefix + "_save"
	ExportRestore = reservedPrefix + "_restore"
)

// DefaultDepth is the default stack limit of calls.
const DefaultDepth = 1 << 18

// Options are the options of Rewrite. The zero value is the default.
type Options struct {
	Limits Limits

	// Depth is the stack limit of calls in slots of 8 bytes. 0 means DefaultDepth, which is 2
	// MiB. Code written to use more than it seems to can take some 16 times that in wazero,
	// whose own limit is 50 to 100 MB.
	Depth int64

	// Custom names a custom section whose content Facts.Custom returns.
	Custom string
}

// Metered is a rewritten module with its facts.
type Metered struct {
	Wasm  []byte
	Facts Facts
}

// Facts are what a host must know about a module without compiling it.
type Facts struct {
	Imports   []Import // in the original module, without the meter's own
	Exports   []Export // in the module's order
	Functions int      // the module's own ones
	Start     bool
	Custom    [][]byte // of the first two custom sections named Options.Custom; they alias the module

	MemoryMin, MemoryMax uint32 // pages; both 0 without memory
	TableItems           uint32 // maximum of all tables together
	MutableGlobals       int    // the module's own ones, covered by save and restore
	ImportsState         bool   // imports a memory, table or global: not covered by save and restore, and not limited

	// How an instance can differ from a new one, apart from the content of its memory and its
	// globals: the module has such instructions.
	GrowsMemory   bool
	WritesTables  bool
	DropsSegments bool
}

// Kind is the kind of an import or export.
type Kind uint8

const (
	Function Kind = iota
	Table
	Memory
	Global
)

func (k Kind) String() string { return [...]string{"function", "table", "memory", "global"}[k] }

// FunctionType contains value types as codes of the binary format. It aliases the module.
type FunctionType struct{ Params, Results []byte }

// Import is one import of a module. Type is set for a function.
type Import struct {
	Module, Name string
	Kind         Kind
	Type         FunctionType
}

// Export is one export of a module. Type is set for a function.
type Export struct {
	Name string
	Kind Kind
	Type FunctionType
}

// Inspect validates a module like Rewrite, without rewriting it.
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

// Rewrite validates a module and returns it rewritten. The error is an *Error. The result
// depends only on the arguments and Version. It keeps no reference to wasm.
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

// exportList returns the exports in the module's order.
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
