package conformance

import (
	"encoding/binary"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"auditrelay"
	"auditrelay/hostfuncs"
)

// The parts of the binary format that the generated modules need.
const (
	opUnreachable, opBlock, opLoop, opEnd, opBr, opBrIf = 0x00, 0x02, 0x03, 0x0b, 0x0c, 0x0d
	opCall, opReturnCall, opDrop                        = 0x10, 0x12, 0x1a
	opLocalGet, opLocalSet, opI32Const, opI64Const      = 0x20, 0x21, 0x41, 0x42
	noValue                                             = 0x40
	typeI32, typeI64                                    = api.ValueTypeI32, api.ValueTypeI64
)

func unsigned(dst []byte, n int) []byte { return binary.AppendUvarint(dst, uint64(n)) }

func signed(dst []byte, n int64) []byte {
	for {
		b := byte(n & 0x7f)
		n >>= 7
		if n == 0 && b&0x40 == 0 || n == -1 && b&0x40 != 0 {
			return append(dst, b)
		}
		dst = append(dst, b|0x80)
	}
}

func named(dst []byte, name string) []byte { return append(unsigned(dst, len(name)), name...) }

func section(dst []byte, id byte, content []byte) []byte {
	return append(unsigned(append(dst, id), len(content)), content...)
}

func list(items ...[]byte) []byte {
	out := unsigned(nil, len(items))
	for _, i := range items {
		out = append(out, i...)
	}
	return out
}

const header = "\x00asm\x01\x00\x00\x00"

// built is a module in the form of a guest: one page of memory and, if extra is set, one more
// function, which auditrelay_event may call as function 1.
type built struct {
	event  []byte // code of auditrelay_event
	extra  []byte // the whole body of a function () -> (), including its locals
	tail   []byte // sections to append
	module string // an import, if set: function 0
	name   string
	params []byte
	result []byte
	start  bool // the code is that of auditrelay_init, and the event is kept
	asks   string
}

func (b built) wasm() []byte {
	functionType := func(params, results []byte) []byte {
		out := append(unsigned([]byte{0x60}, len(params)), params...)
		return append(unsigned(out, len(results)), results...)
	}
	types := list(functionType(nil, []byte{typeI32}), functionType(nil, nil), functionType(b.params, b.result))
	out := section([]byte(header), 1, types)
	first := 0
	if b.module != "" {
		out = section(out, 2, list(append(named(named(nil, b.module), b.name), 0, 2)))
		first = 1
	}
	kinds := [][]byte{{0}, {1}, {0}}
	out = section(out, 3, list(kinds...))
	out = section(out, 5, list([]byte{0, 1}))
	event, init := first, first+2
	exports := [][]byte{append(named(nil, "memory"), 2, 0)}
	if b.start {
		event, init = init, event
		exports = append(exports, unsigned(append(named(nil, "auditrelay_init"), 0), init))
	}
	exports = append(exports, unsigned(append(named(nil, "auditrelay_event"), 0), event))
	out = section(out, 7, list(exports...))
	body := func(code []byte) []byte { return append(unsigned(nil, len(code)), code...) }
	keep := []byte{0, opI32Const, 1, opEnd}
	extra := b.extra
	if extra == nil {
		extra = []byte{0, opEnd}
	}
	code := append(append([]byte{0}, b.event...), opEnd)
	out = section(out, 10, list(body(code), body(extra), body(keep)))
	out = append(out, b.tail...)
	if b.asks != "" {
		out = section(out, 0, append(named(nil, "auditrelay"), b.asks...))
	}
	return out
}

// callWith creates a module that calls a host function with one invalid pointer and length for
// each of its pairs.
func callWith(module string, f *hostfuncs.Function, names []string, ptr, length int32) []byte {
	types := f.ParamTypes()
	var code []byte
	for i, name := range names {
		n := int64(1)
		switch {
		case pointer(name):
			n = int64(ptr)
		case strings.HasSuffix(name, "len"), name == "cap", name == "capacity":
			n = int64(length)
		}
		if types[i] == typeI64 {
			code = signed(append(code, opI64Const), n)
		} else {
			code = signed(append(code, opI32Const), n)
		}
	}
	code = append(code, opCall, 0)
	if len(f.ResultTypes()) > 0 {
		code = append(code, opDrop)
	}
	code = append(code, opI32Const, 1)
	if f.Turn == hostfuncs.AtInit {
		code[len(code)-1] = 0
	}
	return built{event: code, start: f.Turn == hostfuncs.AtInit, module: module, name: f.Name, params: types, result: f.ResultTypes(),
		asks: `{"name":"pointer","abi":"1.0","writes":["**"],"emits":true,"keys":["key"],"metrics":["metric"]}`}.wasm()
}

// generated creates the modules that are too large or too broken to have a source text.
func generated() []Case {
	repeat := func(n int, code ...byte) []byte { return []byte(strings.Repeat(string(code), n)) }
	kept := []byte{opI32Const, 1}
	straight := append([]byte{0, opLoop, noValue}, repeat(250_000, opI32Const, 7, opDrop)...)
	straight = append(straight, opBr, 0, opEnd, opEnd)
	locals := append([]byte{1}, append(unsigned(nil, 4_900), typeI64)...)
	locals = append(locals, opCall, 1, opEnd)
	call := append([]byte{opCall, 1}, kept...)

	manyLocals := append([]byte{1}, append(unsigned(nil, 4_000), typeI64)...)
	for i := range 2_000 {
		manyLocals = append(manyLocals, opLoop, noValue, opLocalGet)
		manyLocals = append(unsigned(manyLocals, i), opLocalSet)
		manyLocals = append(unsigned(manyLocals, (i*7+1)%4_000), opI32Const, 0, opBrIf, 0, opEnd)
	}
	manyLocals = append(manyLocals, opEnd)
	nested := append(append([]byte{0}, repeat(10_000, opBlock, noValue)...), repeat(10_000, opEnd)...)
	nested = append(nested, opEnd)
	tooManyLocals := append([]byte{1}, append(unsigned(nil, 60_000), typeI64)...)
	tooManyLocals = append(tooManyLocals, opEnd)
	tail := []byte{0, opReturnCall, 1, opEnd}
	large := append(append([]byte{0}, repeat(600_000, opI32Const, 7, opDrop)...), opEnd)
	good := built{event: kept}.wasm()

	all := []Case{
		{Name: "straight-line", What: "a megabyte of straight-line code in a loop", Cause: auditrelay.CauseFuel, Wasm: built{event: call, extra: straight}.wasm()},
		{Name: "joins", What: "a loop with an if that sets 4,900 locals, all used afterwards", Cause: auditrelay.CauseFuel, Wasm: built{event: call, extra: joins(4_900)}.wasm()},
		{Name: "joins-init", What: "the same in auditrelay_init", Refused: "out_of_fuel", Wasm: built{event: append([]byte{opCall, 1}, opI32Const, 0), extra: joins(4_900), start: true}.wasm()},
		{Name: "labels-many", What: "a br_table of 60,000 labels in a loop", Cause: auditrelay.CauseFuel, Wasm: built{event: call, extra: labels(60_000)}.wasm()},
		{Name: "segments-large", What: "a memory filled with 60 KB from 4,000 segments at each start, and an event traps", Cause: auditrelay.CauseTrap, Wasm: filled(built{event: append([]byte{opUnreachable}, kept...)}.wasm(), 0, 60_000, 4_000)},
		{Name: "names-broken", What: "traps, and its names say that a million of them follow", Cause: auditrelay.CauseTrap, Wasm: built{event: call, extra: []byte{0, opUnreachable, opEnd}, tail: section(nil, 0, append(named(nil, "name"), 1, 3, 0xc0, 0x84, 0x3d))}.wasm()},
		{Name: "names-long", What: "traps in a function whose name has 8 MiB", Cause: auditrelay.CauseTrap, Wasm: built{event: call, extra: []byte{0, opUnreachable, opEnd}, tail: longName(1, 8<<20)}.wasm()},
		{Name: "names-many", What: "traps in a function whose million locals have names", Cause: auditrelay.CauseTrap, Wasm: built{event: call, extra: []byte{0, opUnreachable, opEnd}, tail: manyNames(1, 1_000_000)}.wasm()},
		{Name: "locals-recursion", What: "calls itself with 4,900 locals", Cause: auditrelay.CauseStack, Wasm: built{event: call, extra: locals}.wasm()},
		{Name: "locals-loops", What: "4,000 locals times 2,000 loops", Refused: "too dear to compile", Wasm: built{event: call, extra: manyLocals}.wasm()},
		{Name: "nested-blocks", What: "10,000 blocks inside each other", Refused: "nested more than", Wasm: built{event: call, extra: nested}.wasm()},
		{Name: "locals-many", What: "60,000 locals", Refused: "the limit is", Wasm: built{event: call, extra: tooManyLocals}.wasm()},
		{Name: "function-large", What: "a function of 1.8 MB", Refused: "the limit is", Wasm: built{event: call, extra: large}.wasm()},
		{Name: "tail-calls", What: "loops by tail calls", Refused: "tail calls", Wasm: built{event: call, extra: tail}.wasm()},

		{Name: "bomb-size", What: "33 MiB of nothing", Refused: "limits.module", Wasm: section(append([]byte(nil), good...), 0, append(named(nil, "nothing"), make([]byte, 33<<20)...))},
		{Name: "bomb-sections", What: "12 bytes that announce 4 billion types", Refused: "the limit is", Wasm: []byte(header + "\x01\x05\xff\xff\xff\xff\x0f")},
		{Name: "bomb-locals", What: "30 bytes that announce 4 billion locals", Refused: "the limit is", Wasm: built{event: call, extra: []byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f, typeI64, opEnd}}.wasm()},
		{Name: "bomb-exports", What: "20,000 exports", Refused: "the limit is", Wasm: section([]byte(header), 7, append(unsigned(nil, 20_000), repeat(20_000, 0, 0, 0)...))},
		{Name: "bomb-types", What: "20,000 types", Refused: "the limit is", Wasm: section([]byte(header), 1, append(unsigned(nil, 20_000), repeat(20_000, 0x60, 0, 0)...))},
		{Name: "bomb-customs", What: "a million empty sections", Refused: "auditrelay_event", Wasm: append([]byte(header), repeat(1_000_000, 0, 1, 0)...)},
		{Name: "broken-empty", What: "nothing", Refused: "unexpected end", Wasm: []byte{}},
		{Name: "broken-text", What: "the text form", Refused: "not a WebAssembly binary", Wasm: []byte("(module)")},
		{Name: "broken-component", What: "a component", Refused: "component", Wasm: []byte("\x00asm\x0d\x00\x01\x00")},
		{Name: "broken-truncated", What: "cut short", Refused: "offset", Wasm: good[:len(good)-3]},
		{Name: "broken-trailing", What: "bytes behind its last section", Refused: "offset", Wasm: append(append([]byte(nil), good...), 0x63, 1, 0)},
		{Name: "broken-twice", What: "a section twice", Refused: "twice", Wasm: section(section([]byte(header), 1, list()), 1, list())},

		{Name: "signature-event", What: "auditrelay_event takes nothing and gives nothing", Refused: "expected () -> (i32)", Wasm: signature("auditrelay_event", 1)},
		{Name: "signature-missing", What: "no auditrelay_event", Refused: "found none", Wasm: signature("event", 0)},
		{Name: "signature-start", What: "a program, with _start", Refused: "_start", Wasm: signature("_start", 1)},
		{Name: "signature-reserved", What: "exports a reserved name", Refused: "reserved", Wasm: signature("auditrelay_meter_fuel", 0)},
		{Name: "import-wrong", What: "imports find as another type", Refused: "expected (i32) -> (i32)", Wasm: built{event: kept, module: hostfuncs.ModuleV1, name: "find", params: []byte{typeI64}, result: []byte{typeI32}}.wasm()},
		{Name: "import-unknown", What: "imports what this host has not", Refused: "no such function", Wasm: built{event: kept, module: hostfuncs.ModuleV1, name: "open_socket", result: []byte{typeI32}}.wasm()},
		{Name: "import-foreign", What: "imports from somebody else", Refused: "cannot import from other modules", Wasm: built{event: kept, module: "env", name: "abort"}.wasm()},
		{Name: "import-meter", What: "imports the meter's own", Refused: "reserved", Wasm: built{event: kept, module: "auditrelay_meter", name: "exhausted"}.wasm()},
		{Name: "import-ungranted", What: "edits without a manifest", Refused: "not granted", Wasm: built{event: kept, module: hostfuncs.ModuleV1, name: "mask", params: []byte{typeI32}, result: []byte{typeI32}}.wasm()},
		{Name: "manifest-broken", What: "a manifest that is no JSON", Refused: "manifest", Wasm: built{event: kept, asks: "{"}.wasm()},
		{Name: "manifest-abi", What: "a manifest of another ABI", Refused: "abi", Wasm: built{event: kept, asks: `{"name":"x","abi":"9.9"}`}.wasm()},
		{Name: "manifest-twice", What: "two manifests", Refused: "manifest", Wasm: section(built{event: kept, asks: `{"name":"x","abi":"1.0"}`}.wasm(), 0, append(named(nil, "auditrelay"), `{"name":"x","abi":"1.0","writes":["**"]}`...))},
		{Name: "manifest-huge", What: "a manifest of a megabyte", Refused: "manifest", Wasm: built{event: kept, asks: `{"name":"` + strings.Repeat("x", 1<<20) + `","abi":"1.0"}`}.wasm()},
	}
	return all
}

// joins returns a body that moves n values at a join of branches on every loop iteration.
func joins(n int) []byte {
	const opIf, opI64Load, opI64Store, opI32Eqz = 0x04, 0x29, 0x37, 0x45
	code := list(append(unsigned(nil, n), typeI64), []byte{1, typeI32})
	condition := unsigned([]byte{opLocalGet}, n)
	address := func(code []byte, i int) []byte { return signed(append(code, opI32Const), int64(8*i)) }
	code = append(append(append(code, opLoop, noValue), condition...), opIf, noValue)
	for i := range n {
		code = append(address(code, i), opI64Load, 3, 0)
		code = unsigned(append(code, opLocalSet), i)
	}
	code = append(append(append(code, opEnd), condition...), opI32Eqz, opBrIf, 0, opEnd)
	for i := range n {
		code = unsigned(append(address(code, i), opLocalGet), i)
		code = append(code, opI64Store, 3, 0)
	}
	return append(code, opEnd)
}

// longName returns a name section with a name of n bytes for one function.
func longName(function, n int) []byte {
	names := named(append([]byte{1}, byte(function)), strings.Repeat("n", n))
	return section(nil, 0, section(named(nil, "name"), 1, names))
}

// manyNames returns a name section with names for n locals of a function that has none.
func manyNames(function, n int) []byte {
	locals := unsigned(unsigned(unsigned(nil, 1), function), n)
	for i := range n {
		locals = named(unsigned(locals, i), "x")
	}
	return section(nil, 0, section(named(nil, "name"), 2, locals))
}

// signature returns a module with only one exported function of a given name and one of two
// types: 0 is () -> (i32), 1 is () -> ().
func signature(name string, kind byte) []byte {
	types := list([]byte{0x60, 0, 1, typeI32}, []byte{0x60, 0, 0})
	out := section([]byte(header), 1, types)
	out = section(out, 3, list([]byte{kind}))
	out = section(out, 5, list([]byte{0, 1}))
	out = section(out, 7, list(append(named(nil, "memory"), 2, 0), append(named(nil, name), 0, 0)))
	code := []byte{0, opUnreachable, opEnd}
	return section(out, 10, list(append(unsigned(nil, len(code)), code...)))
}
