package runtime

import (
	"context"
	"errors"

	"auditrelay"
	"auditrelay/filter"
)

// observe passes events in their current state to an observer, as separate documents. Only the records that
// the observer emits have an effect.
func (j *judge) observe(ctx context.Context, w *worker, i int, live []*visit) {
	for len(live) > 0 {
		if w.instances[i] == nil {
			instance, err := open(ctx, j.steps[i].Filter, j.callback)
			if err != nil {
				if j.observed(ctx, w, i, live[0], nil, auditrelay.NoVerdict, err); live[0].err != nil {
					return
				}
				live = live[1:]
				continue
			}
			w.instances[i] = instance
		}
		for k, v := range w.prepare(live) {
			data := v.judged.Event.Data
			if v.document.Edited() {
				v.copied = v.document.Append(v.copied[:0])
				data = v.copied
			}
			v.shown.Reset(data)
			w.calls[k] = filter.Call{Event: v.judged.Event, Document: &v.shown, Leaks: v.leaks}
		}
		decided, err := w.apply(ctx, w.instances[i], j.cost.Load().of(i))
		for k, v := range live[:decided] {
			j.observed(ctx, w, i, v, &w.calls[k], w.verdicts[k], nil)
		}
		live = live[decided:]
		if err != nil {
			if j.observed(ctx, w, i, live[0], &w.calls[decided], auditrelay.NoVerdict, err); live[0].err != nil {
				return
			}
			live = live[1:]
		}
	}
}

// observed handles an observer's result for one event. call is nil if the observer could not start.
func (j *judge) observed(ctx context.Context, w *worker, i int, v *visit, call *filter.Call, verdict auditrelay.Verdict, err error) {
	step, seen := &j.steps[i], &j.watched[i]
	if call != nil {
		err = j.checkObserved(w, i, v, call, verdict, err)
	}
	if err == nil {
		keepEmitted(&v.judged, step, call)
		if seen.failing.Swap(false) {
			j.log.Info("an observer works again", "callback", j.callback, "filter", step.Name, "failures", seen.failures.Load())
		}
		return
	}
	w.fail(i)
	if v.err = ctx.Err(); v.err != nil {
		return
	}
	seen.failures.Add(1)
	if !seen.failing.Swap(true) {
		j.log.Warn("an observer fails; events go on without it", "callback", j.callback, "filter", step.Name, "cause", causeOf(err), "error", err)
	}
}

// checkObserved checks an observer's result.
func (j *judge) checkObserved(w *worker, i int, v *visit, call *filter.Call, verdict auditrelay.Verdict, err error) error {
	step := &j.steps[i]
	call.Touched = nil // its edits had no effect
	v.visited(step, step.Filter, w.instances[i], call, err)
	if w.trace != nil {
		defer func() { w.trace(v, i, call, verdict, err) }()
	}
	if err == nil && verdict == auditrelay.Drop {
		err = &filter.Error{Cause: auditrelay.CauseProtocol, Err: errors.New("verdict drop: an observer may not drop")}
	}
	if err == nil {
		err = j.checkCall(call, verdict, step, v.judged.Emitted)
	}
	if err == nil {
		err = w.checkEmitted(v, call)
	}
	return err
}
