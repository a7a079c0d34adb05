package document

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// The functions in this file skip JSON that passed Check. On any input they stay inside the slice, but they
// do not detect faults.

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// matchByte sets the high bit of the first byte of x that equals the byte repeated in pattern. It may also
// set high bits of later bytes.
func matchByte(x, pattern uint64) uint64 {
	x ^= pattern
	return (x - ones) &^ x & highs
}

// equalBytes sets the high bit of each byte of x that equals the byte repeated in pattern, and no other
// bit.
func equalBytes(x, pattern uint64) uint64 {
	x ^= pattern
	return ^(x&^highs + ^uint64(highs) | x) & highs
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' {
		i++
	}
	return i
}

// skipBack returns the smallest j such that b[j:i] is white space.
func skipBack(b []byte, i int) int {
	for i > 0 && b[i-1] <= ' ' {
		i--
	}
	return i
}

// skipString returns the position after the string whose opening quote is at i.
func skipString(b []byte, i int, p *pace) int {
	i++
	calm := 0 // number of consecutive words without a quote or backslash
	due := i + pieceBytes
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		if i >= due {
			p.pass(pieceBytes)
			due = i + pieceBytes
		}
		m := matchByte(x, '"'*ones) | matchByte(x, '\\'*ones)
		if m == 0 {
			i += 8
			if calm++; calm == 4 {
				var ends bool
				if i, ends = nextQuote(b, i); ends {
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

// nextQuote returns the position after the next quote in a string, and whether it ends the string. i is
// inside the string and not at an escaped character. Use it for a long stretch of plain text: the assembly
// of IndexByte is several times faster than the word loop, but slow to start.
func nextQuote(b []byte, i int) (next int, ends bool) {
	j := bytes.IndexByte(b[i:], '"')
	if j < 0 {
		return len(b), true
	}
	k := i + j
	n := 0
	for k-1-n >= i && b[k-1-n] == '\\' {
		n++
	}
	return k + 1, n&1 == 0
}

// skipKey is skipString for short strings. It also reports whether the string has escapes.
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

// skipRest returns the position after the object or array that contains i. It processes words:
// the quotes in a word tell which of its bytes are in strings, without a branch for each byte.
func skipRest(b []byte, i int, p *pace) int {
	// The bits that all brackets share. Other bytes that share them, such as the y of Infinity,
	// have equal bits 1 and 2.
	const alike, bracket = 0xd9 * ones, 0x59 * ones
	depth := 1
	within := uint64(0) // all ones inside a string
	calm := 0           // number of consecutive words inside a string without a quote or backslash
	due := i + pieceBytes
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		if i >= due {
			p.pass(pieceBytes)
			due = i + pieceBytes
		}
		quotes, brackets := equalBytes(x, '"'*ones), equalBytes(x&alike, bracket)&((x^x>>1)&(2*ones)<<6)
		step := 8
		if m := matchByte(x, '\\'*ones); m != 0 {
			// Continue after the escaped character.
			at := bits.TrailingZeros64(m) &^ 7
			before := uint64(1)<<at - 1
			quotes, brackets = quotes&before, brackets&before
			step = at>>3 + 2
		}
		if quotes != 0 {
			calm = 0
		} else if within != 0 {
			i += step
			if calm++; calm == 4 {
				var ends bool
				if i, ends = nextQuote(b, min(i, len(b))); ends {
					within = 0
				}
				calm = 0
			}
			continue
		}
		quotes ^= quotes << 8
		quotes ^= quotes << 16
		quotes ^= quotes << 32
		inside := quotes ^ within
		within = uint64(int64(inside) >> 63)
		brackets &^= inside
		for ; brackets != 0; brackets &= brackets - 1 {
			at := bits.TrailingZeros64(brackets)
			if x>>(at-6)&1 != 0 { // bit 1 is set for { and [
				depth++
			} else if depth--; depth == 0 {
				return i + at>>3 + 1
			}
		}
		i += step
	}
	for ends := false; within != 0 && !ends; {
		i, ends = nextQuote(b, min(i, len(b)))
	}
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i, p)
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
func skipValue(b []byte, i int, p *pace) (int, Kind) {
	if i >= len(b) {
		return len(b), Null
	}
	switch b[i] {
	case '"':
		return skipString(b, i, p), String
	case '{':
		return skipRest(b, i+1, p), Object
	case '[':
		return skipRest(b, i+1, p), Array
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
