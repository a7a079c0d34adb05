package document

import "bytes"

// maxNesting is the maximum number of nested strings that paths can enter. maxHeld is the maximum length of
// such a string.
const (
	maxNesting = 8
	maxHeld    = 4 << 20
)

// A level is indexed only as far as it was read. The end of an object or array that is the last known child
// is found only when a reader moves past it. So entered values are not scanned twice, and unread values are
// not scanned at all.

// child returns the first member or element of v, or 0. v is an object or array.
func (d *Document) child(v Node) Node {
	if c := d.at(v).first; c != 0 {
		return c
	}
	return d.extend(v, &anyStep)
}

// sibling returns the next member or element after n, deleted or not, or 0.
func (d *Document) sibling(n Node) Node {
	nd := d.at(n)
	if nd.next != 0 || n == Root {
		return nd.next
	}
	return d.extend(nd.parent, &anyStep)
}

// anyStep selects every member and element.
var anyStep = segment{kind: anyOne}

// ahead is the number of plain values after the first one for which extend also creates nodes if all are
// selected. A reader that walks will need them.
const ahead = 8

// extend creates nodes for the next members or elements of v, up to the first one that s selects. It
// returns that node, or 0 if there is none.
func (d *Document) extend(v Node, s *segment) Node {
	parent := d.at(v)
	if parent.flags&indexed != 0 {
		return 0
	}
	source, nesting, isObject := parent.source, parent.nesting, parent.kind == Object
	buf := d.buffer(source)
	i, index, prev := int(parent.start)+1, int32(0), parent.last
	if prev != 0 {
		last := d.at(prev)
		index = last.key + 1
		if i = int(last.end); i == 0 {
			i = d.close(prev)
		}
	}
	from, visits := i, 0
	found, most := Node(0), 0
	for {
		if i < len(buf) && buf[i] <= ' ' {
			i = skipSpace(buf, i)
		}
		if i < len(buf) && buf[i] == ',' {
			if i++; i < len(buf) && buf[i] <= ' ' {
				i = skipSpace(buf, i)
			}
		}
		if i >= len(buf) || buf[i] == '}' || buf[i] == ']' {
			break
		}
		n := d.addChild(v, prev, source, nesting)
		nd := d.at(n)
		prev = n
		if isObject {
			i = nd.readKey(buf, i)
		} else {
			nd.key, nd.keyEnd = index, -1
		}
		index++
		nd.start = int32(i)
		selected := s.matches(d, nd)
		i = nd.readValue(buf, i, selected, &d.pace)
		if visits++; visits&63 == 0 {
			d.at(v).last = n
			d.pace.pass(64 * visitWork)
		}
		if !selected {
			continue
		}
		if found == 0 {
			found, most = n, 1
			if s.kind == anyOne {
				most = visits + ahead
			}
		}
		// The end of an object or array is known only after a reader has entered it.
		if visits >= most || nd.end == 0 {
			d.at(v).last = n
			d.work += i - from + visits*visitWork
			return found
		}
	}
	parent = d.at(v)
	parent.last = prev
	parent.flags |= indexed
	if parent.end == 0 {
		parent.end = int32(min(i+1, len(buf)))
	}
	d.work += i - from + visits*visitWork
	return found
}

// addChild adds a node to v, after prev or as the first one.
func (d *Document) addChild(v, prev Node, from source, nesting uint8) Node {
	n, nd := d.next()
	*nd = node{}
	nd.parent, nd.source, nd.nesting = v, from, nesting
	if prev == 0 {
		d.at(v).first = n
	} else {
		d.at(prev).next = n
	}
	return n
}

// readKey reads the key at buf[i] and returns where its value begins.
func (nd *node) readKey(buf []byte, i int) int {
	end, escaped := skipKey(buf, i)
	nd.key, nd.keyEnd = int32(i+1), int32(max(i+1, end-1))
	if escaped {
		nd.flags = escapedKey
	}
	if i = end; i < len(buf) && buf[i] <= ' ' {
		i = skipSpace(buf, i)
	}
	if i++; i < len(buf) && buf[i] <= ' ' { // the colon
		i = skipSpace(buf, i)
	}
	return min(i, len(buf))
}

// readValue reads the value at buf[i] and returns where it ends. For a selected object or array it returns
// i, since a reader will enter it.
func (nd *node) readValue(buf []byte, i int, selected bool, p *pace) int {
	switch {
	case i < len(buf) && buf[i] == '"':
		i = skipString(buf, i, p)
		nd.end, nd.kind = int32(i), String
	case selected && i < len(buf) && buf[i] == '{':
		nd.kind = Object
	case selected && i < len(buf) && buf[i] == '[':
		nd.kind = Array
	default:
		i, nd.kind = skipValue(buf, i, p)
		nd.end = int32(i)
	}
	return i
}

// close returns the end of n's text. It finds the end if it is not known.
func (d *Document) close(n Node) int {
	nd := d.at(n)
	if nd.end != 0 || nd.kind != Object && nd.kind != Array {
		return int(nd.end)
	}
	buf := d.buffer(nd.source)
	i := int(nd.start) + 1
	if nd.last != 0 {
		i = d.close(nd.last)
	}
	end := skipRest(buf, i, &d.pace)
	d.work += end - i
	nd.end = int32(end)
	return end
}

// held returns the hidden node of the value that the string v holds, or 0 if v holds none.
func (d *Document) held(v Node) Node {
	nd := d.at(v)
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
		// The whole content, including white space.
		key: nd.start + 1, keyEnd: nd.end - 1,
	}
	escaped := bytes.IndexByte(content, '\\') >= 0
	if escaped {
		d.room(len(content))
	}
	base := len(d.arena)
	if escaped {
		if base+len(content) > maxBytes {
			return 0
		}
		// content may be in the arena too. If the arena grows, content stays readable at its old place.
		d.arena = appendDecodedIn(d.arena, content, &d.pace)
		content = d.arena[base:]
		inner.source, inner.key, inner.keyEnd = d.inArena(), int32(base), int32(len(d.arena))
	}
	start, end := skipSpace(content, 0), skipBack(content, len(content))
	if start >= end || content[start] != '{' && content[start] != '[' || !checkHeld(content, d.Limits.depth(), &d.pace) {
		d.arena = d.arena[:base]
		return 0
	}
	inner.kind = Object
	if content[start] == '[' {
		inner.kind = Array
	}
	inner.start, inner.end = inner.key+int32(start), inner.key+int32(end)
	if escaped {
		inner.flags |= escapedKey // set here because the text differs from the string's
	}
	h := d.add(inner)
	d.at(v).first, d.at(v).last = h, h
	return h
}

// mayHold reports whether the decoded content of a string could start with an object or array. The first
// byte decides for nearly all strings.
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
