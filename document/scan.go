package document

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// The functions here pass over JSON that was checked before. They stay inside
// the slice whatever it holds, but notice no fault in it.

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// matchByte sets the high bit of the first byte of x (and perhaps of later ones)
// that equals the byte repeated in pattern.
func matchByte(x, pattern uint64) uint64 {
	x ^= pattern
	return (x - ones) &^ x & highs
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' {
		i++
	}
	return i
}

// skipBack returns the least j such that b[j:i] is white space.
func skipBack(b []byte, i int) int {
	for i > 0 && b[i-1] <= ' ' {
		i--
	}
	return i
}

// skipString returns the position after the string whose opening quote is at i.
func skipString(b []byte, i int) int {
	i++
	calm := 0 // words without a quote or backslash, in a row
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		m := matchByte(x, '"'*ones) | matchByte(x, '\\'*ones)
		if m == 0 {
			i += 8
			if calm++; calm == 4 {
				// A long stretch of plain text: the assembly of IndexByte is
				// several times faster than words, but slow to start.
				j := bytes.IndexByte(b[i:], '"')
				if j < 0 {
					return len(b)
				}
				k := i + j
				n := 0
				for k-1-n >= i && b[k-1-n] == '\\' {
					n++
				}
				i = k + 1
				if n&1 == 0 {
					return i
				}
				calm = 0
			}
			continue
		}
		i += bits.TrailingZeros64(m) >> 3
		if b[i] == '"' {
			return i + 1
		}
		i += 2
		calm = 0
	}
	for i < len(b) {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
		i++
	}
	return len(b)
}

// skipKey is skipString for short strings; it tells whether one has escapes.
func skipKey(b []byte, i int) (end int, escaped bool) {
	i++
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		m := matchByte(x, '"'*ones) | matchByte(x, '\\'*ones)
		if m == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(m) >> 3
		if b[i] == '"' {
			return i + 1, escaped
		}
		escaped = true
		i += 2
	}
	for i < len(b) {
		switch b[i] {
		case '"':
			return i + 1, escaped
		case '\\':
			escaped = true
			i++
		}
		i++
	}
	return len(b), escaped
}

// skipRest returns the position after the object or array that i is inside of.
func skipRest(b []byte, i int) int {
	depth := 1
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
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
	return len(b)
}

// skipValue returns the position after the value that begins at i, and its kind.
func skipValue(b []byte, i int) (int, Kind) {
	if i >= len(b) {
		return len(b), Null
	}
	switch b[i] {
	case '"':
		return skipString(b, i), String
	case '{':
		return skipRest(b, i+1), Object
	case '[':
		return skipRest(b, i+1), Array
	case 'n':
		return min(i+4, len(b)), Null
	case 't':
		return min(i+4, len(b)), Bool
	case 'f':
		return min(i+5, len(b)), Bool
	}
	j := i + 1
	for j < len(b) && b[j] > ' ' && b[j] != ',' && b[j] != '}' && b[j] != ']' {
		j++
	}
	return j, Number
}
