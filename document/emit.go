package document

import (
	"bytes"
	"unicode/utf8"
)

// emitWork is what a member counts for that is passed over.
const emitWork = 8

// level is how bytes at one depth of strings within strings reach the output.
//
// Original text inside a string is copied from the string's own escaped text, so
// that it comes out as it went in, however its writer escaped: mapped is set and
// a cursor translates positions. Text that edits gave is escaped afresh.
type level struct {
	outer  int // the level that the string is written at
	depth  int // strings around
	mapped bool
	plain  bool   // mapped, and the string's text is its content: no escapes
	source source // of the string's text
	end    int32  // of that text
	at     int32  // cursor in it
	held   int32  // the same place in the decoded text
}

// Append appends the document as it stands: without edits the very bytes given to
// Reset; with edits every byte that none touched as it was, white space included.
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

// AppendJSON appends the JSON value of n as it stands, edits included; nothing
// for a node that is absent.
func (d *Document) AppendJSON(dst []byte, n Node) []byte {
	if !d.valid(n) {
		return dst
	}
	d.levels = append(d.levels[:0], level{})
	return d.emit(dst, n, 0)
}

// emit appends the value of n at level l, whole.
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

// emitWithin appends the edited value of n in the text that it stands in, and
// returns where that goes on: behind the value, or before its end where that was
// not looked for and nothing that follows was edited.
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

// emitHolder appends a string with edits inside the value it holds.
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

// emitMembers appends an object or array with edits inside, up to the last of
// them, and returns where its text goes on. Runs of text that nothing touched are
// copied whole. A member that is deleted takes the comma before it along, or behind
// it where it was the first.
func (d *Document) emitMembers(dst []byte, n Node, l int) ([]byte, int32) {
	nd := d.at(n)
	source := nd.source
	buf := d.buffer(source)
	at := nd.start      // where the text goes on
	end := nd.start + 1 // of the last member in the text
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
			end = m.end // known of the last before an added one: all are indexed
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

// run appends the text from a to b of a buffer, which is text of level l. At a
// mapped level, runs come in order.
func (d *Document) run(dst []byte, l int, s source, a, b int32) []byte {
	for {
		if a >= b {
			return dst
		}
		v := &d.levels[l]
		if !v.mapped {
			text := d.buffer(s)[a:b]
			d.work += len(text)
			// Each string around may double it.
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

// seek moves the cursor to a place in the decoded text and returns where that is
// in the string's text.
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

// escape appends text escaped so many times.
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
