package runtime

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime/internal/delivery"
)

// Limits of shadows.
const (
	MaxShadows      = 4
	MaxShadowEvents = 1_000_000
	MaxShadowTime   = 24 * time.Hour

	defaultShadowEvents = 10_000
	defaultShadowTime   = 15 * time.Minute

	// The maximum of queued events; a shadow misses later ones.
	shadowQueue = 512
	shadowBytes = 8 << 20
)

// Errors of shadows.
var (
	// ErrNoShadow: the callback has no shadow.
	ErrNoShadow = errors.New("the callback has no shadow")
	// ErrShadows: there are already MaxShadows shadows, or the callback has a running one.
	ErrShadows = errors.New("no room for another shadow")
)

// ShadowOptions describe a shadow: other filters that process a callback's live events in parallel with the
// callback's own. Own records are excluded. The relay compares the results and forgets them. It delivers,
// emits and stores nothing, and no failure counts for the callback.
type ShadowOptions struct {
	Callback string
	// Filter is the step under trial. With has the replacement filters of steps, including Filter's. Steps
	// that are not in With use the running filter, so put steps in With if their failures would count. The
	// runtime owns the filters and closes them, also if StartShadow fails.
	Filter string
	With   map[string]filter.Filter
	// Events and Time limit the shadow. Defaults: 10,000 and 15 minutes. Maxima: MaxShadowEvents and
	// MaxShadowTime.
	Events uint64
	Time   time.Duration
	// Ended, if not nil, gets the result once the shadow has ended. The journal is still open.
	Ended func(ShadowResult)
}

// shadow is a running or ended shadow of one callback.
type shadow struct {
	owned  []io.Closer
	ended  func(ShadowResult) // may be nil
	judge  *judge
	live   *stepCost // cost of the step under trial in the callback itself
	width  int
	queue  chan shadowed
	bytes  atomic.Int64 // size of the queue
	missed atomic.Uint64
	last   atomic.Uint64 // the last sequence offered: a chunk may be processed again
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when no part of the shadow runs any more

	mu     sync.Mutex
	result ShadowResult
	paths  map[string]*ShadowPath
}

// shadowed is an event with its callback's result. It refers to none of the callback's memory.
type shadowed struct {
	event   auditrelay.Event
	outcome auditrelay.Outcome
	data    []byte
	emitted []delivery.Emitted
	bytes   int64
}

// stepCost adds up the cost of one step of a judge.
type stepCost struct {
	step                        int
	events, fuel, memory, nanos atomic.Int64
}

// of returns c if it measures this step, otherwise nil.
func (c *stepCost) of(step int) *stepCost {
	if c == nil || c.step != step {
		return nil
	}
	return c
}

func (c *stepCost) add(begun time.Time, calls []filter.Call) {
	c.nanos.Add(int64(time.Since(begun)))
	c.events.Add(int64(len(calls)))
	for i := range calls {
		c.fuel.Add(calls[i].Usage.Fuel)
		for m := c.memory.Load(); calls[i].Usage.Memory > m && !c.memory.CompareAndSwap(m, calls[i].Usage.Memory); m = c.memory.Load() {
		}
	}
}

func (c *stepCost) total() ShadowCost {
	return ShadowCost{Events: uint64(c.events.Load()), Fuel: c.fuel.Load(), Time: time.Duration(c.nanos.Load()), Memory: c.memory.Load()}
}

// shadows holds a runtime's shadows, by callback. Ended ones stay until they are replaced or dropped.
type shadows struct {
	mu  sync.Mutex
	all map[string]*shadow
}

// StartShadow starts a shadow. The shadow ends at its limits, with DropShadow, when its callback is
// reconfigured, and with the runtime. The result then stays until DropShadow or the end of the runtime. A
// callback has one shadow at a time: a new one replaces an ended one. Errors: ErrNoCallback; ErrShadows; an
// error that says what is wrong with o.
func (r *Runtime) StartShadow(o ShadowOptions) error {
	r.applying.Lock()
	defer r.applying.Unlock()
	var owned []io.Closer
	for _, f := range o.With {
		owned = append(owned, f)
	}
	s, c, err := r.newShadow(&o)
	if err != nil {
		return errors.Join(fmt.Errorf("start a shadow of callback %s: %w", o.Callback, err), closeAll(owned))
	}
	s.owned, s.ended = owned, o.Ended
	ctx, cancel := context.WithCancelCause(r.ctx)
	s.cancel = cancel
	c.shadow.Store(s)
	c.judge.cost.Store(s.live)
	r.wg.Go(func() { s.run(ctx, c) })
	return nil
}

// newShadow creates a shadow and counts it. The caller must hold r.applying.
func (r *Runtime) newShadow(o *ShadowOptions) (*shadow, *callback, error) {
	running := r.callbackNamed(o.Callback)
	if running == nil || r.ctx.Err() != nil {
		return nil, nil, ErrNoCallback
	}
	events, within := cmp.Or(o.Events, defaultShadowEvents), cmp.Or(o.Time, defaultShadowTime)
	if events > MaxShadowEvents || within < 0 || within > MaxShadowTime {
		return nil, nil, fmt.Errorf("expected at most %d events and %v", MaxShadowEvents, MaxShadowTime)
	}
	c := running.Callback
	c.Steps = slices.Clone(c.Steps)
	at := -1
	for name := range o.With {
		i := slices.IndexFunc(c.Steps, func(s Step) bool { return s.Name == name })
		if i < 0 {
			return nil, nil, conflict("it has no filter %s", name)
		}
		c.Steps[i].Filter = o.With[name]
		if name == o.Filter {
			at = i
		}
	}
	if at < 0 {
		return nil, nil, conflict("filter %s is not tried", o.Filter)
	}
	judging := r.judging()
	judging.workers, judging.log = 1, slog.New(slog.DiscardHandler)
	now := time.Now()
	s := &shadow{judge: judging.newJudge(&c), live: &stepCost{step: at}, queue: make(chan shadowed, shadowQueue), done: make(chan struct{}), paths: map[string]*ShadowPath{},
		result: ShadowResult{Callback: o.Callback, Filter: o.Filter, Started: now, Until: now.Add(within), Limit: events}}
	s.judge.noOwn = running.judge.noOwn
	s.judge.cost.Store(&stepCost{step: at})
	s.width = s.judge.width()

	r.shadows.mu.Lock()
	defer r.shadows.mu.Unlock()
	if before := r.shadows.all[o.Callback]; before != nil && before.running() || before == nil && len(r.shadows.all) >= MaxShadows {
		s.judge.close()
		return nil, nil, fmt.Errorf("%w: a callback has one, all together %d; drop one", ErrShadows, MaxShadows)
	}
	if r.shadows.all == nil {
		r.shadows.all = map[string]*shadow{}
	}
	r.shadows.all[o.Callback] = s
	return s, running, nil
}

func (s *shadow) running() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// shadow returns the shadow of a callback.
func (r *Runtime) shadow(callback string) (*shadow, error) {
	r.shadows.mu.Lock()
	defer r.shadows.mu.Unlock()
	if s := r.shadows.all[callback]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("callback %s: %w", callback, ErrNoShadow)
}

// Shadow returns the results of a callback's shadow so far. ErrNoShadow: there is none.
func (r *Runtime) Shadow(callback string) (ShadowResult, error) {
	s, err := r.shadow(callback)
	if err != nil {
		return ShadowResult{}, err
	}
	return s.snapshot(), nil
}

// Shadows returns all shadows, by callback. It does not wait for running work.
func (r *Runtime) Shadows() []ShadowResult {
	r.shadows.mu.Lock()
	var all []*shadow
	for _, s := range r.shadows.all {
		all = append(all, s)
	}
	r.shadows.mu.Unlock()
	results := make([]ShadowResult, 0, len(all))
	for _, s := range all {
		results = append(results, s.snapshot())
	}
	slices.SortFunc(results, func(a, b ShadowResult) int { return cmp.Compare(a.Callback, b.Callback) })
	return results
}

// EndShadow ends a callback's shadow and keeps its result; why is the reason. It waits until no part of the
// shadow runs. ErrNoShadow: there is none.
func (r *Runtime) EndShadow(callback, why string) error {
	s, err := r.shadow(callback)
	if err != nil {
		return err
	}
	s.end(why)
	return nil
}

// DropShadow is EndShadow, and deletes the result.
func (r *Runtime) DropShadow(callback string) error {
	if err := r.EndShadow(callback, "dropped"); err != nil {
		return err
	}
	r.shadows.mu.Lock()
	defer r.shadows.mu.Unlock()
	if s := r.shadows.all[callback]; s != nil && !s.running() {
		delete(r.shadows.all, callback)
	}
	return nil
}

// end ends s and waits. It does nothing on nil.
func (s *shadow) end(why string) {
	if s == nil {
		return
	}
	s.cancel(errors.New(why))
	<-s.done
}

// offer passes a callback's processed events to the shadow. It never waits: the shadow misses events that
// do not fit in its queue. Call it from one goroutine at a time. It does nothing on nil.
func (s *shadow) offer(judged []delivery.Judged) {
	if s == nil || !s.running() {
		return
	}
	for i := range judged {
		j := &judged[i]
		switch j.Cause {
		case auditrelay.CauseWhen, auditrelay.CauseRetention, auditrelay.CauseDetached:
			continue // no filter processed it
		}
		if own(j.Event) || j.Event.Sequence <= s.last.Load() {
			continue
		}
		s.last.Store(j.Event.Sequence)
		size := int64(len(j.Event.Data) + len(j.Data))
		for _, e := range j.Emitted {
			size += int64(len(e.Data))
		}
		if len(s.queue) == cap(s.queue) || s.bytes.Load() > 0 && s.bytes.Load()+size > shadowBytes {
			s.missed.Add(1)
			continue
		}
		one := shadowed{event: *j.Event, outcome: j.Outcome, data: bytes.Clone(j.Data), emitted: slices.Clone(j.Emitted), bytes: size}
		one.event.Data = bytes.Clone(j.Event.Data)
		for k := range one.emitted {
			one.emitted[k].Data = bytes.Clone(one.emitted[k].Data)
		}
		s.bytes.Add(size)
		select {
		case s.queue <- one:
		default:
			s.bytes.Add(-size)
			s.missed.Add(1)
		}
	}
}

// The reasons for which a shadow ends by itself.
var (
	errShadowEvents = errors.New("event limit reached")
	errShadowTime   = errors.New("time limit reached")
)

// run processes events until the shadow ends. It pauses as long as it works, so that it uses at most half
// of one processor.
func (s *shadow) run(ctx context.Context, c *callback) {
	bounded, stop := context.WithDeadlineCause(ctx, s.result.Until, errShadowTime)
	defer stop()
	defer close(s.done)
	defer func() {
		c.shadow.CompareAndSwap(s, nil)
		c.judge.cost.CompareAndSwap(s.live, nil)
		why := context.Cause(bounded)
		if why == nil {
			why = errShadowEvents
		}
		s.judge.close()
		_ = closeAll(s.owned) // errors of a filter under trial do not matter to the relay
		s.mu.Lock()
		s.result.Ended, s.result.End = time.Now(), why.Error()
		s.mu.Unlock()
		if s.ended != nil {
			s.ended(s.snapshot())
		}
	}()
	w := s.judge.worker()
	defer s.judge.release(w)
	for {
		batch := s.next(bounded)
		if batch == nil {
			return
		}
		begun := time.Now()
		for len(batch) > 0 && bounded.Err() == nil {
			if batch = batch[s.compare(bounded, w, batch):]; s.full() {
				return
			}
		}
		select {
		case <-time.After(time.Since(begun)):
		case <-bounded.Done():
			return
		}
	}
}

// next returns the queued events, or nil at the end.
func (s *shadow) next(ctx context.Context) (batch []shadowed) {
	most := min(s.width, int(min(s.result.Limit-s.compared(), maxWidth)))
	select {
	case one := <-s.queue:
		batch = append(batch, one)
	case <-ctx.Done():
		return nil
	}
	for len(batch) < most {
		select {
		case one := <-s.queue:
			batch = append(batch, one)
			continue
		default:
		}
		break
	}
	for i := range batch {
		s.bytes.Add(-batch[i].bytes)
	}
	return batch
}

func (s *shadow) compared() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.result.Events
}

func (s *shadow) full() bool { return s.compared() >= s.result.Limit }

// compare processes events, compares the results that it has, and returns the number of finished events, at
// least one.
func (s *shadow) compare(ctx context.Context, w *worker, batch []shadowed) (done int) {
	events := make([]*auditrelay.Event, len(batch))
	for i := range batch {
		events[i] = &batch[i].event
	}
	for i, v := range s.judge.outcomes(ctx, w, events) {
		if v.cut || ctx.Err() != nil {
			break
		}
		done++
		if s.add(&batch[i], &v.judged, v.err); v.err != nil {
			break
		}
	}
	return max(done, 1)
}
