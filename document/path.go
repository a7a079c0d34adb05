package document

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a path's text and steps.
const (
	maxPath  = 4096
	maxSteps = 62 // a set of positions in a path must fit in 64 bits
)

// Path selects nodes of a document. It is immutable, and safe for concurrent use.
type Path struct {
	segments []segment
	deep     bool // a segment is **
	text     string
}

type segmentKind uint8

const (
	literal segmentKind = iota // the exact key or index
	folded                     // ~name
	anyOne                     // *
	anyDeep                    // **
)

type segment struct {
	name  string // decoded; for folded, in folded form
	index int32  // the array index that name also denotes, or -1
	kind  segmentKind
}

// PathError says why a path is invalid.
type PathError struct {
	Path   string // the given path, cut if it is too long
	Offset int    // in bytes, from 0
	Err    error
}

func (e *PathError) Error() string {
	return fmt.Sprintf("path %q: at byte %d: %v", e.Path, e.Offset, e.Err)
}

func (e *PathError) Unwrap() error { return e.Err }

// ParsePath parses a path. docs/reference/paths.md has the grammar, with a table of cases. Dots join names.
// * selects any key or element, ** any depth. Digits are an element's original index, or a key. ~name
// matches a key in camelCase, snake_case or kebab-case. A backslash before . * ~ \ makes the character
// plain, and \e is the empty key. The error is a *PathError.
func ParsePath(s string) (*Path, error) {
	if len(s) > maxPath {
		return nil, &PathError{s[:64] + "…", maxPath, fmt.Errorf("longer than %d bytes", maxPath)}
	}
	if !utf8.ValidString(s) {
		return nil, &PathError{strings.ToValidUTF8(s, "\uFFFD"), 0, errors.New("not UTF-8")}
	}
	p := &Path{}
	for i := 0; ; i++ {
		seg, next, err := parseSegment(s, i)
		if err != nil {
			return nil, &PathError{s, next, err}
		}
		// a.**.**.b is the same as a.**.b.
		if n := len(p.segments); seg.kind != anyDeep || n == 0 || p.segments[n-1].kind != anyDeep {
			p.segments = append(p.segments, seg)
		}
		if len(p.segments) > maxSteps {
			return nil, &PathError{s, i, fmt.Errorf("more than %d steps", maxSteps)}
		}
		p.deep = p.deep || seg.kind == anyDeep
		if i = next; i == len(s) {
			break
		}
	}
	p.text = p.format()
	return p, nil
}

// parseSegment parses the segment at s[i:] and returns where it ends, or where the fault is.
func parseSegment(s string, i int) (seg segment, next int, err error) {
	start := i
	for _, wild := range []struct {
		text string
		kind segmentKind
	}{{"**", anyDeep}, {"*", anyOne}} {
		if rest, ok := strings.CutPrefix(s[i:], wild.text); ok && (rest == "" || rest[0] == '.') {
			return segment{kind: wild.kind, index: -1}, i + len(wild.text), nil
		}
	}
	if i < len(s) && s[i] == '~' {
		seg.kind = folded
		i++
	}
	var name []byte
	empty := false // \e was used
	for ; i < len(s) && s[i] != '.'; i++ {
		switch c := s[i]; {
		case empty:
			return seg, i, errors.New(`\e, the empty key, must stand alone`)
		case c == '*':
			return seg, i, errors.New(`a * inside a name; write \* for the character, or * alone for any key`)
		case c != '\\':
			name = append(name, c)
		case i+1 == len(s):
			return seg, i, errors.New(`a backslash at the end; write \\ for the character`)
		default:
			i++
			switch c := s[i]; {
			case c == '.' || c == '*' || c == '~' || c == '\\':
				name = append(name, c)
			case c == 'e' && len(name) == 0 && seg.kind == literal:
				empty = true
			default:
				return seg, i, errors.New(`an unknown escape; only . * ~ \ can follow a backslash, and e for the empty key`)
			}
		}
	}
	if len(name) == 0 && !empty {
		return seg, start, errors.New(`an empty step; write \e for the empty key`)
	}
	seg.name, seg.index = string(name), -1
	if seg.kind == folded {
		if seg.name = foldName(seg.name); seg.name == "" {
			return seg, start, errors.New("nothing but separators after ~")
		}
	} else if n, err := strconv.ParseInt(seg.name, 10, 32); err == nil && n >= 0 && strconv.FormatInt(n, 10) == seg.name {
		seg.index = int32(n)
	}
	return seg, i, nil
}

// String returns the path in the grammar. Parsing it gives the same path.
func (p *Path) String() string { return p.text }

func (p *Path) format() string {
	var dst []byte
	for i, s := range p.segments {
		if i > 0 {
			dst = append(dst, '.')
		}
		switch s.kind {
		case anyOne:
			dst = append(dst, '*')
		case anyDeep:
			dst = append(dst, "**"...)
		case folded:
			dst = appendName(append(dst, '~'), []byte(s.name))
		default:
			dst = appendName(dst, []byte(s.name))
		}
	}
	return string(dst)
}

// appendName appends a key in the path grammar.
func appendName(dst, name []byte) []byte {
	if len(name) == 0 {
		return append(dst, `\e`...)
	}
	for _, c := range name {
		if c == '.' || c == '*' || c == '~' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return dst
}

// foldName returns name in folded form: without _ and -, and each letter as the smallest of those that
// differ only in case.
func foldName(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r != '_' && r != '-' {
			b.WriteRune(foldRune(r))
		}
	}
	return b.String()
}

func foldRune(r rune) rune {
	if r < utf8.RuneSelf && (r < 'A' || r > 'Z' && r < 'a' || r > 'z') {
		return r
	}
	least := r
	for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
		least = min(least, o)
	}
	return least
}

// foldedEqual reports whether the inside of a JSON string, folded, equals name.
func foldedEqual(b []byte, name string) bool {
	n := 0
	for i := 0; i < len(b); {
		var r rune
		var size int
		switch c := b[i]; {
		case c == '\\':
			r, size = unescape(b, i)
		case c < utf8.RuneSelf:
			r, size = rune(c), 1
		default:
			r, size = utf8.DecodeRune(b[i:])
		}
		i += size
		if r == '_' || r == '-' {
			continue
		}
		if 'a' <= r && r <= 'z' {
			// For ASCII letters the smallest is always the capital: K for k, S for s.
			r -= 'a' - 'A'
		} else if r >= utf8.RuneSelf {
			r = foldRune(r)
		}
		if n >= len(name) {
			return false
		}
		if r < utf8.RuneSelf {
			if name[n] != byte(r) {
				return false
			}
			n++
			continue
		}
		want, size := utf8.DecodeRuneInString(name[n:])
		if want != r {
			return false
		}
		n += size
	}
	return n == len(name)
}

// matches reports whether one step from a container to its child c matches s, which must not be **. The
// comparison counts as work, since a key may be long and may be compared again for every path.
func (s *segment) matches(d *Document, c *node) bool {
	if s.kind == anyOne {
		return true
	}
	if c.keyEnd < 0 {
		return s.index == c.key && s.kind == literal
	}
	raw := d.buffer(c.source)[c.key:c.keyEnd]
	switch {
	case s.kind == folded:
		d.work += decodedWork * len(raw)
		return foldedEqual(raw, s.name)
	case c.flags&escapedKey != 0:
		d.work += decodedWork * min(len(raw), 6*len(s.name)) // the comparison stops at the first difference
		return decodedEqual(raw, s.name, nil)
	case len(raw) == len(s.name):
		d.work += len(raw)
		return string(raw) == s.name
	}
	return false
}
