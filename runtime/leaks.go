package runtime

import (
	"bytes"
	"fmt"
	"slices"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/ingest"
	"auditrelay/runtime/internal/delivery"
)

// checkCall checks a filter's results against its contract. before are the records that earlier filters
// emitted for the same event.
func (j *judge) checkCall(call *filter.Call, verdict auditrelay.Verdict, step *Step, before []delivery.Emitted) error {
	refuse := func(cause auditrelay.Cause, format string, args ...any) error {
		return &filter.Error{Cause: cause, Err: fmt.Errorf(format, args...)}
	}
	if verdict != auditrelay.Keep && verdict != auditrelay.Drop {
		return refuse(auditrelay.CauseProtocol, "verdict %s: expected keep or drop", verdict)
	}
	if n := len(before) + len(call.Emitted); n > auditrelay.MaxEmitCount {
		return refuse(auditrelay.CauseRejectedOutput, "the filters emitted %d records for one event, at most %d", n, auditrelay.MaxEmitCount)
	}
	size := 0
	for i := range before {
		size += len(before[i].Data)
	}
	for _, emit := range call.Emitted {
		if !slices.Contains(step.Emits, emit.Target) {
			return refuse(auditrelay.CauseProtocol, "emitted to a callback that it was not granted")
		}
		if call.Event.Emission != nil && call.Event.Emission.Hops >= maxHops {
			return refuse(auditrelay.CauseHops, "emitted a record that is %d emissions old already", maxHops)
		}
		if err := document.Check(emit.Data, j.record); err != nil {
			return refuse(auditrelay.CauseRejectedOutput, "emitted an invalid record: %w", err)
		}
		if ingest.LooksOwn(emit.Data) && !(own(call.Event) && bytes.Equal(emit.Data, call.Event.Data)) { // a filter may route an own record unchanged
			return refuse(auditrelay.CauseRejectedOutput, "emitted a record with a table_name that is the relay's own: %s", ingest.ReservedMessage)
		}
		size += len(emit.Data)
	}
	if size > int(auditrelay.MaxEmitBytes) {
		return refuse(auditrelay.CauseRejectedOutput, "the filters emitted %d bytes for one event, at most %d", size, auditrelay.MaxEmitBytes)
	}
	return nil
}

// withheld replaces a filter's text that contains a value that must_not_leave forbids.
const withheld = "(withheld: must_not_leave)"

// leaked dead-letters an event with a finding of must_not_leave. on_error does not apply, since the
// callback and not the filter makes this guarantee.
func leaked(judged *delivery.Judged, err error) {
	judged.Outcome, judged.Cause, judged.Err, judged.Data = auditrelay.DeadLettered, causeOf(err), err, nil
}

// reason returns the part of a filter's text that may be stored.
func (v *visit) reason(call *filter.Call) string {
	if call.Reason != "" && v.leaks != nil && v.leaks([]byte(call.Reason)) {
		return withheld
	}
	return bounded(call.Reason)
}

// inspect checks the final document against must_not_leave. It also looks for the secrets of the original
// event, since a filter may have removed the name that identifies them.
func (w *worker) inspect(v *visit, came, final []byte) error {
	if w.inspector == nil {
		return nil
	}
	if v.document.Edited() {
		if err := w.learnFrom(v, came); err != nil {
			return err
		}
	}
	return w.emittedOf(v).Document(final)
}

// learnFrom adds the gate's findings in the received event to the known secrets, once for each event.
func (w *worker) learnFrom(v *visit, came []byte) error {
	if v.learnt {
		return nil
	}
	v.learnt = true
	return w.emittedOf(v).Learn(came)
}

// checkEmitted checks emitted records against must_not_leave of the emitting callback and against the known
// secrets of the source event: a record must not contain them either.
func (w *worker) checkEmitted(v *visit, call *filter.Call) error {
	if w.emitted == nil || len(call.Emitted) == 0 {
		return nil
	}
	if err := w.learnFrom(v, v.judged.Event.Data); err != nil {
		return err
	}
	for _, emit := range call.Emitted {
		if err := w.emittedOf(v).Document(emit.Data); err != nil {
			return err
		}
	}
	if v.checked < 0 {
		v.checked = w.emittedOf(v).Known()
	}
	return nil
}

// recheckEmitted repeats checkEmitted for all records of an event after more secrets became known.
func (w *worker) recheckEmitted(v *visit) error {
	for i := range v.judged.Emitted {
		if err := w.emittedOf(v).Document(v.judged.Emitted[i].Data); err != nil {
			return err
		}
	}
	return nil
}
