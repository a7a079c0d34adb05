// Package format writes events in the formats that destinations read: OCSF 1.8.0, ECS 9.5,
// CloudEvents 1.0, the text lines CEF and LEEF, and the event next to its origin.
//
// A format is a pure function of the filtered event, of what the journal assigned to it
// (namespace, source, principal, sequence, time, time of receipt) and of the journal's name. It
// uses nothing of the unfiltered event, so no record contains what a filter removed. Every JSON
// object gives a valid record.
package format

import (
	"fmt"
	"slices"

	"auditrelay"
	"auditrelay/document"
)

// Formatter is the format of one callback. It is immutable and safe for concurrent use.
type Formatter struct {
	journal  string
	original auditrelay.Original
	source   string // quoted; only for CloudEvents
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

// New returns the formatter for o, which must have passed Check, or nil if events leave
// unchanged. journal is the name of the journal that contains the events.
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

// Revision identifies what a format writes for one event. It is "" if o requests no format. It
// changes with the mapping, so a program with another mapping treats this as a change of the
// callback.
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

// mapping counts the changes of the formats' output. 2: mapped fields for events of other
// producers than LiteLLM; LiteLLM's events in their own namespace are treated as LiteLLM's.
const mapping = 2

// MediaType returns the media type of one record.
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

// Writer writes records. Only one goroutine at a time may use it. After its buffers have grown
// it allocates nothing.
type Writer struct {
	formatter *Formatter
	document  document.Document
	room      [64]byte
	address   [320]byte // for email and attribute
	added     []byte
	inner     []byte // for ecs and lines
	edited    []byte // for ecs
	start     int    // start of the record in dst
}

// Writer returns a new Writer, or nil for a nil Formatter.
func (f *Formatter) Writer() *Writer {
	if f == nil {
		return nil
	}
	return &Writer{formatter: f}
}

// Append appends the record of an event to dst. final is the filtered document: one JSON object
// that has passed document.Check, without a line feed. The record contains no line feed either.
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

// Tombstone returns r, a tombstone, with its data in the format. A nil Formatter returns it
// unchanged.
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

// whole appends open, the filtered document, which is the record's last member, and closing.
func (w *Writer) whole(dst []byte, open string, final []byte, closing string) []byte {
	dst = append(dst, open...)
	w.added = append(append(append(w.added[:0], dst[w.start:]...), "{}"...), closing...)
	return append(append(dst, final...), closing...)
}

// wholeText is like whole but writes the document as text.
func (w *Writer) wholeText(dst []byte, open string, final []byte, closing string) []byte {
	dst = append(dst, open...)
	w.added = append(append(append(w.added[:0], dst[w.start:]...), `""`...), closing...)
	return append(appendQuoted(dst, final), closing...)
}

// Added returns the last appended record without the filtered document: what the format took
// from the document and what it added. It is valid until the next Append.
func (w *Writer) Added() []byte { return w.added }

// Readable returns the last appended record as a JSON object for the gate's paths: the record
// itself, or the unescaped fields of a line.
func (w *Writer) Readable(record []byte) []byte {
	if w.formatter.Text() {
		return w.added
	}
	return record
}

// appendQuoted appends text as a JSON string. text must be UTF-8. Its only bytes below space
// must be white space between JSON tokens, where a tab can be replaced by a space.
func appendQuoted(dst, text []byte) []byte {
	dst = slices.Grow(dst, 2*len(text)+2)
	n, out := len(dst), dst[:cap(dst)]
	out[n] = '"'
	n++
	for _, c := range text {
		// No branch here: quotes are too irregular for branch prediction.
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

// escaped is 1 for the bytes that need a backslash, for text as appendQuoted takes it.
var escaped = func() (set [256]uint8) {
	for c := range ' ' {
		set[c] = 1
	}
	set['"'], set['\\'] = 1, 1
	return set
}()
