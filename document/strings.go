package document

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape decodes the escape at b[i], where b[i] is the backslash. It returns the rune and the escape's
// length in bytes. Half of a surrogate pair becomes U+FFFD.
func unescape(b []byte, i int) (r rune, size int) {
	if i+1 >= len(b) {
		return utf8.RuneError, len(b) - i
	}
	switch c := b[i+1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r, ok := hex4(b, i+2)
		if !ok {
			return utf8.RuneError, min(6, len(b)-i)
		}
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if i+7 < len(b) && b[i+6] == '\\' && b[i+7] == 'u' {
			if low, ok := hex4(b, i+8); ok {
				if r := utf16.DecodeRune(r, low); r != utf8.RuneError {
					return r, 12
				}
			}
		}
		return utf8.RuneError, 6
	default: // the character itself: ", \ or /
		return rune(c), 2
	}
}

func hex4(b []byte, i int) (rune, bool) {
	if i+4 > len(b) {
		return 0, false
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// appendDecoded appends the decoded inside of a JSON string. It never reads the appended bytes, so b may be
// in the same buffer as dst.
func appendDecoded(dst, b []byte) []byte { return appendDecodedIn(dst, b, nil) }

// appendDecodedIn is appendDecoded, and reports progress to p.
func appendDecodedIn(dst, b []byte, p *pace) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return append(dst, b...)
	}
	if len(b) < 8 {
		return appendDecodedRest(dst, b)
	}
	// A string that holds JSON has many escapes. So whole words are copied, and the bytes after an escape
	// are then overwritten.
	dst = slices.Grow(dst, len(b))
	out := dst[len(dst) : len(dst)+len(b)]
	i, n, due := 0, 0, pieceBytes
	for i+8 <= len(b) && n+8 <= len(out) {
		x := binary.LittleEndian.Uint64(b[i:])
		binary.LittleEndian.PutUint64(out[n:], x)
		if i >= due {
			p.pass(pieceBytes)
			due = i + pieceBytes
		}
		m := matchByte(x, '\\'*ones)
		if m == 0 {
			i += 8
			n += 8
			continue
		}
		k := bits.TrailingZeros64(m) >> 3
		i += k
		n += k
		if i+1 < len(b) && (b[i+1] == '"' || b[i+1] == '\\') {
			out[n] = b[i+1]
			i += 2
			n++
			continue
		}
		r, size := unescape(b, i)
		if n+utf8.RuneLen(r) > len(out) {
			break
		}
		n += utf8.EncodeRune(out[n:], r)
		i += size
	}
	return appendDecodedRest(dst[:len(dst)+n], b[i:])
}

func appendDecodedRest(dst, b []byte) []byte {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return append(dst, b...)
		}
		r, size := unescape(b, i)
		dst = utf8.AppendRune(append(dst, b[:i]...), r)
		b = b[i+size:]
	}
	return dst
}

// decodedEqual reports whether the decoded inside of a JSON string equals s.
func decodedEqual(b []byte, s string, p *pace) bool {
	n := 0
	for i, due := 0, pieceBytes; i < len(b); {
		if i >= due {
			p.pass(pieceBytes)
			due = i + pieceBytes
		}
		if b[i] != '\\' {
			if n >= len(s) || s[n] != b[i] {
				return false
			}
			i++
			n++
			continue
		}
		r, size := unescape(b, i)
		i += size
		var buf [utf8.UTFMax]byte
		k := utf8.EncodeRune(buf[:], r)
		if n+k > len(s) || s[n:n+k] != string(buf[:k]) {
			return false
		}
		n += k
	}
	return n == len(s)
}

// decodedLen returns the number of bytes of the decoded inside of a JSON string.
func decodedLen(b []byte, p *pace) int {
	n := 0
	for i, due := 0, pieceBytes; i < len(b); {
		if i >= due {
			p.pass(pieceBytes)
			due = i + pieceBytes
		}
		j := bytes.IndexByte(b[i:], '\\')
		if j < 0 {
			return n + len(b) - i
		}
		r, size := unescape(b, i+j)
		n += j + utf8.RuneLen(r)
		i += j + size
	}
	return n
}

const hexDigits = "0123456789abcdef"

// appendEscaped appends b as the inside of a JSON string. It escapes only what JSON requires.
func appendEscaped(dst, b []byte) []byte { return appendEscapedIn(dst, b, nil) }

// appendEscapedIn is appendEscaped, and reports progress to p.
func appendEscapedIn(dst, b []byte, p *pace) []byte {
	for len(b) > pieceBytes {
		dst = appendEscapedPiece(dst, b[:pieceBytes])
		p.pass(pieceBytes)
		b = b[pieceBytes:]
	}
	return appendEscapedPiece(dst, b)
}

func appendEscapedPiece(dst, b []byte) []byte {
	start := 0
	for i, c := range b {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, b[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, b[start:]...)
}
