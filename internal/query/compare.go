package query

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// names reports whether a step names a member. key is the member's key, still escaped.
func (p *paced) names(s *nameStep, key string, escaped bool) bool {
	const longest = 6 // longest escape of one byte
	switch {
	case escaped && !s.wild && len(key) > longest*len(s.name):
		return false
	case escaped:
		key = string(appendDecoded(nil, key, p.spent))
	}
	if s.wild {
		return p.like(key, s.name)
	}
	return key == s.name
}

// meets reports whether a value satisfies a condition.
func (p *paced) meets(c *condition, v value) bool {
	want := c.value
	if strings.HasPrefix(want, "~") {
		is, known := p.is(v, want[1:])
		if !known {
			return false
		}
		want, v = "true", value{"", gjson.False}
		if is {
			v.kind = gjson.True
		}
	}
	if !v.exists() {
		return false
	}
	if c.op == "" {
		return true
	}
	switch v.kind {
	case gjson.String:
		s := p.decoded(v.raw)
		switch c.op {
		case "%":
			return p.like(s, want)
		case "!%":
			return !p.like(s, want)
		}
		return compares(c.op, strings.Compare(s, want))
	case gjson.Number:
		n, w := p.number(v.raw), p.number(want)
		switch c.op {
		case "=":
			return n == w
		case "!=":
			return n != w
		case "<":
			return n < w
		case "<=":
			return n <= w
		case ">":
			return n > w
		case ">=":
			return n >= w
		}
	case gjson.True:
		return c.op == "=" && want == "true" || c.op == "!=" && want != "true" || c.op == ">" && want == "false" || c.op == ">="
	case gjson.False:
		return c.op == "=" && want == "false" || c.op == "!=" && want != "false" || c.op == "<" && want == "true" || c.op == "<="
	}
	return false
}

func compares(op string, order int) bool {
	switch op {
	case "=":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	}
	return false
}

// is reports whether a value matches a word after ~. known is false for unknown words.
func (p *paced) is(v value, word string) (is, known bool) {
	switch word {
	case "*":
		return v.exists(), true
	case "null":
		return v.kind == gjson.Null, true
	case "true", "false":
	default:
		return false, false
	}
	truth, either := false, true
	switch v.kind {
	case gjson.True, gjson.False:
		truth = v.kind == gjson.True
	case gjson.Null:
		return word == "false", true
	case gjson.String:
		const longest = 5 * 6 // "false" with an escape for each letter
		either = len(v.raw) <= longest+2
		if either {
			b, err := strconv.ParseBool(strings.ToLower(p.decoded(v.raw)))
			truth, either = b, err == nil
		}
	case gjson.Number:
		truth = p.number(v.raw) != 0
	default:
		either = false
	}
	return either && truth == (word == "true"), true
}

// number is strconv.ParseFloat for a JSON number of any length. It uses only as many digits as
// can affect the result.
func (p *paced) number(raw string) float64 {
	const most, digits = 16 << 10, 700 // strconv uses at most 800 digits
	if len(raw) <= most {
		n, _ := strconv.ParseFloat(raw, 64)
		return n
	}
	sign, kept, exponent, point, more := "", make([]byte, 0, digits+1), 0, false, false
	i := 0
	if raw[0] == '-' {
		sign, i = "-", 1
	}
	from := i
	for ; i < len(raw) && raw[i]|0x20 != 'e'; i++ {
		if i-from == pieceBytes {
			p.spent(pieceBytes)
			from = i
		}
		c := raw[i]
		if c == '.' {
			point = true
			continue
		}
		switch {
		case len(kept) == 0 && c == '0':
		case len(kept) < digits:
			kept = append(kept, c)
		default:
			more = more || c != '0'
			if !point {
				exponent++
			}
			continue
		}
		if point {
			exponent--
		}
	}
	if more {
		kept = append(kept, '1')
		exponent--
	}
	if i < len(raw) {
		e, err := strconv.Atoi(strings.TrimPrefix(raw[i+1:min(len(raw), i+20)], "+"))
		if err != nil || len(raw) > i+20 {
			e = 1 << 30
			if strings.HasPrefix(raw[i+1:], "-") {
				e = -e
			}
		}
		exponent += e
	}
	n, _ := strconv.ParseFloat(sign+"0"+string(kept)+"e"+strconv.Itoa(exponent), 64)
	return n
}

// decoded returns the text of a string.
func (p *paced) decoded(raw string) string {
	inner := raw[1:max(1, len(raw)-1)]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner
	}
	return string(appendDecoded(nil, inner, p.spent))
}

// appendDecoded appends the content of a JSON string with its escapes decoded.
func appendDecoded(dst []byte, s string, spent func(int)) []byte {
	const workOfByte = 4
	from := 0
	for i := 0; i < len(s); i++ {
		if i-from >= pieceBytes/workOfByte {
			spent(pieceBytes)
			from = i
		}
		if s[i] != '\\' {
			dst = append(dst, s[i])
			continue
		}
		if i++; i >= len(s) {
			break
		}
		switch s[i] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, next := unit(s, i+1), i+5
			if low := unit(s, next+2); r >= 0xd800 && r < 0xdc00 && strings.HasPrefix(s[min(next, len(s)):], `\u`) && low >= 0xdc00 && low < 0xe000 {
				r, next = utf16.DecodeRune(r, low), next+6
			}
			dst = utf8.AppendRune(dst, r)
			i = next - 1
		case '\\', '/', '"':
			dst = append(dst, s[i])
		default:
			return dst // invalid JSON
		}
	}
	return dst
}

// unit reads four hexadecimal digits. It returns 0 if there are fewer.
func unit(s string, i int) rune {
	if i+4 > len(s) {
		return 0
	}
	n, _ := strconv.ParseUint(s[i:i+4], 16, 16)
	return rune(n)
}

// like reports whether a text matches a pattern of * and ?, in which \ escapes.
func (p *paced) like(text, pattern string) bool {
	if pattern == "*" {
		return true
	}
	steps := 0
	// The position of the last *, and how much text it has consumed.
	star, taken := -1, 0
	t, i := 0, 0
	for t < len(text) || i < len(pattern) {
		if steps++; steps == pieceBytes/4 {
			p.spent(pieceBytes)
			steps = 0
		}
		if i < len(pattern) && pattern[i] == '*' {
			if star, taken = i, t; i+1 == len(pattern) {
				return true
			}
			i++
			continue
		}
		if t < len(text) && i < len(pattern) && text[t] == pattern[i] && text[t] < utf8.RuneSelf && text[t] != '\\' {
			t, i = t+1, i+1
			continue
		}
		if size, width := one(text[t:], pattern[i:]); width > 0 {
			t, i = t+size, i+width
			continue
		}
		if star < 0 || taken >= len(text) {
			return false
		}
		_, size := utf8.DecodeRuneInString(text[taken:])
		taken += size
		t, i = taken, star+1
	}
	p.spent(steps)
	return true
}

// one matches the first character of both and returns its length in each. 0 means no match.
func one(text, pattern string) (size, width int) {
	if pattern == "" || text == "" {
		return 0, 0
	}
	r, size := utf8.DecodeRuneInString(text)
	want, width := utf8.DecodeRuneInString(pattern)
	if want == '?' {
		return size, width
	}
	if want == '\\' {
		var n int
		if want, n = utf8.DecodeRuneInString(pattern[width:]); n == 0 {
			return 0, 0
		}
		width += n
	}
	if r != want {
		return 0, 0
	}
	return size, width
}
