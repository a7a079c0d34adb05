package runtime

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"auditrelay"
	"auditrelay/internal/query"
)

// condition is a prepared When. A nil condition matches every event.
type condition struct {
	fields []fieldCondition
	query  *query.Query // nil without one
	wrong  error        // of the query; callbacks with one are refused when they are opened
}

type fieldCondition struct {
	path   string // gjson, escaped
	values []string
}

func newCondition(w *auditrelay.When) *condition {
	if w == nil || (len(w.Fields) == 0 && w.Query == "") {
		return nil
	}
	c := &condition{}
	if w.Query != "" {
		c.query, c.wrong = query.Parse(w.Query)
	}
	for name, values := range w.Fields {
		c.fields = append(c.fields, fieldCondition{path: gjson.Escape(name), values: values})
	}
	slices.SortFunc(c.fields, func(a, b fieldCondition) int { return strings.Compare(a.path, b.path) })
	return c
}

// match reports whether an accepted event meets the condition. gjson is safe here because
// accepted events are valid JSON without duplicate keys at the top.
func (c *condition) match(data []byte) (ok bool, err error) {
	if c == nil {
		return true, nil
	}
	defer func() {
		if p := recover(); p != nil {
			ok, err = false, fmt.Errorf("the condition panicked with a %T", p)
		}
	}()
	if c.wrong != nil {
		return false, fmt.Errorf("the condition: %w", c.wrong)
	}
	for _, f := range c.fields {
		value := gjson.GetBytes(data, f.path)
		if value.Type != gjson.String || !slices.Contains(f.values, value.Str) {
			return false, nil
		}
	}
	if c.query == nil {
		return true, nil
	}
	value := c.query.Get(data)
	switch {
	case !value.Exists(), value.Type == gjson.Null, value.Type == gjson.False:
		return false, nil
	case value.IsArray():
		return len(value.Array()) > 0, nil
	}
	return true, nil
}
