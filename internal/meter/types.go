package meter

import (
	"fmt"
	"strings"
)

// A valueType is a code of the binary format, so lists of them can alias the module.
type valueType = byte

const (
	i32       valueType = 0x7f
	i64       valueType = 0x7e
	f32       valueType = 0x7d
	f64       valueType = 0x7c
	v128      valueType = 0x7b
	funcref   valueType = 0x70
	externref valueType = 0x6f

	unknown valueType = 0 // for operands in unreachable code
)

func typeName(t valueType) string {
	switch t {
	case i32:
		return "i32"
	case i64:
		return "i64"
	case f32:
		return "f32"
	case f64:
		return "f64"
	case v128:
		return "v128"
	case funcref:
		return "funcref"
	case externref:
		return "externref"
	}
	return "any"
}

func typeNames(ts []valueType) string {
	var names []string
	for _, t := range ts {
		names = append(names, typeName(t))
	}
	return "(" + strings.Join(names, " ") + ")"
}

// letterType returns the type of a letter in operation.signature.
func letterType(c byte) valueType {
	switch c {
	case 'i':
		return i32
	case 'l':
		return i64
	case 'f':
		return f32
	case 'd':
		return f64
	}
	return v128
}

func isRef(t valueType) bool { return t == funcref || t == externref }

func (r *reader) valueType() valueType {
	at := r.at
	t := r.byte()
	switch t {
	case i32, i64, f32, f64, v128, funcref, externref:
		return t
	}
	r.fail(at, "unknown value type %#x%s", t, typeProposal(t))
	return i32
}

func (r *reader) refType() valueType {
	at := r.at
	t := r.byte()
	if !isRef(t) {
		r.fail(at, "unknown reference type %#x%s", t, typeProposal(t))
		return funcref
	}
	return t
}

func typeProposal(t byte) string {
	switch {
	case t == 0x69, t == 0x74:
		return " (exceptions)"
	case t >= 0x63 && t <= 0x75:
		return " (typed references, garbage collection)"
	}
	return ""
}

// The lists of a funcType alias the module.
type funcType struct{ params, results []valueType }

func (t funcType) String() string {
	return fmt.Sprintf("%s -> %s", typeNames(t.params), typeNames(t.results))
}

const (
	maxPages = 1 << 16
	pageBits = 16
)

// bounds are the limits of a memory or a table.
type bounds struct {
	min, max uint32
	hasMax   bool
}

type table struct {
	element  valueType
	size     bounds
	imported bool
}

type memory struct {
	size     bounds
	imported bool
}

type global struct {
	value    valueType
	mutable  bool
	imported bool
}

// reference is a position where the module names a function by index, outside code.
type reference struct {
	at, end int
	index   uint32
}

// section is the position of a section's content without its count. at is 0 if there is none.
type section struct {
	at, end int
	count   int
}

// A module is the content of the sections. body is the content of the code.
type module struct {
	bytes    []byte
	limits   Limits
	sections [13]section
	types    []funcType
	funcs    []uint32 // indices of types, imported functions first
	imported int      // number of imported functions
	tables   []table
	memories []memory
	globals  []global
	exports  map[string]export
	start    int // -1: none
	elements []valueType
	declared []bool // functions that ref.func may name
	refs     []reference
	bodies   []body
	names    names
	imports  []Import

	wanted string   // the requested custom section
	custom [][]byte // its contents

	dataCount int // -1: no such section
	items     int // number of elements in all segments together
	crossings int // of the functions validated so far; see Limits

	growsMemory, writesTables, dropsSegments bool
}

type export struct {
	kind  byte
	index uint32
	order int
}

// mutable returns the indices of the module's own mutable globals.
func (m *module) mutable() []int {
	var found []int
	for i, g := range m.globals {
		if g.mutable && !g.imported {
			found = append(found, i)
		}
	}
	return found
}
