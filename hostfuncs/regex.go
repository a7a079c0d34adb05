package hostfuncs

import (
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"

	"auditrelay"
	"auditrelay/internal/detect"
)

const (
	regexBytes = 4 << 10 // the text of an expression
	regexSize  = 10_000  // compiled instructions of an expression, with counted repetitions expanded
)

// The memory that the host uses for interned objects, in bytes. It counts against
// limits.memory.
const (
	instructionBytes = 400 // two programs and their state
	runeBytes        = 16  // one bound of a character class, stored twice
	pathBytes        = 4 << 10
	detectorBytes    = 64 << 10
)

// reserve takes memory for objects that the host stores for the guest.
func (s *State) reserve(n int) {
	if s.Reserve != nil && !s.Reserve(n) {
		s.fail(auditrelay.CauseMemory, fmt.Sprintf("it takes %d bytes, which limits.memory has no more room for", n))
	}
}

// piece is the number of bytes that are processed between two payments with a check of the
// clock.
const piece = 1 << 10

// expression is a compiled regular expression. The time of Go's search is the program's size
// times the text's length, for every match. So a search pays as far as it reads.
type expression struct {
	first *regexp.Regexp // the expression itself
	next  *regexp.Regexp // finds the expression, as its group, after the first character of a text
	units int            // cost of one byte

	reader pieces
}

func internRegex(s *State, m api.Memory, a []uint64) {
	text := s.bytes(m, a[0], a[1])
	if len(text) > regexBytes {
		s.fail(auditrelay.CauseInit, fmt.Sprintf("longer than %d bytes", regexBytes))
	}
	if len(s.regexes) == s.policy.Regexes {
		s.fail(auditrelay.CauseInit, fmt.Sprintf("more than %d regular expressions", s.policy.Regexes))
	}
	s.pay(unitsCompile * len(text))
	parsed, err := syntax.Parse(string(text), syntax.Perl)
	if err != nil {
		s.fail(auditrelay.CauseInit, err.Error())
	}
	size, runes := measure(parsed)
	if size > regexSize {
		s.fail(auditrelay.CauseInit, fmt.Sprintf("the expression compiles to more than %d instructions, with its counted repetitions written out", regexSize))
	}
	s.reserve(size*instructionBytes + runes*runeBytes)
	s.prepay(unitsCompile * size)
	e := &expression{units: unitsPerByte(size)}
	if e.first, err = regexp.Compile(string(text)); err == nil {
		s.glance()
		e.next, err = regexp.Compile(`(?s:\A.)(?s:.*?)(` + string(text) + `)`)
	}
	if err != nil {
		s.fail(auditrelay.CauseInit, err.Error())
	}
	s.regexes = append(s.regexes, e)
	result(a, int32(len(s.regexes))+regexHandle)
}

// measure returns the approximate number of instructions of an expression, at most slightly
// more than regexSize, and the number of bounds of its character classes.
func measure(re *syntax.Regexp) (size, runes int) {
	switch re.Op {
	case syntax.OpLiteral:
		size = len(re.Rune)
	case syntax.OpCharClass:
		size, runes = 1, len(re.Rune)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		size = 1
	default:
		size = 2
	}
	for _, sub := range re.Sub {
		n, r := measure(sub)
		size, runes = size+n, runes+r
		if re.Op == syntax.OpRepeat {
			size *= max(re.Max, re.Min+1, 1)
		}
		size = min(size, 2*regexSize)
	}
	return size, runes
}

// unitsPerByte returns the cost of one byte for an expression of this size. In the worst case
// Go's regexp visits every state of the program for every byte, at about ten nanoseconds each.
func unitsPerByte(size int) int {
	const perState, least = 12, 64
	return least + perState*size
}

// find returns the first match in text that starts at or after from, or -1 if there is none.
// The bytes before from count as context, for example for ^ and \b.
func (e *expression) find(s *State, text []byte, from int) (start, end int) {
	if from == 0 {
		if len(text) <= piece && e.units*len(text) <= atOnce {
			s.prepay(e.units * len(text))
			if at := e.first.FindIndex(text); at != nil {
				return at[0], at[1]
			}
			return -1, -1
		}
		e.reader = pieces{state: s, text: text, units: e.units}
		if at := e.first.FindReaderIndex(&e.reader); at != nil {
			return at[0], at[1]
		}
		return -1, -1
	}
	_, width := utf8.DecodeLastRune(text[:from])
	from -= width
	s.pay(unitsSearch)
	e.reader = pieces{state: s, text: text[from:], units: e.units}
	if at := e.next.FindReaderSubmatchIndex(&e.reader); at != nil {
		return from + at[2], from + at[3]
	}
	return -1, -1
}

// appendAll appends all matches, like regexp's FindAllIndex.
func (e *expression) appendAll(dst []detect.Finding, s *State, text []byte) []detect.Finding {
	for from, last := 0, -1; from <= len(text); {
		start, end := e.find(s, text, from)
		if start < 0 {
			break
		}
		if start != end || start != last { // not an empty match directly after another match
			dst = append(dst, detect.Finding{Start: start, End: end})
		}
		if last = end; end > from {
			from = end
			continue
		}
		_, width := utf8.DecodeRune(text[from:])
		from += max(width, 1)
	}
	return dst
}

// pieces reads a text rune by rune, and pays for each piece before reading it.
type pieces struct {
	state    *State
	text     []byte
	units    int // cost of one byte
	at, paid int
}

// ReadRune implements io.RuneReader.
func (p *pieces) ReadRune() (rune, int, error) {
	if p.at == len(p.text) {
		return 0, 0, io.EOF
	}
	if p.at >= p.paid {
		n := min(max(1, min(readAhead, paceUnits/p.units)), len(p.text)-p.at)
		p.state.prepay(p.units * n)
		p.paid = p.at + n
	}
	r, width := utf8.DecodeRune(p.text[p.at:])
	p.at += width
	return r, width, nil
}

// readAhead is how many bytes a search pays for at a time, since most matches are near.
const readAhead = 16

// atOnce is the maximum cost of a search that cannot be interrupted, about one and a half
// milliseconds in the worst case. A search that reads piece by piece pays, and so checks the
// clock, after at most paceUnits.
const (
	atOnce    = 1 << 21
	paceUnits = 1 << 18
)
