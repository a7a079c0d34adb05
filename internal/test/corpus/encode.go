package corpus

import (
	"strconv"
	"unicode/utf16"
)

// The types that append supports, besides string, int, float64, bool and nil.
type (
	object []member
	member struct {
		key   string
		value any
	}
	array   []any
	held    struct{ value any } // as JSON text in a string
	literal string              // written unchanged
)

// escapedKey marks a member whose key is written with an escape for its first character.
const escapedKey = "\x00"

// appendJSON encodes v like Python's json.dumps by default: a space after comma and colon,
// ASCII only.
func appendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case float64:
		return strconv.AppendFloat(dst, v, 'f', -1, 64)
	case string:
		dst = append(dst, '"')
		dst = appendText(dst, v)
		return append(dst, '"')
	case literal:
		return append(dst, v...)
	case held:
		return appendJSON(dst, string(appendJSON(nil, v.value)))
	case array:
		dst = append(dst, '[')
		for i, element := range v {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendJSON(dst, element)
		}
		return append(dst, ']')
	case object:
		dst = append(dst, '{')
		for i, m := range v {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(dst, '"')
			key := m.key
			if key[:1] == escapedKey {
				dst = appendEscape(dst, uint16(key[1]))
				key = key[2:]
			}
			dst = appendText(dst, key)
			dst = append(dst, `": `...)
			dst = appendJSON(dst, m.value)
		}
		return append(dst, '}')
	}
	panic("corpus: no such value")
}

func appendText(dst []byte, s string) []byte {
	plain := 0
	for plain < len(s) && ' ' <= s[plain] && s[plain] < 0x7f && s[plain] != '"' && s[plain] != '\\' {
		plain++
	}
	dst = append(dst, s[:plain]...)
	for _, r := range s[plain:] {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r < ' ' || r == 0x7f:
			dst = appendEscape(dst, uint16(r))
		case r < 0x7f:
			dst = append(dst, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			dst = appendEscape(appendEscape(dst, uint16(high)), uint16(low))
		default:
			dst = appendEscape(dst, uint16(r))
		}
	}
	return dst
}

func appendEscape(dst []byte, unit uint16) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[unit>>12], hex[unit>>8&15], hex[unit>>4&15], hex[unit&15])
}
