package hostfuncs

import (
	"auditrelay/document"
	"auditrelay/filter"
)

// maxTouches is the number of kinds of edits that one event's receipt lists separately. It
// lists all further kinds as one.
const maxTouches = 32

// touch records edits for the event's receipt. path and operation must be constants of the
// module or of this package.
func (s *State) touch(path, operation string, count int) {
	if count == 0 {
		return
	}
	for i := range s.touched {
		if t := &s.touched[i]; t.Path == path && t.Operation == operation {
			t.Count += count
			return
		}
	}
	if len(s.touched) >= maxTouches {
		last := &s.touched[len(s.touched)-1]
		last.Path, last.Operation = "**", "edit"
		last.Count += count
		return
	}
	s.touched = append(s.touched, filter.Touch{Path: path, Operation: operation, Count: count})
}

// place returns a node's place for a receipt: only the schema's field at the top, since the
// keys below belong to the event.
func (s *State) place(n document.Node) string {
	if n == document.Root {
		return "**"
	}
	below := false
	for {
		p := s.doc.Parent(n)
		if p == document.Root || p == document.None {
			break
		}
		n, below = p, true
	}
	s.value = s.doc.AppendKey(s.value[:0], n)
	for i := range schema {
		if f := &schema[i]; f.name == string(s.value) {
			if below {
				return f.inside
			}
			return f.name
		}
	}
	return "**"
}

// schema has the top-level fields of an audit event, as LiteLLM writes it.
var schema = [...]struct{ name, inside string }{
	{"id", "id.**"},
	{"updated_at", "updated_at.**"},
	{"changed_by", "changed_by.**"},
	{"changed_by_api_key", "changed_by_api_key.**"},
	{"action", "action.**"},
	{"table_name", "table_name.**"},
	{"object_id", "object_id.**"},
	{"before_value", "before_value.**"},
	{"updated_values", "updated_values.**"},
}
