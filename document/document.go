package document

import (
	"bytes"
	"strconv"
)

// Document is one JSON document with its edits. The zero value is ready for Reset; before Reset it has no
// nodes. A Document that is reused from event to event allocates almost nothing. It is not safe for
// concurrent use.
type Document struct {
	// Limits apply to the values in edits. The depth of each value counts from its place in the document.
	// Bytes limits the total of all values since Reset in their written form, that is, escaped inside
	// strings that hold JSON.
	Limits Limits

	data   []byte   // owned by the caller
	arena  []byte   // values from edits, and decoded strings
	full   [][]byte // former arenas: a full arena is kept here instead of being copied
	nodes  []node   // the first nodes; see at
	pieces [][]node // the other nodes
	levels []level  // the levels of serialising
	work   int
	given  int  // bytes from edits, in their written form
	edited bool // the document differs from data
	parted bool // a node was deleted or replaced, so some nodes may be invalid

	walk    walk
	scratch []byte

	pace pace
}

// Node is a value in a document. It is valid until the next Reset. Edits do not renumber nodes. A number
// that the document never returned acts as Absent.
type Node int32

const (
	// Root is the document itself.
	Root Node = 0
	// None means no node.
	None Node = -1
)

// Kind is the type of a node's value.
type Kind uint8

// The kinds. Absent is the kind of a node that does not exist or was removed.
const (
	Absent Kind = iota
	Null
	Bool
	Number
	String
	Object
	Array
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Absent:
		return "absent"
	case Null:
		return "null"
	case Bool:
		return "bool"
	case Number:
		return "number"
	case String:
		return "string"
	case Object:
		return "object"
	case Array:
		return "array"
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// source says which buffer a node's positions refer to: 0 is the data, n the n-th piece of the arena.
type source uint8

const inData source = 0

// arenaPiece is the size from which the arena continues in a new piece instead of growing. Growing copies
// the arena. A copy of megabytes would delay a guest's next check of the clock.
const arenaPiece = 256 << 10

// room prepares the arena for a text of about n bytes.
func (d *Document) room(n int) {
	const most = 254
	if len(d.arena)+n <= cap(d.arena) || len(d.arena) < arenaPiece || len(d.full) == most {
		return
	}
	d.full = append(d.full, d.arena)
	d.arena = make([]byte, 0, max(n, arenaPiece))
}

// inArena returns the source of text that is appended to the arena.
func (d *Document) inArena() source { return source(len(d.full) + 1) } //nolint:gosec // at most 255

type flags uint8

const (
	indexed    flags = 1 << iota // all its children, or its held value, are known
	hidden                       // a value in place of its parent; callers never get it
	escapedKey                   // the key's text has escapes
	deleted
	added // added by Put, so it is not in its parent's text
	dirty // the node, or a node inside it, was edited
)

// node is one value. A link of 0 means none, since no node has the root as a child.
//
// There are two kinds of hidden nodes. A string that holds JSON has the held value as its first child. A
// replaced node has its new value as its stand.
type node struct {
	start, end  int32 // the value's text; end is 0 until close has found it
	key, keyEnd int32 // the key's text without quotes; for an element the index, with keyEnd -1
	parent      Node
	next        Node // the next sibling
	first, last Node // the children
	stand       Node
	source      source
	kind        Kind
	nesting     uint8 // number of strings around it that hold it
	flags       flags
}

// kept is the maximum size of buffers that are reused for the next event.
const (
	keptNodes = 1 << 14
	keptBytes = 1 << 20
)

// Reset starts over with data. data must have passed Check and must not change while the document is in
// use. Reset neither copies nor reads data.
func (d *Document) Reset(data []byte) {
	if cap(d.nodes) > keptNodes {
		d.nodes, d.pieces = nil, nil
	}
	if cap(d.arena) > keptBytes || len(d.full) > 0 {
		d.arena, d.full = nil, nil
	}
	if cap(d.scratch) > keptBytes {
		d.scratch = nil
	}
	d.data = data
	d.arena = d.arena[:0]
	d.work, d.given, d.edited, d.parted = 0, 0, false, false
	d.walk.path = nil
	start, end := skipSpace(data, 0), skipBack(data, len(data))
	kind := Absent
	if start < end && data[start] == '{' && len(data) <= maxBytes {
		kind = Object
	} else {
		start, end = 0, 0
	}
	d.nodes = append(d.nodes[:0], node{start: int32(start), end: int32(end), kind: kind, keyEnd: -1})
}

// Edited reports whether any edit took effect since Reset.
func (d *Document) Edited() bool { return d.edited }

// Data returns the bytes given to Reset. The caller must not change them.
func (d *Document) Data() []byte { return d.data }

// visitWork is the work of a visit to a node: it takes as long as scanning that many bytes.
const visitWork = 32

// decodedWork is the work of a byte that is decoded individually. stepWork is the work of a step from a
// node to its parent.
const (
	decodedWork = 4
	stepWork    = 16
)

// escapedWork is the work of a byte that escaping adds.
const escapedWork = 4

// Given returns the number of bytes from edits since Reset in their written form, that is, escaped inside
// strings.
func (d *Document) Given() int { return d.given }

// Work returns the amount of work since Reset, so that the engine can charge a guest for it. It counts
// bytes scanned, decoded, copied or written. A visit to a node counts as the bytes that could be scanned in
// the same time.
func (d *Document) Work() int { return d.work }

// Watch makes the document call f during its methods, each time about every more work was done (see Work).
// A single call can take long, since its time depends on the length of the text that it reads. f may panic
// to abort the call; an edit that is aborted may be incomplete. A nil f ends the watch.
func (d *Document) Watch(every int, f func()) { d.pace = pace{watch: f, every: every, left: every} }

// visit counts a visit to a node.
func (d *Document) visit() {
	d.work += visitWork
	if d.pace.left -= visitWork; d.pace.left < 0 { // pass, inlined
		d.pace.due()
	}
}

func (d *Document) buffer(s source) []byte {
	switch {
	case s == inData:
		return d.data
	case int(s) > len(d.full):
		return d.arena
	}
	return d.full[s-1]
}

// content returns the text inside a string's quotes, without edits.
func (d *Document) content(n *node) []byte {
	return d.buffer(n.source)[n.start+1 : max(n.start+1, n.end-1)]
}

// valid reports whether the document returned n and n still exists.
func (d *Document) valid(n Node) bool {
	return n >= 0 && int(n) < d.count() && d.at(n).flags&(hidden|deleted) == 0 &&
		(!d.parted || !d.gone(n))
}

// gone reports whether n or a node that contains it was deleted or replaced.
func (d *Document) gone(n Node) bool {
	for {
		d.work += stepWork
		nd := d.at(n)
		if nd.flags&deleted != 0 {
			return true
		}
		if n == Root {
			return false
		}
		if stand := d.at(nd.parent).stand; stand != 0 && stand != n {
			return true
		}
		n = nd.parent
	}
}

// value returns the node with n's current value.
func (d *Document) value(n Node) Node {
	if s := d.at(n).stand; s != 0 {
		return s
	}
	return n
}

// inside returns the object or array that a step from n enters, or None.
func (d *Document) inside(n Node) Node {
	n = d.value(n)
	switch d.at(n).kind {
	case String:
		if n = d.held(n); n == 0 {
			return None
		}
	case Object, Array:
	default:
		return None
	}
	return n
}

// live returns n, or the first of its later siblings, that is not deleted.
func (d *Document) live(n Node) Node {
	for n != 0 && d.at(n).flags&deleted != 0 {
		d.work += stepWork
		d.pace.pass(stepWork)
		n = d.sibling(n)
	}
	return n
}

// Kind returns the kind of n.
func (d *Document) Kind(n Node) Kind {
	if !d.valid(n) {
		return Absent
	}
	return d.at(d.value(n)).kind
}

// Holds returns the kind, Object or Array, of the JSON value inside a string. It returns Absent for any
// other string or node.
func (d *Document) Holds(n Node) Kind {
	if d.Kind(n) == String {
		if h := d.held(d.value(n)); h != 0 {
			return d.at(h).kind
		}
	}
	return Absent
}

// Kinds returns Kind and Holds of n.
func (d *Document) Kinds(n Node) (kind, holds Kind) {
	if !d.valid(n) {
		return Absent, Absent
	}
	v := d.value(n)
	if kind = d.at(v).kind; kind == String {
		if h := d.held(v); h != 0 {
			holds = d.at(h).kind
		}
	}
	return kind, holds
}

// Text returns the decoded content of a string (see AppendString), or the text of another value. text is in
// room, or in the document's own bytes if nothing was escaped or edited, so the caller must not change it.
// grown is room, possibly reallocated. text is valid until the next edit or Reset.
func (d *Document) Text(n Node, room []byte) (text, grown []byte) {
	if !d.valid(n) {
		return nil, room
	}
	v := d.at(d.value(n))
	switch {
	case v.flags&dirty != 0 || v.kind == Object || v.kind == Array:
		if v.kind == String {
			room = appendDecodedIn(room[:0], d.written(n), &d.pace)
		} else {
			room = d.AppendJSON(room[:0], n)
		}
		return room, room
	case v.kind != String:
		d.work += int(v.end - v.start)
		return d.buffer(v.source)[v.start:v.end], room
	}
	text = d.content(v)
	d.work += len(text)
	if bytes.IndexByte(text, '\\') >= 0 {
		room = appendDecodedIn(room[:0], text, &d.pace)
		text = room
	}
	return text, room
}

// Len returns the number of members of an object, of elements of an array, or of bytes of a decoded string.
// It returns 0 for any other node.
func (d *Document) Len(n Node) int {
	switch d.Kind(n) {
	case Object, Array:
		count := 0
		for c := d.live(d.child(d.inside(n))); c != 0; c = d.live(d.sibling(c)) {
			count++
			d.pace.pass(visitWork)
		}
		d.work += count * visitWork
		return count
	case String:
		return decodedLen(d.written(n), &d.pace)
	}
	return 0
}

// Child returns the member or element of n after prev: the first one if prev is None, and None at the end.
// It enters a string that holds JSON. prev may have been deleted or replaced meanwhile.
func (d *Document) Child(n, prev Node) Node {
	if !d.valid(n) {
		return None
	}
	v := d.inside(n)
	if v == None {
		return None
	}
	var c Node
	if prev == None {
		c = d.child(v)
	} else {
		if prev < 0 || int(prev) >= d.count() || d.at(prev).flags&hidden != 0 || prev == Root || d.at(prev).parent != v {
			return None
		}
		c = d.sibling(prev)
	}
	d.visit()
	if c = d.live(c); c == 0 {
		return None
	}
	return c
}

// Parent returns the object or array that contains n, or the string that holds n. It returns
// None for the root.
func (d *Document) Parent(n Node) Node {
	if n == Root || !d.valid(n) {
		return None
	}
	return d.parent(n)
}

// parent is Parent for a node other than the root.
func (d *Document) parent(n Node) Node {
	d.work += stepWork
	n = d.at(n).parent
	for d.at(n).flags&hidden != 0 {
		n = d.at(n).parent
	}
	return n
}

// AppendKey appends n's decoded key, or its original index in decimal. It appends nothing for
// the root.
func (d *Document) AppendKey(dst []byte, n Node) []byte {
	if n == Root || !d.valid(n) {
		return dst
	}
	nd := d.at(n)
	if nd.keyEnd < 0 {
		return strconv.AppendInt(dst, int64(nd.key), 10)
	}
	d.work += int(nd.keyEnd - nd.key)
	key := d.buffer(nd.source)[nd.key:nd.keyEnd]
	if nd.flags&escapedKey == 0 {
		return append(dst, key...)
	}
	return appendDecodedIn(dst, key, &d.pace)
}

// AppendString appends a string's decoded content, including edits inside it, and reports
// whether n is a string. Half of a surrogate pair, which can occur only in a string inside a
// string, becomes U+FFFD.
func (d *Document) AppendString(dst []byte, n Node) ([]byte, bool) {
	if d.Kind(n) != String {
		return dst, false
	}
	return appendDecodedIn(dst, d.written(n), &d.pace), true
}

// written returns the inside of the string n with its edits, still escaped. The result is valid
// until the next call of the document.
func (d *Document) written(n Node) []byte {
	v := d.at(d.value(n))
	if v.flags&dirty == 0 {
		b := d.content(v)
		d.work += len(b)
		return b
	}
	text := d.AppendJSON(d.scratch[:0], n)
	d.scratch = text[:0]
	return text[1 : len(text)-1]
}

// Is reports whether n is a string whose decoded content is s.
func (d *Document) Is(n Node, s []byte) bool {
	if d.Kind(n) != String {
		return false
	}
	b := d.written(n)
	if len(b) < len(s) {
		return false
	}
	return string(b) == string(s) && bytes.IndexByte(b, '\\') < 0 || decodedEqual(b, string(s), &d.pace)
}

// AppendPath appends the path that selects n. It appends nothing for the root.
func (d *Document) AppendPath(dst []byte, n Node) []byte {
	if n == Root || !d.valid(n) {
		return dst
	}
	if p := d.parent(n); p != Root {
		dst = append(d.AppendPath(dst, p), '.')
	}
	nd := d.at(n)
	if nd.keyEnd < 0 {
		return strconv.AppendInt(dst, int64(nd.key), 10)
	}
	name := d.AppendKey(d.scratch[:0], n)
	d.scratch = name[:0]
	return appendName(dst, name)
}
