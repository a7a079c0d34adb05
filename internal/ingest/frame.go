package ingest

// frame finds the end of a JSON value that arrives in pieces. It checks only matching brackets
// and quotes; all other faults are left to Check and affect only this value. If brackets or
// quotes do not match, or a byte outside strings is not valid in JSON, the start of the next
// value cannot be trusted and the frame is damaged. Otherwise one missing quote would turn
// texts written by users into structure.
type frame struct {
	open     []uint64 // one bit per open bracket: 1 for an object
	depth    int
	inString bool
	escaped  bool
	begun    bool
}

type progress uint8

const (
	unfinished progress = iota
	finished
	damaged
)

func (f *frame) reset() { *f = frame{open: f.open} }

// scan takes the next piece. It returns the number of its bytes that belong to the value
// (finished), or the position of the fault (damaged). A value that is no object, array or
// string ends before the next comma, bracket or white space. The caller must treat the end of
// the input as its end too.
func (f *frame) scan(b []byte) (int, progress) {
	for i := 0; i < len(b); i++ {
		if f.inString {
			n, p := f.scanString(b[i:])
			i += n
			if p == damaged || p == unfinished {
				return i, p
			}
			if f.depth == 0 {
				return i, finished
			}
			i--
			continue
		}
		c := b[i]
		switch class[c] {
		case plain:
			f.begun = true
		case space:
			if f.depth == 0 && f.begun {
				return i, finished
			}
		case comma:
			if f.depth == 0 {
				return i, f.outer()
			}
		case quote:
			if f.depth == 0 && f.begun {
				return i, damaged
			}
			f.begun, f.inString = true, true
		case opener:
			if f.depth == 0 && f.begun {
				return i, damaged
			}
			f.begun = true
			f.push(c == '{')
		case closer:
			if f.depth == 0 {
				return i, f.outer()
			}
			if f.pop() != (c == '}') {
				return i, damaged
			}
			if f.depth == 0 {
				return i + 1, finished
			}
		default:
			return i, damaged
		}
	}
	return len(b), unfinished
}

// outer handles a comma or bracket of the surrounding value: it ends a number or literal, and
// is a fault where a value should begin.
func (f *frame) outer() progress {
	if f.begun {
		return finished
	}
	return damaged
}

// scanString continues in a string and returns the position after its quote (finished).
func (f *frame) scanString(b []byte) (int, progress) {
	for i := 0; i < len(b); i++ {
		if f.escaped {
			f.escaped = false
			continue
		}
		if i = plainRun(b, i); i == len(b) {
			break
		}
		switch b[i] {
		case '\\':
			f.escaped = true
		case '"':
			f.inString = false
			return i + 1, finished
		default:
			return i, damaged
		}
	}
	return len(b), unfinished
}

func (f *frame) push(object bool) {
	word, bit := f.depth/64, uint64(1)<<(f.depth%64)
	if word == len(f.open) {
		f.open = append(f.open, 0)
	}
	f.open[word] &^= bit
	if object {
		f.open[word] |= bit
	}
	f.depth++
}

func (f *frame) pop() (object bool) {
	f.depth--
	return f.open[f.depth/64]>>(f.depth%64)&1 == 1
}

// The classes of bytes outside strings.
const (
	foreign byte = iota
	plain        // in numbers and in true, false, null; the colon
	space
	comma
	quote
	opener
	closer
)

var class = func() (t [256]byte) {
	for _, c := range []byte("0123456789+-.eEtrufalsn:") {
		t[c] = plain
	}
	for _, c := range []byte(" \t\r\n") {
		t[c] = space
	}
	t[','], t['"'], t['{'], t['['], t['}'], t[']'] = comma, quote, opener, opener, closer, closer
	return t
}()
