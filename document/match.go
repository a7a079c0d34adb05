package document

import "math/bits"

// Find returns the first node in document order that p selects, or None.
func (d *Document) Find(p *Path) Node { return d.Each(p, None) }

// Each returns the next node after prev that p selects: the first one if prev is None, and None at the end.
// Nodes come in document order, a value before its content. prev may have been edited or deleted meanwhile.
// Each also visits values that an edit put inside prev.
func (d *Document) Each(p *Path, prev Node) Node { return d.each(p, prev, true) }

// EachOutside is Each, but skips everything inside prev. Use it for edits that replace whole matches.
func (d *Document) EachOutside(p *Path, prev Node) Node { return d.each(p, prev, false) }

func (d *Document) each(p *Path, prev Node, into bool) Node {
	if prev != None {
		if prev <= 0 || int(prev) >= d.count() || d.at(prev).flags&hidden != 0 {
			return None
		}
	}
	if d.count() == 0 {
		return None
	}
	if p.deep {
		return d.eachDeep(p, prev, into)
	}
	if prev == None {
		return d.search(p, Root, 0, true)
	}
	n, k := prev, len(p.segments)
	if d.parted {
		n, k = d.remaining(prev, k)
	}
	return d.search(p, n, k, false)
}

// remaining returns the outermost removed node among n and its ancestors, so that a walk continues after
// it. k is the depth of n; the result includes the depth of the returned node.
func (d *Document) remaining(n Node, k int) (Node, int) {
	out, at := n, k
	for c := n; c != Root && k > 0; k-- {
		d.work += stepWork
		if d.at(c).flags&deleted != 0 {
			out, at = c, k
		}
		p := d.at(c).parent
		for v := c; ; v, p = p, d.at(p).parent {
			if s := d.at(p).stand; s != 0 && s != v {
				// c was in a replaced value. Continue after that value.
				out, at = d.visible(p), k-1
			}
			if d.at(p).flags&hidden == 0 {
				break
			}
		}
		c = p
	}
	return out, at
}

// visible returns n, or the node whose value the hidden node n is.
func (d *Document) visible(n Node) Node {
	for d.at(n).flags&hidden != 0 {
		n = d.at(n).parent
	}
	return n
}

// search looks for the rest of p from n, which is k steps deep. It looks inside n if down is set, then
// after n.
func (d *Document) search(p *Path, n Node, k int, down bool) Node {
	for {
		c := Node(0)
		if down {
			if v := d.inside(n); v != None {
				c = d.firstMatching(v, &p.segments[k])
			}
			if c != 0 {
				k++
			}
		}
		for c == 0 {
			if k == 0 {
				return None
			}
			if c = d.nextMatching(n, &p.segments[k-1]); c == 0 {
				n = d.parent(n)
				k--
			}
		}
		if k == len(p.segments) {
			return c
		}
		n, down = c, true
	}
}

// firstMatching returns the first child of v that s selects, or 0.
func (d *Document) firstMatching(v Node, s *segment) Node {
	if c := d.at(v).first; c != 0 {
		return d.matching(c, s)
	}
	return d.extend(v, s)
}

// nextMatching returns the first sibling after n that s selects, or 0.
func (d *Document) nextMatching(n Node, s *segment) Node {
	nd := d.at(n)
	switch {
	case n == Root:
		return 0
	case s.kind == literal && nd.nesting == 0 && nd.flags&deleted == 0 && s.matches(d, nd):
		// Outside strings that hold JSON, keys are distinct.
		return 0
	case nd.next == 0:
		return d.extend(nd.parent, s)
	}
	return d.matching(nd.next, s)
}

// matching returns c, or the first of its later siblings, that s selects, or 0.
func (d *Document) matching(c Node, s *segment) Node {
	for c != 0 {
		nd := d.at(c)
		d.visit()
		if nd.flags&deleted == 0 && s.matches(d, nd) {
			return c
		}
		if nd.next == 0 {
			return d.extend(nd.parent, s)
		}
		c = nd.next
	}
	return 0
}

// walk stores the state of a walk along a path with **: for each node from the root to the last result, the
// set of its positions in the path.
type walk struct {
	path *Path
	node Node
	sets []uint64
}

// Bit i of a set means that segment i is matched next. Bit len(segments) means that the whole path has
// matched.

// closed adds the segments that can match without a step, which are those after **.
func (p *Path) closed(set uint64) uint64 {
	for rest := set; rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros64(rest)
		if i+1 < len(p.segments) && p.segments[i].kind == anyDeep {
			set |= 1 << (i + 1)
		}
	}
	return set
}

// after returns the set after a step to c from a node with the given set.
func (p *Path) after(d *Document, set uint64, c *node) uint64 {
	d.visit()
	var out uint64
	for set &= p.unmatched(); set != 0; set &= set - 1 {
		d.work += stepWork
		i := bits.TrailingZeros64(set)
		s := &p.segments[i]
		switch {
		case s.kind == anyDeep:
			out |= 1 << i
			if i+1 == len(p.segments) {
				out |= 1 << (i + 1)
			}
		case s.matches(d, c):
			out |= 1 << (i + 1)
		}
	}
	return p.closed(out)
}

func (p *Path) unmatched() uint64 { return 1<<len(p.segments) - 1 }

func (p *Path) matched(set uint64) bool { return set>>len(p.segments)&1 != 0 }

// sets appends the sets of the nodes from the root to n.
func (p *Path) sets(d *Document, dst []uint64, n Node) []uint64 {
	if n == Root {
		return append(dst, p.closed(1))
	}
	dst = p.sets(d, dst, d.parent(n))
	return append(dst, p.after(d, dst[len(dst)-1], d.at(n)))
}

func (d *Document) eachDeep(p *Path, prev Node, into bool) Node {
	w := &d.walk
	if prev == None {
		prev, into = Root, true // nothing has matched yet, so there is nothing to skip
		w.sets = append(w.sets[:0], p.closed(1))
	} else if w.path != p || w.node != prev {
		w.sets = p.sets(d, w.sets[:0], prev)
	}
	w.path, w.node = nil, None
	n, sets := prev, w.sets
	if d.parted {
		var depth int
		n, depth = d.remaining(prev, len(sets)-1)
		// The value that replaced an earlier one has not been visited. But its place is before prev's, so
		// the walk continues after it.
		into = into && n == prev && d.at(n).flags&deleted == 0
		sets = sets[:depth+1]
	}
	for {
		c := Node(0)
		if into && sets[len(sets)-1]&p.unmatched() != 0 {
			if v := d.inside(n); v != None {
				c = d.live(d.child(v))
			}
		}
		if c != 0 {
			sets = append(sets, 0)
		}
		for c == 0 {
			if n == Root {
				w.sets = sets
				return None
			}
			if c = d.live(d.sibling(n)); c == 0 {
				n = d.parent(n)
				sets = sets[:len(sets)-1]
			}
		}
		set := p.after(d, sets[len(sets)-2], d.at(c))
		sets[len(sets)-1] = set
		n, into = c, true
		if p.matched(set) {
			w.path, w.node, w.sets = p, n, sets
			return n
		}
	}
}

// Covers reports whether p selects n or a value that contains n, that is, whether a grant to write p allows
// an edit of n. No path covers the root.
func (p *Path) Covers(d *Document, n Node) bool {
	if n == Root || !d.valid(n) {
		return false
	}
	_, ok := p.covers(d, n)
	return ok
}

// CoversKey reports whether p would cover a new member key of n.
func (p *Path) CoversKey(d *Document, n Node, key []byte) bool {
	if !d.valid(n) {
		return false
	}
	set, ok := p.covers(d, n)
	if ok {
		return true
	}
	// A temporary node with the key as Put would write it.
	base := len(d.arena)
	d.escapeText(key)
	c := node{source: d.inArena(), key: int32(base), keyEnd: int32(len(d.arena)), flags: escapedKey}
	set = p.after(d, set, &c)
	d.arena = d.arena[:base]
	return p.matched(set)
}

// covers returns n's set, and whether p matched on the way to n.
func (p *Path) covers(d *Document, n Node) (uint64, bool) {
	if n == Root {
		return p.closed(1), false
	}
	set, ok := p.covers(d, d.parent(n))
	if ok {
		return set, true
	}
	set = p.after(d, set, d.at(n))
	return set, p.matched(set)
}
