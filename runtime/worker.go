package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/format"
	"auditrelay/internal/gate"
	"auditrelay/internal/receipts"
	"auditrelay/runtime/internal/delivery"
)

// maxHops bounds how often a record may be emitted on: a backstop behind the
// check that the configuration's emits form no cycle.
const maxHops = 8

// maxDocument bounds the document that filters may make of one event: the maximum event
// plus the maximum edits.
const maxDocument = 64<<20 + int(auditrelay.MaxEditBytes)

// maxReason bounds the stored reason of a filter, in bytes.
const maxReason = 256

// worker judges one event at a time, with its own instance of each filter.
type worker struct {
	instances []filter.Instance // nil where none is open
	document  document.Document
	inspector *gate.Inspector        // nil where nothing is checked
	emitted   *gate.Inspector        // of emitted records: inspector, or one of what is known alone
	learnt    bool                   // what the gate finds in the event as it came is known
	checked   int                    // how much was known when the first emitted records were checked; -1: none was
	learn     func(value []byte)     // takes what filters redact as secrets; nil where nothing asks
	leaks     func(text []byte) bool // likewise; what filters ask before they log
	shown     document.Document      // what observers see
	copied    []byte
	writer    *format.Writer // nil where events leave as they are
	digester  *receipts.Digester
	tracker   receipts.Tracker
	trace     func(step int, call *filter.Call, verdict auditrelay.Verdict, err error) // nil but for Try
	concluded func(final []byte)                                                       // likewise; takes the filtered document
}

func (j *judge) newWorker() *worker {
	w := &worker{instances: make([]filter.Instance, len(j.steps)), inspector: j.gate.Inspector(), writer: j.format.Writer(), digester: receipts.NewDigester(j.receiptKey)}
	edits := document.Limits{Bytes: int(auditrelay.MaxEditBytes), Depth: j.record.Depth}
	w.document.Limits, w.shown.Limits = edits, edits
	if w.emitted = w.inspector; w.emitted == nil && j.emits {
		w.emitted = gate.Knowing(j.detectors).Inspector()
	}
	if w.emitted != nil {
		w.learn = w.emitted.Know
	}
	if w.inspector != nil {
		w.leaks = func(text []byte) bool { return w.inspector.Text(text) != nil }
	}
	return w
}

// fail closes an instance that failed: it is never used again.
func (w *worker) fail(i int) {
	if w.instances[i] == nil {
		return
	}
	defer func() { _ = recover() }() // what failed may fail at closing too
	instance := w.instances[i]
	w.instances[i] = nil
	_ = instance.Close()
}

// filter runs the steps on one event.
func (j *judge) filter(ctx context.Context, w *worker, e *auditrelay.Event) (judged delivery.Judged, err error) {
	judged = delivery.Judged{Event: e, Outcome: auditrelay.Delivered}
	w.tracker.Begin()
	defer func() { judged.Trail = w.tracker.Trail() }()
	w.document.Reset(e.Data)
	if w.emitted != nil {
		w.emitted.Forget()
		w.learnt, w.checked = false, -1
	}
	for i := range j.steps {
		if j.steps[i].Role == auditrelay.RoleObserve {
			err = j.observe(ctx, w, i, &judged)
		} else {
			err = j.step(ctx, w, i, &judged)
		}
		if err != nil || judged.Outcome != auditrelay.Delivered {
			break
		}
	}
	if err == nil && len(judged.Emitted) > 0 && w.emitted != nil && w.emitted.Known() > w.checked {
		// A later filter took as a secret what an earlier one has told.
		if err := w.recheckEmitted(judged.Emitted); err != nil {
			judged.Emitted = nil
			j.withhold(&judged, err)
			return judged, nil
		}
	}
	if err == nil && judged.Outcome == auditrelay.Delivered {
		j.conclude(w, &judged)
	}
	return judged, err
}

// step has one filter that judges look at the event. Where the event does not go on
// judged says how it ends. The error says that nothing was decided.
func (j *judge) step(ctx context.Context, w *worker, i int, judged *delivery.Judged) error {
	step := &j.steps[i]
	if w.instances[i] == nil {
		instance, err := open(ctx, step.Filter)
		if err != nil {
			return &heldError{fmt.Errorf("filter %s: start an instance: %w", step.Name, err)}
		}
		w.instances[i] = instance
	}
	call := filter.Call{Event: judged.Event, Document: &w.document, Leaks: w.leaks, Learn: w.learn}
	verdict, err := apply(ctx, w.instances[i], &call)
	if err == nil {
		err = j.checkCall(&call, verdict, step, judged.Emitted)
	}
	w.visited(step, w.instances[i], &call, err)
	if err == nil {
		j.findings.touched(call.Touched)
	}
	if w.trace != nil {
		w.trace(i, &call, verdict, err)
	}
	if err != nil {
		w.fail(i)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		judged.Filter, judged.Cause, judged.Err = step.Name, causeOf(err), err
		judged.Reason = w.reason(&call)
		judged.Outcome = auditrelay.DeadLettered
		if step.OnError == auditrelay.OnErrorDiscard {
			judged.Outcome = auditrelay.Discarded
		}
		return nil
	}
	if err := w.checkEmitted(judged.Event.Data, &call); err != nil {
		judged.Emitted = nil
		judged.Filter, judged.Reason = step.Name, w.reason(&call)
		leaked(judged, err)
		return nil
	}
	keepEmitted(judged, step, &call)
	if call.Reason != "" {
		judged.Filter, judged.Reason = step.Name, w.reason(&call)
	}
	if verdict == auditrelay.Drop {
		judged.Outcome, judged.Cause, judged.Filter = auditrelay.Filtered, auditrelay.CauseDrop, step.Name
	}
	return nil
}

// conclude takes the final document of an event that all filters kept: the gate checks
// it, and the record that the format makes of it.
func (j *judge) conclude(w *worker, judged *delivery.Judged) {
	final := judged.Event.Data
	if w.document.Edited() {
		final = w.document.Append(make([]byte, 0, len(final)+64))
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
	if err := w.inspect(judged.Event.Data, judged.Data); err != nil {
		j.withhold(judged, err)
		return
	}
	if w.writer == nil {
		return
	}
	if err := w.write(judged); err != nil {
		leaked(judged, err)
	} else if len(judged.Data) > maxDocument {
		tooLarge(judged)
	} else if w.inspector != nil {
		if err := w.inspector.Record(judged.Data, w.writer.Added()); err != nil {
			j.withhold(judged, err)
		}
	}
}

// write puts the record in the callback's format in the place of the final document.
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

// observe shows an event to an observer, as it stands, on a document of its own.
// What the observer makes of it changes nothing but what it emits. The error is
// ctx's.
func (j *judge) observe(ctx context.Context, w *worker, i int, judged *delivery.Judged) error {
	step, seen := &j.steps[i], &j.watched[i]
	data := judged.Event.Data
	if w.document.Edited() {
		w.copied = w.document.Append(w.copied[:0])
		data = w.copied
	}
	w.shown.Reset(data)
	call := filter.Call{Event: judged.Event, Document: &w.shown, Leaks: w.leaks}
	err := j.show(ctx, w, i, &call, judged.Emitted)
	if err == nil {
		keepEmitted(judged, step, &call)
		if seen.failing.Swap(false) {
			j.log.Info("an observer works again", "callback", j.callback, "filter", step.Name, "failures", seen.failures.Load())
		}
		return nil
	}
	w.fail(i)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	seen.failures.Add(1)
	if !seen.failing.Swap(true) {
		j.log.Warn("an observer fails; events go on without it", "callback", j.callback, "filter", step.Name, "cause", causeOf(err), "error", err)
	}
	return nil
}

// show calls an observer and checks what it did.
func (j *judge) show(ctx context.Context, w *worker, i int, call *filter.Call, before []delivery.Emitted) (err error) {
	step := &j.steps[i]
	if w.instances[i] == nil {
		if w.instances[i], err = open(ctx, step.Filter); err != nil {
			w.instances[i] = nil
			return err
		}
	}
	verdict, err := apply(ctx, w.instances[i], call)
	call.Touched = nil // its edits went nowhere
	w.visited(step, w.instances[i], call, err)
	if w.trace != nil {
		defer func() { w.trace(i, call, verdict, err) }()
	}
	if err == nil && verdict == auditrelay.Drop {
		err = &filter.Error{Cause: auditrelay.CauseProtocol, Err: errors.New("verdict drop: an observer may not drop")}
	}
	if err == nil {
		err = j.checkCall(call, verdict, step, before)
	}
	if err == nil {
		err = w.checkEmitted(call.Event.Data, call)
	}
	return err
}

func open(ctx context.Context, f filter.Filter) (instance filter.Instance, err error) {
	defer recoverInto(&err, "the filter's Open")
	return f.Open(ctx)
}

func apply(ctx context.Context, instance filter.Instance, call *filter.Call) (v auditrelay.Verdict, err error) {
	defer recoverInto(&err, "the filter")
	return instance.Apply(ctx, call)
}

// recoverInto turns a panic into the error of the deferring function. It reports only the
// type of the panic value, which may contain event data.
func recoverInto(err *error, where string) {
	if p := recover(); p != nil {
		*err = &filter.Error{Cause: auditrelay.CausePanic, Err: fmt.Errorf("%s panicked with a %T", where, p)}
	}
}

// checkCall enforces the contract of every filter. before are the records that earlier
// filters emitted for the same event.
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
	bytes := 0
	for i := range before {
		bytes += len(before[i].Data)
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
		bytes += len(emit.Data)
	}
	if bytes > int(auditrelay.MaxEmitBytes) {
		return refuse(auditrelay.CauseRejectedOutput, "the filters emitted %d bytes for one event, at most %d", bytes, auditrelay.MaxEmitBytes)
	}
	return nil
}

// withheld replaces text of a filter that must_not_leave forbids.
const withheld = "(withheld: must_not_leave)"

// leaked dead-letters an event with a finding of must_not_leave, whatever on_error says:
// the promise is the callback's, not the filter's.
func leaked(judged *delivery.Judged, err error) {
	judged.Outcome, judged.Cause, judged.Err, judged.Data = auditrelay.DeadLettered, causeOf(err), err, nil
}

// reason returns the part of a filter's text to store.
func (w *worker) reason(call *filter.Call) string {
	if call.Reason != "" && w.leaks != nil && w.leaks([]byte(call.Reason)) {
		return withheld
	}
	return bounded(call.Reason)
}

// inspect checks the final document against must_not_leave. Secrets of the original event
// must be gone too: a filter may have removed the name that identifies them.
func (w *worker) inspect(came, final []byte) error {
	if w.inspector == nil {
		return nil
	}
	if w.document.Edited() {
		if err := w.learnFrom(came); err != nil {
			return err
		}
	}
	return w.inspector.Document(final)
}

// learnFrom makes known what the gate finds in the event as it came, once for an event.
func (w *worker) learnFrom(came []byte) error {
	if w.learnt {
		return nil
	}
	w.learnt = true
	return w.emitted.Learn(came)
}

// checkEmitted checks emitted records against must_not_leave of the emitting callback, and
// against what is known of the event they were made of: a record must not contain what the
// event must not.
func (w *worker) checkEmitted(came []byte, call *filter.Call) error {
	if w.emitted == nil || len(call.Emitted) == 0 {
		return nil
	}
	if err := w.learnFrom(came); err != nil {
		return err
	}
	for _, emit := range call.Emitted {
		if err := w.emitted.Document(emit.Data); err != nil {
			return err
		}
	}
	if w.checked < 0 {
		w.checked = w.emitted.Known()
	}
	return nil
}

// recheckEmitted is checkEmitted for all records of an event, once more is known.
func (w *worker) recheckEmitted(all []delivery.Emitted) error {
	for i := range all {
		if err := w.emitted.Document(all[i].Data); err != nil {
			return err
		}
	}
	return nil
}

// visited records for the receipt which filter saw the event and which edits took effect.
func (w *worker) visited(step *Step, instance filter.Instance, call *filter.Call, err error) {
	v := receipts.Visit{Filter: step.Name, Description: describe(step.Filter, instance)}
	if err == nil {
		v.Touched = call.Touched
	}
	w.tracker.Visited(v)
}

// describe asks the instance first, since that knows which module judged.
func describe(f filter.Filter, instance filter.Instance) (d filter.Description) {
	defer func() { _ = recover() }() // a filter that cannot say what it is has said nothing
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

// oneLine gives data without line breaks, so that sinks may write a record a
// line. In valid JSON they stand only between tokens, where a space means the
// same. What has none is returned as it is.
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
