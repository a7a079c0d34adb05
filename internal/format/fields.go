package format

import (
	"auditrelay"
	"auditrelay/document"
	producers "auditrelay/internal/schema"
)

// fields are the parts of an event that the formats read: LiteLLM's members, or what the
// event's mapping finds in the filtered document.
type fields struct {
	id, time, actor, apiKey, action, table, object, alias, email field
	mapped                                                       bool
}

// field is one value: a node of the document, or text that a mapping found. The zero value is
// no value.
type field struct {
	node  document.Node
	text  []byte
	found bool // text contains the value
}

var none = field{node: document.None}

func (w *Writer) fields(e *auditrelay.Event, final []byte) fields {
	f := fields{none, none, none, none, none, none, none, none, none, e.Mapping != nil}
	if m := e.Mapping; m != nil {
		for _, one := range []struct {
			into *field
			from string
		}{{&f.id, m.ID}, {&f.time, m.Time}, {&f.actor, m.Actor}, {&f.action, m.Action}, {&f.table, m.ObjectType}, {&f.object, m.Object}} {
			if text, ok := producers.Value(one.from, final); ok {
				*one.into = field{node: document.None, text: []byte(text), found: true}
			}
		}
		return f
	}
	d := &w.document
	for c := d.Child(document.Root, document.None); c != document.None; c = d.Child(document.Root, c) {
		if d.Kind(c) == document.Null {
			continue
		}
		switch string(d.AppendKey(w.room[:0], c)) {
		case "id":
			f.id.node = c
		case "updated_at":
			f.time.node = c
		case "changed_by":
			f.actor.node = c
		case "changed_by_api_key":
			f.apiKey.node = c
		case "action":
			f.action.node = c
		case "table_name":
			f.table.node = c
		case "object_id":
			f.object.node = c
		case "object_alias":
			f.alias.node = c
		case "changed_by_user_email":
			f.email.node = c
		}
	}
	return f
}

// says reports whether f has a value to export: a non-empty string, or a number, which a filter
// may have written.
func (w *Writer) says(f field) bool {
	if f.found {
		return len(f.text) > 0
	}
	switch w.document.Kind(f.node) {
	case document.String:
		return w.document.Len(f.node) > 0
	case document.Number:
		return true
	}
	return false
}

// value appends f as a JSON string. says(f) must be true.
func (w *Writer) value(dst []byte, f field) []byte {
	switch {
	case f.found:
		return appendString(dst, f.text)
	case w.document.Kind(f.node) == document.String:
		return w.document.AppendJSON(dst, f.node)
	}
	dst = append(dst, '"')
	return append(w.document.AppendJSON(dst, f.node), '"')
}

// member appends ,"name":value if says(f).
func (w *Writer) member(dst []byte, name string, f field) []byte {
	if !w.says(f) {
		return dst
	}
	dst = append(dst, `,"`...)
	dst = append(append(dst, name...), `":`...)
	return w.value(dst, f)
}

// text returns the decoded string of f, or nil if f is no string or is longer than the names in
// the tables. It is valid until the next call.
func (w *Writer) text(f field) []byte { return w.short(w.room[:], f) }

// short returns the decoded string of f in room, or nil if f is no string or does not fit.
func (w *Writer) short(room []byte, f field) []byte {
	switch {
	case f.found && len(f.text) <= len(room):
		return f.text
	case f.found || w.document.Kind(f.node) != document.String || w.document.Len(f.node) > len(room):
		return nil
	}
	text, _ := w.document.AppendString(room[:0], f.node)
	return text
}

// plain appends f decoded. says(f) must be true.
func (w *Writer) plain(dst []byte, f field) []byte {
	if f.found {
		return append(dst, f.text...)
	}
	if text, ok := w.document.AppendString(dst, f.node); ok {
		return text
	}
	return w.document.AppendJSON(dst, f.node)
}

// producer states whose schema an event is in.
type producer uint8

const (
	liteLLM producer = iota
	relay
	guest
	another
)

// producerOf decides by the namespace, which no sender can choose, and by the mapping, because
// senders of LiteLLM's events may have their own namespace.
func producerOf(e *auditrelay.Event) producer {
	switch {
	case e.Namespace == auditrelay.NamespaceRelay:
		return relay
	case e.Namespace == auditrelay.NamespaceEmitted:
		return guest
	case e.Mapping != nil:
		return another
	}
	return liteLLM
}
