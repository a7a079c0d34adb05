package runtime

import (
	"bytes"
	"context"
	"encoding/json"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime/internal/delivery"
)

// Own records on a callback with a sink: condition and guests are bypassed, policies mask fields, and the
// gate masks forbidden values. The record is always delivered.

// masks reports whether own records pass through the step.
func (s *Step) masks() bool {
	_, ok := s.Filter.(filter.Masker)
	return ok && s.Role != auditrelay.RoleObserve
}

// restore lets an own record continue after a policy failed on it or dropped it, with little of its
// content.
func (j *judge) restore(i int, v *visit) {
	if !v.own || v.err != nil || v.cut || v.judged.Outcome == auditrelay.Delivered {
		return
	}
	if seen := &j.watched[i]; seen.failures.Add(1) == 1 {
		j.log.Error("a policy fails on the relay's own records; little is left of them (counted, and not logged again)", "callback", j.callback, "filter", j.steps[i].Name, "error", v.judged.Err)
	}
	v.judged = delivery.Judged{Event: v.judged.Event, Outcome: auditrelay.Delivered}
	v.bare = true
}

// blank masks the fields of an own record in which the gate finds something. If that is not enough, it
// keeps little of the record.
func (w *worker) blank(v *visit, data []byte) []byte {
	inspector := w.emittedOf(v)
	if out := blankFields(inspector.Document, data, func(field []byte) []byte { return field }, 2); out != nil && inspector.Document(out) == nil {
		return out
	}
	if bare := delivery.Bare(v.judged.Event); inspector.Document(bare) == nil {
		return bare
	}
	return []byte("{}")
}

// blankFields masks each field of an object that fails check by itself. within puts the field's object in
// its place for the check. blankFields returns nil if data is not an object.
func blankFields(check func([]byte) error, data []byte, within func(object []byte) []byte, depth int) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil || fields == nil {
		return nil
	}
	for name, value := range fields {
		key, _ := json.Marshal(name) // a string always marshals
		inside := func(v []byte) []byte {
			return within(bytes.Join([][]byte{[]byte("{"), key, []byte(":"), v, []byte("}")}, nil))
		}
		if check(inside(value)) == nil {
			continue
		}
		fields[name] = json.RawMessage(`"***"`)
		if depth > 1 {
			if inner := blankFields(check, value, inside, depth-1); inner != nil {
				fields[name] = inner
			}
		}
	}
	out, err := json.Marshal(fields)
	if err != nil {
		return nil
	}
	return out
}

// maxScanned limits the events that one call of OwnRecords reads.
const maxScanned = 200_000

// OwnRecords returns the own records in the journal from a sequence on, oldest first, at most limit. next
// is the from of the next call, or 0 at the end. A call reads a limited part of the journal, so it may
// return few records, or none, together with a next. The caller owns the events.
func (r *Runtime) OwnRecords(ctx context.Context, from uint64, limit int) (records []auditrelay.Event, next uint64, err error) {
	head := r.journal.Head().Next
	for scanned := 0; scanned < maxScanned; {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		events, after, err := r.Stored(from, 1000)
		if err != nil {
			return nil, 0, err
		}
		for i := range events {
			if own(&events[i]) {
				records = append(records, events[i])
				if len(records) == limit {
					return records, events[i].Sequence + 1, nil
				}
			}
		}
		if len(events) == 0 || after >= head {
			return records, 0, nil
		}
		from, scanned = after, scanned+len(events)
	}
	return records, from, nil
}
