// Package query is the language of conditions and of the host function query: gjson's paths
// without the features of unbounded cost. It supports names, indexes, * and ?, #, #(...) and
// #(...)#, and pipes. It does not support modifiers (@), constants (!) or multipaths ([ and {).
// One step or one #(...) may contain at most two *: matching costs the length of the text to
// the power of their number.
package query

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// MaxBytes is the maximum length of a query.
const MaxBytes = 1 << 10

// maxStars is the maximum number of * in one step. With two, matching takes the length of the
// text times that of the step.
const maxStars = 2

// Query is a checked query. It is immutable and safe for concurrent use.
type Query struct {
	text    string
	perByte int // of the document
}

// Parse checks a query. Text that gjson does not understand is no error: it matches nothing.
func Parse(text string) (*Query, error) {
	switch {
	case text == "":
		return nil, errors.New("the query is empty")
	case len(text) > MaxBytes:
		return nil, fmt.Errorf("the query is longer than %d bytes", MaxBytes)
	}
	passes := scanned + counted*strings.Count(text, "#") + scanned*strings.Count(text, "|")
	// A #(...) counts as one step with everything inside it: its value may contain any
	// character.
	stars, tries, from, depth := 0, 0, 0, 0
	begins, quoted := true, false // at the beginning of a name; inside a quoted value
	for i := 0; i < len(text); i++ {
		c := text[i]
		// Quotes in a condition have no meaning when it applies to an object: a dot between
		// them begins a name.
		if begins && strings.IndexByte("@[{!", c) >= 0 && (c != '!' || i == 0 || text[i-1] != '(') {
			return nil, errors.New("modifiers (@), constants (!) and multipaths ([, {) are not served; write \\. for a dot in a text")
		}
		begins = c == '.' || c == '|' || !quoted && (c == '(' || c == '#')
		switch {
		case c == '\\':
			i++
		case c == '*':
			stars++
		case c == '"' && depth > 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case depth == 0 && (c == '.' || c == '|'):
			stars, from = 0, i+1
		}
		if stars > maxStars {
			return nil, fmt.Errorf("more than %d * in one step of the query", maxStars)
		}
		if stars > 0 {
			tries = max(tries, i+1-from)
		}
	}
	return &Query{text: text, perByte: passes + compared*tries*passes/scanned}, nil
}

// The maximum cost of one byte of the document in nanoseconds, as measured by BenchmarkWorst.
const (
	scanned  = 4  // one pass; each pipe adds another
	counted  = 40 // for # over elements, which may be one byte long
	compared = 4  // for each byte of a step with *
)

// Cost returns the maximum time of Get for a document of this size, in nanoseconds on a current
// machine.
func (q *Query) Cost(bytes int) int { return bytes * q.perByte }

// Get returns the result of the query in data. data must be valid JSON without duplicate keys:
// of duplicates, the first would count.
func (q *Query) Get(data []byte) gjson.Result {
	return gjson.GetBytes(data, q.text)
}
