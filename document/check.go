package document

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of a document. A zero field means its default.
type Limits struct {
	// Bytes is the maximum size. Default: 4 MiB, several times the size of an audit
	// event. At most 1 GiB.
	Bytes int
	// Depth is the maximum nesting of objects and arrays; the outermost is 1.
	// Default: 64. Counting starts again inside a string that holds JSON.
	Depth int
}

const (
	defaultBytes = 4 << 20
	defaultDepth = 64
	maxBytes     = 1 << 30 // positions have 32 bits
)

func (l Limits) bytes() int {
	if l.Bytes <= 0 {
		return defaultBytes
	}
	return min(l.Bytes, maxBytes)
}

func (l Limits) depth() int {
	if l.Depth <= 0 {
		return defaultDepth
	}
	return l.Depth
}

// Check returns nil if data is one JSON object (RFC 8259) in UTF-8, within the limits, with nothing but
// white space around it. No object may have two keys that are equal after decoding. No escape may be half
// of a surrogate pair. Any number and any other escape is valid, however large or unusual.
//
// The error is an *Error. Check allocates nothing for ordinary events. Its time is linear in len(data) for
// any data.
func Check(data []byte, l Limits) error { return CheckAtPace(data, l, nil) }

// CheckAtPace is Check, and calls look regularly: at least once for each 16 KiB. look may panic to abort
// the check. If look is nil, CheckAtPace is Check.
func CheckAtPace(data []byte, l Limits, look func()) error {
	c := checker{data: data, depth: l.depth(), due: pieceBytes}
	if look != nil {
		c.pace = &pace{watch: look}
	}
	if e := c.whole(l.bytes(), true); e != nil {
		return e
	}
	return nil
}

// checkValue is Check for any JSON value, nested at most depth levels.
func checkValue(data []byte, depth int, p *pace) error {
	c := checker{data: data, depth: depth, due: pieceBytes, pace: p}
	if e := c.whole(maxBytes, false); e != nil {
		return e
	}
	return nil
}

// checkHeld reports whether a string contains JSON that paths can enter. It accepts what Python writes:
// duplicate keys, half surrogate pairs, and the numbers NaN, Infinity and -Infinity. The text comes from
// another system, and filters cannot redact parts of a string that they cannot enter.
func checkHeld(data []byte, depth int, p *pace) bool {
	c := checker{data: data, depth: depth, lenient: true, due: pieceBytes, pace: p}
	return c.whole(maxBytes, false) == nil
}

// checker is one pass of validation by recursive descent.
type checker struct {
	data    []byte
	depth   int  // number of further levels that may be opened
	lenient bool // accept duplicate keys, half surrogate pairs and Python's numbers
	pace    *pace
	due     int // position in data at which pass is next called

	// The keys of the open objects, outermost first. count is their number. The first ones are in room,
	// which costs no allocation.
	count int
	room  [40]keyRef
	more  []keyRef

	names  []byte // decoded names of keys with escapes
	table  []int32
	reason Reason
	offset int
	path   []step // the path to the fault, innermost step first
}

// step is one key or index on the way to a fault.
type step struct{ start, end, index int }

// whole checks the text from start to end.
func (c *checker) whole(limit int, object bool) *Error {
	if len(c.data) > limit {
		return &Error{Reason: TooLarge, Limit: limit}
	}
	depth := c.depth
	i := c.space(0)
	switch {
	case i == len(c.data):
		c.fail(Syntax, i)
	case object && c.data[i] != '{':
		c.fail(NotObject, i)
	default:
		if i = c.value(i); i >= 0 {
			if i = c.space(i); i == len(c.data) {
				return nil
			}
			c.fail(Trailing, i)
		}
	}
	e := &Error{Reason: c.reason, Offset: c.offset, Path: c.faultPath()}
	if e.Reason == TooDeep {
		e.Limit = depth
	}
	return e
}

// passed reports progress up to position i.
func (c *checker) passed(i int) {
	c.due = i + pieceBytes
	c.pace.pass(pieceBytes)
}

// fail records the fault and returns the position that means failure.
func (c *checker) fail(r Reason, at int) int {
	c.reason, c.offset = r, at
	return -1
}

func (c *checker) space(i int) int {
	b := c.data
	if i+1 < len(b) && b[i] == ' ' && b[i+1] > ' ' {
		return i + 1
	}
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		if i++; i >= c.due {
			c.passed(i)
		}
	}
	return i
}

// value checks the value that begins at i. It returns the position after the value, or -1. The other
// methods do the same.
func (c *checker) value(i int) int {
	b := c.data
	if i >= len(b) {
		return c.fail(Syntax, i)
	}
	switch b[i] {
	case '"':
		end, _ := c.string(i)
		return end
	case '{':
		return c.object(i)
	case '[':
		return c.array(i)
	case 't':
		if i+4 <= len(b) && string(b[i:i+4]) == "true" {
			return i + 4
		}
	case 'f':
		if i+5 <= len(b) && string(b[i:i+5]) == "false" {
			return i + 5
		}
	case 'n':
		if i+4 <= len(b) && string(b[i:i+4]) == "null" {
			return i + 4
		}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if c.lenient && i+9 <= len(b) && string(b[i:i+9]) == "-Infinity" {
			return i + 9
		}
		return c.number(i)
	case 'N':
		if c.lenient && i+3 <= len(b) && string(b[i:i+3]) == "NaN" {
			return i + 3
		}
	case 'I':
		if c.lenient && i+8 <= len(b) && string(b[i:i+8]) == "Infinity" {
			return i + 8
		}
	}
	return c.fail(Syntax, i)
}

func (c *checker) object(i int) int {
	if c.depth == 0 {
		return c.fail(TooDeep, i)
	}
	c.depth--
	b := c.data
	base, names := c.count, len(c.names)
	// Keys with fingerprints on different bits differ. Only the other keys are compared.
	seen, doubtful := uint64(0), false
	if i++; i < len(b) && b[i] <= ' ' {
		i = c.space(i)
	}
	if i < len(b) && b[i] == '}' {
		c.depth++
		return i + 1
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return c.fail(Syntax, i)
		}
		if i >= c.due {
			c.passed(i)
		}
		key := i
		end, escaped := c.string(i)
		if end < 0 {
			return -1
		}
		if !c.lenient {
			sum := c.push(key, end, escaped)
			bit := uint64(1) << (sum * mix >> 58)
			if seen&bit != 0 && !doubtful {
				doubtful = c.count-base > fewKeys || c.repeats(base, sum)
			}
			seen |= bit
		}
		i = end
		if i < len(b) && b[i] != ':' {
			i = c.space(i)
		}
		if i >= len(b) || b[i] != ':' {
			return c.fail(Syntax, i)
		}
		if i++; i < len(b) && b[i] <= ' ' {
			i = c.space(i)
		}
		if i < len(b) && b[i] == '"' {
			i, _ = c.string(i)
		} else {
			i = c.value(i)
		}
		if i < 0 {
			c.path = append(c.path, step{start: key + 1, end: end - 1})
			return -1
		}
		if i < len(b) && b[i] <= ' ' {
			i = c.space(i)
		}
		if i >= len(b) {
			return c.fail(Syntax, i)
		}
		if b[i] == '}' {
			break
		}
		if b[i] != ',' {
			return c.fail(Syntax, i)
		}
		if i++; i < len(b) && b[i] <= ' ' {
			i = c.space(i)
		}
	}
	if doubtful && !c.distinct(base) {
		return -1
	}
	c.drop(base)
	c.names = c.names[:names]
	c.depth++
	return i + 1
}

func (c *checker) array(i int) int {
	if c.depth == 0 {
		return c.fail(TooDeep, i)
	}
	c.depth--
	b := c.data
	i = c.space(i + 1)
	if i < len(b) && b[i] == ']' {
		c.depth++
		return i + 1
	}
	for n := 0; ; n++ {
		if i >= c.due {
			c.passed(i)
		}
		if i = c.value(i); i < 0 {
			c.path = append(c.path, step{end: -1, index: n})
			return -1
		}
		if i = c.space(i); i >= len(b) {
			return c.fail(Syntax, i)
		}
		if b[i] == ']' {
			c.depth++
			return i + 1
		}
		if b[i] != ',' {
			return c.fail(Syntax, i)
		}
		i = c.space(i + 1)
	}
}

func (c *checker) number(i int) int {
	b := c.data
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = c.digits(i); i < 0 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i = c.digits(i + 1); i < 0 {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		i = c.digits(i)
	}
	return i
}

// digits reads one or more digits.
func (c *checker) digits(i int) int {
	b := c.data
	start := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		if i++; i >= c.due {
			c.passed(i)
		}
	}
	if i == start {
		return c.fail(Syntax, i)
	}
	return i
}

// string checks the string whose opening quote is at i.
func (c *checker) string(i int) (end int, escaped bool) {
	b := c.data
	i++
	for {
		for i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			// Marks quotes, backslashes, control characters, and bytes above 0x7f. The first mark is
			// certain; later marks may be false.
			m := (((x ^ '"'*ones) - ones) | ((x ^ '\\'*ones) - ones) | (x - ' '*ones) | x) & highs
			if m == 0 {
				i += 8
				continue
			}
			bit := bits.TrailingZeros64(m) &^ 7
			i += bit >> 3
			if byte(x>>bit) == '"' { // the most frequent case, without another load
				return i + 1, escaped
			}
			break
		}
		if i >= len(b) {
			return c.fail(Syntax, i), false
		}
		if i >= c.due {
			c.passed(i)
		}
		switch ch := b[i]; {
		case ch == '"':
			return i + 1, escaped
		case ch == '\\':
			escaped = true
			if i+1 < len(b) && (b[i+1] == '"' || b[i+1] == '\\') {
				i += 2
			} else if i = c.escape(i); i < 0 {
				return -1, false
			}
		case ch < ' ':
			return c.fail(Syntax, i), false
		case ch >= utf8.RuneSelf:
			for i < len(b) && b[i] >= utf8.RuneSelf {
				if i >= c.due {
					c.passed(i)
				}
				r, size := utf8.DecodeRune(b[i:])
				if r == utf8.RuneError && size == 1 {
					return c.fail(UTF8, i), false
				}
				i += size
			}
		default:
			i++
		}
	}
}

// escape checks the escape whose backslash is at i.
func (c *checker) escape(i int) int {
	b := c.data
	if i+1 >= len(b) {
		return c.fail(Syntax, i)
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		r, ok := hex4(b, i+2)
		switch {
		case !ok:
			return c.fail(Syntax, i)
		case !utf16.IsSurrogate(r) || c.lenient:
			return i + 6
		}
		if _, size := unescape(b, i); size == 12 {
			return i + 12
		}
		return c.fail(LoneSurrogate, i)
	}
	return c.fail(Syntax, i)
}
