package query

import (
	"strconv"
	"strings"
	"unsafe"

	"github.com/tidwall/gjson"
)

// pieceBytes is the number of bytes to skip before they are counted. everyWork is the work
// between two calls of watch, about a quarter of a millisecond.
const (
	pieceBytes = 16 << 10
	everyWork  = 128 << 10
	visitWork  = 64 // for a member or element
)

// GetAtPace is like Get, but calls watch regularly while it works; watch may panic to stop it.
// The result is JSON: a part of data, or assembled from parts. There is one difference: a step
// into a string finds nothing, while Get treats brackets in a string as JSON.
func (q *Query) GetAtPace(data []byte, watch func()) (found []byte, ok bool) {
	p := &paced{watch: watch, left: everyWork}
	v := p.get(unsafe.String(unsafe.SliceData(data), len(data)), q.text) // data must not change meanwhile
	if !v.exists() {
		return nil, false
	}
	return unsafe.Slice(unsafe.StringData(v.raw), len(v.raw)), true // the result is read-only
}

// paced calls watch regularly during long work.
type paced struct {
	watch func()
	left  int
}

func (p *paced) spent(n int) {
	if p.left -= n; p.left < 0 {
		p.left = everyWork
		p.watch()
	}
}

// value is a value of the document, or assembled from such values.
type value struct {
	raw  string
	kind gjson.Type
}

func (v value) exists() bool { return v.kind != gjson.Null || v.raw != "" }

// walk is one path into a value.
type walk struct {
	*paced
	found value
	pipe  string
	piped bool
}

func (p *paced) get(json, path string) value {
	w := walk{paced: p}
	switch i := w.blanks(json, 0); {
	case strings.HasPrefix(path, ".."):
		w.array(json, 0, path[2:])
	case i < len(json) && json[i] == '{':
		w.object(json, i+1, path)
	case i < len(json) && json[i] == '[':
		w.array(json, i+1, path)
	}
	if w.piped {
		return p.get(w.found.raw, w.pipe)
	}
	return w.found
}

// object searches the object whose members begin at i. It returns the position after the
// object, or after the match.
func (w *walk) object(json string, i int, path string) (end int, hit bool) {
	s := readName(path)
	if !s.more && s.piped {
		w.pipe, w.piped = s.pipe, true
	}
	for {
		if i = w.gap(json, i); i >= len(json) || json[i] != '"' {
			return i + 1, false
		}
		w.spent(visitWork)
		from := i + 1
		end, escaped := w.text(json, from)
		match := w.names(&s, json[from:max(from, end-1)], escaped)
		i = w.gap(json, end)
		if match && s.more {
			if i, hit = w.into(json, i, s.rest); hit {
				return i, true
			}
			continue
		}
		at := i
		var kind gjson.Type
		if i, kind = w.skip(json, i); match {
			w.found = value{json[at:i], kind}
			return i, true
		}
	}
}

// into continues inside the value at i, or after it if the value has no members or elements.
func (w *walk) into(json string, i int, path string) (end int, hit bool) {
	switch {
	case i < len(json) && json[i] == '{':
		return w.object(json, i+1, path)
	case i < len(json) && json[i] == '[':
		return w.array(json, i+1, path)
	}
	end, _ = w.skip(json, i)
	return end, false
}

// array is like object, for an array.
func (w *walk) array(json string, i int, path string) (end int, hit bool) {
	s := readElement(path)
	if !s.more && s.piped {
		w.pipe, w.piped = s.pipe, true
	}
	if s.every {
		var pipe string
		var ok bool
		if s.key, pipe, ok = splitPipe(s.key); ok {
			w.pipe, w.piped = pipe, true
		}
	}
	want := -1
	if !s.number {
		want = index(s.name)
	}
	var made []byte
	for h := 0; ; h++ {
		if i = w.gap(json, i); i >= len(json) || json[i] == ']' || json[i] == '}' {
			return w.ended(&s, i+1, h, made)
		}
		w.spent(visitWork)
		if h == want && s.more && !s.asks {
			if i, hit = w.into(json, i, s.rest); hit {
				return i, true
			}
			continue
		}
		at := i
		var kind gjson.Type
		i, kind = w.skip(json, i)
		v := value{json[at:i], kind}
		switch {
		case s.asks:
			if made, hit = w.ask(&s, v, made); hit {
				return i, true
			}
		case h == want:
			w.found = v
			return i, true
		case s.every:
			if v = w.get(v.raw, s.key); v.exists() {
				made = appendElement(made, v.raw)
			}
		}
	}
}

func appendElement(made []byte, raw string) []byte {
	if len(made) == 0 {
		made = append(made, '[')
	} else {
		made = append(made, ',')
	}
	return append(made, raw...)
}

// ended returns the result of an array of n elements whose end was reached.
func (w *walk) ended(s *elementStep, end, n int, made []byte) (int, bool) {
	list := func() value {
		if len(made) == 0 {
			made = append(made, '[')
		}
		return value{string(append(made, ']')), gjson.JSON}
	}
	switch {
	case s.number && s.name == "#" && s.every:
		w.found = list()
		return end, true
	case s.number && s.name == "#":
		w.found = value{strconv.Itoa(n), gjson.Number}
		return end, true
	case s.all && !w.found.exists():
		w.found = list()
	}
	return end, false
}

// ask tests an element against a condition.
func (w *walk) ask(s *elementStep, v value, made []byte) (all []byte, hit bool) {
	res := v
	if v.kind == gjson.JSON {
		res = w.get(v.raw, s.test.path)
	} else if s.test.path != "" {
		return made, false
	}
	if !w.meets(&s.test, res) {
		return made, false
	}
	res = v
	if s.more {
		left, right, ok := splitPipe(s.rest)
		if ok {
			s.rest, w.pipe, w.piped = left, right, true
		}
		res = w.get(v.raw, s.rest)
	}
	if !s.all {
		w.found = res
		return made, true
	}
	if res.raw != "" {
		made = appendElement(made, res.raw)
	}
	return made, false
}

// blanks returns the end of the white space at i. gap also skips commas and colons.
func (w *walk) blanks(json string, i int) int {
	for from := i; ; i++ {
		if i >= len(json) || json[i] > ' ' {
			w.spent(i - from)
			return i
		}
		if i-from == pieceBytes {
			w.spent(pieceBytes)
			from = i
		}
	}
}

func (w *walk) gap(json string, i int) int {
	for i < len(json) && (json[i] <= ' ' || json[i] == ',' || json[i] == ':') {
		if i++; i < len(json) && json[i] <= ' ' {
			i = w.blanks(json, i)
		}
	}
	return i
}

// skip returns the end of the value at i.
func (w *walk) skip(json string, i int) (end int, kind gjson.Type) {
	if i >= len(json) {
		return len(json), gjson.Null
	}
	switch json[i] {
	case '"':
		end, _ = w.text(json, i+1)
		return end, gjson.String
	case '{', '[':
		return w.whole(json, i), gjson.JSON
	case 't':
		return min(i+4, len(json)), gjson.True
	case 'f':
		return min(i+5, len(json)), gjson.False
	case 'n':
		return min(i+4, len(json)), gjson.Null
	}
	from := i
	for i++; i < len(json) && json[i] > ' ' && json[i] != ',' && json[i] != '}' && json[i] != ']'; i++ {
		if i-from == pieceBytes {
			w.spent(pieceBytes)
			from = i
		}
	}
	return i, gjson.Number
}

// whole returns the end of the object or array at i.
func (w *walk) whole(json string, i int) int {
	depth, from := 0, i
	for i < len(json) {
		if i-from >= pieceBytes {
			w.spent(i - from)
			from = i
		}
		switch json[i] {
		case '"':
			i, _ = w.text(json, i+1)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				w.spent(i - from)
				return i + 1
			}
		}
		i++
	}
	return len(json)
}

// text returns the end of the string around i, and whether it contains escapes.
func (w *walk) text(json string, i int) (end int, escaped bool) {
	start, from := i, i
	for i < len(json) {
		if i-from >= pieceBytes {
			w.spent(i - from)
			from = i
		}
		piece := json[i:min(i+pieceBytes, len(json))]
		j := strings.IndexByte(piece, '"')
		if j < 0 {
			i += len(piece)
			continue
		}
		i += j + 1
		n := 0
		for k := i - 2; k >= start && json[k] == '\\'; k-- {
			n++
		}
		if n%2 == 0 {
			break
		}
	}
	return i, strings.IndexByte(json[start:i], '\\') >= 0
}
