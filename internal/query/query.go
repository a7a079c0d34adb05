// Package query is the language of conditions and of the host function query: gjson's
// paths without the features of unbounded cost. It has names, indexes, * and ?, #, #(...)
// and #(...)#, and pipes. It has no modifiers (@), constants (!) or multipaths ([ and {),
// and at most two * in one step or one #(...): the cost of matching is the length of the
// text to the power of their number.
package query

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// MaxBytes is how long a query may be.
const MaxBytes = 1 << 10

// maxStars is how many * one step may have. With two, matching a text takes its length
// times that of the step.
const maxStars = 2

// Query is a checked query. It is immutable and safe for concurrent use.
type Query struct {
	text    string
	perByte int // of the document
}

// Parse checks a query. Text that gjson does not understand is no error: it finds
// nothing.
func Parse(text string) (*Query, error) {
	switch {
	case text == "":
		return nil, errors.New("the query is empty")
	case len(text) > MaxBytes:
		return nil, fmt.Errorf("the query is longer than %d bytes", MaxBytes)
	}
	passes := scanned + counted*strings.Count(text, "#") + scanned*strings.Count(text, "|")
	// A #(...) counts as one step, what is in it included: its value may hold anything.
	stars, tries, from, depth := 0, 0, 0, 0
	begins, quoted := true, false // at the begin of a name, in a quoted value
	for i := 0; i < len(text); i++ {
		c := text[i]
		// What is quoted in a condition is none on an object: a dot in it begins a name.
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

// What one byte of the document may cost, in nanoseconds, as BenchmarkWorst finds it.
const (
	scanned  = 4  // passed over once; again behind a pipe
	counted  = 40 // where # looks at elements, which may be of one byte
	compared = 4  // with one byte of a step that has *
)

// Cost is how long Get may take on a document of so many bytes, in nanoseconds on a
// machine of today.
func (q *Query) Cost(bytes int) int { return bytes * q.perByte }

// Get returns what the query finds in data, which must be valid JSON without duplicate
// keys: of those the first would count.
func (q *Query) Get(data []byte) gjson.Result {
	return gjson.GetBytes(data, q.text)
}
