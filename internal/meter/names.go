package meter

import (
	"bytes"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// names is the position of the name section's content. at is 0 if there is none.
type names struct{ at, end int }

const (
	namesModule    = 0
	namesFunctions = 1
)

// appendNames appends a name section. It names the meter's own functions, the named functions
// by their new indices, and the other functions by their original index, so that traces look
// the same as without the meter. Names are truncated and made printable: the engine copies them
// into every trace, and the module's name into the name of every function. Custom sections may
// contain anything, so an invalid one is omitted and causes no error.
func (e *encoder) appendNames(out []byte) []byte {
	module, functions := e.m.givenNames()
	content := appendName(nil, "name")
	if module != nil {
		name := appendName(nil, string(shown(module)))
		content = appendUnsigned(append(content, namesModule), uint64(len(name)))
		content = append(content, name...)
	}
	var list []byte
	count := 0
	add := func(index int, name []byte) {
		list = appendUnsigned(list, uint64(index))
		list = append(appendUnsigned(list, uint64(len(name))), name...)
		count++
	}
	for i := range e.m.funcs {
		if i == e.m.imported {
			add(i, []byte(ImportModule+"."+ImportExhausted))
		}
		switch {
		case len(functions) > 0 && int(functions[0].index) == i:
			add(e.moved(i), shown(functions[0].name))
			functions = functions[1:]
		case i >= e.m.imported:
			add(e.moved(i), fmt.Appendf(nil, "$%d", i)) // as in a trace, with its original index
		}
	}
	if e.m.imported == len(e.m.funcs) {
		add(e.m.imported, []byte(ImportModule+"."+ImportExhausted))
	}
	for i, name := range helperNames {
		add(e.helperIndex(i), []byte(name))
	}
	number := appendUnsigned(nil, uint64(count))
	content = appendUnsigned(append(content, namesFunctions), uint64(len(number)+len(list)))
	content = append(append(content, number...), list...)
	out = appendUnsigned(append(out, sectionCustom), uint64(len(content)))
	return append(out, content...)
}

// maxName is the maximum number of bytes kept of a name.
const maxName = 200

// shown returns a name in the form for traces.
func shown(name []byte) []byte {
	if len(name) > maxName {
		name = append(bytes.ToValidUTF8(name[:maxName], nil), "..."...)
	}
	return bytes.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
}

type functionName struct {
	index uint32
	name  []byte
}

// givenNames returns the module's name, and its functions' names in the order of their indices.
func (m *module) givenNames() (module []byte, functions []functionName) {
	if m.names.at == 0 {
		return nil, nil
	}
	r := &reader{module: m.bytes, at: m.names.at, end: m.names.end}
	for r.left() > 0 && r.err == nil {
		id := r.byte()
		size := r.u32()
		part := &reader{module: m.bytes, at: r.at}
		r.bytes(size)
		if r.err != nil {
			break
		}
		part.end = r.at
		switch {
		case id == namesModule && module == nil:
			if name := part.bytes(part.u32()); utf8.Valid(name) && part.err == nil && part.left() == 0 {
				module = name
			}
		case id == namesFunctions && functions == nil:
			functions = m.functionNames(part)
		}
	}
	return module, functions
}

func (m *module) functionNames(r *reader) []functionName {
	n := r.count(len(m.funcs), "names")
	out := make([]functionName, 0, n)
	next := uint32(0)
	for range n {
		index := r.u32()
		name := r.bytes(r.u32())
		if r.err != nil || index < next || int(index) >= len(m.funcs) || !utf8.Valid(name) {
			return nil
		}
		out = append(out, functionName{index, name})
		next = index + 1
	}
	if r.left() > 0 {
		return nil
	}
	return out
}
