// Package keyname compares keys of JSON objects without regard to their style: api_key equals
// apiKey, API-KEY and "api key".
package keyname

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Pattern is a name in a rule. A * at its beginning or end (or both) stands for further words
// if a separator is next to it (*_secret matches webhook_secret and webhookSecret, but not
// nosecret), and for any characters otherwise.
type Pattern struct {
	text  string // normalised: if words is set, lower-case words joined by _
	head  bool   // starts with *
	tail  bool
	words bool // compared by whole words
}

const maxName = 128

// Parse parses a pattern of at most 128 bytes.
func Parse(s string) (Pattern, error) {
	var p Pattern
	if len(s) > maxName {
		return p, errors.New("a name of more than 128 bytes")
	}
	middle, head := strings.CutPrefix(s, "*")
	middle, tail := strings.CutSuffix(middle, "*")
	if strings.Contains(middle, "*") {
		return p, errors.New("a * inside a name: it may stand at the beginning and at the end only")
	}
	if !utf8.ValidString(middle) {
		return p, errors.New("a name that is not UTF-8")
	}
	p.head, p.tail = head, tail
	wordsHead := head && startsSeparated(middle)
	wordsTail := tail && endsSeparated(middle)
	p.words = (head || tail) && (!head || wordsHead) && (!tail || wordsTail)
	if (head || tail) && !p.words && (wordsHead || wordsTail) {
		return p, errors.New("a separator beside one * and none beside the other: write it at both or at neither")
	}
	snake := AppendSnake(nil, []byte(middle))
	if p.words {
		p.text = string(snake)
	} else {
		p.text = string(Join(snake))
	}
	if p.text == "" {
		return p, errors.New("nothing but separators and *")
	}
	return p, nil
}

// IsSeparator reports whether c separates words.
func IsSeparator(c byte) bool { return c == '_' || c == '-' || c == ' ' || c == '.' }

func startsSeparated(s string) bool { return s != "" && IsSeparator(s[0]) }
func endsSeparated(s string) bool   { return s != "" && IsSeparator(s[len(s)-1]) }

// Matches compares the pattern with a key: snake is its words joined by _, joined the same
// without _.
func (p *Pattern) Matches(snake, joined []byte) bool {
	text := joined
	if p.words {
		text = snake
	}
	switch {
	case !p.head && !p.tail:
		return string(text) == p.text
	case p.words:
		return p.matchesWords(text)
	case p.head && p.tail:
		return strings.Contains(string(text), p.text)
	case p.head:
		return len(text) >= len(p.text) && string(text[len(text)-len(p.text):]) == p.text
	}
	return len(text) >= len(p.text) && string(text[:len(p.text)]) == p.text
}

// matchesWords searches for the pattern's words with at least one more word at each *.
func (p *Pattern) matchesWords(text []byte) bool {
	n := len(p.text)
	if p.head && !p.tail {
		at := len(text) - n
		return at > 1 && string(text[at:]) == p.text && text[at-1] == '_'
	}
	if p.tail && !p.head {
		return len(text) > n+1 && string(text[:n]) == p.text && text[n] == '_'
	}
	for at := 1; at+n < len(text); at++ {
		if text[at-1] == '_' && text[at+n] == '_' && string(text[at:at+n]) == p.text {
			return true
		}
	}
	return false
}

// AppendSnake appends the words of a decoded key in lower case, joined by _. A word ends at a
// separator or control character, and where capitals begin a new one. Letters of any script that
// differ only in case or width become equal. Characters that nobody sees are left out. A letter
// that looks like one of ASCII, beside letters of ASCII, becomes that letter.
func AppendSnake(dst, key []byte) []byte {
	base, plain := len(dst), true
	var before rune // previous character as written
	for i := 0; i < len(key); {
		r, size := rune(key[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(key[i:])
		}
		i += size
		if r >= utf8.RuneSelf {
			if r = Visible(r); r < 0 {
				continue
			}
		}
		if r < ' ' || r < utf8.RuneSelf && IsSeparator(byte(r)) {
			before = '_'
			continue
		}
		if len(dst) > base {
			switch {
			case before == '_':
				dst = append(dst, '_')
			case isUpper(r) && !isUpper(before):
				dst = append(dst, '_')
			case isUpper(r) && i < len(key) && key[i] >= 'a' && key[i] <= 'z' && isUpper(before):
				dst = append(dst, '_') // the last capital of ABCDef begins a word
			}
		}
		before = r
		switch {
		case r >= 'A' && r <= 'Z':
			dst = append(dst, byte(r)+'a'-'A')
		case r < utf8.RuneSelf:
			dst = append(dst, byte(r))
		default:
			dst, plain = utf8.AppendRune(dst, foldCase(r)), false
		}
	}
	if !plain {
		return unmask(dst, base)
	}
	return dst
}

// Visible returns a character as people read it: full-width ASCII and letters of formulas as
// ASCII, and -1 for what shows nothing, such as a byte order mark or a zero-width space.
func Visible(r rune) rune {
	switch {
	case r >= 0xff01 && r <= 0xff5e:
		return r - 0xff01 + '!'
	case r >= 0x1d400 && r <= 0x1d6a3: // alphabets in bold, italics and other styles
		letter := (r - 0x1d400) % 52
		return letter%26 + 'A' + letter/26*('a'-'A')
	case unicode.In(r, unicode.Cf, unicode.Variation_Selector) || r == 0x34f: // a grapheme joiner
		return -1
	}
	return r
}

func isUpper(r rune) bool {
	return r >= 'A' && r <= 'Z' || r >= utf8.RuneSelf && unicode.IsUpper(r)
}

// foldCase returns one representative of all letters that differ only in case: a lower-case
// ASCII letter if there is one. The Kelvin sign becomes k, a long s becomes s.
func foldCase(r rune) rune {
	least := r
	for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
		least = min(least, o)
	}
	if least >= 'A' && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}

// Join removes every _ in place.
func Join(snake []byte) []byte {
	out := snake[:0]
	for _, c := range snake {
		if c != '_' {
			out = append(out, c)
		}
	}
	return out
}
