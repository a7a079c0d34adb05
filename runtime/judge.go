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

// judge runs one callback's condition and filters, on several workers at a time.
type judge struct {
	judging
	callback  string
	condition *condition
	steps     []Step
	gate      *gate.Gate        // nil: nothing is checked
	format    *format.Formatter // nil: events leave as they are
	detectors *detect.Catalogue
	emits     bool // a filter may
	findings  findings
	shared    *shareGroup               // nil: with nobody
	delivers  bool                      // the final document goes to a sink
	alerts    bool                      // neither the condition nor a filter keeps an alert back
	noOwn     bool                      // own records end as filtered
	watched   []watch                   // by step, of those that observe
	cost      atomic.Pointer[stepCost]  // nil: nothing is added up
	trial     atomic.Pointer[trialStep] // nil: no rollout is under way
	idle      chan *worker              // of fixed size; a nil stands for one not made yet
}

// judging is what the judges of one runtime have in common.
type judging struct {
	workers    int
	receiptKey []byte          // of the receipts' digests
	sums       *eventSums      // nil: of no stored events
	journal    string          // names the journal in formatted records
	record     document.Limits // of one emitted record
	log        *slog.Logger
}

// watch is how an observer has fared: its failures change nothing for an event,
// and so are counted here and told once for each turn.
type watch struct {
	failures atomic.Uint64
	failing  atomic.Bool
}

func (o judging) newJudge(c *Callback) *judge {
	j := &judge{judging: o, callback: c.Name, emits: c.emits(), detectors: c.Detectors, condition: newCondition(c.When), steps: c.Steps, delivers: c.Sink != nil, alerts: c.Alerts,
		watched: make([]watch, len(c.Steps)), idle: make(chan *worker, o.workers)}
	var err error
	if j.gate, err = c.newGate(); err != nil {
		panic("a callback that was not checked: " + err.Error()) // rather than a gate that is open
	}
	if j.delivers {
		j.format = format.New(c.Format, o.journal)
	}
	for range o.workers {
		j.idle <- nil
	}
	return j
}

// worker takes an idle worker, making it where it is not made yet. None need be
// idle: the caller returns it with release.
func (j *judge) worker() *worker {
	w := <-j.idle
	if w == nil {
		w = j.newWorker()
	}
	return w
}

func (j *judge) release(w *worker) { j.idle <- w }

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

// heldError says that an event could not be processed for lack of something on our side.
// Nothing was decided, and the chunk is retried.
type heldError struct{ err error }

func (e *heldError) Error() string { return e.err.Error() }
func (e *heldError) Unwrap() error { return e.err }

// What the filters may make of one chunk: bytes beside the accepted events' own, and
// emitted records. What comes to more is cut: the rest is for the next chunk.
const (
	maxJudged  = 32 << 20
	maxEmitted = 16_384
)

// all judges events in parallel, with results in order. It may return fewer, at
// least one where there is one, if the filters made too much of them or one of
// them could not be judged for now. held is why the next could not be, nil where
// nothing is in the way. An error means that none was judged. room bounds the bytes
// that the filters may make, beside maxJudged.
func (j *judge) all(ctx context.Context, events []auditrelay.Event, room int64) (judged []delivery.Judged, held, err error) {
	if several, most := j.shared.several(); several && j.trial.Load() == nil {
		return j.shared.all(ctx, j, events, room, most)
	}
	return j.judgeAll(ctx, events, room)
}

// judgeAll is all, without what others judged.
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
	// What stands before the first that was not judged is as good as ever: where a
	// module rests, or a host is short of something, the callback goes on as far as
	// it can.
	if _, held := errors.AsType[*heldError](r.failure); held && len(judged) > 0 {
		return judged, r.failure, nil
	}
	return nil, nil, r.failure
}

// width is how many events a worker judges side by side: one, unless a filter likes more.
func (j *judge) width() int {
	width := 1
	for i := range j.steps {
		if wide, ok := j.steps[i].Filter.(filter.Wide); ok {
			width = max(width, min(wide.Width(), maxWidth))
		}
	}
	return width
}

// maxWidth bounds width: each event has a document of its own.
const maxWidth = 256

// resting is why a filter would judge nothing now.
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

// round is one chunk's way through a judge's workers.
type round struct {
	judge  *judge
	events []auditrelay.Event
	room   int64             // bytes that the filters may make
	judged []delivery.Judged // what was not judged stays without an event
	width  int               // events that a worker judges side by side
	stride int

	next, grown, emitted atomic.Int64
	once                 sync.Once
	failure              error // read when all workers are done
}

// stride is how many events a worker takes at a time, and batchBytes how much of them it
// judges side by side where a filter likes that.
const (
	stride     = 16
	batchBytes = 256 << 10
)

// work judges one stride after the other until nothing is left, too much was made,
// or one of the workers failed.
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

// judgeFrom judges events[from:to] and reports whether it could.
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

// whole is what was judged without a gap, as far as one seal has room for it: the
// workers notice only afterwards what they made together.
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

// size is how much the filters made of an event.
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

// asAccepted reports whether what goes out is the event's own bytes.
func asAccepted(j *delivery.Judged) bool {
	return len(j.Data) > 0 && len(j.Event.Data) > 0 && &j.Data[0] == &j.Event.Data[0]
}

// one brings one event to its outcome, and takes its digests for the receipt.
func (j *judge) one(ctx context.Context, w *worker, e *auditrelay.Event) (delivery.Judged, error) {
	v := j.outcomes(ctx, w, []*auditrelay.Event{e})[0]
	if v.err == nil {
		j.digest(w, &v.judged)
	}
	return v.judged, v.err
}

// digest hashes the event, and what goes out if that is something else, once: receipts,
// proofs and manifests are made from these.
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

// outcomes brings events through the condition and the filters. Behind the first visit
// that has an error, or that was cut, nothing that visits say counts.
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
		// Wall time, and want of an instance, are the host's condition: once more,
		// in a fresh instance.
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
			v.tried.cannot(held) // rather than that the callback stands still
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

// retriable reports whether a visit failed by what may be otherwise the next time.
func (v *visit) retriable() bool {
	c := v.judged.Cause
	if c != auditrelay.CauseWallTime && c != auditrelay.CauseInit {
		return false
	}
	failure, ok := errors.AsType[*filter.Error](v.judged.Err)
	return !ok || !failure.Final
}

// observerFailures counts how often observers failed since start.
func (j *judge) observerFailures() uint64 {
	n := uint64(0)
	for i := range j.watched {
		n += j.watched[i].failures.Load()
	}
	return n
}
