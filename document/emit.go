package document

import (
	"bytes"
	"unicode/utf8"
)

// emitWork is the work of skipping a member.
const emitWork = 8

// level says how bytes at one depth of nested strings reach the output.
//
// Original text inside a string is copied from the string's own escaped text, so that its escapes do not
// change. mapped is then set, and a cursor translates positions. Text from edits is escaped anew.
type level struct {
	outer  int // the level at which the string is written
	depth  int // number of enclosing strings
	mapped bool
	plain  bool   // mapped, and the string has no escapes: its text is its content
	source source // the buffer of the string's text
	end    int32  // the end of that text
	at     int32  // the cursor in that text
	held   int32  // the same position in the decoded text
}

// Append appends the document with its edits. Without edits it appends exactly the bytes given to Reset.
// With edits, all unedited bytes stay the same, including white space.
func (d *Document) Append(dst []byte) []byte {
	if !d.edited {
		d.work += len(d.data)
		return append(dst, d.data...)
	}
	root := *d.at(Root)
	dst = append(dst, d.data[:root.start]...)
	dst = d.AppendJSON(dst, Root)
	return append(dst, d.data[root.end:]...)
}

// AppendJSON appends the JSON value of n with its edits. It appends nothing for an absent node.
func (d *Document) AppendJSON(dst []byte, n Node) []byte {
	if !d.valid(n) {
		return dst
	}
	d.levels = append(d.levels[:0], level{})
	return d.emit(dst, n, 0)
}

// emit appends the whole value of n at level l.
func (d *Document) emit(dst []byte, n Node, l int) []byte {
	nd := d.at(n)
	switch {
	case nd.stand != 0:
		open := len(d.levels)
		dst = d.emit(dst, nd.stand, d.fresh(l))
		d.levels = d.levels[:open]
		return dst
	case nd.flags&dirty == 0 || nd.first == 0:
		d.close(n)
		return d.run(dst, l, nd.source, nd.start, nd.end)
	case nd.kind == String:
		return d.emitHolder(dst, n, l)
	}
	dst, at := d.emitMembers(dst, n, l)
	d.close(n)
	return d.run(dst, l, nd.source, at, nd.end)
}

// emitWithin appends the edited value of n inside the text that contains it, and returns the position at
// which that text continues. This is after the value. It is before the value's end if that end is unknown
// and nothing after it was edited.
func (d *Document) emitWithin(dst []byte, n Node, l int) ([]byte, int32) {
	nd := d.at(n)
	if nd.end == 0 && nd.stand == 0 && nd.first != 0 {
		return d.emitMembers(dst, n, l)
	}
	dst = d.emit(dst, n, l)
	return dst, int32(d.close(n))
}

// fresh returns the level of new text inside text of level l.
func (d *Document) fresh(l int) int {
	if !d.levels[l].mapped {
		return l
	}
	d.levels = append(d.levels, level{depth: d.levels[l].depth})
	return len(d.levels) - 1
}

// emitHolder appends a string that holds JSON with edits inside.
func (d *Document) emitHolder(dst []byte, n Node, l int) []byte {
	nd := *d.at(n)
	held := *d.at(nd.first)
	dst = d.run(dst, l, nd.source, nd.start, nd.start+1)
	open := len(d.levels)
	d.levels = append(d.levels, level{
		outer:  l,
		depth:  d.levels[l].depth + 1,
		mapped: true,
		plain:  held.flags&escapedKey == 0,
		source: nd.source,
		end:    nd.end - 1,
		at:     nd.start + 1,
		held:   held.key,
	})
	dst = d.run(dst, open, held.source, held.key, held.start)
	dst = d.emit(dst, nd.first, open)
	dst = d.run(dst, open, held.source, held.end, held.keyEnd)
	d.levels = d.levels[:open]
	return d.run(dst, l, nd.source, nd.end-1, nd.end)
}

// emitMembers appends an object or array with edits inside, up to its last edit, and returns the position
// at which its text continues. It copies runs of unedited text as a whole. Deleting a member also deletes
// the comma before it, or after it for the first member.
func (d *Document) emitMembers(dst []byte, n Node, l int) ([]byte, int32) {
	nd := d.at(n)
	source := nd.source
	buf := d.buffer(source)
	at := nd.start      // where the text continues
	end := nd.start + 1 // the end of the last member in the text
	kept := false
	c := nd.first
	for ; c != 0 && d.at(c).flags&added == 0; c = d.at(c).next {
		m := d.at(c)
		d.pace.pass(emitWork)
		if m.flags&deleted == 0 {
			kept = true
			if m.flags&dirty != 0 {
				dst = d.run(dst, l, source, at, m.start)
				dst, at = d.emitWithin(dst, c, l)
			}
			end = m.end // the last member before an added one has a known end, since all members are indexed
			continue
		}
		end = int32(d.close(c))
		start := m.start
		if m.keyEnd >= 0 {
			start = m.key - 1
		}
		lead := int32(skipBack(buf, int(start)))
		if kept {
			dst = d.run(dst, l, source, at, lead-1)
			at = end
			continue
		}
		dst = d.run(dst, l, source, at, lead)
		at = end
		if next := skipSpace(buf, int(end)); next < len(buf) && buf[next] == ',' {
			at = int32(next) + 1
		}
	}
	if c != 0 {
		if at < end {
			dst = d.run(dst, l, source, at, end)
			at = end
		}
		open := len(d.levels)
		f := d.fresh(l)
		for ; c != 0; c = d.at(c).next {
			m := *d.at(c)
			if m.flags&deleted != 0 {
				continue
			}
			comma := m.key - 2
			if !kept {
				comma++
			}
			kept = true
			dst = d.run(dst, f, m.source, comma, m.start)
			dst = d.emit(dst, c, f)
		}
		d.levels = d.levels[:open]
	}
	return dst, at
}

// run appends the text from a to b of a buffer. The text belongs to level l. At a mapped level, runs must
// be in order.
func (d *Document) run(dst []byte, l int, s source, a, b int32) []byte {
	for {
		if a >= b {
			return dst
		}
		v := &d.levels[l]
		if !v.mapped {
			text := d.buffer(s)[a:b]
			d.work += len(text)
			// Each enclosing string may double the text.
			for most := max(64, pieceBytes>>v.depth); len(text) > most; text = text[most:] {
				dst = d.escape(dst, text[:most], v.depth)
				d.pace.pass(pieceBytes)
			}
			return d.escape(dst, text, v.depth)
		}
		if !v.plain {
			buf := d.buffer(v.source)[:v.end]
			a = v.seek(buf, a, &d.pace)
			b = v.seek(buf, b, &d.pace)
		}
		l, s = v.outer, v.source
	}
}

// seek moves the cursor to a position in the decoded text, and returns the same position in the string's
// text.
func (v *level) seek(buf []byte, to int32, p *pace) int32 {
	at, held := int(v.at), int(v.held)
	for held < int(to) && at < len(buf) {
		if buf[at] != '\\' {
			step := min(int(to)-held, len(buf)-at)
			if i := bytes.IndexByte(buf[at:at+step], '\\'); i >= 0 {
				step = i
			}
			at += step
			held += step
			continue
		}
		p.pass(stepWork)
		r, size := unescape(buf, at)
		at += size
		held += utf8.RuneLen(r)
	}
	v.at, v.held = int32(at), int32(held)
	return v.at
}

// escape appends text after escaping it that many times.
func (d *Document) escape(dst, text []byte, times int) []byte {
	if times == 0 {
		return append(dst, text...)
	}
	base := len(dst)
	dst = appendEscaped(dst, text)
	for range times - 1 {
		again := append([]byte(nil), dst[base:]...)
		dst = appendEscaped(dst[:base], again)
	}
	d.work += escapedWork * (len(dst) - base - len(text))
	return dst
}
