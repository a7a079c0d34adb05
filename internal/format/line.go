package format

import (
	"strconv"
	"time"
	"unicode/utf8"

	"auditrelay"
)

// The formats CEF and LEEF, which are lines of text.
//
// Source of CEF: ArcSight's "Common Event Format", revision 26. The header escapes | and \ with
// a backslash, the extension escapes = and \, and line breaks are written \n and \r. Source of
// LEEF: IBM's "LEEF event components" and "Predefined LEEF event attributes" for QRadar.
// Version 2.0 names its delimiter. It has no escapes, so tabs and line breaks in a value become
// spaces.
const (
	cefVersion  = "0"
	leefVersion = "2.0"
)

// brief limits a value outside of the event, in bytes. It is the smallest limit for the keys
// below in the dictionaries of both formats. A longer value is left out and its key named in
// auditrelayOmitted. The event in auditrelayEvent contains the whole value.
const brief = 1023

// shorter are the keys of CEF with a lower limit in the dictionary.
var shorter = map[string]int{"act": 63, "externalId": 40}

func (f *Formatter) most(key string) int {
	if n, ok := shorter[key]; ok && f.schema == cef {
		return n
	}
	return brief
}

// keys are a format's names for its fields.
type keys struct {
	id, time, received, action, actor, email, table, object, alias, apiKey, uid, sequence, namespace string
}

var (
	cefKeys = keys{id: "externalId", time: "start", received: "rt", action: "act", actor: "suid", email: "suser",
		table: "cs1", object: "duid", alias: "duser", apiKey: "cs2", uid: "cs3", sequence: "cn1", namespace: "cs4"}
	leefKeys = keys{id: "externalId", time: "devTime", received: "receivedTime", action: "action", actor: "usrName", email: "usrEmail",
		table: "tableName", object: "resource", alias: "resourceName", apiKey: "credentialId", uid: "relayUid", sequence: "relaySequence", namespace: "namespace"}
	// labels name CEF's custom fields.
	labels = []struct{ name, value string }{{"cs1", "table"}, {"cs2", "credential id"}, {"cs3", "relay uid"}, {"cn1", "relay sequence"}}
)

// names are the names of actions in a line's header. They belong to the closed set of actions,
// so no event can choose the text that a destination's rule looks for.
var names = map[string]string{
	"created": "Created", "updated": "Updated", "deleted": "Deleted", "blocked": "Blocked", "unblocked": "Unblocked", "rotated": "Rotated",
	"other": "Other change", "event": "Event", "emitted": "Record of a guest", "tombstone": "Tombstone",
}

// line appends an event as one line. It also writes the fields, decoded and each under its key,
// as a JSON object into w.added for the gate.
func (w *Writer) line(dst []byte, e *auditrelay.Event, f *fields, final []byte) []byte {
	kind, category := w.actionOf(f.action), "audit"
	switch producerOf(e) {
	case guest:
		kind, category = "emitted", "emitted"
	case relay:
		category = "relay"
	case another:
		if kind == "other" { // another producer's verbs need not be changes
			kind = "event"
		}
	}
	k := w.formatter.keys()
	at := e.Time
	if at.IsZero() {
		at = e.Received
	}
	l := lineOf(w.formatter, dst, w.added[:0], kind)
	l.text("cat", []byte(category))
	l.times(at, e.Received)
	var omitted []byte
	for _, field := range [...]struct {
		key   string
		value field
	}{
		{k.action, f.action}, {k.id, f.id}, {k.actor, f.actor}, {k.email, w.mail(f)}, {k.object, f.object}, {k.alias, f.alias},
		{k.table, f.table}, {k.apiKey, f.apiKey},
	} {
		if !w.says(field.value) {
			continue
		}
		w.inner = w.plain(w.inner[:0], field.value)
		if len(w.inner) > w.formatter.most(field.key) {
			if len(omitted) > 0 {
				omitted = append(omitted, ' ')
			}
			omitted = append(omitted, field.key...)
			continue
		}
		l.text(field.key, w.inner)
	}
	l.origin(e.Sequence)
	if f.mapped {
		l.text(k.namespace, []byte(e.Namespace))
		if w.formatter.schema == cef {
			l.text(k.namespace+"Label", []byte("namespace"))
		}
	}
	if len(omitted) > 0 {
		l.text("auditrelayOmitted", omitted)
	}
	if !w.formatter.brief {
		l.whole("auditrelayEvent", final)
	}
	w.added = append(l.fields, '}')
	return l.dst
}

// mail returns the field with the actor's email address, or no field.
func (w *Writer) mail(f *fields) field {
	switch {
	case w.email(f.email):
		return f.email
	case w.email(f.actor):
		return f.actor
	}
	return none
}

func (f *Formatter) lineTombstone(r *auditrelay.Record) []byte {
	l := lineOf(f, make([]byte, 0, len(r.Data)+512), nil, "tombstone")
	l.text("cat", []byte("tombstone"))
	l.times(r.Received, r.Received)
	l.origin(r.Sequence)
	l.whole("auditrelayEvent", r.Data)
	return l.dst
}

func (f *Formatter) keys() *keys {
	if f.schema == leef {
		return &leefKeys
	}
	return &cefKeys
}

// aLine is a line being written and its fields as JSON.
type aLine struct {
	f      *Formatter
	dst    []byte
	fields []byte
	first  bool // no field has been written yet
}

// lineOf begins a line with its header and the fields of every line. kind, one of names, says
// what happened.
func lineOf(f *Formatter, dst, fields []byte, kind string) aLine {
	l := aLine{f: f, dst: dst, fields: append(fields, '{'), first: true}
	if f.schema == leef {
		l.dst = append(append(append(l.dst, "LEEF:"+leefVersion+"|auditrelay|auditrelay|1|"...), kind...), "|x09|"...)
		return l
	}
	l.dst = append(append(l.dst, "CEF:"+cefVersion+"|auditrelay|auditrelay|1|"...), kind...)
	l.dst = append(append(append(l.dst, '|'), names[kind]...), "|3|"...)
	return l
}

// key begins a field.
func (l *aLine) key(name string) {
	if !l.first {
		if l.f.schema == leef {
			l.dst = append(l.dst, '\t')
		} else {
			l.dst = append(l.dst, ' ')
		}
		l.fields = append(l.fields, ',')
	}
	l.first = false
	l.dst = append(append(l.dst, name...), '=')
	l.fields = append(append(append(l.fields, '"'), name...), `":`...)
}

// text appends a field with a UTF-8 text as its value.
func (l *aLine) text(name string, value []byte) {
	l.key(name)
	l.dst = l.escape(l.dst, value)
	l.fields = appendString(l.fields, value)
}

// whole appends a JSON document that the gate has checked.
func (l *aLine) whole(name string, document []byte) {
	l.key(name)
	l.dst = l.escape(l.dst, document)
	l.fields = append(l.fields, `""`...)
}

func (l *aLine) times(at, received time.Time) {
	k := l.f.keys()
	if l.f.schema == leef {
		const layout = "2006-01-02T15:04:05.000-0700"
		l.text("devTimeFormat", []byte("yyyy-MM-dd'T'HH:mm:ss.SSSZ"))
		l.text(k.time, at.UTC().AppendFormat(nil, layout))
		l.text(k.received, received.UTC().AppendFormat(nil, layout))
		l.text("sev", []byte("3"))
		return
	}
	l.text(k.time, strconv.AppendInt(nil, at.UnixMilli(), 10))
	l.text(k.received, strconv.AppendInt(nil, received.UnixMilli(), 10))
}

// origin appends the event's globally unique name.
func (l *aLine) origin(sequence uint64) {
	k := l.f.keys()
	l.text(k.uid, l.f.uid(nil, sequence))
	l.text(k.sequence, strconv.AppendUint(nil, sequence, 10))
	if l.f.schema == cef {
		for _, label := range labels {
			l.text(label.name+"Label", []byte(label.value))
		}
	}
}

// escape appends a value in the format's escaping. Characters that a receiver may take for a
// line end, and other control characters, become spaces, except for line breaks in CEF.
func (l *aLine) escape(dst, value []byte) []byte {
	isCEF := l.f.schema == cef
	for i := 0; i < len(value); {
		c := value[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(value[i:])
			if r < 0xa0 || r == '\u2028' || r == '\u2029' {
				dst = append(dst, ' ')
			} else {
				dst = append(dst, value[i:i+size]...)
			}
			i += size
			continue
		}
		i++
		switch {
		case isCEF && (c == '\\' || c == '='):
			dst = append(dst, '\\', c)
		case isCEF && c == '\n':
			dst = append(dst, '\\', 'n')
		case isCEF && c == '\r':
			dst = append(dst, '\\', 'r')
		case c < ' ' || c == 0x7f:
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendString appends any UTF-8 text as a JSON string.
func appendString(dst, text []byte) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
