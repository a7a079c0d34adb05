package ingest

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// The functions here walk JSON that has passed document.Check, and rely on that.

func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' {
		i++
	}
	return i
}

// cutString returns the content of the string whose opening quote is at i, with its escapes,
// and the position after it.
func cutString(b []byte, i int) (raw []byte, next int) {
	i++
	start := i
	for {
		i = plainRun(b, i)
		if b[i] == '"' {
			return b[start:i], i + 1
		}
		i += 2 // an escape
	}
}

// plainRun returns the position, at or after i, of the first byte with a meaning in a string: a
// quote, a backslash or a control character. It returns len(b) if there is none. It tests eight
// bytes at a time, since three of four received bytes are in strings.
func plainRun(b []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^'"'*ones, x^'\\'*ones
		// The lowest set bit is right. A borrow may have set higher ones.
		if m := ((quote-ones)&^quote | (slash-ones)&^slash | (x-' '*ones)&^x) & highs; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// skipValue returns the position after the value that begins at i.
func skipValue(b []byte, i int) int {
	switch b[i] {
	case '"':
		_, i = cutString(b, i)
		return i
	case '{', '[':
		for depth := 0; ; {
			switch b[i] {
			case '"':
				_, i = cutString(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
	}
	for b[i] > ' ' && b[i] != ',' && b[i] != '}' {
		i++
	}
	return i
}

// unescape appends raw to dst, decoded. It stops soon after most bytes, which is enough to
// detect excess length.
func unescape(dst, raw []byte, most int) []byte {
	for i := 0; i < len(raw) && len(dst) < most; {
		c := raw[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		c = raw[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex4(raw[i:])
			i += 4
			if utf16.IsSurrogate(r) { // the other half follows as \uXXXX
				r = utf16.DecodeRune(r, hex4(raw[i+2:]))
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

func hex4(b []byte) (r rune) {
	for _, c := range b[:4] {
		r <<= 4
		switch {
		case c <= '9':
			r |= rune(c - '0')
		default:
			r |= rune(c|0x20-'a') + 10
		}
	}
	return r
}
