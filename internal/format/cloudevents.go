package format

import (
	"time"
	"unicode/utf8"

	"auditrelay"
)

// specVersion is the version of CloudEvents.
const specVersion = "1.0"

// The types of CloudEvents. The action follows for an event in LiteLLM's schema.
const (
	typeLiteLLM   = "ai.litellm.audit."
	typeRelay     = "auditrelay.audit."
	typeEmitted   = "auditrelay.emitted"
	typeTombstone = "auditrelay.tombstone"
	typeOther     = "auditrelay.producer." // followed by the schema's name, a dot and the action
)

// cloudEvent appends an event as a CloudEvent.
func (w *Writer) cloudEvent(dst []byte, e *auditrelay.Event, f *fields, final []byte) []byte {
	dst = w.formatter.envelope(dst, e.Sequence)
	switch producerOf(e) {
	case guest:
		dst = append(dst, typeEmitted...)
	case relay:
		dst = append(append(dst, typeRelay...), w.actionOf(f.action)...)
	case another:
		name := appendString(nil, []byte(e.Mapping.Schema)) // without the quotes
		dst = append(append(append(dst, typeOther...), name[1:len(name)-1]...), '.')
		dst = append(dst, w.actionOf(f.action)...)
	default:
		dst = append(append(dst, typeLiteLLM...), w.actionOf(f.action)...)
	}
	at := e.Time
	if at.IsZero() {
		at = e.Received
	}
	dst = times(dst, at, e.Received)
	if w.attribute(f.object) {
		dst = w.member(dst, "subject", f.object)
	}
	if f.mapped {
		for _, one := range []struct {
			name  string
			value field
		}{{"action", f.action}, {"actor", f.actor}, {"objecttype", f.table}, {"producerid", f.id}} {
			if w.attribute(one.value) {
				dst = w.member(dst, one.name, one.value)
			}
		}
		dst = appendString(append(dst, `,"namespace":`...), []byte(e.Namespace))
	}
	return w.whole(dst, `,"data":`, final, "}")
}

// envelope appends the start of a CloudEvent, up to the value of its type.
func (f *Formatter) envelope(dst []byte, sequence uint64) []byte {
	dst = append(dst, `{"specversion":"`+specVersion+`","id":"`...)
	dst = append(append(f.uid(dst, sequence), `","source":`...), f.source...)
	return append(dst, `,"type":"`...)
}

// times ends the type and appends both times and the content type.
func times(dst []byte, at, received time.Time) []byte {
	dst = at.UTC().AppendFormat(append(dst, `","time":"`...), time.RFC3339Nano)
	dst = received.UTC().AppendFormat(append(dst, `","recordedtime":"`...), time.RFC3339Nano)
	return append(dst, `","datacontenttype":"application/json"`...)
}

// actionOf returns one of the six actions, or "other", so that no sender's text becomes part of
// the type.
func (w *Writer) actionOf(f field) string {
	return auditrelay.Action(w.text(f)).Closed()
}

// maxSubject limits the subject: some bindings send this attribute as a header.
const maxSubject = 256

// attribute reports whether CloudEvents allows f as the value of an attribute.
func (w *Writer) attribute(f field) bool {
	text := w.short(w.address[:maxSubject], f)
	if text == nil {
		return false
	}
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError && size == 1 || r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef {
			return false
		}
		text = text[size:]
	}
	return true
}

func (f *Formatter) cloudTombstone(r *auditrelay.Record) []byte {
	dst := f.envelope(make([]byte, 0, len(r.Data)+384), r.Sequence)
	dst = times(append(dst, typeTombstone...), r.Received, r.Received)
	return append(append(append(dst, `,"data":`...), r.Data...), '}')
}
