package meter

import "cmp"

// Limits bound what a module may ask of the host before any of it is compiled. A
// zero field stands for its default. What is over a limit is refused; MemoryPages
// and TableItems also cap what memory and tables may grow to.
type Limits struct {
	ModuleBytes   int // 32 MiB
	Types         int // 10,000
	Params        int // 128 for one type or block; results alike
	Imports       int // 1,000
	Functions     int // 100,000, imported ones included
	Tables        int // 8, imported ones included
	Globals       int // 10,000, imported ones included
	Exports       int // 10,000
	Elements      int // 10,000 segments
	ElementItems  int // 1,000,000 in all segments together
	DataSegments  int // 200,000: a Go guest has 70,000
	NameBytes     int // 1,024 for one import, export or custom section; functions' names in the name section are not bound by it
	BodyBytes     int // 1 MiB for one function
	Locals        int // 5,000 for one function, parameters included
	Nesting       int // 5,000 blocks deep: Go makes a block of every place to which it resumes
	BranchTargets int // 65,536 for one br_table: the official test suite has one of 24,576

	// Crossings and CrossingsPerByte are a crude limit on what compiling takes: in each
	// function, its blocks and branches times its locals. A br_table's label counts as 16
	// branches. Go and C programs have at most 4 for each byte. This stops the worst; only
	// a process with limits of its own bounds what compiling takes.
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
