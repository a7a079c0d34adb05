package query

import "strings"

// One step of a query, as gjson (MIT License, Josh Baker) reads it, without the features that
// Parse refuses.

// nameStep is a step into an object.
type nameStep struct {
	name  string
	wild  bool
	more  bool // steps follow
	rest  string
	piped bool
	pipe  string // the path after a pipe
}

func readName(path string) (s nameStep) {
	var name []byte // the name without its escapes, if it has any
	escaped := false
	text := func(i int) string {
		if escaped {
			return string(name)
		}
		return path[:i]
	}
	for i := 0; i < len(path); i++ {
		switch c := path[i]; c {
		case '|':
			s.name, s.pipe, s.piped = text(i), path[i+1:], true
			return s
		case '.':
			s.name, s.rest, s.more = text(i), path[i+1:], true
			return s
		case '\\':
			if !escaped {
				escaped, name = true, []byte(path[:i])
			}
			if i++; i < len(path) {
				name = append(name, path[i])
			}
			continue
		case '*', '?':
			s.wild = true
		}
		if escaped {
			name = append(name, path[i])
		}
	}
	s.name = text(len(path))
	return s
}

// elementStep is a step into an array.
type elementStep struct {
	nameStep

	number bool   // contains #
	every  bool   // #.key: key of each element
	key    string // that key
	asks   bool   // #(...)
	all    bool   // #(...)#
	test   condition
}

// condition is the content of #(...).
type condition struct {
	path, op, value string
}

func readElement(path string) (s elementStep) {
scan:
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '|':
			s.name, s.pipe, s.piped = path[:i], path[i+1:], true
			return s
		case '.':
			s.name, s.rest, s.more = path[:i], path[i+1:], true
			return s
		case '#':
			s.number = true
			if i > 0 || len(path) < 2 {
				continue
			}
			switch path[1] {
			case '.':
				s.every, s.key, s.rest = true, path[2:], path[:1]
			case '(':
				s.asks = true
				test, end, ok := readCondition(path)
				if !ok {
					break scan
				}
				s.test = test
				if i = end - 1; i+1 < len(path) && path[i+1] == '#' {
					s.all = true
				}
			}
		}
	}
	s.name, s.rest = path, ""
	return s
}

// readCondition reads #(...) and returns its end.
func readCondition(text string) (c condition, end int, ok bool) {
	i, j, depth, escapes := 2, 0, 1, false // j: where the comparison begins
scan:
	for ; i < len(text); i++ {
		if depth == 1 && j == 0 && strings.IndexByte("!=<>%", text[i]) >= 0 {
			j = i
			continue
		}
		switch text[i] {
		case '\\':
			i++
		case '[', '(':
			depth++
		case ']', ')':
			if depth--; depth == 0 {
				break scan
			}
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					escapes = true
					i++
				}
			}
		}
	}
	if depth > 0 {
		return condition{}, 0, false
	}
	if j == 0 {
		return condition{path: trim(text[2:i])}, i + 1, true
	}
	c.path, c.value = trim(text[2:j]), trim(text[j:i])
	size := 1
	switch {
	case len(c.value) == 1:
	case strings.HasPrefix(c.value, "!="), strings.HasPrefix(c.value, "!%"), strings.HasPrefix(c.value, "<="), strings.HasPrefix(c.value, ">="):
		size = 2
	case strings.HasPrefix(c.value, "=="):
		c.value = c.value[1:]
	case c.value[0] == '!':
		size = 0
	}
	c.op, c.value = c.value[:size], trim(c.value[size:])
	if v := c.value; len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		if c.value = v[1 : len(v)-1]; escapes {
			c.value = string(appendDecoded(nil, c.value, func(int) {}))
		}
	}
	return c, i + 1, true
}

func trim(s string) string {
	for len(s) > 0 && s[0] <= ' ' {
		s = s[1:]
	}
	for len(s) > 0 && s[len(s)-1] <= ' ' {
		s = s[:len(s)-1]
	}
	return s
}

// splitPipe splits the path after a # or #(...) at the first pipe outside of conditions.
func splitPipe(path string) (left, right string, ok bool) {
	if strings.IndexByte(path, '|') < 0 {
		return path, "", false
	}
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '\\':
			i++
		case '|':
			return path[:i], path[i+1:], true
		case '.':
			if i == len(path)-1 {
				return path, "", false
			}
			if path[i+1] != '#' {
				continue
			}
			if i += 2; i == len(path) {
				return path, "", false
			}
			if path[i] == '(' {
				i = closing(path, i+1)
			}
		}
	}
	return path, "", false
}

// closing returns the position of the bracket that closes the one before i.
func closing(path string, i int) int {
	for depth := 1; i < len(path); i++ {
		switch path[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		case '"':
			for i++; i < len(path) && path[i] != '"'; i++ {
				if path[i] == '\\' {
					i++
				}
			}
		}
	}
	return i
}

// index returns the element number that a name stands for, or -1 if it is no number.
func index(name string) int {
	if name == "" {
		return -1
	}
	n := 0
	for i := range len(name) {
		if name[i] < '0' || name[i] > '9' {
			return -1
		}
		if n < 1<<40 {
			n = n*10 + int(name[i]-'0')
		}
	}
	return n
}
