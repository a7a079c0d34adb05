package document

import (
	"math"
	"unicode/utf8"
)

// Edits copy their arguments. A value must be strict JSON of any kind, as Check requires, and must not
// exceed the depth limit at its place. An *Error says what is wrong with a value. An edit that fails
// changes nothing.

// SetJSON replaces n's value with the JSON value raw. Nodes inside the old value become invalid: editing
// one returns ErrDeleted. The root accepts only an object.
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

// keep copies text into the arena. A copy of megabytes into new memory takes milliseconds, mostly in the
// operating system. So keep reports progress as if each byte were decoded.
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

// SetString replaces n's value with the string s. s is UTF-8 without escapes.
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

// Replace replaces the whole document with the JSON object raw. Only the root stays valid.
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

// Put adds the member key with the JSON value raw after the last member of parent. parent is an object or a
// string that holds one. key is UTF-8 without escapes. Put never creates parents. It returns ErrKeyExists
// if the key exists.
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
	// The new member in its written form, after a comma if one is needed.
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

// Delete removes n: a member with its key, or an element. For paths, later elements keep their original
// indices.
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

// editable returns an error if n cannot be edited with that many bytes.
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

// grow counts the text at the end of the arena, from start on, in its written form inside nesting strings.
// Each string doubles quotes and backslashes, so a short text eight strings deep can become hundreds of
// times as long. If the text is too long, grow removes it from the arena.
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

// replace makes the value at the end of the arena, from start on, the value of n.
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
		d.parted = true // nodes of the old value that callers have are invalid now
	}
	s := d.add(stand)
	d.at(n).stand = s
	d.mark(n)
	return nil
}

// mark makes n and all nodes around it dirty.
func (d *Document) mark(n Node) {
	d.edited = true
	for d.at(n).flags&dirty == 0 {
		d.at(n).flags |= dirty
		n = d.at(n).parent
	}
}

// levelsTo counts the objects and arrays from v outwards, up to the string that holds them or to the
// document.
func (d *Document) levelsTo(v Node) int {
	count := 1
	for v != Root {
		p := d.at(v).parent
		if d.at(v).flags&hidden != 0 {
			if d.at(p).stand != v {
				break // a string holds v
			}
			// v is the value of p, which has the same level.
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
			break // not UTF-8
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
