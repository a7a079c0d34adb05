package format

import (
	"strconv"

	"auditrelay"
)

// version is the version of OCSF.
const version = "1.8.0"

// ocsf appends an event as an OCSF record. LiteLLM reports a change before its database has it,
// and the event does not state success. Therefore the record has no status. It has no source
// address either, so its class is not API Activity.
func (w *Writer) ocsf(dst []byte, e *auditrelay.Event, f *fields, final []byte) []byte {
	of, c := w.objectOf(f)
	dst = append(dst, '{')
	dst = w.activity(dst, c, f.action)
	dst = appendTime(dst, e)
	product := ""
	if e.Mapping != nil {
		product = e.Mapping.Schema
	}
	dst = w.formatter.metadata(dst, producerOf(e), product, e.Sequence, e.Received.UnixMilli())
	dst = w.member(dst, "original_event_uid", f.id)
	dst = w.member(dst, "original_time", f.time)
	dst = append(dst, '}')
	if c != bases { // the base event has no place for them
		dst = w.actor(dst, f)
		dst = w.object(dst, c, of, f)
	}
	switch w.formatter.original {
	case auditrelay.OriginalUnmapped:
		return w.whole(dst, `,"unmapped":`, final, "}")
	case auditrelay.OriginalRawData:
		return w.wholeText(dst, `,"raw_data":`, final, "}")
	}
	dst = append(dst, '}')
	w.added = append(w.added[:0], dst[w.start:]...)
	return dst
}

// objectOf returns the changed object and its class. The class is the base event if the event
// names no object. The object of another producer may have no type.
func (w *Writer) objectOf(f *fields) (object, *written) {
	if !w.says(f.object) || !f.mapped && !w.says(f.table) {
		return object{}, bases
	}
	if f.mapped {
		return object{}, entities
	}
	of, ok := objects[string(w.text(f.table))]
	if ok && of.class == &accountChange {
		return of, accounts
	}
	return of, entities
}

// activity appends the members that class and action decide.
func (w *Writer) activity(dst []byte, c *written, action field) []byte {
	if !w.says(action) {
		return c.unknown.append(dst)
	}
	if m, ok := c.known[string(w.text(action))]; ok {
		return m.append(dst)
	}
	dst = w.value(append(dst, c.other.begin...), action)
	return append(dst, c.other.end...)
}

func (m *members) append(dst []byte) []byte {
	return append(append(append(dst, m.begin...), m.name...), m.end...)
}

func appendTime(dst []byte, e *auditrelay.Event) []byte {
	at := e.Time
	if at.IsZero() {
		at = e.Received
	}
	return strconv.AppendInt(append(dst, `,"time":`...), at.UnixMilli(), 10)
}

// metadata appends what is known of the event besides its contents, and leaves the object open.
// The uid is the relay's, because the producer's may not be unique forever. product is the name
// of another producer's schema.
func (f *Formatter) metadata(dst []byte, by producer, product string, sequence uint64, received int64) []byte {
	dst = append(dst, `,"metadata":{"version":"`+version+`","product":`...)
	switch by {
	case liteLLM:
		dst = append(dst, `{"name":"LiteLLM","vendor_name":"BerriAI"}`...)
	case another:
		dst = append(appendString(append(dst, `{"name":`...), []byte(product)), '}')
	default:
		dst = append(dst, `{"name":"auditrelay"}`...)
	}
	dst = append(dst, `,"log_provider":"auditrelay","uid":"`...)
	dst = f.uid(dst, sequence)
	dst = strconv.AppendUint(append(dst, `","sequence":`...), sequence, 10)
	return strconv.AppendInt(append(dst, `,"logged_time":`...), received, 10)
}

// uid appends the event's globally unique name: the journal and the sequence.
func (f *Formatter) uid(dst []byte, sequence uint64) []byte {
	return strconv.AppendUint(append(append(dst, f.journal...), '-'), sequence, 10)
}

// actor appends who made the change. The key is the credential of the session and not of the
// user, because a caller may name another user than the key's.
func (w *Writer) actor(dst []byte, f *fields) []byte {
	user, key := w.says(f.actor), w.says(f.apiKey)
	if !user && !key {
		return dst
	}
	dst = append(dst, `,"actor":{`...)
	if user {
		dst = append(dst, `"user":{"uid":`...)
		dst = w.value(dst, f.actor)
		if w.email(f.email) {
			dst = w.member(dst, "email_addr", f.email)
		}
		dst = append(dst, '}')
	}
	if key {
		if user {
			dst = append(dst, ',')
		}
		dst = append(dst, `"session":{"credential_uid":`...)
		dst = append(w.value(dst, f.apiKey), '}')
	}
	return append(dst, '}')
}

// object appends the changed object.
func (w *Writer) object(dst []byte, c *written, of object, f *fields) []byte {
	if c == accounts {
		dst = append(dst, `,"user":{"uid":`...)
		dst = w.value(dst, f.object)
	} else {
		switch {
		case of.kind != "":
			dst = append(append(append(dst, `,"entity":{"type_id":99,"type":"`...), of.kind...), '"')
		case w.says(f.table):
			dst = w.value(append(dst, `,"entity":{"type_id":99,"type":`...), f.table)
		default:
			dst = append(dst, `,"entity":{"type_id":0,"type":"Unknown"`...)
		}
		dst = w.member(dst, "uid", f.object)
	}
	dst = w.member(dst, "name", f.alias)
	return append(dst, '}')
}

// email reports whether f is an email address by the schema's pattern.
func (w *Writer) email(f field) bool {
	text := w.short(w.address[:], f)
	at := -1
	for i, c := range text {
		switch {
		case c == '@' && at < 0:
			at = i
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.':
		case at < 0 && localPart[c]:
		default:
			return false
		}
	}
	if at < 1 {
		return false
	}
	for i, c := range text[at+1:] {
		if c == '.' {
			return i > 0 && at+1+i < len(text)-1
		}
	}
	return false
}

// localPart are the characters that the pattern allows before the @.
var localPart = func() (set [256]bool) {
	for _, c := range []byte("!#$%&'*+,/=?^_`{|}~") {
		set[c] = true
	}
	return set
}()

// ocsfTombstone returns a tombstone as a base event with the tombstone's data in unmapped.
func (f *Formatter) ocsfTombstone(r *auditrelay.Record) []byte {
	dst := buried.append(append(make([]byte, 0, len(r.Data)+640), '{'))
	dst = append(dst, `,"time":`...)
	dst = strconv.AppendInt(dst, r.Received.UnixMilli(), 10)
	dst = f.metadata(dst, relay, "", r.Sequence, r.Received.UnixMilli())
	dst = append(append(dst, `},"unmapped":`...), r.Data...)
	return append(dst, '}')
}
