package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/detect"
	"auditrelay/internal/format"
	"auditrelay/internal/gate"
	"auditrelay/internal/receipts"
	"auditrelay/internal/schema"
	"auditrelay/runtime/internal/delivery"

	"github.com/tidwall/gjson"
)

// maxHops limits a chain of emissions. It is a second line of defence: the configuration's emits must not
// form a cycle.
const maxHops = 8

// maxDocument limits the document that filters may make of one event: the maximum event plus the maximum
// edits.
const maxDocument = 64<<20 + int(auditrelay.MaxEditBytes)

// maxReason limits the stored reason of a filter, in bytes.
const maxReason = 256

// worker processes a few events at a time, with its own instance of each filter.
type worker struct {
	instances []filter.Instance // by step, and trialOf's at the end; nil if none is open
	trialOf   *rollout          // nil if none so far
	visits    []*visit          // as many as it has processed at a time so far
	live      []*visit          // the visits of the current step
	calls     []filter.Call
	verdicts  []auditrelay.Verdict
	limits    document.Limits // limits of edits
	inspector *gate.Inspector // nil if nothing is checked
	emitted   *gate.Inspector // checks emitted records: inspector, or one that only looks for known secrets
	writer    *format.Writer  // nil if events are sent as they are
	digester  *receipts.Digester
	tracker   receipts.Tracker
	trace     func(v *visit, step int, call *filter.Call, verdict auditrelay.Verdict, err error) // only set by Try
	concluded func(final []byte)                                                                 // only set by Try; gets the filtered document
}

// visit is one event's way through the steps.
type visit struct {
	judged delivery.Judged
	err    error    // no decision was made: a *heldError or the context's error
	cut    bool     // the event was not tried and waits for the next turn
	past   bool     // the steps follow: the condition matched, and no earlier decision applies
	tried  *rollout // the rollout whose version processed it last; nil: the version in force
	own    bool     // an own record: only policies process it, and it is always delivered
	bare   bool     // an own record on which a policy failed: little of it is left

	document document.Document
	shown    document.Document // the document for observers
	copied   []byte
	known    detect.Known
	learnt   bool                   // the gate's findings in the received event are known
	checked  int                    // number of known secrets when the first emitted records were checked; -1: no record was checked
	learn    func(value []byte)     // receives the secrets that filters redact; nil if nothing needs them
	leaks    func(text []byte) bool // filters call it before they log; nil if nothing needs it
	trail    []receipts.Visit
	touched  []filter.Touch // the touches of the trail
}

func (j *judge) newWorker() *worker {
	w := &worker{instances: make([]filter.Instance, len(j.steps)+1), inspector: j.gate.Inspector(), writer: j.format.Writer(),
		digester: receipts.NewDigester(j.receiptKey), limits: document.Limits{Bytes: int(auditrelay.MaxEditBytes), Depth: j.record.Depth}}
	if w.emitted = w.inspector; w.emitted == nil && j.emits {
		w.emitted = gate.Knowing(j.detectors).Inspector()
	}
	return w
}

// begin returns the visits of the next events. They are valid until the next call.
func (w *worker) begin(events []*auditrelay.Event) []*visit {
	for len(w.visits) < len(events) {
		w.visits = append(w.visits, w.newVisit())
	}
	visits := w.visits[:len(events)]
	for i, v := range visits {
		v.again(events[i])
	}
	return visits
}

func (w *worker) newVisit() *visit {
	v := new(visit)
	v.document.Limits, v.shown.Limits = w.limits, w.limits
	if w.emitted != nil {
		v.learn = func(value []byte) { w.emittedOf(v).Know(value) }
	}
	if w.inspector != nil {
		v.leaks = func(text []byte) bool { return w.emittedOf(v).Text(text) != nil }
	}
	return v
}

// emittedOf returns the inspector of emitted records with the known secrets of v's event. If the callback
// checks events, it is the event's own inspector.
func (w *worker) emittedOf(v *visit) *gate.Inspector {
	w.emitted.Recall(&v.known)
	return w.emitted
}

// again restarts the visit of an event.
func (v *visit) again(e *auditrelay.Event) {
	v.judged = delivery.Judged{Event: e, Outcome: auditrelay.Delivered}
	v.err, v.cut, v.past, v.own, v.bare, v.tried = nil, false, false, false, false, nil
	v.trail, v.touched = v.trail[:0], v.touched[:0]
	v.document.Reset(e.Data)
	v.known.Reset()
	v.learnt, v.checked = false, -1
}

// fail closes an instance that failed. A failed instance is never used again.
func (w *worker) fail(i int) {
	if w.instances[i] == nil {
		return
	}
	defer func() { _ = recover() }() // a failed instance may also fail in Close
	instance := w.instances[i]
	w.instances[i] = nil
	_ = instance.Close()
}

// filter runs the steps on several events together: each step on all remaining events before the next step.
// If a step cannot decide on an event, the events after it wait for the next turn.
func (j *judge) filter(ctx context.Context, w *worker, visits []*visit) {
	for i := range j.steps {
		w.live = w.live[:0]
		for _, v := range visits {
			if v.err != nil || v.cut {
				break
			}
			if v.past && v.judged.Outcome == auditrelay.Delivered && !(v.own && (v.bare || !j.steps[i].masks())) {
				w.live = append(w.live, v)
			}
		}
		if j.steps[i].Role == auditrelay.RoleObserve {
			j.observe(ctx, w, i, w.live)
		} else {
			j.step(ctx, w, i, w.live)
		}
		for _, v := range w.live {
			j.restore(i, v)
		}
	}
	for _, v := range visits {
		if v.err == nil && !v.cut && v.past {
			j.finish(w, v)
		}
		v.judged.Trail = w.tracker.Trail(v.trail)
	}
}

// unfiltered processes an own event without condition and filters: the format writes it and the gate checks
// it.
func (j *judge) unfiltered(w *worker, e *auditrelay.Event) delivery.Judged {
	v := w.begin([]*auditrelay.Event{e})[0]
	j.conclude(w, v)
	return v.judged
}

// finish ends the visit of an event that passed the steps.
func (j *judge) finish(w *worker, v *visit) {
	judged := &v.judged
	if len(judged.Emitted) > 0 && w.emitted != nil && w.emittedOf(v).Known() > v.checked {
		// A later filter redacted a secret that an earlier filter may have emitted.
		if err := w.recheckEmitted(v); err != nil {
			judged.Emitted = nil
			j.withhold(judged, err)
			return
		}
	}
	if judged.Outcome == auditrelay.Delivered {
		j.conclude(w, v)
	}
}

// step runs one judging filter on events: its version in force, or a rollout's version. If an event does
// not continue, its visit has the outcome, or says that nothing was decided.
func (j *judge) step(ctx context.Context, w *worker, i int, live []*visit) {
	t := j.trial.Load()
	if t == nil || t.step != i {
		if t != nil {
			for _, v := range live {
				v.tried = nil // a failure in this step is not the version's
			}
		}
		j.version(ctx, w, i, i, j.steps[i].Filter, live)
		return
	}
	if at := w.trialAt(); w.trialOf != t.rollout {
		w.fail(at)
		w.trialOf = t.rollout
	}
	var current, chosen []*visit
	for _, v := range live {
		if v.tried = nil; t.takes(v.judged.Event) {
			v.tried = t.rollout
			chosen = append(chosen, v)
		} else {
			current = append(current, v)
		}
	}
	j.version(ctx, w, i, i, j.steps[i].Filter, current)
	j.version(ctx, w, i, w.trialAt(), t.filter, chosen)
}

// trialAt returns the index of the instance of a rollout's version.
func (w *worker) trialAt() int { return len(w.instances) - 1 }

// version runs one version of step i on events. at is the index of its instance.
func (j *judge) version(ctx context.Context, w *worker, i, at int, f filter.Filter, live []*visit) {
	step := &j.steps[i]
	for len(live) > 0 {
		if w.instances[at] == nil {
			instance, err := open(ctx, f, j.callback)
			if err != nil {
				live[0].err = &heldError{fmt.Errorf("filter %s: start an instance: %w", step.Name, err)}
				return
			}
			w.instances[at] = instance
		}
		for k, v := range w.prepare(live) {
			w.calls[k] = filter.Call{Event: v.judged.Event, Document: &v.document, Leaks: v.leaks, Learn: v.learn}
		}
		var cost *stepCost
		if at == i {
			cost = j.cost.Load().of(i)
		}
		one := judged{step: i, at: at, description: f, instance: w.instances[at]}
		decided, err := w.apply(ctx, one.instance, cost)
		for k, v := range live[:decided] {
			j.decided(w, one, v, &w.calls[k], w.verdicts[k], nil)
		}
		live = live[decided:]
		switch {
		case err != nil:
			j.decided(w, one, live[0], &w.calls[decided], auditrelay.NoVerdict, err)
			if v := live[0]; ctx.Err() != nil || v.judged.Cause == auditrelay.CauseBreaker {
				if v.err = ctx.Err(); v.err == nil {
					v.hold()
				}
				return
			}
			live = live[1:]
		case len(live) > 0 && decided < len(w.calls):
			live[0].cut = true
			return
		}
	}
}

// judged names the filter that processes a step's events.
type judged struct {
	step, at    int // at is the index of the instance
	description filter.Filter
	instance    filter.Instance
}

// prepare sets up the calls of events and returns their visits. If the instance takes one event at a time,
// it prepares only the first.
func (w *worker) prepare(live []*visit) []*visit {
	n := len(live)
	if n > cap(w.calls) {
		w.calls, w.verdicts = make([]filter.Call, n), make([]auditrelay.Verdict, n)
	}
	w.calls, w.verdicts = w.calls[:n], w.verdicts[:n]
	return live
}

// apply runs an instance on w's calls and returns how many it decided. The error is that of the next call.
// cost may be nil.
func (w *worker) apply(ctx context.Context, instance filter.Instance, cost *stepCost) (decided int, err error) {
	if cost != nil {
		begun := time.Now()
		defer func() { cost.add(begun, w.calls[:min(decided+1, len(w.calls))]) }() // includes a failed call
	}
	defer recoverInto(&err, "the filter")
	if batcher, ok := instance.(filter.Batcher); ok && len(w.calls) > 1 {
		if decided, err = batcher.ApplyAll(ctx, w.calls, w.verdicts); decided < 0 || decided > len(w.calls) || decided == len(w.calls) && err != nil || decided == 0 && err == nil {
			return 0, &filter.Error{Cause: auditrelay.CauseProtocol, Err: errors.New("the filter says that it decided on other events than it was given")}
		}
		return decided, err
	}
	for decided < len(w.calls) {
		if w.verdicts[decided], err = instance.Apply(ctx, &w.calls[decided]); err != nil {
			return decided, err
		}
		decided++
	}
	return decided, nil
}

// decided handles a judging filter's result for one event.
func (j *judge) decided(w *worker, by judged, v *visit, call *filter.Call, verdict auditrelay.Verdict, err error) {
	step, judged := &j.steps[by.step], &v.judged
	if err == nil {
		err = j.checkCall(call, verdict, step, judged.Emitted)
	}
	v.visited(step, by.description, by.instance, call, err)
	if err == nil {
		j.findings.touched(call.Touched)
	}
	if w.trace != nil {
		w.trace(v, by.step, call, verdict, err)
	}
	if err != nil {
		w.fail(by.at)
		judged.Filter, judged.Cause, judged.Err = step.Name, causeOf(err), err
		judged.Reason = v.reason(call)
		judged.Outcome = auditrelay.DeadLettered
		if step.OnError == auditrelay.OnErrorDiscard {
			judged.Outcome = auditrelay.Discarded
		}
		return
	}
	if err := w.checkEmitted(v, call); err != nil {
		judged.Emitted = nil
		judged.Filter, judged.Reason = step.Name, v.reason(call)
		leaked(judged, err)
		return
	}
	keepEmitted(judged, step, call)
	if call.Reason != "" {
		judged.Filter, judged.Reason = step.Name, v.reason(call)
	}
	if verdict == auditrelay.Drop {
		judged.Outcome, judged.Cause, judged.Filter = auditrelay.Filtered, auditrelay.CauseDrop, step.Name
	}
}

// hold turns the failure of a visit into one without a decision.
func (v *visit) hold() {
	v.err = &heldError{fmt.Errorf("filter %s: event %d could not be judged: %w", v.judged.Filter, v.judged.Event.Sequence, v.judged.Err)}
}

// conclude handles the final document of an event that all filters kept: the gate checks the document and
// the formatted record.
func (j *judge) conclude(w *worker, v *visit) {
	judged := &v.judged
	final := judged.Event.Data
	if v.document.Edited() {
		final = v.document.Append(make([]byte, 0, len(final)+64))
		judged.IDChanged = j.delivers && idOf(judged.Event, final) != idOf(judged.Event, judged.Event.Data)
	}
	if v.bare {
		final = delivery.Bare(judged.Event)
	}
	if judged.Data = oneLine(final); len(judged.Data) > maxDocument {
		tooLarge(judged)
		return
	}
	if w.concluded != nil {
		w.concluded(judged.Data)
	}
	if !j.delivers {
		return
	}
	if err := w.inspect(v, judged.Event.Data, judged.Data); err != nil {
		if !v.own {
			j.withhold(judged, err)
			return
		}
		judged.Data = w.blank(v, judged.Data)
	}
	if w.writer == nil {
		return
	}
	if err := w.write(judged); err != nil {
		leaked(judged, err)
	} else if len(judged.Data) > maxDocument {
		tooLarge(judged)
	} else if w.inspector != nil {
		if err := w.inspector.Record(w.writer.Readable(judged.Data), w.writer.Added()); err != nil {
			j.withhold(judged, err)
		}
	}
}

// idOf returns the id in a document of an event.
func idOf(e *auditrelay.Event, data []byte) string {
	if e.Mapping == nil {
		return gjson.GetBytes(data, "id").Raw
	}
	id, _ := schema.Value(e.Mapping.ID, data)
	return id
}

// write replaces the final document by the record in the callback's format.
func (w *worker) write(judged *delivery.Judged) (err error) {
	defer recoverInto(&err, "the format")
	judged.Data = w.writer.Append(make([]byte, 0, 2*len(judged.Data)+768), judged.Event, judged.Data)
	return nil
}

func (j *judge) withhold(judged *delivery.Judged, err error) {
	if l, ok := errors.AsType[*gate.Leak](err); ok {
		j.findings.leaked(l)
	}
	leaked(judged, err)
}

func tooLarge(judged *delivery.Judged) {
	judged.Outcome, judged.Cause = auditrelay.DeadLettered, auditrelay.CauseRejectedOutput
	judged.Err = fmt.Errorf("the filters and the format made %d bytes of it, at most %d", len(judged.Data), maxDocument)
	judged.Data = nil
}

func keepEmitted(judged *delivery.Judged, step *Step, call *filter.Call) {
	for n, emit := range call.Emitted {
		judged.Emitted = append(judged.Emitted, delivery.Emitted{Target: emit.Target, Filter: step.Name, Ordinal: n, Data: bytes.Clone(emit.Data)})
	}
}

func open(ctx context.Context, f filter.Filter, callback string) (instance filter.Instance, err error) {
	defer recoverInto(&err, "the filter's Open")
	if grouped, ok := f.(filter.Grouped); ok {
		return grouped.OpenFor(ctx, callback)
	}
	return f.Open(ctx)
}

// recoverInto turns a panic into the error of the deferring function. It reports only the type of the panic
// value, since the value may contain event data.
func recoverInto(err *error, where string) {
	if p := recover(); p != nil {
		*err = &filter.Error{Cause: auditrelay.CausePanic, Err: fmt.Errorf("%s panicked with a %T", where, p)}
	}
}

// visited records for the receipt which filter processed the event and which edits took effect.
func (v *visit) visited(step *Step, f filter.Filter, instance filter.Instance, call *filter.Call, err error) {
	visit := receipts.Visit{Filter: step.Name, Description: describe(f, instance)}
	if err == nil {
		// The filter may reuse its slice for the next event before this one is read.
		from := len(v.touched)
		v.touched = append(v.touched, call.Touched...)
		visit.Touched = v.touched[from:len(v.touched):len(v.touched)]
	}
	v.trail = append(v.trail, visit)
}

// describe asks the instance first, since the instance knows which module processed the event.
func describe(f filter.Filter, instance filter.Instance) (d filter.Description) {
	defer func() { _ = recover() }() // a filter that panics here has no description
	if described, ok := instance.(filter.Described); ok {
		return described.Describe()
	}
	if described, ok := f.(filter.Described); ok {
		return described.Describe()
	}
	return filter.Description{}
}

func causeOf(err error) auditrelay.Cause {
	if e, ok := errors.AsType[*filter.Error](err); ok && e.Cause != auditrelay.CauseNone {
		return e.Cause
	}
	if l, ok := errors.AsType[*gate.Leak](err); ok {
		return l.Cause
	}
	return auditrelay.CauseFail
}

func bounded(reason string) string {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	return string(bytes.ToValidUTF8([]byte(reason), []byte("?")))
}

// oneLine replaces line breaks in data by spaces, so that sinks can write one record a line. In valid JSON
// line breaks occur only between tokens, where a space means the same. Data without line breaks is returned
// as it is.
func oneLine(data []byte) []byte {
	if bytes.IndexByte(data, '\n') < 0 && bytes.IndexByte(data, '\r') < 0 {
		return data
	}
	out := bytes.Clone(data)
	for i, c := range out {
		if c == '\n' || c == '\r' {
			out[i] = ' '
		}
	}
	return out
}
