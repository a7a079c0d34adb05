package document

import "bytes"

// maxNesting is how many strings may lie inside one another and still be stepped
// into, maxHeld how long such a string may be.
const (
	maxNesting = 8
	maxHeld    = 4 << 20
)

// index makes nodes of the members or elements of v.
func (d *Document) index(v Node) {
	parent := &d.nodes[v]
	parent.flags |= indexed
	buf := d.buffer(parent.source)[:parent.end]
	i := int(parent.start) + 1
	d.work += int(parent.end - parent.start)

	child := node{
		parent:  v,
		source:  parent.source,
		nesting: parent.nesting,
	}
	object := parent.kind == Object
	nodes := d.nodes
	first := Node(len(nodes))
	for count := int32(0); ; count++ {
		if i < len(buf) && buf[i] <= ' ' {
			i = skipSpace(buf, i)
		}
		if i >= len(buf) || buf[i] == '}' || buf[i] == ']' {
			break
		}
		if buf[i] == ',' {
			if i++; i < len(buf) && buf[i] <= ' ' {
				i = skipSpace(buf, i)
			}
		}
		child.flags = 0
		if object {
			end, escaped := skipKey(buf, i)
			child.key, child.keyEnd = int32(i+1), int32(max(i+1, end-1))
			if escaped {
				child.flags = escapedKey
			}
			if i = end; i < len(buf) && buf[i] <= ' ' {
				i = skipSpace(buf, i)
			}
			if i++; i < len(buf) && buf[i] <= ' ' { // the colon
				i = skipSpace(buf, i)
			}
		} else {
			child.key, child.keyEnd = count, -1
		}
		child.start = int32(min(i, len(buf)))
		i, child.kind = skipValue(buf, i)
		child.end = int32(i)
		child.next = Node(len(nodes) + 1)
		nodes = append(nodes, child)
	}
	d.nodes = nodes
	if last := Node(len(nodes) - 1); last >= first {
		nodes[last].next = 0
		nodes[v].first, nodes[v].last = first, last
	}
}

// held returns the hidden node of the value that the string v holds, 0 where it
// holds none.
func (d *Document) held(v Node) Node {
	nd := &d.nodes[v]
	if nd.flags&indexed != 0 {
		return nd.first
	}
	nd.flags |= indexed
	content := d.content(nd)
	if len(content) > maxHeld || nd.nesting == maxNesting || !mayHold(content) {
		return 0
	}
	d.work += len(content)
	inner := node{
		parent:  v,
		source:  nd.source,
		nesting: nd.nesting + 1,
		flags:   hidden,
		// The whole content, white space included.
		key: nd.start + 1, keyEnd: nd.end - 1,
	}
	escaped := bytes.IndexByte(content, '\\') >= 0
	base := len(d.arena)
	if escaped {
		if base+len(content) > maxBytes {
			return 0
		}
		// content may lie in the arena too, where a growing arena leaves it
		// readable at its old place.
		d.arena = appendDecoded(d.arena, content)
		content = d.arena[base:]
		inner.source, inner.key, inner.keyEnd = inArena, int32(base), int32(len(d.arena))
	}
	start, end := skipSpace(content, 0), skipBack(content, len(content))
	if start >= end || content[start] != '{' && content[start] != '[' || !checkHeld(content, d.Limits.depth()) {
		d.arena = d.arena[:base]
		return 0
	}
	inner.kind = Object
	if content[start] == '[' {
		inner.kind = Array
	}
	inner.start, inner.end = inner.key+int32(start), inner.key+int32(end)
	if escaped {
		inner.flags |= escapedKey // here: the text differs from the string's
	}
	h := Node(len(d.nodes))
	d.nodes = append(d.nodes, inner)
	d.nodes[v].first, d.nodes[v].last = h, h
	return h
}

// mayHold reports whether the inside of a string, decoded, could begin with an
// object or array. Nearly all strings are told apart by their first byte.
func mayHold(b []byte) bool {
	for i := 0; i < len(b); {
		r, size := rune(b[i]), 1
		if b[i] == '\\' {
			r, size = unescape(b, i)
		}
		switch r {
		case '{', '[':
			return true
		case ' ', '\n', '\r', '\t':
			i += size
		default:
			return false
		}
	}
	return false
}
