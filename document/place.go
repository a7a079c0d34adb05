package document

import (
	"encoding/binary"
	"slices"
)

// Places encodes the places of nodes so that another Document with the same value can find them. A place
// has for each step from the root the number of the member among the existing ones, or the original index
// of the element. The zero value is ready. Until Reset, a Places belongs to one document. It is not safe
// for concurrent use.
//
// It remembers the last place. So consecutive places cost only the members between them.
type Places struct {
	steps []placeStep
	chain []Node
	walks int
}

// placeStep is a visited child of in, and the number of existing members before it.
type placeStep struct {
	in, child Node
	before    int32
}

// maxPlace is the maximum number of steps in a place. It exceeds the depth of any document, including
// nested strings.
const maxPlace = 1 << 12

// Reset forgets the last place. Call it after a reset of the document, and after members were deleted other
// than the one at the last place.
func (p *Places) Reset() { p.steps = p.steps[:0] }

// Walked returns the number of steps made and members passed since its last call.
func (p *Places) Walked() int {
	n := p.walks
	p.walks = 0
	return n
}

// Append appends the place of n, which must exist. It does not count as the document's work.
func (p *Places) Append(dst []byte, d *Document, n Node) []byte {
	work := d.work
	defer func() { d.work = work }()
	p.chain = p.chain[:0]
	for c := n; c != Root; c = d.parent(c) {
		p.chain = append(p.chain, c)
	}
	p.walks += len(p.chain)
	dst = binary.AppendUvarint(dst, uint64(len(p.chain)))
	slices.Reverse(p.chain)
	for i, c := range p.chain {
		if d.at(c).keyEnd < 0 {
			dst = binary.AppendUvarint(dst, uint64(d.at(c).key))
			continue
		}
		at := p.step(i, d.at(c).parent, d)
		// Start after the last visited member, or at the first one.
		from, before := at.child, at.before
		count, found := p.count(d, from, c, before)
		if !found {
			count, _ = p.count(d, d.child(at.in), c, 0)
		}
		at.child, at.before = c, count
		dst = binary.AppendUvarint(dst, uint64(count))
	}
	return dst
}

// step returns the remembered step i inside in.
func (p *Places) step(i int, in Node, d *Document) *placeStep {
	for len(p.steps) <= i {
		p.steps = append(p.steps, placeStep{in: None})
	}
	at := &p.steps[i]
	if at.in != in {
		*at = placeStep{in: in, child: d.child(in)}
		p.steps = p.steps[:i+1]
	}
	return at
}

// count counts the existing members from one up to another.
func (p *Places) count(d *Document, from, to Node, n int32) (int32, bool) {
	for c := from; c != 0; c = d.sibling(c) {
		d.pace.pass(stepWork)
		if p.walks++; c == to {
			return n, true
		}
		if d.at(c).flags&deleted == 0 {
			n++
		}
	}
	return 0, false
}

// Find returns the node whose place is at the start of b, or None if no such node exists, and the rest of
// b. ok is false if b does not start with a place.
func (p *Places) Find(d *Document, b []byte) (n Node, rest []byte, ok bool) {
	count, size := binary.Uvarint(b)
	if size <= 0 || count > maxPlace {
		return None, nil, false
	}
	b = b[size:]
	p.walks += int(count)
	for i := range int(count) {
		want, size := binary.Uvarint(b)
		if size <= 0 || want > maxBytes {
			return None, nil, false
		}
		b = b[size:]
		if n == None {
			continue
		}
		v := d.inside(n)
		if v == None {
			n = None
			continue
		}
		n = p.find(d, i, v, int32(want))
	}
	return n, b, true
}

// find returns the child of v with a given number in step i.
func (p *Places) find(d *Document, i int, v Node, want int32) Node {
	at := p.step(i, v, d)
	isArray := d.at(v).kind == Array
	c, n := at.child, at.before
	if isArray && c != 0 {
		n = d.at(c).key
	}
	if n > want {
		c, n = d.child(v), 0
	}
	for ; c != 0; c = d.sibling(c) {
		p.walks++
		d.pace.pass(stepWork)
		gone := d.at(c).flags&deleted != 0
		if isArray {
			n = d.at(c).key
		}
		if n == want && !gone {
			at.child, at.before = c, n
			return c
		}
		if n > want {
			return None
		}
		if !isArray && !gone {
			n++
		}
	}
	return None
}

// AppendGaps appends which elements of arrays were deleted. A Document of Append's result can then number
// the other elements as this one does. AppendGaps appends nothing if no element was deleted. Arrays come in
// document order, an outer array before those inside it: each as its place, the number of its gaps, and the
// gaps.
func (d *Document) AppendGaps(dst []byte) []byte {
	if !d.parted || d.at(Root).flags&dirty == 0 {
		return dst
	}
	return d.appendGaps(dst, nil, Root)
}

// appendGaps appends the gaps in n and its content; place is the place of n. It visits only edited nodes.
func (d *Document) appendGaps(dst []byte, place []int32, n Node) []byte {
	v := n
	for d.at(v).stand != 0 {
		v = d.at(v).stand
	}
	if d.at(v).kind == String {
		v = d.at(v).first // the held value
	}
	first := Node(0)
	if v != 0 || n == Root {
		first = d.at(v).first
	}
	isArray, gaps := d.at(v).kind == Array, 0
	for c := first; c != 0 && isArray; c = d.at(c).next {
		if d.at(c).flags&deleted != 0 {
			gaps++
		}
	}
	if gaps > 0 {
		dst = binary.AppendUvarint(dst, uint64(len(place)))
		for _, step := range place {
			dst = binary.AppendUvarint(dst, uint64(step)) //nolint:gosec // a number of a member
		}
		dst = binary.AppendUvarint(dst, uint64(gaps))
		for c := first; c != 0; c = d.at(c).next {
			if d.at(c).flags&deleted != 0 {
				dst = binary.AppendUvarint(dst, uint64(d.at(c).key)) //nolint:gosec // an index
			}
		}
	}
	at := int32(0)
	for c := first; c != 0; c = d.at(c).next {
		if d.at(c).flags&deleted != 0 {
			continue
		}
		if isArray {
			at = d.at(c).key
		}
		if d.at(c).flags&dirty != 0 {
			dst = d.appendGaps(dst, append(place, at), c)
		}
		at++
	}
	return dst
}

// SetGaps numbers the elements of arrays like the Document that wrote gaps. Call it before the document is
// first read. It reports whether gaps is valid.
func (d *Document) SetGaps(gaps []byte) bool {
	var places Places
	number := func() (int32, bool) {
		v, size := binary.Uvarint(gaps)
		if size <= 0 || v > maxBytes {
			return 0, false
		}
		gaps = gaps[size:]
		return int32(v), true
	}
	for len(gaps) > 0 {
		n, rest, ok := places.Find(d, gaps)
		if !ok || n == None {
			return false
		}
		gaps = rest
		v := d.inside(n)
		count, ok := number()
		if !ok || v == None || d.at(v).kind != Array {
			return false
		}
		for c := d.child(v); c != 0; c = d.sibling(c) { //nolint:revive // all of it, since the next index follows from the last
		}
		c, shift := d.at(v).first, int32(0)
		for range count {
			index, ok := number()
			if !ok {
				return false
			}
			for ; c != 0 && d.at(c).key+shift < index; c = d.at(c).next {
				d.at(c).key += shift
			}
			shift++
		}
		for ; c != 0; c = d.at(c).next {
			d.at(c).key += shift
		}
	}
	return true
}
