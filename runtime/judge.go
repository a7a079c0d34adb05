package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/gate"
	"auditrelay/internal/receipts"
	"auditrelay/runtime/internal/delivery"
)

// maxHops bounds how often a record may be emitted on: a backstop behind the
// check that the configuration's emits form no cycle.
const maxHops = 8

// maxEmits bounds what one filter may emit for one event.
const maxEmits = 1024

// maxReason bounds what is kept of a filter's reason, in bytes.
const maxReason = 256

// judge runs one callback's condition and filters, on several workers at a time.
type judge struct {
	callback  string
	condition *condition
	steps     []Step
	gate      *gate.Gate // nil: nothing is checked
	delivers  bool       // the final document goes to a sink
	key       []byte     // of the receipts' digests
	log       *slog.Logger
	watched   []watch      // by step, of those that observe
	idle      chan *worker // of fixed size; a nil stands for one not made yet
}

// worker judges one event at a time, with its own instance of each filter.
type worker struct {
	instances []filter.Instance // nil where none is open
	document  document.Document
	inspector *gate.Inspector        // nil where nothing is checked
	leaks     func(text []byte) bool // likewise; what filters ask before they log
	shown     document.Document      // what observers see
	copied    []byte
	digester  *receipts.Digester
	tracker   receipts.Tracker
	trace     func(step int, call *filter.Call, verdict auditrelay.Verdict, err error) // nil but for Try
}

// watch is how an observer has fared: its failures change nothing for an event,
// and so are counted here and told once for each turn.
type watch struct {
	failures atomic.Uint64
	failing  atomic.Bool
}

func newJudge(c *Callback, workers int, receiptKey []byte, log *slog.Logger) *judge {
	j := &judge{callback: c.Name, condition: newCondition(c.When), steps: c.Steps, delivers: c.Sink != nil, key: receiptKey, log: log,
		watched: make([]watch, len(c.Steps)), idle: make(chan *worker, workers)}
	var err error
	if j.gate, err = newGate(c.MustNotLeave); err != nil {
		panic("a callback that was not checked: " + err.Error()) // rather than a gate that is open
	}
	for range workers {
		j.idle <- nil
	}
	return j
}

func (j *judge) newWorker() *worker {
	w := &worker{instances: make([]filter.Instance, len(j.steps)), inspector: j.gate.Inspector(), digester: receipts.NewDigester(j.key)}
	if w.inspector != nil {
		w.leaks = func(text []byte) bool { return w.inspector.Text(text) != nil }
	}
	return w
}

// close closes all instances. No judging may be under way.
func (j *judge) close() {
	for range cap(j.idle) {
		if w := <-j.idle; w != nil {
			for i := range w.instances {
				w.fail(i)
			}
		}
	}
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

// heldError says that an event could not be judged for want of something on our
// side: nothing was decided, and the chunk is tried again later.
type heldError struct{ err error }

func (e *heldError) Error() string { return e.err.Error() }
func (e *heldError) Unwrap() error { return e.err }

// maxJudged bounds what the filters may make of one chunk, in bytes, and
// maxEmitted how many records they may emit: together with what is read they fit
// in one transaction. A chunk that comes to more is cut shorter.
const (
	maxJudged  = 32 << 20
	maxEmitted = 16_384
)

// all judges events in parallel, with results in order. It may return fewer, at
// least one where there is one, if the filters made too much of them or one of
// them could not be judged for now. An error means that none was judged.
func (j *judge) all(ctx context.Context, events []auditrelay.Event) ([]delivery.Judged, error) {
	judged := make([]delivery.Judged, len(events))
	var next, grown, emitted atomic.Int64
	var wg sync.WaitGroup
	var once sync.Once
	var failure error
	const stride = 16 // events handed to a worker at a time
	for range min(cap(j.idle), (len(events)+stride-1)/stride) {
		wg.Go(func() {
			w := <-j.idle
			if w == nil {
				w = j.newWorker()
			}
			defer func() { j.idle <- w }()
			for grown.Load() <= maxJudged && emitted.Load() <= maxEmitted {
				end := int(next.Add(stride))
				for i := end - stride; i < min(end, len(events)); i++ {
					if err := ctx.Err(); err != nil {
						once.Do(func() { failure = err })
						return
					}
					one, err := j.one(ctx, w, &events[i])
					if err != nil {
						once.Do(func() { failure = err })
						next.Store(int64(len(events)))
						return
					}
					judged[i] = one // what was not judged stays without an event
					grown.Add(size(&judged[i]))
					emitted.Add(int64(len(judged[i].Emitted)))
				}
				if end >= len(events) {
					return
				}
			}
		})
	}
	wg.Wait()
	judged = judged[:min(int(next.Load()), len(events))]
	if failure == nil {
		return judged, nil
	}
	// What stands before the first that was not judged is as good as ever: where a
	// module rests, or a host is short of something, the callback goes on as far as
	// it can.
	whole := slices.IndexFunc(judged, func(j delivery.Judged) bool { return j.Event == nil })
	if _, held := errors.AsType[*heldError](failure); held && whole > 0 {
		return judged[:whole], nil
	}
	return nil, failure
}

// size is how much the filters made of an event.
func size(j *delivery.Judged) int64 {
	n := int64(0)
	if !asAccepted(j) {
		n = int64(len(j.Data))
	}
	for _, e := range j.Emitted {
		n += int64(len(e.Data))
	}
	return n
}

// asAccepted reports whether what goes out is the event's own bytes.
func asAccepted(j *delivery.Judged) bool {
	return len(j.Data) > 0 && len(j.Event.Data) > 0 && &j.Data[0] == &j.Event.Data[0]
}

// one brings one event to its outcome, and takes its digests for the receipt.
func (j *judge) one(ctx context.Context, w *worker, e *auditrelay.Event) (delivery.Judged, error) {
	judged, err := j.outcome(ctx, w, e)
	if err != nil {
		return judged, err
	}
	judged.Input = w.digester.Sum(e.Data)
	if judged.Outcome == auditrelay.Delivered && j.delivers {
		judged.Output = judged.Input
		if !asAccepted(&judged) {
			judged.Output = w.digester.Sum(judged.Data)
		}
	}
	return judged, nil
}

// outcome brings one event through the condition and the filters.
func (j *judge) outcome(ctx context.Context, w *worker, e *auditrelay.Event) (delivery.Judged, error) {
	if ended, ok := atIngest(e); ok {
		return ended, nil
	}
	matched, failure := j.condition.match(e.Data)
	if failure != nil {
		return delivery.Judged{Event: e, Outcome: auditrelay.DeadLettered, Cause: auditrelay.CausePanic, Err: failure}, nil //nolint:nilerr // it is the event's outcome
	}
	if !matched {
		return delivery.Judged{Event: e, Outcome: auditrelay.Filtered, Cause: auditrelay.CauseWhen}, nil
	}
	for try := 1; ; try++ {
		judged, err := j.filter(ctx, w, e)
		// Wall time, and want of an instance, are the host's condition: once more,
		// in a fresh instance.
		if err == nil && (judged.Cause == auditrelay.CauseWallTime || judged.Cause == auditrelay.CauseInit || judged.Cause == auditrelay.CauseBreaker) {
			if try == 1 && judged.Cause != auditrelay.CauseBreaker {
				continue
			}
			err = &heldError{fmt.Errorf("filter %s: event %d could not be judged: %w", judged.Filter, e.Sequence, judged.Err)}
		}
		return judged, err
	}
}

// filter runs the steps on one event.
func (j *judge) filter(ctx context.Context, w *worker, e *auditrelay.Event) (judged delivery.Judged, err error) {
	judged = delivery.Judged{Event: e, Outcome: auditrelay.Delivered}
	w.tracker.Begin()
	defer func() { judged.Trail = w.tracker.Trail() }()
	w.document.Reset(e.Data)
	for i := range j.steps {
		step := &j.steps[i]
		if step.Role == auditrelay.RoleObserve {
			if err := j.observe(ctx, w, i, &judged); err != nil {
				return judged, err
			}
			continue
		}
		if w.instances[i] == nil {
			instance, err := open(ctx, step.Filter)
			if err != nil {
				return judged, &heldError{fmt.Errorf("filter %s: start an instance: %w", step.Name, err)}
			}
			w.instances[i] = instance
		}
		call := filter.Call{Event: e, Document: &w.document, Leaks: w.leaks}
		verdict, err := apply(ctx, w.instances[i], &call)
		if err == nil {
			err = checkCall(&call, verdict, step)
		}
		w.visited(step, w.instances[i], &call, err)
		if w.trace != nil {
			w.trace(i, &call, verdict, err)
		}
		if err != nil {
			w.fail(i)
			if ctx.Err() != nil {
				return judged, ctx.Err()
			}
			judged.Filter, judged.Cause, judged.Err = step.Name, causeOf(err), err
			judged.Reason = w.reason(&call)
			judged.Outcome = auditrelay.DeadLettered
			if step.OnError == auditrelay.OnErrorDiscard {
				judged.Outcome = auditrelay.Discarded
			}
			return judged, nil
		}
		if err := w.checkEmitted(&call); err != nil {
			judged.Emitted = nil
			judged.Filter, judged.Reason = step.Name, w.reason(&call)
			leaked(&judged, err)
			return judged, nil
		}
		keepEmitted(&judged, step, &call)
		if call.Reason != "" {
			judged.Filter, judged.Reason = step.Name, w.reason(&call)
		}
		if verdict == auditrelay.Drop {
			judged.Outcome, judged.Cause, judged.Filter = auditrelay.Filtered, auditrelay.CauseDrop, step.Name
			return judged, nil
		}
	}
	if w.document.Edited() {
		judged.Data = oneLine(w.document.Append(make([]byte, 0, len(e.Data)+64)))
	} else {
		judged.Data = oneLine(e.Data)
	}
	if w.inspector != nil && j.delivers {
		if err := w.inspector.Document(judged.Data); err != nil {
			leaked(&judged, err)
		}
	}
	return judged, nil
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
	err := func() (err error) {
		if w.instances[i] == nil {
			if w.instances[i], err = open(ctx, step.Filter); err != nil {
				w.instances[i] = nil
				return err
			}
		}
		var verdict auditrelay.Verdict
		verdict, err = apply(ctx, w.instances[i], &call)
		call.Touched = nil // its edits went nowhere
		w.visited(step, w.instances[i], &call, err)
		if w.trace != nil {
			defer func() { w.trace(i, &call, verdict, err) }()
		}
		if err == nil && verdict == auditrelay.Drop {
			err = &filter.Error{Cause: auditrelay.CauseProtocol, Err: errors.New("verdict drop: an observer may not drop")}
		}
		if err == nil {
			err = checkCall(&call, verdict, step)
		}
		if err == nil {
			err = w.checkEmitted(&call)
		}
		if err != nil {
			w.fail(i)
		}
		return err
	}()
	if err == nil {
		keepEmitted(judged, step, &call)
		if seen.failing.Swap(false) {
			j.log.Info("an observer works again", "callback", j.callback, "filter", step.Name, "failures", seen.failures.Load())
		}
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	seen.failures.Add(1)
	if !seen.failing.Swap(true) {
		j.log.Warn("an observer fails; events go on without it", "callback", j.callback, "filter", step.Name, "cause", causeOf(err), "error", err)
	}
	return nil
}

// observerFailures counts how often observers failed since start.
func (j *judge) observerFailures() uint64 {
	n := uint64(0)
	for i := range j.watched {
		n += j.watched[i].failures.Load()
	}
	return n
}

func open(ctx context.Context, f filter.Filter) (instance filter.Instance, err error) {
	defer recoverInto(&err, "the filter's Open")
	return f.Open(ctx)
}

func apply(ctx context.Context, instance filter.Instance, call *filter.Call) (v auditrelay.Verdict, err error) {
	defer recoverInto(&err, "the filter")
	return instance.Apply(ctx, call)
}

// recoverInto makes a panic the error of the function that defers it. Only the
// type of the panic's value is told, since the value may hold event data.
func recoverInto(err *error, where string) {
	if p := recover(); p != nil {
		*err = &filter.Error{Cause: auditrelay.CausePanic, Err: fmt.Errorf("%s panicked with a %T", where, p)}
	}
}

// checkCall holds a filter to its contract, whoever wrote it.
func checkCall(call *filter.Call, verdict auditrelay.Verdict, step *Step) error {
	if verdict != auditrelay.Keep && verdict != auditrelay.Drop {
		return &filter.Error{Cause: auditrelay.CauseProtocol, Err: fmt.Errorf("verdict %s: expected keep or drop", verdict)}
	}
	if len(call.Emitted) > maxEmits {
		return &filter.Error{Cause: auditrelay.CauseProtocol, Err: fmt.Errorf("emitted %d records for one event, at most %d", len(call.Emitted), maxEmits)}
	}
	for _, emit := range call.Emitted {
		if !slices.Contains(step.Emits, emit.Target) {
			return &filter.Error{Cause: auditrelay.CauseProtocol, Err: errors.New("emitted to a callback that it was not granted")}
		}
		if call.Event.Emission != nil && call.Event.Emission.Hops >= maxHops {
			return &filter.Error{Cause: auditrelay.CauseHops, Err: fmt.Errorf("emitted a record that is %d emissions old already", maxHops)}
		}
		if err := document.Check(emit.Data, document.Limits{}); err != nil {
			return &filter.Error{Cause: auditrelay.CauseRejectedOutput, Err: fmt.Errorf("emitted what is no valid record: %w", err)}
		}
	}
	return nil
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
