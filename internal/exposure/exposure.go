// Package exposure compares which parts of an event two versions of a filter let out.
package exposure

import (
	"slices"
	"strings"
	"unicode"

	"auditrelay/document"
)

// Change lists the paths at which two results for one event differ, sorted.
type Change struct {
	Exposed   []string // after lets out a value of the event that before does not
	Hidden    []string // before lets out a value of the event that after does not
	Otherwise []string // anything else
}

// Any reports whether there is a difference.
func (c *Change) Any() bool { return len(c.Exposed)+len(c.Hidden)+len(c.Otherwise) > 0 }

// Compare compares two results for one event. Each map contains values by path, as Leaves
// returns them; original is the event before filtering. Compare also finds a value that a
// result contains under another path or in part.
func Compare(original, before, after map[string]string) Change {
	var c Change
	values, was, is := valuesOf(original), valuesOf(before), valuesOf(after)
	// lets reports whether a result reveals more at a path than the other one.
	lets := func(path, value, other string, others map[string]bool) bool {
		if came, ok := original[path]; ok && (value == came || showsMore(came, other, value)) {
			return true
		}
		return values[value] && !others[value]
	}
	add := func(path string) {
		b, had := before[path]
		a, has := after[path]
		switch {
		case had == has && a == b:
		case has && lets(path, a, b, was):
			c.Exposed = append(c.Exposed, path)
		case had && lets(path, b, a, is):
			c.Hidden = append(c.Hidden, path)
		default:
			c.Otherwise = append(c.Otherwise, path)
		}
	}
	for path := range before {
		add(path)
	}
	for path := range after {
		if _, done := before[path]; !done {
			add(path)
		}
	}
	slices.Sort(c.Exposed)
	slices.Sort(c.Hidden)
	slices.Sort(c.Otherwise)
	return c
}

// leastValue is the length of the shortest JSON value that is searched for under other paths.
// Shorter values occur everywhere.
const leastValue = 6

func valuesOf(leaves map[string]string) map[string]bool {
	all := make(map[string]bool, len(leaves))
	for _, value := range leaves {
		if len(value) >= leastValue {
			all[value] = true
		}
	}
	return all
}

// showsMore reports whether the new form shows part of a value, a run of at least four letters
// and digits, that the old form does not show.
func showsMore(value, was, is string) bool {
	parts := strings.FieldsFunc(value, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return slices.ContainsFunc(parts, func(part string) bool {
		return len(part) >= 4 && strings.Contains(is, part) && !strings.Contains(was, part)
	})
}

// Leaves returns the values in a document, as JSON, by path. It looks into strings that contain
// JSON. Paths have the original indices. If a key occurs twice, all its values are under one
// path.
func Leaves(d *document.Document) map[string]string {
	out := map[string]string{}
	var walk func(n document.Node)
	walk = func(n document.Node) {
		leaf := true
		for c := d.Child(n, document.None); c != document.None; c = d.Child(n, c) {
			leaf = false
			walk(c)
		}
		if leaf && n != document.Root {
			path := string(d.AppendPath(nil, n))
			out[path] += string(d.AppendJSON(nil, n))
		}
	}
	walk(document.Root)
	return out
}
