package runtime

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/detect"
	"auditrelay/internal/format"
	"auditrelay/internal/gate"
	"auditrelay/runtime/internal/delivery"
)

// judge runs one callback's condition and filters on several workers in parallel.
type judge struct {
	judging
	callback  string
	condition *condition
	steps     []Step
	gate      *gate.Gate        // nil if nothing is checked
	format    *format.Formatter // nil if events are sent as they are
	detectors *detect.Catalogue
	emits     bool // whether a filter may emit
	findings  findings
	shared    *shareGroup               // nil if the callback shares with no other
	delivers  bool                      // whether the final document goes to a sink
	alerts    bool                      // whether alerts bypass condition and filters
	noOwn     bool                      // whether own records end as filtered
	watched   []watch                   // by step; used for observers
	cost      atomic.Pointer[stepCost]  // nil if nothing is measured
	trial     atomic.Pointer[trialStep] // nil if no rollout is in progress
	idle      chan *worker              // has a fixed size; nil stands for a worker that is not created yet
}

// judging holds the options that all judges of one runtime share.
type judging struct {
	workers    int
	receiptKey []byte          // keys the digests in receipts
	sums       *eventSums      // nil if nothing is cached
	journal    string          // the journal's name in formatted records
	record     document.Limits // limits of one emitted record
	log        *slog.Logger
}

// watch counts the failures of an observer. They have no effect on an event, so they are counted here and
// logged once in each round.
type watch struct {
	failures atomic.Uint64
	failing  atomic.Bool
}

func (o judging) newJudge(c *Callback) *judge {
	j := &judge{judging: o, callback: c.Name, emits: c.emits(), detectors: c.Detectors, condition: newCondition(c.When), steps: c.Steps, delivers: c.Sink != nil, alerts: c.Alerts,
		watched: make([]watch, len(c.Steps)), idle: make(chan *worker, o.workers)}
	var err error
	if j.gate, err = c.newGate(); err != nil {
		panic("a callback that was not checked: " + err.Error()) // a failed check must not leave the gate open
	}
	if j.delivers {
		j.format = format.New(c.Format, o.journal)
	}
	for range o.workers {
		j.idle <- nil
	}
	return j
}

// worker takes an idle worker and creates it on first use. It waits until one is idle. The caller must
// return the worker with release.
func (j *judge) worker() *worker {
	w := <-j.idle
	if w == nil {
		w = j.newWorker()
	}
	return w
}

func (j *judge) release(w *worker) { j.idle <- w }

// close closes all instances. No worker may be in use.
func (j *judge) close() {
	for range cap(j.idle) {
		if w := <-j.idle; w != nil {
			for i := range w.instances {
				w.fail(i)
			}
		}
	}
}

// heldError says that an event could not be processed because the relay lacks a resource. The event has no
// decision, and the chunk is retried.
type heldError struct{ err error }

func (e *heldError) Error() string { return e.err.Error() }
func (e *heldError) Unwrap() error { return e.err }

// Limits for one chunk: the bytes that filters may add to the accepted events, and the number of emitted
// records. If a chunk exceeds a limit, the rest becomes the next chunk.
const (
	maxJudged  = 32 << 20
	maxEmitted = 16_384
)

// all processes events in parallel and returns results in order. It may return fewer results than events,
// but at least one unless it fails: the filters produced too much data, or one event could not be processed
// now. held says why the next event could not be processed; nil if nothing prevents it. An error means that
// no event was processed. room limits the bytes that the filters may produce, in addition to maxJudged.
func (j *judge) all(ctx context.Context, events []auditrelay.Event, room int64) (judged []delivery.Judged, held, err error) {
	if several, most := j.shared.several(); several && j.trial.Load() == nil {
		return j.shared.all(ctx, j, events, room, most)
	}
	return j.judgeAll(ctx, events, room)
}

// judgeAll is all without the results that other callbacks share.
func (j *judge) judgeAll(ctx context.Context, events []auditrelay.Event, room int64) (judged []delivery.Judged, held, err error) {
	r := round{judge: j, events: events, room: min(room, maxJudged), judged: make([]delivery.Judged, len(events)), width: j.width(), stride: stride}
	if r.width > 1 {
		r.stride = max(stride, min(r.width, (len(events)+cap(j.idle)-1)/cap(j.idle)))
	}
	var wg sync.WaitGroup
	for range min(cap(j.idle), (len(events)+r.stride-1)/r.stride) {
		wg.Go(func() { r.work(ctx) })
	}
	wg.Wait()
	judged = r.whole()
	if r.failure == nil {
		return judged, j.resting(), nil
	}
	// The results before the first failure are valid. If a module pauses or the host lacks a resource, the
	// callback continues as far as it can.
	if _, held := errors.AsType[*heldError](r.failure); held && len(judged) > 0 {
		return judged, r.failure, nil
	}
	return nil, nil, r.failure
}

// width returns how many events a worker passes to the filters together: one, unless a filter prefers more.
func (j *judge) width() int {
	width := 1
	for i := range j.steps {
		if wide, ok := j.steps[i].Filter.(filter.Wide); ok {
			width = max(width, min(wide.Width(), maxWidth))
		}
	}
	return width
}

// maxWidth limits width, since each event has its own document.
const maxWidth = 256

// resting returns why a filter would not process events now.
func (j *judge) resting() error {
	for i := range j.steps {
		if rester, ok := j.steps[i].Filter.(filter.Rester); ok && j.steps[i].Role != auditrelay.RoleObserve {
			if err := rester.Resting(); err != nil {
				return fmt.Errorf("filter %s: %w", j.steps[i].Name, err)
			}
		}
	}
	return nil
}

// round is the processing of one chunk by a judge's workers.
type round struct {
	judge  *judge
	events []auditrelay.Event
	room   int64             // limit of the bytes that the filters may produce
	judged []delivery.Judged // an unprocessed entry has no event
	width  int               // number of events that a worker processes together
	stride int

	next, grown, emitted atomic.Int64
	once                 sync.Once
	failure              error // read only after all workers are done
}

// stride is the number of events that a worker takes at a time. batchBytes limits the events that it passes
// to filters together.
const (
	stride     = 16
	batchBytes = 256 << 10
)

// work processes strides until no events are left, the output is too large, or a worker failed.
func (r *round) work(ctx context.Context) {
	w := r.judge.worker()
	defer r.judge.release(w)
	for r.grown.Load() <= r.room && r.emitted.Load() <= maxEmitted {
		end := int(r.next.Add(int64(r.stride)))
		if !r.judgeFrom(ctx, w, end-r.stride, min(end, len(r.events))) || end >= len(r.events) {
			return
		}
	}
}

// judgeFrom processes events[from:to] and reports whether it succeeded.
func (r *round) judgeFrom(ctx context.Context, w *worker, from, to int) bool {
	var events []*auditrelay.Event
	for from < to {
		events = events[:0]
		for size := 0; from+len(events) < to && len(events) < r.width && (len(events) == 0 || size < batchBytes); {
			e := &r.events[from+len(events)]
			events, size = append(events, e), size+len(e.Data)
		}
		err := ctx.Err()
		if err == nil {
			for _, v := range r.judge.outcomes(ctx, w, events) {
				if err = v.err; err != nil || v.cut {
					break
				}
				r.judge.digest(w, &v.judged)
				r.judged[from] = v.judged
				r.grown.Add(size(&v.judged))
				r.emitted.Add(int64(len(v.judged.Emitted)))
				from++
			}
		}
		if err != nil {
			r.once.Do(func() { r.failure = err })
			r.next.Store(int64(len(r.events)))
			return false
		}
	}
	return true
}

// whole returns the results without gaps, as far as they fit in one seal. The workers run in parallel, so
// they exceed the limit together before they notice.
func (r *round) whole() []delivery.Judged {
	grown, emitted := int64(0), 0
	for i := range r.judged {
		j := &r.judged[i]
		grown, emitted = grown+size(j), emitted+len(j.Emitted)
		if j.Event == nil || i > 0 && (grown > r.room || emitted > maxEmitted) {
			return r.judged[:i]
		}
	}
	return r.judged
}

// size returns the number of bytes that the filters produced for an event.
func size(j *delivery.Judged) int64 {
	n := int64(0)
	if j.Event != nil && !asAccepted(j) {
		n = int64(len(j.Data))
	}
	for _, e := range j.Emitted {
		n += int64(len(e.Data))
	}
	return n
}

// asAccepted reports whether the outgoing document is the event's own bytes.
func asAccepted(j *delivery.Judged) bool {
	return len(j.Data) > 0 && len(j.Event.Data) > 0 && &j.Data[0] == &j.Event.Data[0]
}

// one processes one event and computes its digests for the receipt.
func (j *judge) one(ctx context.Context, w *worker, e *auditrelay.Event) (delivery.Judged, error) {
	v := j.outcomes(ctx, w, []*auditrelay.Event{e})[0]
	if v.err == nil {
		j.digest(w, &v.judged)
	}
	return v.judged, v.err
}

// digest hashes the event once, and the outgoing document if it differs. Receipts, proofs and manifests use
// these hashes.
func (j *judge) digest(w *worker, judged *delivery.Judged) {
	sum := j.sums.of(judged.Event)
	judged.Input = w.digester.Of(sum)
	if judged.Outcome == auditrelay.Delivered && j.delivers {
		judged.Output, judged.Sum = judged.Input, sum
		if !asAccepted(judged) {
			judged.Sum = sha256.Sum256(judged.Data)
			judged.Output = w.digester.Of(judged.Sum)
		}
	}
}

// outcomes passes events through the condition and the filters. The results after the first visit with an
// error, or after a visit that was cut, are invalid.
func (j *judge) outcomes(ctx context.Context, w *worker, events []*auditrelay.Event) []*visit {
	visits := w.begin(events)
	for _, v := range visits {
		j.enter(v)
	}
	j.filter(ctx, w, visits)
	for i, v := range visits {
		if v.err != nil || v.cut {
			break
		}
		if !v.retriable() {
			continue
		}
		// The host causes a wall-time timeout or a missing instance. Retry once, in a new instance.
		v.again(v.judged.Event)
		v.past = true
		if j.filter(ctx, w, visits[i:i+1]); v.err == nil && v.retriable() {
			v.hold()
		}
		if v.err != nil {
			break
		}
	}
	for _, v := range visits {
		if held, ok := errors.AsType[*heldError](v.err); ok && v.tried != nil {
			v.tried.cannot(held) // so that the callback does not stop
		}
	}
	return visits
}

// enter decides whether an event goes through the steps.
func (j *judge) enter(v *visit) {
	e := v.judged.Event
	if ended, ok := atIngest(e); ok {
		v.judged = ended
		return
	}
	if own(e) && j.noOwn && !(j.alerts && isAlert(e)) {
		v.judged = delivery.Judged{Event: e, Outcome: auditrelay.Filtered, Cause: auditrelay.CauseWhen}
		return
	}
	if own(e) && j.delivers {
		v.own, v.past = true, true
		return
	}
	matched, failure := j.condition.match(e)
	switch {
	case failure != nil:
		v.judged = delivery.Judged{Event: e, Outcome: auditrelay.DeadLettered, Cause: auditrelay.CausePanic, Err: failure}
	case !matched:
		v.judged = delivery.Judged{Event: e, Outcome: auditrelay.Filtered, Cause: auditrelay.CauseWhen}
	default:
		v.past = true
	}
}

// retriable reports whether a retry of a failed visit may succeed.
func (v *visit) retriable() bool {
	c := v.judged.Cause
	if c != auditrelay.CauseWallTime && c != auditrelay.CauseInit {
		return false
	}
	failure, ok := errors.AsType[*filter.Error](v.judged.Err)
	return !ok || !failure.Final
}

// observerFailures returns the number of observers' failures since the start.
func (j *judge) observerFailures() uint64 {
	n := uint64(0)
	for i := range j.watched {
		n += j.watched[i].failures.Load()
	}
	return n
}
