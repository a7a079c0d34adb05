package format

import (
	"strconv"
	"time"

	"auditrelay"
	"auditrelay/document"
)

// ecsVersion is the version of the Elastic Common Schema.
const ecsVersion = "9.5.0"

// The mapping to ECS. Names under event, related and lite_llm.audit are those of Elastic's
// integration for LiteLLM (package lite_llm 0.1.0), so its dashboards find them. Users are in
// the fields that ECS specifies: who acted in user, who was changed in user.target. The
// integration puts the first in user.email, whether it is an address or not, and the second in
// user.id.

// ecs appends an event as an ECS document.
func (w *Writer) ecs(dst []byte, e *auditrelay.Event, f *fields, final []byte) []byte {
	at := e.Time
	if at.IsZero() {
		at = e.Received
	}
	dst = append(ecsHead(dst, at), w.ecsKind(f)...)
	dst = w.member(dst, "action", f.action)
	dst = w.member(dst, "id", f.id)
	by, dataset, open := producerOf(e), "auditrelay.emitted", `,"auditrelay":{"emitted":`
	switch by {
	case liteLLM:
		dataset, open = "lite_llm.audit", `,"lite_llm":{"audit":`
	case relay:
		dataset, open = "auditrelay.audit", `,"auditrelay":{"audit":`
	case another:
		dataset, open = e.Mapping.Schema+".audit", `,"event":`
	}
	dst = w.formatter.ecsOrigin(dst, dataset, e.Sequence, e.Received)
	dst = w.ecsUsers(dst, f)
	switch by {
	case liteLLM:
		final = w.opened(final)
	case another:
		dst = appendString(append(dst, `,"auditrelay":{"namespace":`...), []byte(e.Namespace))
		if w.says(f.object) {
			dst = w.value(append(dst, `,"object":{"id":`...), f.object)
			dst = append(w.member(dst, "type", f.table), '}')
		}
	}
	return w.whole(dst, open, final, "}}")
}

// opened returns the filtered document with before_value and updated_values as objects. LiteLLM
// exports them as text, for which Elastic's mapping has no field. A text that is no JSON
// object, for example one that a filter wrote, stays.
func (w *Writer) opened(final []byte) []byte {
	d := &w.document
	for c := d.Child(document.Root, document.None); c != document.None; c = d.Child(document.Root, c) {
		if d.Kind(c) != document.String || d.Holds(c) != document.Object {
			continue
		}
		if key := string(d.AppendKey(w.room[:0], c)); key != "before_value" && key != "updated_values" {
			continue
		}
		w.inner, _ = d.AppendString(w.inner[:0], c)
		for i, b := range w.inner {
			if b == '\n' || b == '\r' { // white space between tokens: JSON strings cannot contain them
				w.inner[i] = ' '
			}
		}
		_ = d.SetJSON(c, w.inner) // a text that is refused stays text
	}
	if d.Edited() {
		w.edited = d.Append(w.edited[:0])
		return w.edited
	}
	return final
}

// ecsHead appends the start of every document.
func ecsHead(dst []byte, at time.Time) []byte {
	dst = at.UTC().AppendFormat(append(dst, `{"@timestamp":"`...), time.RFC3339Nano)
	return append(dst, `","ecs":{"version":"`+ecsVersion+`"},"event":{"kind":"event"`...)
}

// ecsKind returns the ECS event types of an action. As in Elastic's integration, each of the
// six actions is a change, even if a narrower type applies too. Other verbs of other producers
// do not count as a change.
func (w *Writer) ecsKind(f *fields) string {
	action := auditrelay.Action(w.text(f.action))
	if !w.says(f.action) || f.mapped && !action.Known() {
		return `,"type":["info"]`
	}
	switch action {
	case auditrelay.ActionCreated:
		return `,"category":["configuration"],"type":["change","creation"]`
	case auditrelay.ActionDeleted:
		return `,"category":["configuration"],"type":["change","deletion"]`
	}
	return `,"category":["configuration"],"type":["change"]`
}

// ecsOrigin appends the event's origin and closes the event object.
func (f *Formatter) ecsOrigin(dst []byte, dataset string, sequence uint64, received time.Time) []byte {
	dst = append(appendString(append(dst, `,"provider":"auditrelay","dataset":`...), []byte(dataset)), `,"created":"`...)
	dst = received.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = strconv.AppendUint(append(dst, `","sequence":`...), sequence, 10)
	return append(f.uid(append(dst, `},"labels":{"auditrelay_uid":"`...), sequence), `"}`...)
}

// ecsUsers appends who acted, the changed object if it is a user, and both in related.
func (w *Writer) ecsUsers(dst []byte, f *fields) []byte {
	acted := w.says(f.actor)
	target := w.says(f.object) && objects[string(w.text(f.table))].class == &accountChange
	if !acted && !target {
		return dst
	}
	dst = append(dst, `,"user":{`...)
	if acted {
		dst = w.value(append(dst, `"id":`...), f.actor)
		switch {
		case w.email(f.email):
			dst = w.member(dst, "email", f.email)
		case w.email(f.actor):
			dst = w.member(dst, "email", f.actor)
		}
	}
	if target {
		if acted {
			dst = append(dst, ',')
		}
		dst = w.value(append(dst, `"target":{"id":`...), f.object)
		dst = append(w.member(dst, "name", f.alias), '}')
	}
	dst = append(dst, `},"related":{"user":[`...)
	if acted {
		dst = w.value(dst, f.actor)
	}
	if target {
		if acted {
			dst = append(dst, ',')
		}
		dst = w.value(dst, f.object)
	}
	return append(dst, `]}`...)
}

func (f *Formatter) ecsTombstone(r *auditrelay.Record) []byte {
	dst := ecsHead(make([]byte, 0, len(r.Data)+512), r.Received)
	dst = append(dst, `,"type":["info"],"action":"tombstone"`...)
	dst = f.ecsOrigin(dst, "auditrelay.tombstone", r.Sequence, r.Received)
	return append(append(append(dst, `,"auditrelay":{"tombstone":`...), r.Data...), "}}"...)
}
