package meter

import "cmp"

// Limits are the maximum demands of a module on the host, checked before compilation. A zero
// field means its default. A module over a limit is refused. MemoryPages and TableItems also
// limit growth at run time.
type Limits struct {
	ModuleBytes   int // 32 MiB
	Types         int // 10,000
	Params        int // 128 for one type or block; the same for results
	Imports       int // 1,000
	Functions     int // 100,000, including imported ones
	Tables        int // 8, including imported ones
	Globals       int // 10,000, including imported ones
	Exports       int // 10,000
	Elements      int // 10,000 segments
	ElementItems  int // 1,000,000 in all segments together
	DataSegments  int // 200,000: a Go guest has 70,000
	NameBytes     int // 1,024 for one import, export or custom section; the functions' names in the name section have no limit
	BodyBytes     int // 1 MiB for one function
	Locals        int // 5,000 for one function, including parameters
	Nesting       int // 5,000 levels of blocks: Go creates a block for every point of resumption
	BranchTargets int // 65,536 for one br_table: the official test suite has one of 24,576

	// Crossings and CrossingsPerByte roughly limit the cost of compilation: in each function,
	// the number of blocks and branches, and one for the function, times the number of locals,
	// plus the number of values that calls, blocks and branches take and return. A br_table's
	// label counts as 16 branches. Go and C programs have at most 5 per byte. This stops the
	// worst cases, and limits the time of the validation itself; only a process with its own
	// limits really limits the cost of compilation.
	Crossings        int // 2,000,000
	CrossingsPerByte int // 10

	MemoryPages int // 1,024, which is 64 MiB
	TableItems  int // 100,000 for one table
}

func (l Limits) withDefaults() Limits {
	return Limits{
		ModuleBytes:      cmp.Or(l.ModuleBytes, 32<<20),
		Types:            cmp.Or(l.Types, 10_000),
		Params:           cmp.Or(l.Params, 128),
		Imports:          cmp.Or(l.Imports, 1_000),
		Functions:        cmp.Or(l.Functions, 100_000),
		Tables:           cmp.Or(l.Tables, 8),
		Globals:          cmp.Or(l.Globals, 10_000),
		Exports:          cmp.Or(l.Exports, 10_000),
		Elements:         cmp.Or(l.Elements, 10_000),
		ElementItems:     cmp.Or(l.ElementItems, 1_000_000),
		DataSegments:     cmp.Or(l.DataSegments, 200_000),
		NameBytes:        cmp.Or(l.NameBytes, 1_024),
		BodyBytes:        cmp.Or(l.BodyBytes, 1<<20),
		Locals:           cmp.Or(l.Locals, 5_000),
		Nesting:          cmp.Or(l.Nesting, 5_000),
		BranchTargets:    cmp.Or(l.BranchTargets, 1<<16),
		Crossings:        cmp.Or(l.Crossings, 2_000_000),
		CrossingsPerByte: cmp.Or(l.CrossingsPerByte, 10),
		MemoryPages:      min(cmp.Or(l.MemoryPages, 1_024), maxPages),
		TableItems:       cmp.Or(l.TableItems, 100_000),
	}
}
