package document

import (
	"math"
	"unicode/utf8"
)

// Edits copy what they are given. A value must be strict JSON, as Check has it,
// of any kind, and no deeper than the limit from where it is put; *Error says
// what is wrong with one. An edit that fails changes nothing.

// SetJSON replaces n's value with the JSON value raw. Nodes inside the old value are
// gone: editing one returns ErrDeleted. The root accepts only an object.
func (d *Document) SetJSON(n Node, raw []byte) error {
	const op = "set_json"
	if err := d.editable(n, len(raw)); err != nil {
		return editError(op, err)
	}
	levels := 0
	if n != Root {
		levels = d.levelsTo(d.at(n).parent)
	}
	raw = trimSpace(raw)
	if n == Root && len(raw) > 0 && raw[0] != '{' {
		return editError(op, ErrRoot)
	}
	if err := checkValue(raw, max(0, d.Limits.depth()-levels), &d.pace); err != nil {
		return editError(op, err)
	}
	d.room(len(raw))
	start := len(d.arena)
	d.keep(raw)
	return d.replace(op, n, start)
}

// keep copies text into the arena. A copy of megabytes into memory that is new to the process
// takes milliseconds, most of them the system's: it is looked in on as if each byte was decoded.
func (d *Document) keep(text []byte) {
	if free := cap(d.arena) - len(d.arena); len(text) > max(free, arenaPiece) {
		d.arena = append(make([]byte, 0, len(d.arena)+len(text)), d.arena...)
	}
	for len(text) > 0 {
		n := min(len(text), pieceBytes)
		d.arena = append(d.arena, text[:n]...)
		d.pace.pass(n)
		text = text[n:]
	}
}

// SetString replaces n's value with the string s, in UTF-8 and not escaped.
func (d *Document) SetString(n Node, s []byte) error {
	const op = "set_string"
	if err := d.editable(n, len(s)); err != nil {
		return editError(op, err)
	}
	if n == Root {
		return editError(op, ErrRoot)
	}
	if err := checkUTF8(s, &d.pace); err != nil {
		return editError(op, err)
	}
	d.room(len(s) + len(`""`))
	start := len(d.arena)
	d.arena = append(d.arena, '"')
	d.escapeText(s)
	d.arena = append(d.arena, '"')
	return d.replace(op, n, start)
}

// escapeText appends s to the arena as the inside of a JSON string.
func (d *Document) escapeText(s []byte) {
	before := len(d.arena)
	d.arena = appendEscapedIn(d.arena, s, &d.pace)
	d.work += len(s) + escapedWork*(len(d.arena)-before-len(s))
}

// Replace replaces the whole document with the JSON object raw. Only the root stays
// valid.
func (d *Document) Replace(raw []byte) error {
	return d.SetJSON(Root, raw)
}

// ReplaceChecked is Replace without the check: raw must have passed Check.
func (d *Document) ReplaceChecked(raw []byte) error {
	const op = "replace"
	if err := d.editable(Root, len(raw)); err != nil {
		return editError(op, err)
	}
	d.room(len(raw))
	start := len(d.arena)
	d.keep(trimSpace(raw))
	return d.replace(op, Root, start)
}

// Put adds the member key, UTF-8 and not escaped, with the JSON value raw, behind
// the last of parent: an object, or a string that holds one. It never makes
// parents. ErrKeyExists where the key is present.
func (d *Document) Put(parent Node, key, raw []byte) error {
	const op = "put"
	if err := d.editable(parent, len(key)+len(raw)); err != nil {
		return editError(op, err)
	}
	v := d.inside(parent)
	if v == None || d.at(v).kind != Object {
		return editError(op, ErrNotObject)
	}
	if err := checkUTF8(key, &d.pace); err != nil {
		return editError(op, err)
	}
	for c := d.child(v); c != 0; c = d.sibling(c) {
		d.work += stepWork
		d.pace.pass(stepWork)
		nd := d.at(c)
		if nd.flags&deleted != 0 {
			continue
		}
		k := d.buffer(nd.source)[nd.key:nd.keyEnd]
		if nd.flags&escapedKey != 0 {
			d.work += decodedWork * min(len(k), 6*len(key))
		} else if len(k) == len(key) {
			d.work += len(k)
		}
		if string(k) == string(key) && nd.flags&escapedKey == 0 || nd.flags&escapedKey != 0 && decodedEqual(k, string(key), &d.pace) {
			return editError(op, ErrKeyExists)
		}
	}
	raw = trimSpace(raw)
	if err := checkValue(raw, max(0, d.Limits.depth()-d.levelsTo(v)), &d.pace); err != nil {
		return editError(op, err)
	}
	d.room(len(key) + len(raw) + len(`,"":`))
	c := node{parent: v, source: d.inArena(), nesting: d.at(v).nesting, kind: kindOf(raw), flags: added | dirty}
	// The member as it will be written, a comma before it where one is needed.
	start := len(d.arena)
	d.arena = append(d.arena, ',', '"')
	c.key = int32(len(d.arena))
	d.escapeText(key)
	if c.keyEnd = int32(len(d.arena)); int(c.keyEnd-c.key) != len(key) {
		c.flags |= escapedKey
	}
	d.arena = append(d.arena, '"', ':')
	c.start = int32(len(d.arena))
	d.keep(raw)
	c.end = int32(len(d.arena))
	if err := d.grow(start, c.nesting); err != nil {
		return editError(op, err)
	}

	n := d.add(c)
	into := d.at(v)
	if into.first == 0 {
		into.first = n
	} else {
		d.at(into.last).next = n
	}
	into.last = n
	d.mark(v)
	return nil
}

// Delete removes n: a member with its key, or an element, behind which the others
// keep their original indices for paths.
func (d *Document) Delete(n Node) error {
	const op = "delete"
	if err := d.editable(n, 0); err != nil {
		return editError(op, err)
	}
	if n == Root {
		return editError(op, ErrRoot)
	}
	d.at(n).flags |= deleted
	d.parted = true
	d.mark(d.at(n).parent)
	return nil
}

// editable reports whether n can be edited with so many bytes.
func (d *Document) editable(n Node, size int) error {
	d.work += 1 + size
	switch {
	case n < 0 || int(n) >= d.count() || d.at(n).flags&hidden != 0:
		return ErrNoNode
	case d.parted && d.gone(n):
		return ErrDeleted
	case size > d.Limits.bytes()-d.given || size > (math.MaxInt32-len(d.arena))/8:
		return ErrGrowth
	}
	return nil
}

// grow counts the text that ends the arena, from start on, as it will be written
// inside so many strings: each doubles quotes and backslashes, so that a little
// text eight strings deep would otherwise become hundreds of times as much. The
// text is taken back where it is too much.
func (d *Document) grow(start int, nesting uint8) error {
	text := d.arena[start:]
	size := len(text)
	if nesting > 0 {
		special := 0
		for i, c := range text {
			if c == '"' || c == '\\' {
				special++
			}
			if i%pieceBytes == pieceBytes-1 {
				d.pace.pass(pieceBytes)
			}
		}
		size += special * (1<<nesting - 1)
	}
	if size > d.Limits.bytes()-d.given {
		d.arena = d.arena[:start]
		return ErrGrowth
	}
	d.given += size
	return nil
}

// replace lets the value that ends the arena, from start on, stand for n.
func (d *Document) replace(op string, n Node, start int) error {
	nesting := d.at(n).nesting
	if err := d.grow(start, nesting); err != nil {
		return editError(op, err)
	}
	stand := node{
		parent:  n,
		start:   int32(start),
		end:     int32(len(d.arena)),
		source:  d.inArena(),
		kind:    kindOf(d.arena[start:]),
		nesting: nesting,
		flags:   hidden,
	}
	if v := d.at(n); v.first != 0 || v.stand != 0 {
		d.parted = true // what was handed out of the old value is gone
	}
	s := d.add(stand)
	d.at(n).stand = s
	d.mark(n)
	return nil
}

// mark makes n, and all it lies in, dirty.
func (d *Document) mark(n Node) {
	d.edited = true
	for d.at(n).flags&dirty == 0 {
		d.at(n).flags |= dirty
		n = d.at(n).parent
	}
}

// levelsTo counts the objects and arrays from v outwards, up to the string that
// holds them or the document.
func (d *Document) levelsTo(v Node) int {
	count := 1
	for v != Root {
		p := d.at(v).parent
		if d.at(v).flags&hidden != 0 {
			if d.at(p).stand != v {
				break // v is what a string holds
			}
			// v stands for p, whose own level is the same.
			if v = p; v == Root {
				break
			}
			p = d.at(v).parent
		}
		v = p
		count++
	}
	return count
}

func kindOf(raw []byte) Kind {
	_, k := skipValue(raw[:min(len(raw), 1)], 0, nil)
	return k
}

func trimSpace(raw []byte) []byte {
	start, end := skipSpace(raw, 0), skipBack(raw, len(raw))
	return raw[min(start, end):end]
}

func checkUTF8(s []byte, p *pace) error {
	from, valid := 0, true
	for valid && len(s)-from > pieceBytes {
		end := from + pieceBytes
		for end > from && !utf8.RuneStart(s[end]) {
			end--
		}
		if end == from {
			break // no text
		}
		valid = utf8.Valid(s[from:end])
		p.pass(pieceBytes)
		from = end
	}
	if valid && utf8.Valid(s[from:]) {
		return nil
	}
	at := 0
	for {
		r, size := utf8.DecodeRune(s[at:])
		if r == utf8.RuneError && size <= 1 {
			return &Error{Reason: UTF8, Offset: at}
		}
		at += size
	}
}
