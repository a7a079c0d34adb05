// Package schema reads events of producers other than LiteLLM. A Schema has expressions for the
// id, action, time, actor and object of such an event.
//
// An expression is one of
//
//	user.username             a path, in the language of package query
//	{auditID}/{stage}         text with paths in braces; all must find a value
//	=kubernetes               a constant
//
// A path finds a non-empty string, a number or a boolean. Several expressions are tried in
// order, and the first that finds a value counts.
package schema

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"auditrelay"
	"auditrelay/internal/ingest"
	"auditrelay/internal/query"
)

// The limits of a schema. An event carries the expressions that found its fields.
const (
	MaxExpression   = 256 // bytes
	MaxAlternatives = 8   // expressions for one field
	maxParts        = 8   // paths in one expression
	// maxWrapped is the maximum nesting of an object that contains events: the maximum of an
	// event, plus the longest path before it.
	maxWrapped = 512 + MaxExpression
)

// Fields are a schema's expressions by field. Action is required. Without ID, an event's id is
// a keyed digest of its bytes.
type Fields struct {
	Namespace string
	// Unwrap are paths of the list of events in a request, tried in order. If none finds a
	// list, the object itself is the event.
	Unwrap                                      []string
	ID, Action, Time, Actor, Object, ObjectType []string
}

// Schema reads events. It is immutable and safe for concurrent use.
type Schema struct {
	name, namespace                             string
	unwrap                                      []string
	id, action, time, actor, object, objectType []expression
}

// FieldError is a fault of one expression of a schema.
type FieldError struct {
	Field string // as in the configuration
	Index int    // of the expression
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

func (e *FieldError) Unwrap() error { return e.Err }

// New checks a schema. Errors are *FieldError, joined.
func New(name string, f Fields) (*Schema, error) {
	s := &Schema{name: name, namespace: f.Namespace}
	var errs []error
	for i, path := range f.Unwrap {
		if _, err := query.Parse(path); err != nil {
			errs = append(errs, &FieldError{"unwrap", i, err})
		}
	}
	s.unwrap = f.Unwrap
	for _, field := range []struct {
		name string
		from []string
		into *[]expression
	}{
		{"id", f.ID, &s.id}, {"action", f.Action, &s.action}, {"time", f.Time, &s.time},
		{"actor", f.Actor, &s.actor}, {"object", f.Object, &s.object}, {"object_type", f.ObjectType, &s.objectType},
	} {
		if len(field.from) > MaxAlternatives {
			errs = append(errs, &FieldError{field.name, MaxAlternatives, fmt.Errorf("more than %d expressions", MaxAlternatives)})
			continue
		}
		for i, text := range field.from {
			e, err := parse(text)
			if err == nil && field.name == "id" && strings.HasPrefix(text, "=") {
				err = errors.New("a constant gives all events one id; leave it out: an event without an id gets a digest of its bytes")
			}
			if err != nil {
				errs = append(errs, &FieldError{field.name, i, err})
				continue
			}
			*field.into = append(*field.into, e)
		}
	}
	if len(f.Action) == 0 {
		errs = append(errs, &FieldError{"action", 0, errors.New("it is required; a constant begins with =, as in =login")})
	}
	return s, errors.Join(errs...)
}

// Name returns the schema's name.
func (s *Schema) Name() string { return s.name }

// Unwraps reports whether one object of a request may contain several events.
func (s *Schema) Unwraps() bool { return s != nil && len(s.unwrap) > 0 }

// Unwrap returns the events in an object, as slices of data: the elements of the first list
// found by a path. The object is the only event if no path finds a list, if it is invalid JSON,
// if it is nested deeper than an event in its list may be, or if it has two members of one name
// on the way to the list. If there are more than most events, the error is an
// *ingest.EventError with Rest.
func (s *Schema) Unwrap(data []byte, most int) (events [][]byte, err error) {
	if !s.Unwraps() || deeper(data, maxWrapped) || !gjson.ValidBytes(data) {
		if most < 1 {
			return nil, tooMany()
		}
		return [][]byte{data}, nil
	}
	for _, path := range s.unwrap {
		list := gjson.GetBytes(data, path)
		if !list.IsArray() {
			continue
		}
		if repeats(data, path) {
			break // the other member may contain events too
		}
		list.ForEach(func(_, value gjson.Result) bool {
			if len(events) >= most {
				err = tooMany()
				return false
			}
			if from, to := value.Index, value.Index+len(value.Raw); from > 0 && to <= len(data) && string(data[from:to]) == value.Raw {
				events = append(events, data[from:to:to])
			} else {
				events = append(events, []byte(value.Raw))
			}
			return true
		})
		return events, err
	}
	if most < 1 {
		return nil, tooMany()
	}
	return [][]byte{data}, nil
}

// repeats reports whether an object on the way of a path has two members of one name.
func repeats(data []byte, path string) bool {
	at := gjson.ParseBytes(data)
	for step := range strings.SplitSeq(path, ".") {
		if at.IsObject() {
			names, twice := map[string]bool{}, false
			at.ForEach(func(name, _ gjson.Result) bool {
				twice = names[name.String()]
				names[name.String()] = true
				return !twice
			})
			if twice {
				return true
			}
		}
		at = at.Get(step)
	}
	return false
}

func tooMany() error {
	return &ingest.EventError{Kind: ingest.Unframeable, Reason: ingest.TooManyEvents, Message: "more events in lists than ingest.limits.events allows in one request; send fewer a request, or raise it", Offset: -1, Rest: true}
}

// deeper reports whether brackets outside strings nest deeper than most: a recursive parser
// would need as much stack.
func deeper(data []byte, most int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > most {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// expression is a checked expression.
type expression struct {
	text  string
	parts []part // one, for a constant or path
}

type part struct {
	text  string // before the path
	query *query.Query
}

func parse(text string) (expression, error) {
	e := expression{text: text}
	switch {
	case text == "" || text == "=":
		return e, errors.New("the expression is empty")
	case len(text) > MaxExpression:
		return e, fmt.Errorf("the expression is longer than %d bytes", MaxExpression)
	case text[0] == '=':
		e.parts = []part{{text: text[1:]}}
		return e, nil
	case !strings.ContainsAny(text, "{}"):
		q, err := query.Parse(text)
		e.parts = []part{{query: q}}
		return e, err
	}
	rest := text
	for rest != "" {
		before, after, found := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return e, errors.New("a } without its {")
		}
		if !found {
			e.parts = append(e.parts, part{text: rest})
			break
		}
		path, next, closed := strings.Cut(after, "}")
		if !closed {
			return e, errors.New("a { without its }")
		}
		q, err := query.Parse(path)
		if err != nil {
			return e, err
		}
		e.parts, rest = append(e.parts, part{text: before, query: q}), next
	}
	if len(e.parts) > maxParts {
		return e, fmt.Errorf("more than %d paths in one expression", maxParts)
	}
	return e, nil
}

// value returns what the expression finds in a valid document.
func (e *expression) value(data []byte) (string, bool) {
	if len(e.parts) == 1 && e.parts[0].text == "" {
		return scalar(e.parts[0].query.Get(data))
	}
	var b strings.Builder
	for i := range e.parts {
		b.WriteString(e.parts[i].text)
		if e.parts[i].query == nil {
			continue
		}
		text, ok := scalar(e.parts[i].query.Get(data))
		if !ok {
			return "", false
		}
		b.WriteString(text)
	}
	return b.String(), true
}

func scalar(v gjson.Result) (string, bool) {
	switch v.Type {
	case gjson.String:
		return v.Str, v.Str != ""
	case gjson.Number, gjson.True, gjson.False:
		return v.Raw, true
	}
	return "", false
}

// Value returns what an expression of a Mapping finds in a valid document. An empty or damaged
// expression finds nothing.
func Value(text string, data []byte) (string, bool) {
	if text == "" {
		return "", false
	}
	e, err := parse(text)
	if err != nil {
		return "", false
	}
	return e.value(data)
}

// Columns are an event's fields under LiteLLM's names.
type Columns struct{ Action, TableName, ObjectID, ChangedBy string }

// ColumnsOf reads the columns from a valid document.
func ColumnsOf(m *auditrelay.Mapping, data []byte) Columns {
	get := func(text string) string {
		value, _ := Value(text, data)
		return value
	}
	return Columns{Action: get(m.Action), TableName: get(m.ObjectType), ObjectID: get(m.Object), ChangedBy: get(m.Actor)}
}

// Field returns one of the columns by LiteLLM's name. ok reports whether a schema maps that
// name.
func Field(m *auditrelay.Mapping, name string, data []byte) (value string, found, ok bool) {
	var text string
	switch name {
	case "action":
		text = m.Action
	case "table_name":
		text = m.ObjectType
	case "object_id":
		text = m.Object
	case "changed_by":
		text = m.Actor
	default:
		return "", false, false
	}
	value, found = Value(text, data)
	return value, found, true
}
