package conformance

import (
	"fmt"
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/hostfuncs"
)

// Handles of interned values in a storm: the first of each kind.
const (
	firstPath     = 1
	firstRegex    = 1<<16 + 1
	firstDetector = 1<<17 + 1
)

// The memory layout of a storm, and the lengths of its long values.
const (
	atPath, atRegex, atDetectors, atKey, atMetric, atQuery = 0, 16, 64, 96, 112, 128
	atText, atJSON, atBuffer                               = 1 << 16, 5 << 16, 9 << 16
	longText                                               = 200_000
)

// storms creates a module for every host function for events. The module calls it endlessly
// with its most expensive arguments: texts of 200,000 bytes, all nodes in turn including
// missing ones, all values of the event at once.
func storms() []Case {
	var all []Case
	table := hostfuncs.V1()
	for i := range table {
		f := &table[i]
		if f.Turn == hostfuncs.AtInit || f.Name == "fail" || f.Name == "emit" {
			continue
		}
		all = append(all, Case{Name: "storm-" + f.Name, What: "calls " + f.Name + " for ever, with what is dear for it",
			Wasm: storm(f), Cause: stormEnds(f.Name)})
	}
	return all
}

// stormEnds returns how a storm ends. Nearly all run out of fuel.
func stormEnds(name string) auditrelay.Cause {
	switch name {
	case "set_json_all", "set_string_all":
		return auditrelay.CauseRejectedOutput // more edits than limits.edit_bytes allows
	case "each":
		return auditrelay.CauseProtocol // after a missing node
	}
	return auditrelay.CauseFuel
}

func storm(f *hostfuncs.Function) []byte {
	const counter = 0 // the only local
	functionType := func(params, results []byte) []byte {
		return append(append(append(unsigned([]byte{0x60}, len(params)), params...), byte(len(results))), results...)
	}
	out := section([]byte(header), 1, list(functionType(nil, []byte{typeI32}), functionType([]byte{typeI32, typeI32}, []byte{typeI32}),
		functionType(nil, []byte{typeI64}), functionType(f.ParamTypes(), f.ResultTypes())))
	var imports [][]byte
	for _, im := range []struct {
		name string
		kind byte
	}{{"path", 1}, {"regex", 1}, {"detector", 1}, {"sequence", 2}, {f.Name, 3}} {
		imports = append(imports, append(named(named(nil, hostfuncs.ModuleV1), im.name), 0, im.kind))
	}
	out = section(out, 2, list(imports...))
	out = section(out, 3, list([]byte{0}, []byte{0}))
	out = section(out, 5, list([]byte{0, 16}))
	out = section(out, 7, list(append(named(nil, "memory"), 2, 0), append(named(nil, "auditrelay_event"), 0, 5), append(named(nil, "auditrelay_init"), 0, 6)))

	constant := func(code []byte, n int) []byte { return signed(append(code, opI32Const), int64(n)) }
	init := []byte{0}
	for i, text := range []struct{ at, n int }{{atPath, 2}, {atRegex, 10}, {atDetectors, 12}} {
		init = append(constant(constant(init, text.at), text.n), opCall, byte(i), opDrop)
	}
	init = append(constant(init, 0), opEnd)

	const opIf, opReturn, opI64Eqz, opI64And, opI32Add = 0x04, 0x0f, 0x50, 0x83, 0x6a
	event := []byte{1, 1, typeI32, opCall, 3, opI64Const, 1, opI64And, opI64Eqz, opIf, noValue, opI32Const, 1, opReturn, opEnd, opLoop, noValue}
	event = append(event, opLocalGet, counter, opI32Const, 1, opI32Add, opLocalSet, counter)
	for _, name := range strings.Fields(f.Params) {
		n, isNode := stormArgument(f.Name, name)
		if isNode {
			event = append(event, opLocalGet, counter)
			continue
		}
		event = constant(event, n)
	}
	event = append(event, opCall, 4)
	if f.Result != "" {
		event = append(event, opDrop)
	}
	event = append(event, opBr, 0, opEnd, opI32Const, 1, opEnd)
	body := func(code []byte) []byte { return append(unsigned(nil, len(code)), code...) }
	out = section(out, 10, list(body(event), body(init)))

	value := `"` + strings.Repeat(`\"`, longText/2-1) + `"`
	if f.Name == "event_replace" {
		value = `{"a":"` + strings.Repeat("a", longText-8) + `"}`
	}
	data := func(at int, text string) []byte {
		return named(append(constant([]byte{0}, at), opEnd), text)
	}
	out = section(out, 11, list(data(atPath, "**"), data(atRegex, "(a|b|ab)*c"), data(atDetectors, "secrets, pii"), data(atKey, "key"), data(atMetric, "metric"),
		data(atQuery, stormQuery), data(atText, strings.Repeat("a", longText)), data(atJSON, value)))
	return section(out, 0, append(named(nil, "auditrelay"), `{"name":"storm","abi":"1.0","writes":["**"],"keys":["key"],"metrics":["metric"]}`...))
}

const stormQuery = `*a*.#(#(a==1)#)#.#`

// stormArgument returns the argument of a function's parameter in a storm: a constant, or a
// counter.
func stormArgument(function, name string) (n int, counted bool) {
	json := slices.Contains([]string{"set_json", "set_json_all", "put", "event_replace"}, function)
	switch name {
	case "node", "parent", "previous":
		return 0, true
	case "p":
		return firstPath, false
	case "r", "h":
		return firstRegex, false
	case "d":
		return firstDetector, false
	case "key_ptr":
		if function == "put" {
			return atText, false
		}
		return atKey, false
	case "key_len":
		if function == "put" {
			return longText / 4, false
		}
		return len("key"), false
	case "name_ptr":
		return atMetric, false
	case "name_len":
		return len("metric"), false
	case "ptr":
		switch {
		case function == "query":
			return atQuery, false
		case json:
			return atJSON, false
		}
		return atText, false
	case "len":
		if function == "query" {
			return len(stormQuery), false
		}
		return longText, false
	case "buf":
		return atBuffer, false
	case "cap":
		return longText, false
	case "n":
		return 3, false
	case "operation":
		return 1, false
	case "level":
		return 0, false
	}
	panic(fmt.Sprintf("a storm of %s knows no %s", function, name))
}

// labels returns a body with one br_table of n labels, in a loop. Its targets leave or repeat a
// hundred blocks.
func labels(n int) []byte {
	const opBrTable, blocks = 0x0e, 100
	code := []byte{0, opLoop, noValue}
	code = append(code, strings.Repeat(string([]byte{opBlock, noValue}), blocks)...)
	code = unsigned(append(code, opI32Const, 7, opBrTable), n)
	for i := range n {
		code = unsigned(code, i%blocks)
	}
	code = append(unsigned(code, 0), strings.Repeat(string([]byte{opEnd}), blocks)...)
	return append(code, opBr, 0, opEnd, opEnd)
}

// filled returns a module that fills n pages of memory from its segments at each start.
func filled(module []byte, at, size, pieces int) []byte {
	var segments [][]byte
	for i := range pieces {
		where := append(signed([]byte{0, opI32Const}, int64(at+i*(size/pieces))), opEnd)
		segments = append(segments, append(unsigned(where, size/pieces), strings.Repeat("x", size/pieces)...))
	}
	return section(module, 11, list(segments...))
}
