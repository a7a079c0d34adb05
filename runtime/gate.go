package runtime

import (
	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime/internal/delivery"
)

// withheld stands for a filter's words that hold what must not leave.
const withheld = "(withheld: must_not_leave)"

// leaked sets an event aside that holds what must not leave, whatever on_error
// says: it is the callback's promise, not the filter's.
func leaked(judged *delivery.Judged, err error) {
	judged.Outcome, judged.Cause, judged.Err, judged.Data = auditrelay.DeadLettered, causeOf(err), err, nil
}

// reason is what is kept of a filter's words.
func (w *worker) reason(call *filter.Call) string {
	if call.Reason != "" && w.leaks != nil && w.leaks([]byte(call.Reason)) {
		return withheld
	}
	return bounded(call.Reason)
}

// checkEmitted holds what a filter emitted to what must not leave the callback
// that it came from: what an event may not tell, no record of it may tell.
func (w *worker) checkEmitted(call *filter.Call) error {
	if w.inspector == nil {
		return nil
	}
	for _, emit := range call.Emitted {
		if err := w.inspector.Document(emit.Data); err != nil {
			return err
		}
	}
	return nil
}
