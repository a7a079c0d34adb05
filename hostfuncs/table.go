// Package hostfuncs implements the functions that guests import: version 1 of the ABI, module
// "auditrelay_v1", and the part of WASI preview 1 that the reactors of ordinary toolchains need
// to start. docs/reference/guest-abi.md is the contract. A test compares its table with this
// package's.
//
// A host function reads and writes the guest's memory only where the guest's arguments point
// to. A pointer outside that memory, an unknown handle, and a call at the wrong time fail the
// event (cause protocol). So does an edit or a record that is not granted or not valid (cause
// rejected_output): a guest that ignored a return value would otherwise let data through that
// it meant to remove.
//
// The package is public because builtin/wasm uses it from another tree. Its Go API has no
// compatibility promise: programs that run guests should use builtin/wasm. The contract with
// guests does not change.
package hostfuncs

import (
	"context"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"auditrelay"
)

// The modules from which a guest may import.
const (
	ModuleV1   = "auditrelay_v1"
	ModuleWASI = "wasi_snapshot_preview1"
)

// The error results of host functions. All are negative.
const (
	Absent     = -1 // there is no such node or value
	WrongKind  = -2 // the node has another kind
	TooLarge   = -3 // a limit is exceeded
	Exists     = -4 // the object already has this key
	NotGranted = -5 // an optional function without a grant
	Unknown    = -6 // an optional function that this host does not have
)

// Need is the grant that a function requires. The module must request it and the operator must
// grant it.
type Need uint8

const (
	NeedNothing Need = iota
	NeedWrite        // grants.write
	NeedKey          // grants.write and grants.keys
	NeedEmit         // grants.emit
	NeedMetric       // grants.metrics
)

func (n Need) String() string {
	switch n {
	case NeedWrite:
		return "write"
	case NeedKey:
		return "write, keys"
	case NeedEmit:
		return "emit"
	case NeedMetric:
		return "metrics"
	}
	return ""
}

// Turn says when a function may be called.
type Turn uint8

const (
	Always  Turn = iota
	AtInit       // during the start of the instance: _initialize and auditrelay_init
	AtEvent      // in auditrelay_event
)

func (t Turn) String() string {
	switch t {
	case AtInit:
		return "init"
	case AtEvent:
		return "event"
	}
	return "always"
}

// Function is one host function of the table. Every parameter is an i32. The result is i32, i64
// (Wide) or none (Result is empty).
type Function struct {
	Name   string
	Params string // names, separated by spaces
	Result string
	Wide   bool
	Need   Need
	Turn   Turn

	call   func(s *State, m api.Memory, a []uint64)
	params []api.ValueType // set if they are not all i32, as in WASI
}

// ParamTypes returns the parameters' types.
func (f *Function) ParamTypes() []api.ValueType {
	if f.params != nil {
		return f.params
	}
	types := make([]api.ValueType, len(strings.Fields(f.Params)))
	for i := range types {
		types[i] = api.ValueTypeI32
	}
	return types
}

// ResultTypes returns the result's type, or none.
func (f *Function) ResultTypes() []api.ValueType {
	switch {
	case f.Result == "":
		return nil
	case f.Wide:
		return []api.ValueType{api.ValueTypeI64}
	}
	return []api.ValueType{api.ValueTypeI32}
}

// String returns the function in the documentation's form: "find(p) -> node".
func (f *Function) String() string {
	s := f.Name + "(" + strings.Join(strings.Fields(f.Params), ", ") + ")"
	if f.Result == "" {
		return s
	}
	if f.Wide {
		return s + " -> " + f.Result + ": i64"
	}
	return s + " -> " + f.Result
}

// Go returns the function in wazero's form. The context of every call into a guest must be the
// instance's *State. Go's result does not allocate.
func (f *Function) Go() api.GoModuleFunc {
	name, turn, call := f.Name, f.Turn, f.call
	return func(ctx context.Context, mod api.Module, stack []uint64) {
		s := ctx.(*State)
		s.function = name
		if turn != Always && turn != s.turn {
			s.fail(auditrelay.CauseProtocol, "called out of turn: it may be called at "+turn.String()+" only")
		}
		s.worked = s.work()
		s.pay(unitsCall)
		call(s, mod.Memory(), stack)
		s.payWork()
	}
}

// work returns the documents' work for this event.
func (s *State) work() int {
	n := s.config.Work()
	if s.doc != nil {
		n += s.doc.Work()
	}
	return n
}

// watchedWork is how much work a document does in one call before it pays and checks the clock.
const watchedWork = 4 * settleAt * bytesPerUnit

// watched is called by the event's document during its work.
func (s *State) watched() {
	s.payWork()
	s.glance()
}

// payWork charges for the documents' work since its last call. Code that visits many nodes
// calls it regularly.
func (s *State) payWork() {
	n := s.work()
	s.pay((n - s.worked) / bytesPerUnit)
	s.worked = n
}

// Stub returns a function that replaces an optional import that the module does not get. It
// always returns answer.
func Stub(answer int32) api.GoModuleFunc {
	return func(_ context.Context, _ api.Module, stack []uint64) {
		if len(stack) > 0 {
			stack[0] = api.EncodeI32(answer)
		}
	}
}

//go:generate go run ../internal/tools/sdkimports ../guests/sdk

// V1 returns the table of the ABI, in the documentation's order.
func V1() []Function {
	return []Function{
		{Name: "path", Params: "ptr len", Result: "p", Turn: AtInit, call: internPath},
		{Name: "regex", Params: "ptr len", Result: "r", Turn: AtInit, call: internRegex},
		{Name: "detector", Params: "ptr len", Result: "d", Turn: AtInit, call: internDetector},

		{Name: "find", Params: "p", Result: "node", Turn: AtEvent, call: find},
		{Name: "each", Params: "p previous", Result: "node", call: each},
		{Name: "child", Params: "node previous", Result: "node", call: child},
		{Name: "length", Params: "node", Result: "count", call: length},
		{Name: "kind", Params: "node", Result: "kind", call: kind},
		{Name: "key", Params: "node buf cap", Result: "length", call: key},

		{Name: "get", Params: "node buf cap", Result: "length", call: get},
		{Name: "get_string", Params: "node buf cap", Result: "length", call: getString},
		{Name: "is", Params: "p ptr len", Result: "bool", Turn: AtEvent, call: is},
		{Name: "matches", Params: "node r", Result: "bool", call: matches},
		{Name: "detects", Params: "node d", Result: "bool", call: detects},
		{Name: "query", Params: "ptr len buf cap", Result: "length", Turn: AtEvent, call: queryEvent},

		{Name: "set_json", Params: "node ptr len", Result: "status", Need: NeedWrite, Turn: AtEvent, call: setJSON},
		{Name: "set_string", Params: "node ptr len", Result: "status", Need: NeedWrite, Turn: AtEvent, call: setString},
		{Name: "put", Params: "parent key_ptr key_len ptr len", Result: "status", Need: NeedWrite, Turn: AtEvent, call: put},
		{Name: "delete", Params: "node", Result: "status", Need: NeedWrite, Turn: AtEvent, call: deleteNode},
		{Name: "mask", Params: "node", Result: "status", Need: NeedWrite, Turn: AtEvent, call: mask},
		{Name: "truncate", Params: "node n", Result: "status", Need: NeedWrite, Turn: AtEvent, call: truncate},
		{Name: "partial", Params: "node n", Result: "status", Need: NeedWrite, Turn: AtEvent, call: partial},
		{Name: "hmac", Params: "node key_ptr key_len", Result: "status", Need: NeedKey, Turn: AtEvent, call: pseudonym},
		{Name: "redact_matches", Params: "node h operation", Result: "count", Need: NeedWrite, Turn: AtEvent, call: redactMatches},

		{Name: "set_json_all", Params: "p ptr len", Result: "count", Need: NeedWrite, Turn: AtEvent, call: setJSONAll},
		{Name: "set_string_all", Params: "p ptr len", Result: "count", Need: NeedWrite, Turn: AtEvent, call: setStringAll},
		{Name: "delete_all", Params: "p", Result: "count", Need: NeedWrite, Turn: AtEvent, call: deleteAll},
		{Name: "mask_all", Params: "p", Result: "count", Need: NeedWrite, Turn: AtEvent, call: maskAll},
		{Name: "truncate_all", Params: "p n", Result: "count", Need: NeedWrite, Turn: AtEvent, call: truncateAll},
		{Name: "partial_all", Params: "p n", Result: "count", Need: NeedWrite, Turn: AtEvent, call: partialAll},
		{Name: "hmac_all", Params: "p key_ptr key_len", Result: "count", Need: NeedKey, Turn: AtEvent, call: pseudonymAll},
		{Name: "redact_matches_all", Params: "p h operation", Result: "count", Need: NeedWrite, Turn: AtEvent, call: redactMatchesAll},

		{Name: "event_len", Result: "length", Turn: AtEvent, call: eventLen},
		{Name: "event_read", Params: "buf cap", Result: "length", Turn: AtEvent, call: eventRead},
		{Name: "event_replace", Params: "ptr len", Result: "status", Need: NeedWrite, Turn: AtEvent, call: eventReplace},

		{Name: "emit", Params: "name_ptr name_len ptr len", Result: "status", Need: NeedEmit, Turn: AtEvent, call: emit},
		{Name: "reason", Params: "ptr len", Result: "status", Turn: AtEvent, call: reason},

		{Name: "config", Params: "buf cap", Result: "length", call: config},
		{Name: "config_find", Params: "p", Result: "node", call: configFind},
		{Name: "sequence", Result: "sequence", Wide: true, Turn: AtEvent, call: sequence},
		{Name: "received", Result: "nanoseconds", Wide: true, Turn: AtEvent, call: received},

		{Name: "log", Params: "level ptr len", Result: "status", call: logLine},
		{Name: "count", Params: "name_ptr name_len n", Result: "status", Need: NeedMetric, Turn: AtEvent, call: count},
		{Name: "fail", Params: "ptr len", call: failWith},
		{Name: "has", Params: "name_ptr name_len", Result: "bool", call: has},
	}
}

// Lookup returns the function with a name.
func Lookup(table []Function, name string) (*Function, bool) {
	for i := range table {
		if table[i].Name == name {
			return &table[i], true
		}
	}
	return nil, false
}

// Signature formats a core function type: "(i32, i32) -> i32".
func Signature(params, results []api.ValueType) string {
	names := func(types []api.ValueType) string {
		s := make([]string, len(types))
		for i, t := range types {
			s[i] = api.ValueTypeName(t)
		}
		return strings.Join(s, ", ")
	}
	return fmt.Sprintf("(%s) -> (%s)", names(params), names(results))
}
