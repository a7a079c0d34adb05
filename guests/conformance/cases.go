package conformance

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/hostfuncs"
)

//go:embed modules/*.wasm
var modules embed.FS

// Case is one hostile module with its required result. If a module gets that far, it misbehaves
// on events with an odd sequence and keeps those with an even one.
type Case struct {
	Name string
	What string // what the module does
	Wasm []byte

	// Refused is part of the reason for which the load must fail. Empty means it must succeed.
	Refused string
	// Cause is the required cause of the event's failure. CauseNone means the event must be
	// kept.
	Cause auditrelay.Cause
}

// Cases returns all cases. Every call returns fresh copies.
func Cases() ([]Case, error) {
	var all []Case
	for _, c := range fromFiles {
		wasm, err := modules.ReadFile("modules/" + c.Name + ".wasm")
		if err != nil {
			return nil, err
		}
		c.Wasm = wasm
		all = append(all, c)
	}
	all = append(all, generated()...)
	all = append(all, pointers()...)
	all = append(all, storms()...)
	slices.SortStableFunc(all, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

var fromFiles = []Case{
	{Name: "loop", What: "loops for ever", Cause: auditrelay.CauseFuel},
	{Name: "loop-nested", What: "loops inside loops", Cause: auditrelay.CauseFuel},
	{Name: "loop-br-table", What: "loops by br_table", Cause: auditrelay.CauseFuel},
	{Name: "loop-call-indirect", What: "loops round a call by a table", Cause: auditrelay.CauseFuel},
	{Name: "loads-chain", What: "loads that wait for each other all over 8 MiB, for ever", Cause: auditrelay.CauseFuel},
	{Name: "denormals", What: "multiplies denormal numbers for ever", Cause: auditrelay.CauseFuel},
	{Name: "worst-br-table", What: "the slowest br_tables for their fuel", Cause: auditrelay.CauseFuel},
	{Name: "worst-bulk", What: "the slowest bulk memory for its fuel", Cause: auditrelay.CauseFuel},
	{Name: "worst-call", What: "the slowest calls for their fuel", Cause: auditrelay.CauseFuel},
	{Name: "worst-if", What: "the slowest branches for their fuel", Cause: auditrelay.CauseFuel},
	{Name: "worst-plain", What: "the slowest single instructions for their fuel", Cause: auditrelay.CauseFuel},
	{Name: "worst-state", What: "the slowest use of globals and tables for its fuel", Cause: auditrelay.CauseFuel},
	{Name: "call-indirect-storm", What: "calls one of 256 functions by a table, as chance has it", Cause: auditrelay.CauseFuel},
	{Name: "simd-slow", What: "divides and takes roots of vectors of denormal numbers, and stores across pages", Cause: auditrelay.CauseFuel},
	{Name: "pages-storm", What: "takes all memory, then writes to a page here and a page there", Cause: auditrelay.CauseFuel},
	{Name: "table-storm", What: "reads and writes a table here and there", Cause: auditrelay.CauseFuel},
	{Name: "segment-init", What: "copies a segment, and nothing of it, over and over", Cause: auditrelay.CauseFuel},
	{Name: "grow-nothing", What: "grows its memory by nothing, for ever", Cause: auditrelay.CauseFuel},
	{Name: "bulk-nothing", What: "fills and copies nothing at the end of its memory, for ever", Cause: auditrelay.CauseFuel},
	{Name: "bulk-overlap", What: "moves 14 MiB by one byte, up and down", Cause: auditrelay.CauseFuel},
	{Name: "joins-values", What: "turns round 120 values that a loop has as its parameters", Cause: auditrelay.CauseFuel},
	{Name: "joins-vectors", What: "turns round 120 vectors that a loop has as its parameters", Cause: auditrelay.CauseFuel},
	{Name: "denormals-scalar", What: "takes roots of, divides and converts denormal numbers", Cause: auditrelay.CauseFuel},
	{Name: "converts", What: "rounds and converts numbers to and fro", Cause: auditrelay.CauseFuel},
	{Name: "divides", What: "divides the largest numbers", Cause: auditrelay.CauseFuel},
	{Name: "globals-storm", What: "turns 240 globals round", Cause: auditrelay.CauseFuel},
	{Name: "references", What: "sets, copies and fills tables of both kinds of references", Cause: auditrelay.CauseFuel},
	{Name: "elements-many", What: "fills a table from a hundred segments", Cause: auditrelay.CauseFuel},
	{Name: "if-tower", What: "400 ifs with results inside each other", Cause: auditrelay.CauseFuel},
	{Name: "select-chain", What: "600 selects that wait for each other", Cause: auditrelay.CauseFuel},
	{Name: "segments-dropped", What: "drops a segment, and takes nothing from it, over and over", Cause: auditrelay.CauseFuel},
	{Name: "recursion-ring", What: "48 functions call each other by a table, with 16 arguments and results", Cause: auditrelay.CauseStack},
	{Name: "recursion-parameters", What: "calls itself with 120 parameters", Cause: auditrelay.CauseStack},
	{Name: "recursion", What: "calls itself, without a loop", Cause: auditrelay.CauseStack},
	{Name: "recursion-mutual", What: "two functions call each other", Cause: auditrelay.CauseStack},
	{Name: "recursion-indirect", What: "calls itself by a table", Cause: auditrelay.CauseStack},
	{Name: "recursion-wide", What: "calls itself with a hundred locals alive", Cause: auditrelay.CauseStack},
	{Name: "recursion-v128", What: "calls itself with 120 vectors alive", Cause: auditrelay.CauseStack},
	{Name: "calls-exponential", What: "calls itself twice at each of sixty levels", Cause: auditrelay.CauseFuel},
	{Name: "bulk-fill", What: "fills 8 MiB over and over", Cause: auditrelay.CauseFuel},
	{Name: "bulk-copy", What: "copies 4 MiB over and over", Cause: auditrelay.CauseFuel},
	{Name: "bulk-fill-straight", What: "fills 8 MiB 64 times, without a loop", Cause: auditrelay.CauseFuel},
	{Name: "table-fill", What: "fills a table over and over", Cause: auditrelay.CauseFuel},
	{Name: "table-copy", What: "copies a table over and over", Cause: auditrelay.CauseFuel},
	{Name: "table-grow", What: "grows a table by millions, is refused, goes on"},
	{Name: "table-grow-loop", What: "grows a table for ever", Cause: auditrelay.CauseFuel},
	{Name: "memory-grow", What: "grows its memory by single pages until refused, and traps", Cause: auditrelay.CauseMemory},
	{Name: "memory-grow-loop", What: "asks for memory for ever", Cause: auditrelay.CauseFuel},
	{Name: "memory-grow-refused", What: "asks for 4 GiB, is refused, goes on"},

	{Name: "start-loop", What: "its start function never ends", Refused: "out_of_fuel"},
	{Name: "start-recursion", What: "its start function calls itself", Refused: "stack"},
	{Name: "start-trap", What: "its start function traps", Refused: "unreachable"},
	{Name: "start-memory", What: "its start function takes all memory, and traps", Refused: "out_of_memory"},
	{Name: "start-pages", What: "its start function fills all memory, and an event traps", Cause: auditrelay.CauseTrap},
	{Name: "initialize-loop", What: "_initialize never ends", Refused: "out_of_fuel"},
	{Name: "init-loop", What: "auditrelay_init never ends", Refused: "out_of_fuel"},
	{Name: "init-trap", What: "auditrelay_init traps", Refused: "unreachable"},

	{Name: "trap-unreachable", What: "executes unreachable", Cause: auditrelay.CauseTrap},
	{Name: "trap-divide", What: "divides by zero", Cause: auditrelay.CauseTrap},
	{Name: "trap-overflow", What: "divides the least integer by -1", Cause: auditrelay.CauseTrap},
	{Name: "trap-conversion", What: "makes an integer of what is no number", Cause: auditrelay.CauseTrap},
	{Name: "trap-load", What: "reads beyond its memory", Cause: auditrelay.CauseTrap},
	{Name: "trap-store", What: "writes beyond its memory", Cause: auditrelay.CauseTrap},
	{Name: "trap-copy", What: "copies from beyond its memory", Cause: auditrelay.CauseTrap},
	{Name: "trap-segment", What: "takes from a dropped segment", Cause: auditrelay.CauseTrap},
	{Name: "trap-table", What: "calls beyond its table", Cause: auditrelay.CauseTrap},
	{Name: "trap-null", What: "calls an empty entry of its table", Cause: auditrelay.CauseTrap},
	{Name: "trap-signature", What: "calls a function as one of another type", Cause: auditrelay.CauseTrap},
	{Name: "shadow-stack", What: "overflows a stack of its own in linear memory", Cause: auditrelay.CauseTrap},
	{Name: "poisoned", What: "marks its state, then traps", Cause: auditrelay.CauseTrap},
	{Name: "exit", What: "exits, by WASI", Cause: auditrelay.CauseTrap},
	{Name: "fail", What: "calls fail", Cause: auditrelay.CauseFail},

	{Name: "verdict-none", What: "answers 0", Cause: auditrelay.CauseProtocol},
	{Name: "verdict-three", What: "answers 3", Cause: auditrelay.CauseProtocol},
	{Name: "verdict-negative", What: "answers -1", Cause: auditrelay.CauseProtocol},
	{Name: "verdict-large", What: "answers 2147483647", Cause: auditrelay.CauseProtocol},
	{Name: "replace-json", What: "replaces the event by no JSON", Cause: auditrelay.CauseRejectedOutput},
	{Name: "replace-array", What: "replaces the event by an array", Cause: auditrelay.CauseRejectedOutput},
	{Name: "replace-utf8", What: "replaces the event by no UTF-8", Cause: auditrelay.CauseRejectedOutput},
	{Name: "replace-surrogate", What: "replaces the event by a lone surrogate", Cause: auditrelay.CauseRejectedOutput},
	{Name: "replace-duplicate", What: "replaces the event by one that names a key twice", Cause: auditrelay.CauseRejectedOutput},
	{Name: "replace-trailing", What: "replaces the event by two", Cause: auditrelay.CauseRejectedOutput},
	{Name: "replace-deep", What: "replaces the event by a thousand nested arrays", Cause: auditrelay.CauseRejectedOutput},

	{Name: "log-flood", What: "logs for ever", Cause: auditrelay.CauseFuel},
	{Name: "reason-flood", What: "gives reasons for ever", Cause: auditrelay.CauseFuel},
	{Name: "emit-flood", What: "emits for ever", Cause: auditrelay.CauseRejectedOutput},
	{Name: "emit-wide", What: "emits records of 5,000 arrays", Cause: auditrelay.CauseRejectedOutput},
	{Name: "edit-nested", What: "sets a text of quotes in eight strings, each to be written as 511 bytes", Cause: auditrelay.CauseRejectedOutput},
	{Name: "set-wide", What: "sets an object of 60,000 keys again and again", Cause: auditrelay.CauseFuel},
	{Name: "hmac-flood", What: "makes pseudonyms of pseudonyms for ever", Cause: auditrelay.CauseFuel},
	{Name: "count-flood", What: "counts for ever", Cause: auditrelay.CauseFuel},
	{Name: "edit-flood", What: "edits for ever", Cause: auditrelay.CauseRejectedOutput},
	{Name: "read-flood", What: "reads the whole event for ever", Cause: auditrelay.CauseFuel},
	{Name: "read-straight", What: "reads the whole event forty thousand times, without a loop", Cause: auditrelay.CauseFuel},
	{Name: "find-flood", What: "looks for a path at any depth for ever", Cause: auditrelay.CauseFuel},
	{Name: "regex-match-flood", What: "tries a costly expression for ever", Cause: auditrelay.CauseFuel},
	{Name: "path-flood", What: "makes path after path while it starts", Refused: "more than"},
	{Name: "regex-flood", What: "makes expression after expression while it starts", Refused: "more than"},
	{Name: "regex-bomb", What: "compiles an expression with a huge program", Refused: "regex"},
	{Name: "random-flood", What: "asks for randomness for ever", Cause: auditrelay.CauseFuel},
	{Name: "print-flood", What: "prints for ever", Cause: auditrelay.CauseFuel},
	{Name: "sleep-flood", What: "sleeps for years, over and over", Cause: auditrelay.CauseFuel},
	{Name: "print-long", What: "prints 8 MiB without a line feed for ever", Cause: auditrelay.CauseFuel},
	{Name: "print-vectors", What: "prints a thousand times nothing for ever", Cause: auditrelay.CauseFuel},
	{Name: "redact-quadratic", What: "redacts what only ends at the end of a long text", Cause: auditrelay.CauseFuel},
	{Name: "redact-earnest", What: "redacts passwords in a text that makes that quadratic", Cause: auditrelay.CauseFuel},
	{Name: "regex-memory", What: "makes expressions that take much memory while it starts", Refused: "limits.memory"},
	{Name: "query-stars", What: "asks for a name with many wildcards", Cause: auditrelay.CauseProtocol},
	{Name: "query-flood", What: "asks for elements of elements for ever", Cause: auditrelay.CauseFuel},
	{Name: "find-wide", What: "looks at any depth of a wide event for ever", Cause: auditrelay.CauseFuel},
	{Name: "edit-far", What: "edits elements of a wide array from both ends", Cause: auditrelay.CauseFuel},
	{Name: "delete-walk", What: "deletes the first element of a wide array, and the next", Cause: auditrelay.CauseFuel},
	{Name: "detect-flood", What: "looks for secrets in a long text full of addresses for ever", Cause: auditrelay.CauseFuel},
	{Name: "start-dear", What: "takes ten events' fuel to start, and traps at an event", Cause: auditrelay.CauseTrap},
	{Name: "reenter-init", What: "runs its own init in an event", Cause: auditrelay.CauseProtocol},
	{Name: "reenter-event", What: "runs its own event while it starts", Refused: "out of turn"},
	{Name: "reenter-itself", What: "runs its own event within it", Cause: auditrelay.CauseStack},
}

// pointers creates a module for every host function that takes a pointer. The module passes a
// pointer outside its memory.
func pointers() []Case {
	var all []Case
	for _, table := range []struct {
		module string
		funcs  []hostfuncs.Function
	}{{hostfuncs.ModuleV1, hostfuncs.V1()}, {hostfuncs.ModuleWASI, hostfuncs.WASI()}} {
		for i := range table.funcs {
			f := &table.funcs[i]
			names := strings.Fields(f.Params)
			if !slices.ContainsFunc(names, pointer) || f.Name == "args_get" || f.Name == "environ_get" { // they write nothing here
				continue
			}
			for _, bad := range []struct {
				name string
				ptr  int32
				len  int32
			}{{"beyond", 65_530, 64}, {"negative", -8, 64}, {"huge", 16, -1}} {
				if bad.len < 0 && table.module == hostfuncs.ModuleWASI {
					continue // its counts have their own limits and errors
				}
				c := Case{Name: fmt.Sprintf("pointer-%s-%s", f.Name, bad.name), Cause: auditrelay.CauseProtocol,
					What: fmt.Sprintf("hands %s memory that is not its own", f.Name)}
				if f.Turn == hostfuncs.AtInit {
					c.Cause, c.Refused = auditrelay.CauseNone, "outside the guest's memory"
				}
				c.Wasm = callWith(table.module, f, names, bad.ptr, bad.len)
				all = append(all, c)
			}
		}
	}
	return all
}

// pointer reports whether a host function's parameter points into memory.
func pointer(name string) bool {
	switch name {
	case "ptr", "buf", "key_ptr", "name_ptr", "argv", "argv_buf", "environ", "environ_buf", "time", "iovs", "written", "stat", "in", "out":
		return true
	}
	return false
}
