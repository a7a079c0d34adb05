package runtime

import (
	"bytes"
	"context"
	"encoding/json"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime/internal/delivery"
)

// The way of an own record through a callback with a sink: its condition and its guests
// are not asked, policies mask in it, and the gate blanks what must not leave. It is
// delivered in any case.

// masks reports whether own records pass the step.
func (s *Step) masks() bool {
	_, ok := s.Filter.(filter.Masker)
	return ok && s.Role != auditrelay.RoleObserve
}

// restore has an own record go on after a policy failed on it, or dropped it: little is
// left of it.
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

// blank masks the fields of an own record in which the gate finds something. Where that
// does not help, little of it is left.
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

// blankFields masks each field of an object that does not pass check by itself, in the
// place that within gives it; nil if data is no object.
func blankFields(check func([]byte) error, data []byte, within func(object []byte) []byte, depth int) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil || fields == nil {
		return nil
	}
	for name, value := range fields {
		key, _ := json.Marshal(name) // a string
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

// What one call of OwnRecords looks through at most.
const maxScanned = 200_000

// OwnRecords returns the own records that the journal still has from a sequence on,
// oldest first, at most limit. next is the sequence to go on from; 0 at the end. A call
// looks through a bounded part of the journal, so that it may return few, or none, and a
// next. The caller owns the events.
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
