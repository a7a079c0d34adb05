package runtime

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"auditrelay"
	"auditrelay/internal/query"
	"auditrelay/internal/schema"
)

// condition is a prepared When. A nil condition matches every event.
type condition struct {
	fields []fieldCondition
	query  *query.Query // nil if there is none
	wrong  error        // error of the query; Open rejects a callback that has one
}

type fieldCondition struct {
	name   string
	path   string // an escaped gjson path
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
		c.fields = append(c.fields, fieldCondition{name: name, path: gjson.Escape(name), values: values})
	}
	slices.SortFunc(c.fields, func(a, b fieldCondition) int { return strings.Compare(a.path, b.path) })
	return c
}

// match reports whether an accepted event meets the condition. gjson is safe here because
// accepted events are valid JSON without duplicate keys at the top.
func (c *condition) match(e *auditrelay.Event) (ok bool, err error) {
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
		if value, ok := f.of(e); !ok || !slices.Contains(f.values, value) {
			return false, nil
		}
	}
	if c.query == nil {
		return true, nil
	}
	value := c.query.Get(e.Data)
	switch {
	case !value.Exists(), value.Type == gjson.Null, value.Type == gjson.False:
		return false, nil
	case value.IsArray():
		return len(value.Array()) > 0, nil
	}
	return true, nil
}

// of returns the field's text. For an event with a mapping, it returns the text that the mapping finds for
// the name.
func (f *fieldCondition) of(e *auditrelay.Event) (value string, ok bool) {
	if e.Mapping != nil {
		if f.name == "id" {
			return e.ID, true
		}
		if value, found, mapped := schema.Field(e.Mapping, f.name, e.Data); mapped {
			return value, found
		}
	}
	found := gjson.GetBytes(e.Data, f.path)
	return found.Str, found.Type == gjson.String
}
