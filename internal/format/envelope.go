package format

import (
	"strconv"

	"auditrelay"
)

// enveloped appends an event next to its origin, which no event can choose, and the fields that
// its mapping finds.
func (w *Writer) enveloped(dst []byte, e *auditrelay.Event, f *fields, final []byte) []byte {
	dst = w.formatter.origin(dst, e.Namespace, e.Provenance.Source, e.Provenance.Principal, e.Sequence)
	if f.mapped {
		dst = appendString(append(dst, `,"fields":{"schema":`...), []byte(e.Mapping.Schema))
		dst = w.member(dst, "id", f.id)
		dst = w.member(dst, "action", f.action)
		dst = w.member(dst, "time", f.time)
		dst = w.member(dst, "actor", f.actor)
		dst = w.member(dst, "object", f.object)
		dst = append(w.member(dst, "object_type", f.table), '}')
	}
	return w.whole(dst, `,"event":`, final, "}")
}

// origin appends the start of an envelope.
func (f *Formatter) origin(dst []byte, namespace, source, principal string, sequence uint64) []byte {
	dst = append(dst, `{"origin":{"namespace":`...)
	dst = appendQuoted(dst, []byte(namespace))
	dst = appendQuoted(append(dst, `,"source":`...), []byte(source))
	if principal != "" {
		dst = appendQuoted(append(dst, `,"principal":`...), []byte(principal))
	}
	dst = appendQuoted(append(dst, `,"journal":`...), []byte(f.journal))
	dst = strconv.AppendUint(append(dst, `,"sequence":`...), sequence, 10)
	return append(dst, '}')
}

func (f *Formatter) envelopeTombstone(r *auditrelay.Record) []byte {
	dst := f.origin(make([]byte, 0, len(r.Data)+256), r.Namespace, r.Source, r.Principal, r.Sequence)
	return append(append(append(dst, `,"event":`...), r.Data...), '}')
}
