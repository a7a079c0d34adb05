package gate

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"auditrelay/internal/detect"
	"auditrelay/internal/redaction"
)

// Redacted reports whether value has the exact form of a redacted value: the mask, or a
// pseudonym as the detectors know it. A sender can also write that form; at most 64 bytes can
// pass in place of a key's name.
func Redacted(value []byte) bool {
	return string(value) == redaction.Mask || detect.Pseudonym(value)
}

// maxEscapes is how many layers of escapes are decoded in a text. It equals how deep strings
// that contain JSON may be nested.
const maxEscapes = 8

// unescape appends text with JSON escapes decoded, whether or not text is JSON, and reports
// whether there were any. All other bytes are copied.
func unescape(dst, text []byte) (plain []byte, changed bool) {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 || i+1 == len(text) {
			return append(dst, text...), changed
		}
		dst = append(dst, text[:i]...)
		text = text[i+1:]
		changed = true
		size := 1
		switch c := text[0]; c {
		case 'n', 'r', 't', 'b', 'f':
			dst = append(dst, ' ')
		case 'u':
			r, n := unit(text)
			if n == 0 {
				dst = append(dst, c)
				break
			}
			size = n
			if utf16.IsSurrogate(r) && len(text) > n+1 && text[n] == '\\' {
				if low, m := unit(text[n+1:]); m > 0 && utf16.DecodeRune(r, low) != utf8.RuneError {
					r, size = utf16.DecodeRune(r, low), n+1+m
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
		text = text[size:]
	}
}

// unit reads uXXXX. n is 0 if text does not start with it.
func unit(text []byte) (r rune, n int) {
	if len(text) < 5 || text[0] != 'u' {
		return 0, 0
	}
	v, err := strconv.ParseUint(string(text[1:5]), 16, 16)
	if err != nil {
		return 0, 0
	}
	return rune(v), 5
}
