// Package format writes events in the formats that destinations read: OCSF 1.8.0, ECS 9.5,
// CloudEvents 1.0, CEF and LEEF, which are lines of text, and the event beside its origin.
//
// A format is a pure function of the filtered event, of what the journal assigned to it
// (namespace, way in, principal, sequence, time, time of receipt) and of the journal's name. It takes
// nothing from the event as it came: what a filter removed is in no record. Every JSON
// object gives a valid record.
package format

import (
	"fmt"
	"slices"

	"auditrelay"
	"auditrelay/document"
)

// Formatter is one callback's format. It is immutable and safe for concurrent use.
type Formatter struct {
	journal  string
	original auditrelay.Original
	source   string // quoted; CloudEvents alone
	brief    bool   // CEF and LEEF: without the whole event
	schema   schema
}

type schema uint8

const (
	ocsf schema = iota
	ecs
	cloudEvents
	cef
	leef
	envelope
)

// New returns the formatter for o, which has passed Check; nil where events leave as
// they are. journal names the journal that the events are in.
func New(o auditrelay.Format, journal string) *Formatter {
	f := &Formatter{journal: journal}
	switch {
	case o.OCSF != nil:
		f.original = o.OCSF.Original
	case o.ECS != nil:
		f.schema = ecs
	case o.CloudEvents != nil:
		f.schema = cloudEvents
		f.source = `"auditrelay"`
		if o.CloudEvents.Source != "" {
			f.source = string(appendQuoted(nil, []byte(o.CloudEvents.Source)))
		}
	case o.CEF != nil:
		f.schema, f.brief = cef, o.CEF.Brief
	case o.LEEF != nil:
		f.schema, f.brief = leef, o.LEEF.Brief
	case o.Envelope != nil:
		f.schema = envelope
	default:
		return nil
	}
	return f
}

// Revision names what a format writes for one event, "" where o asks for none. It
// changes with the mapping, so that a program whose mapping is another notices it as a
// change of the callback.
func Revision(o auditrelay.Format) string {
	switch {
	case o.OCSF != nil:
		return fmt.Sprintf("ocsf %s, mapping %d", version, mapping)
	case o.ECS != nil:
		return fmt.Sprintf("ecs %s, mapping %d", ecsVersion, mapping)
	case o.CloudEvents != nil:
		return fmt.Sprintf("cloudevents %s, mapping %d", specVersion, mapping)
	case o.CEF != nil:
		return fmt.Sprintf("cef %s, mapping %d", cefVersion, mapping)
	case o.LEEF != nil:
		return fmt.Sprintf("leef %s, mapping %d", leefVersion, mapping)
	case o.Envelope != nil:
		return fmt.Sprintf("envelope, mapping %d", mapping)
	}
	return ""
}

// mapping counts the changes of what the formats write. 2: events of other producers than
// LiteLLM have their mapped fields, and LiteLLM's in a namespace of their own are LiteLLM's.
const mapping = 2

// MediaType is that of one record.
func (f *Formatter) MediaType() string {
	switch {
	case f != nil && f.schema == cloudEvents:
		return "application/cloudevents+json"
	case f.Text():
		return auditrelay.MediaTypeText
	}
	return "application/json"
}

// Text reports whether records are lines of text.
func (f *Formatter) Text() bool { return f != nil && (f.schema == cef || f.schema == leef) }

// Writer writes records. It belongs to one goroutine at a time and allocates nothing in
// the long run.
type Writer struct {
	formatter *Formatter
	document  document.Document
	room      [64]byte
	address   [320]byte // of email and attribute
	added     []byte
	inner     []byte // of ecs and lines
	edited    []byte // of ecs
	start     int    // of the record in dst
}

// Writer returns a new one, nil for a nil formatter.
func (f *Formatter) Writer() *Writer {
	if f == nil {
		return nil
	}
	return &Writer{formatter: f}
}

// Append appends the record of an event whose filtered document is final: one JSON
// object, which has passed document.Check, without a line feed. The record has none
// either.
func (w *Writer) Append(dst []byte, e *auditrelay.Event, final []byte) []byte {
	w.document.Reset(final)
	w.start = len(dst)
	f := w.fields(e, final)
	switch w.formatter.schema {
	case ecs:
		return w.ecs(dst, e, &f, final)
	case cloudEvents:
		return w.cloudEvent(dst, e, &f, final)
	case cef, leef:
		return w.line(dst, e, &f, final)
	case envelope:
		return w.enveloped(dst, e, &f, final)
	}
	return w.ocsf(dst, e, &f, final)
}

// Tombstone returns r, a tombstone, with its data in the format. A nil formatter returns
// it as it is.
func (f *Formatter) Tombstone(r auditrelay.Record) auditrelay.Record {
	if f == nil {
		return r
	}
	switch f.schema {
	case ecs:
		r.Data = f.ecsTombstone(&r)
	case cloudEvents:
		r.Data = f.cloudTombstone(&r)
	case cef, leef:
		r.Data = f.lineTombstone(&r)
	case envelope:
		r.Data = f.envelopeTombstone(&r)
	default:
		r.Data = f.ocsfTombstone(&r)
	}
	return r
}

// whole appends the filtered document between what opens its place, the record's last,
// and what closes the record.
func (w *Writer) whole(dst []byte, open string, final []byte, closing string) []byte {
	dst = append(dst, open...)
	w.added = append(append(append(w.added[:0], dst[w.start:]...), "{}"...), closing...)
	return append(append(dst, final...), closing...)
}

// wholeText is whole with the document as text.
func (w *Writer) wholeText(dst []byte, open string, final []byte, closing string) []byte {
	dst = append(dst, open...)
	w.added = append(append(append(w.added[:0], dst[w.start:]...), `""`...), closing...)
	return append(appendQuoted(dst, final), closing...)
}

// Added is the record that Append appended last, with nothing in the place of the
// filtered document: what the format took out of it, and what it added. It is valid until
// the next Append.
func (w *Writer) Added() []byte { return w.added }

// Readable is record, which Append appended last, as a JSON object for the gate's paths:
// itself, or the fields of a line, before they were escaped.
func (w *Writer) Readable(record []byte) []byte {
	if w.formatter.Text() {
		return w.added
	}
	return record
}

// appendQuoted appends text as a JSON string: UTF-8 whose only bytes below the space are
// white space between the tokens of JSON, where a tab or a space says the same.
func appendQuoted(dst, text []byte) []byte {
	dst = slices.Grow(dst, 2*len(text)+2)
	n, out := len(dst), dst[:cap(dst)]
	out[n] = '"'
	n++
	for _, c := range text {
		// Without a branch: quotes come too irregularly to be predicted.
		out[n] = '\\'
		n += int(escaped[c])
		out[n] = c
		n++
		if c < ' ' {
			out[n-1] = 't'
		}
	}
	out[n] = '"'
	return out[:n+1]
}

// escaped is 1 for the signs that a backslash goes before, in a text as appendQuoted takes it.
var escaped = func() (set [256]uint8) {
	for c := range ' ' {
		set[c] = 1
	}
	set['"'], set['\\'] = 1, 1
	return set
}()
