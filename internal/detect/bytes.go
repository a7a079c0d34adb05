package detect

// charset is a set of bytes.
type charset [256]bool

// charsetOf reads a set as regular expressions write it: "A-Za-z0-9_-".
func charsetOf(pattern string) *charset {
	var set charset
	for i := 0; i < len(pattern); i++ {
		last := pattern[i]
		if i+2 < len(pattern) && pattern[i+1] == '-' {
			last = pattern[i+2]
		}
		for c := int(pattern[i]); c <= int(last); c++ {
			set[c] = true
		}
		if last != pattern[i] {
			i += 2
		}
	}
	return &set
}

var (
	alphanumeric = charsetOf("A-Za-z0-9")
	base64URL    = charsetOf("A-Za-z0-9_-")
	base64Std    = charsetOf("A-Za-z0-9+/")
	upperDigits  = charsetOf("A-Z0-9")
	lowerHex     = charsetOf("0-9a-f")
	white        = charsetOf(" \t\r\n")
)

// span returns how many bytes at the beginning of b are in the set.
func (set *charset) span(b []byte) int {
	for i, c := range b {
		if !set[c] {
			return i
		}
	}
	return len(b)
}

// all reports whether every byte of b is in the set.
func (set *charset) all(b []byte) bool { return set.span(b) == len(b) }

// begins reports whether a word may begin at b[i]: no letter or digit is before
// it, unless as the end of an escape (\n, \u0020, %20) that a text within a text
// may still have.
func begins(b []byte, i int) bool {
	return i == 0 || !alphanumeric[b[i-1]] || escaped(b, i)
}

// escaped reports whether an escape ends before b[i].
func escaped(b []byte, i int) bool {
	return i >= 2 && b[i-2] == '\\' || i >= 3 && b[i-3] == '%' || i >= 6 && b[i-6] == '\\' && b[i-5] == 'u'
}

// afterEscape returns where in b[from:to], a row of digits, the number begins: behind the
// digits of an escape, if there is one.
func afterEscape(b []byte, from, to int) int {
	for i := to; i > from; i-- {
		if escaped(b, i) {
			return i
		}
	}
	return from
}

// behindEscape returns patterns of an escape and one of bytes behind it.
func behindEscape(bytes string) []pattern {
	hex, first := setOf("0123456789abcdefABCDEF"), setOf(bytes)
	return []pattern{{setOf("\\"), setOf("nrtbf"), first}, {setOf("%"), hex, hex, first}, {setOf("\\"), setOf("u"), hex, hex, hex, hex, first}}
}

// judged is how much of a token is looked at to tell what it is made of.
const judged = 64

// random reports whether b was more likely drawn than written: it changes between
// upper case, lower case and digits as often as words, versions and dates do not.
func random(b []byte) bool {
	b = b[:min(len(b), judged)]
	changes := 0
	var before, seen class
	for _, c := range b {
		now := classOf[c]
		if now != before && now&alnumClasses != 0 && before&alnumClasses != 0 {
			changes++
		}
		before = now
		seen |= now
	}
	switch {
	case seen&(lower|upper) == 0:
		return false
	case seen&digit != 0:
		return changes*8 >= len(b)
	}
	return changes*4 >= len(b)
}

// class is a kind of character; a set of classes where they are or-ed.
type class uint8

const (
	lower class = 1 << iota
	upper
	digit
	space // and what else does not print
	other

	alnumClasses = lower | upper | digit
)

var classOf = func() (of [256]class) {
	for c := range of {
		switch {
		case 'a' <= c && c <= 'z':
			of[c] = lower
		case 'A' <= c && c <= 'Z':
			of[c] = upper
		case '0' <= c && c <= '9':
			of[c] = digit
		case c <= ' ' || c == 0x7f:
			of[c] = space
		default:
			of[c] = other
		}
	}
	return of
}()

// classes returns which classes b has, and how many of them print.
func classes(b []byte) (seen class, printed int) {
	for _, c := range b {
		seen |= classOf[c]
	}
	for _, c := range []class{lower, upper, digit, other} {
		if seen&c != 0 {
			printed++
		}
	}
	return seen, printed
}
