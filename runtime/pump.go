package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// pump runs one lane. It asks the delivery machine what to do, does it in goroutines, and
// brings the results into the machine and the journal: several results in one transaction
// if they arrive together.
type pump struct {
	r        *Runtime
	callback *callback
	place    delivery.Place
	name     string // of the lane
	laneID   string

	history    *attempts
	machine    *delivery.Lane // touched by run alone
	results    chan result    // of takes and deliveries
	asks       chan ask
	wake       chan struct{}
	seen       atomic.Pointer[delivery.Snapshot]
	out        int       // takes and deliveries under way
	broken     int       // transactions in a row that were not committed
	rest       time.Time // nothing is started before, after such a one
	oldestAt   uint64    // the cursor at which oldestTime was read
	oldestTime time.Time
	held       []*grant // memory of the results that are being settled
	cancel     context.CancelFunc
	done       chan struct{} // closed when run has returned
	state      string        // last logged
}

// result is what a goroutine reports back.
type result struct {
	taken  bool
	batch  *delivery.Assembled // of a take
	held   *grant              // memory of batch, to be released when it is sealed; or nil
	sent   *delivery.Sent      // of a delivery
	number uint64
	err    error

	begun time.Time // of a delivery: when the sink was called, for how long, with how much
	took  time.Duration
	bytes int
}

func (r *result) failed() bool { return r.err != nil || r.sent.Err != nil && !r.sent.Replaced() }

// ask is something to be done with the machine, between two steps: fn, or where that is
// nil to sign its log.
type ask struct {
	fn   func(m *delivery.Lane, tx *journal.Tx, now time.Time) error
	done chan error
}

func (r *Runtime) newPump(c *callback, s *delivery.State) (*pump, error) {
	p := &pump{r: r, callback: c, name: s.LaneName(), laneID: s.ID, history: r.historyOf(s.ID),
		place: delivery.Place{Callback: c.Name, Journal: r.journal.Identity().String(), Sink: c.Sink, TombstoneKey: r.tombstoneKey, Gate: c.gate, Format: c.judge.format, Receipts: c.receipts, Config: c.Digest,
			Proofs: r.journal, Lane: s.ID},
		// Results never block their sender: there are never more than this.
		results: make(chan result, c.concurrency+1),
		asks:    make(chan ask), wake: make(chan struct{}, 1), done: make(chan struct{}), state: delivery.Active}
	if s.Replay != nil {
		p.place.Replay = s.Replay.ID
	}
	var err error
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	if p.machine, err = delivery.Open(r.journal, s, c.laneOptions(r.signing), random); err != nil {
		return nil, err
	}
	if err := c.judge.resting(); err != nil { // known, and told, before a reload
		p.machine.Resting(time.Now(), err)
		p.state = p.machine.Condition().State
	}
	p.seen.Store(p.machine.Snapshot())
	return p, nil
}

// start runs the pump until stop, or until its replay is done.
func (p *pump) start() {
	ctx, cancel := context.WithCancel(p.r.ctx)
	p.cancel = cancel
	p.r.wg.Go(func() {
		defer close(p.done)
		defer cancel()
		p.run(ctx)
	})
}

// stop ends the pump and waits for what it has under way.
func (p *pump) stop() {
	p.cancel()
	<-p.done
}

// poke has the pump look again.
func (p *pump) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// errStopped: the pump stopped before it could be asked.
var errStopped = errors.New("the callback is being configured anew")

// do runs fn on the pump's goroutine and commits what it wrote. errStopped where
// the pump runs no more.
func (p *pump) do(ctx context.Context, fn func(m *delivery.Lane, tx *journal.Tx, now time.Time) error) error {
	return p.ask(ctx, ask{fn: fn, done: make(chan error, 1)})
}

// sign has the log signed, out of turn. A failure is logged.
func (p *pump) sign(ctx context.Context) error {
	return p.ask(ctx, ask{done: make(chan error, 1)})
}

func (p *pump) ask(ctx context.Context, a ask) error {
	select {
	case p.asks <- a:
		return <-a.done
	case <-p.done:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pump) run(ctx context.Context) {
	defer p.finish(ctx)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		appended := p.r.journal.Watch()
		until := p.advance(ctx)
		p.publish()
		if p.machine.Done() && p.out == 0 {
			p.r.log.Info("replay done", "callback", p.callback.Name, "replay", p.place.Replay)
			p.r.forget(p)
			return
		}
		wait := time.Hour
		if !until.IsZero() {
			wait = max(time.Until(until), 0)
		}
		timer.Reset(wait)
		select {
		case res := <-p.results:
			p.settle(ctx, res)
		case a := <-p.asks:
			p.answer(ctx, a)
		case <-appended:
		case <-p.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// finish waits for what is under way and keeps what it achieved: a delivery that
// was acknowledged need not be made again at the next start.
func (p *pump) finish(ctx context.Context) {
	for p.out > 0 {
		p.settle(ctx, <-p.results)
	}
	if p.machine.Unattested() {
		p.attest(ctx, time.Now())
	}
	p.publish()
}

// attest has the lane's log signed: its time first, and once that is durable the log.
func (p *pump) attest(ctx context.Context, now time.Time) {
	accepted := p.r.journal.Accepted()
	err := p.commit(ctx, func(tx *journal.Tx) error { return p.machine.Clock(tx, now, accepted) })
	if err != nil {
		return // logged, and the machine is opened anew
	}
	_ = p.commit(ctx, func(tx *journal.Tx) error { // which logs its failure
		err := p.machine.Attest(tx, now, p.place, p.r.signing.sign)
		if err != nil {
			p.r.log.Error("could not sign what a callback delivered; the next checkpoint tells of it", "callback", p.name, "error", err)
			*tx = journal.Tx{}
			p.machine.Unattest(now)
		}
		return nil
	})
}

// advance starts everything that the machine wants done now, and returns when it
// is to be asked again.
func (p *pump) advance(ctx context.Context) time.Time {
	if p.r.hurry.Load() {
		p.machine.Hurry()
	}
	for ctx.Err() == nil {
		head := p.r.journal.Head()
		now := time.Now()
		if now.Before(p.rest) {
			return p.rest
		}
		action := p.machine.Next(now, head, p.oldest(head.Next))
		switch action.Kind {
		case delivery.Wait:
			return action.Until
		case delivery.Deliver:
			p.out++
			go p.deliver(ctx, action.Number, action.Bytes)
		case delivery.Detach:
			_ = p.commit(ctx, func(tx *journal.Tx) error { // which logs its failure
				p.r.log.Warn("callback detached: it holds more than its retain allows; events are skipped until it is attached again", "callback", p.callback.Name)
				return p.machine.SetDetached(tx, now, "it held more than retain allows")
			})
		case delivery.GiveUp:
			_ = p.commit(ctx, func(tx *journal.Tx) error { return p.machine.GiveUp(tx, now) })
		case delivery.Attest:
			p.attest(ctx, now)
		case delivery.Amend:
			_ = p.commit(ctx, func(tx *journal.Tx) error { return p.machine.SealAmendments(tx, now, p.place) })
		default:
			p.out++
			go p.take(ctx, action)
		}
	}
	return time.Time{}
}

// oldest returns the received time of the event at the cursor, where retain asks
// for it.
func (p *pump) oldest(next uint64) time.Time {
	if p.callback.Retain.Age <= 0 {
		return time.Time{}
	}
	cursor := p.machine.State().Cursor
	if cursor >= next {
		return time.Time{}
	}
	if p.oldestAt != cursor {
		e, err := p.r.journal.Event(cursor)
		if err != nil {
			return time.Time{}
		}
		p.oldestAt, p.oldestTime = cursor, e.Received
	}
	return p.oldestTime
}

// take reads, judges and assembles one chunk.
func (p *pump) take(ctx context.Context, a delivery.Action) {
	res := result{taken: true}
	var short bool
	if res.held, short, res.err = p.takeMemory(ctx, &a); res.err == nil {
		end := p.r.turns.begin(ctx)
		res.batch, res.err = p.assemble(ctx, a, short, &res.held)
		end()
	}
	if res.err != nil {
		res.held.release()
		res.held = nil
	}
	p.results <- res
}

// leastChunk is about the least memory for events that a take asks for.
const leastChunk = 64 << 10

// takeMemory waits for the memory of a take, and makes the take smaller where it gets
// less than it asked for, which short says.
func (p *pump) takeMemory(ctx context.Context, a *delivery.Action) (held *grant, short bool, err error) {
	want := a.Bytes
	if a.Kind != delivery.TakeDead {
		want = min(want, max(a.Waiting, leastChunk))
	}
	held, err = p.r.memory.take(ctx, p.callback.memory, copiesOfChunk*want)
	if err != nil {
		return nil, false, err
	}
	a.Bytes = min(a.Bytes, max(held.bytes/copiesOfChunk, 1))
	return held, held.bytes < copiesOfChunk*want, nil
}

// enough exchanges the memory of a take for more where its one event is larger than what
// was given. It reports whether it did: the event is then to be read again, since
// nobody waits for memory while holding some.
func (p *pump) enough(ctx context.Context, events []auditrelay.Event, held **grant) (more bool, err error) {
	if len(events) != 1 || copiesOfChunk*int64(len(events[0].Data)) <= (*held).bytes {
		return false, nil
	}
	(*held).release()
	*held, err = p.r.memory.all(ctx, p.callback.memory, copiesOfChunk*int64(len(events[0].Data)))
	return true, err
}

// assemble judges and renders a chunk. It may exchange held for more.
func (p *pump) assemble(ctx context.Context, a delivery.Action, short bool, held **grant) (*delivery.Assembled, error) {
	batch, err := p.judge(ctx, a, short, held)
	if err != nil {
		return nil, err
	}
	p.callback.rendering.Lock()
	defer p.callback.rendering.Unlock()
	return delivery.Assemble(*batch, p.place)
}

// judge reads and judges a chunk; short: there is less memory for it than it asked for.
func (p *pump) judge(ctx context.Context, a delivery.Action, short bool, held **grant) (*delivery.Batch, error) {
	if a.Kind == delivery.TakeDead {
		return p.judgeDead(ctx, a, held)
	}
	limit := a.Events
	if room := a.To - a.From; room < uint64(limit) {
		limit = int(room)
	}
	events, to, err := p.r.journal.Read(a.From, limit, a.Bytes)
	if err == nil {
		var more bool
		if more, err = p.enough(ctx, events, held); more && err == nil {
			events, to, err = p.r.journal.Read(a.From, 1, a.Bytes)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read a chunk of callback %s: %w", p.name, err)
	}
	state := p.seen.Load().State
	batch := &delivery.Batch{From: a.From, To: to}
	if short && to < a.To {
		batch.Due = a.To
	}
	var assigned []auditrelay.Event
	for i := range events {
		if !a.Before.IsZero() && !events[i].Received.Before(a.Before) {
			batch.To = events[i].Sequence
			break
		}
		if state.Assigned(&events[i]) {
			assigned = append(assigned, events[i])
		}
	}
	p.callback.judging.RLock() // memory is waited for before
	defer p.callback.judging.RUnlock()
	switch {
	case a.Kind == delivery.TakeUnjudged:
		batch.Judged = unjudged(assigned, a.Unjudged)
	case state.Replay != nil && state.Replay.Own:
		batch.Judged, batch.Held, err = p.judgeOwn(ctx, assigned, (*held).bytes)
	default:
		batch.Judged, batch.Held, err = p.callback.judge.all(ctx, assigned, (*held).bytes)
	}
	if err != nil {
		return nil, err
	}
	p.r.taps.filtered(p.callback.Name, p.place.Replay, batch.Judged)
	if state.Replay == nil {
		p.callback.shadow.Load().offer(batch.Judged)
	}
	if state.Replay != nil && !state.Replay.Emit {
		for i := range batch.Judged {
			batch.Judged[i].Emitted = nil // a replay emits nothing unless told to
		}
	}
	if n := len(batch.Judged); n < len(assigned) {
		batch.To = assigned[n].Sequence // the rest is for the next chunk
	}
	if state.Replay == nil {
		p.callback.judgedTo.Store(batch.To)
	}
	for i := range events[:batch.To-a.From] {
		batch.Bytes += uint64(len(events[i].Data))
	}
	return batch, nil
}

// judgeOwn judges the own records among events, and skips all else. Like judge.all it may
// return fewer.
func (p *pump) judgeOwn(ctx context.Context, events []auditrelay.Event, room int64) (all []delivery.Judged, held, err error) {
	all = unjudged(events, delivery.Skip)
	var records []auditrelay.Event
	var at []int
	for i := range events {
		if own(&events[i]) {
			records, at = append(records, events[i]), append(at, i)
		}
	}
	judged, held, err := p.callback.judge.all(ctx, records, room)
	if err != nil {
		return nil, nil, err
	}
	for i := range judged {
		all[at[i]] = judged[i]
	}
	if len(judged) < len(records) {
		all = all[:at[len(judged)]]
	}
	return all, held, nil
}

// judgeDead judges dead letters again.
func (p *pump) judgeDead(ctx context.Context, a delivery.Action, held **grant) (*delivery.Batch, error) {
	events, handled, err := delivery.DeadEvents(p.r.journal, p.laneID, a.Sequences, a.Bytes)
	if err == nil {
		var more bool
		if more, err = p.enough(ctx, events, held); more && err == nil {
			events, handled, err = delivery.DeadEvents(p.r.journal, p.laneID, a.Sequences, a.Bytes)
		}
	}
	if err != nil {
		return nil, err
	}
	p.callback.judging.RLock()
	defer p.callback.judging.RUnlock()
	batch := &delivery.Batch{Dead: a.Sequences[:handled]}
	if batch.Judged, batch.Held, err = p.callback.judge.all(ctx, events, (*held).bytes); err != nil {
		return nil, err
	}
	if n := len(batch.Judged); n < len(events) {
		batch.Dead = nil // the rest stays in the queue
		for _, j := range batch.Judged {
			batch.Dead = append(batch.Dead, j.Event.Sequence)
		}
	}
	for i := range batch.Judged {
		batch.Judged[i].Emitted = nil // a replay emits nothing unless told to
	}
	return batch, nil
}

func unjudged(events []auditrelay.Event, u delivery.Unjudged) []delivery.Judged {
	judged := make([]delivery.Judged, len(events))
	for i := range events {
		judged[i] = delivery.Judged{Event: &events[i], Outcome: auditrelay.DeadLettered, Cause: auditrelay.CauseRetention,
			Err: errors.New("held longer, or more, than retain allows")}
		if u == delivery.Skip {
			judged[i].Outcome, judged[i].Cause, judged[i].Err = auditrelay.Skipped, auditrelay.CauseDetached, nil
		}
	}
	return judged
}

// deliver makes one attempt at one payload of that size.
func (p *pump) deliver(ctx context.Context, number uint64, size int64) {
	res := result{number: number}
	select {
	case p.callback.slots <- struct{}{}:
		var held *grant
		if held, res.err = p.r.memory.all(ctx, p.callback.memory, copiesOfPayload*size); res.err == nil {
			p.attempt(ctx, &res)
			held.release()
		}
		<-p.callback.slots
	case <-ctx.Done():
		res.err = ctx.Err()
	}
	p.results <- res
}

func (p *pump) attempt(ctx context.Context, res *result) {
	payload, err := delivery.Load(p.r.journal, p.laneID, res.number)
	if err != nil {
		res.err = err
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.callback.Timeout)
	defer cancel()
	res.begun, res.bytes = time.Now(), len(payload.Body)
	receipt, err := deliver(ctx, p.callback.Sink, payload)
	res.took = time.Since(res.begun)
	if err == nil {
		p.callback.latency.observe(res.took)
	}
	if err != nil { // a refused payload is rendered anew
		p.callback.rendering.Lock()
		defer p.callback.rendering.Unlock()
	}
	p.r.taps.delivered(p.callback.Name, p.place.Replay, &payload, err)
	sent, err := delivery.Classify(p.r.journal, p.laneID, payload, receipt, err, p.place)
	if err != nil {
		res.err = err
		return
	}
	res.sent = &sent
}

func deliver(ctx context.Context, sink auditrelay.Sink, payload auditrelay.Payload) (receipt auditrelay.Receipt, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{fmt.Sprintf("the sink's Deliver panicked with a %T", v)}
		}
	}()
	return sink.Deliver(ctx, payload)
}

// releaseHeld releases the memory of the results that are being settled.
func (p *pump) releaseHeld() {
	for _, g := range p.held {
		g.release()
	}
	p.held = nil
}

// settle brings a result, and all that wait beside it, into the machine.
func (p *pump) settle(ctx context.Context, first result) {
	defer p.releaseHeld()
	_ = p.commit(ctx, func(tx *journal.Tx) error { // which logs its failure
		for res, more := first, true; more; {
			p.out--
			p.held = append(p.held, res.held)
			if err := p.absorb(ctx, tx, res); err != nil {
				return err
			}
			select {
			case res = <-p.results:
			default:
				more = false
			}
		}
		return nil
	})
}

func (p *pump) absorb(ctx context.Context, tx *journal.Tx, res result) error {
	now := time.Now()
	switch {
	case res.taken && res.err != nil:
		// What is pending is not erased; the lane began, or was told to replay, after that.
		if erased, ok := errors.AsType[*journal.ErasedError](res.err); ok && erased.To > erased.From {
			return p.machine.SkipErased(tx, now, erased.To)
		}
		if ctx.Err() == nil || !errors.Is(res.err, context.Canceled) {
			p.machine.Untake(now, res.err)
		}
		return nil
	case res.taken:
		return p.machine.Seal(tx, now, res.batch, p.place)
	case ctx.Err() != nil && res.failed():
		p.machine.Abandon(res.number) // broken off by us; not the destination's failure
		return nil
	case res.err != nil:
		p.machine.Unsettle(now, res.number, res.err)
		p.attempted(&res)
		return nil //nolint:nilerr // broken off by us; not a failure
	}
	number, _ := p.machine.Tried(res.number)
	_, err := p.machine.Settle(tx, now, *res.sent)
	if err == nil {
		p.attemptedAs(&res, number)
	}
	return err
}

// attempted notes an attempt whose payload is still there.
func (p *pump) attempted(res *result) {
	number, _ := p.machine.Tried(res.number)
	p.attemptedAs(res, number)
}

// attemptedAs notes an attempt, its payload's number-th. The machine has settled it.
func (p *pump) attemptedAs(res *result, number int) {
	if res.begun.IsZero() {
		return // the journal could not be read; the destination saw nothing
	}
	a := Attempt{Payload: res.number, Number: number, At: res.begun, Took: res.took, Bytes: res.bytes, Result: AttemptDelivered}
	switch {
	case res.err != nil: // it was refused, and what is to take its place could not be made
		a.Result = AttemptRetried
		a.failedWith(res.err)
	case res.sent.Err != nil:
		if a.Result = AttemptRetried; res.sent.Replaced() {
			a.Result = AttemptReplaced
		}
		a.failedWith(res.sent.Err)
	default:
		a.Status = res.sent.Receipt.Status
	}
	if a.Result == AttemptRetried {
		_, a.NextTry = p.machine.Tried(res.number)
	}
	p.history.add(a)
}

// answer runs a question to the machine and commits what it wrote.
func (p *pump) answer(ctx context.Context, a ask) {
	var err error
	if a.fn == nil {
		p.attest(ctx, time.Now())
	} else {
		err = p.commit(ctx, func(tx *journal.Tx) error { return a.fn(p.machine, tx, time.Now()) })
	}
	p.publish()
	if errors.Is(err, journal.ErrFull) {
		err = p.r.unavailable(err) // for the caller: a retry may succeed
	}
	a.done <- err
}

// The bounds of the pause after a transaction that was not committed.
const (
	shortestRest = 100 * time.Millisecond
	longestRest  = 10 * time.Second
)

// commit runs fn and makes what it wrote durable. When that fails the machine no
// longer knows what is durable: it is opened anew, and rests for a while, so that
// a destination is not sent the same again and again by a journal that cannot
// record it.
func (p *pump) commit(ctx context.Context, fn func(tx *journal.Tx) error) error {
	tx := new(journal.Tx)
	err := fn(tx)
	if err == nil && !tx.Empty() {
		_, err = p.r.journal.Commit(tx)
	}
	if err == nil {
		if p.broken > 0 && !tx.Empty() {
			p.broken, p.rest = 0, time.Time{}
			p.machine.Mend(time.Now())
		}
		return nil
	}
	if p.broken++; p.broken == 1 {
		p.r.log.Error("callback could not record its progress; it continues from what is durable", "callback", p.name, "error", err)
	}
	p.releaseHeld() // what is awaited now may wait for it
	for p.out > 0 { // their results belong to the machine that is given up
		res := <-p.results
		res.held.release()
		p.out--
	}
	pause := shortestRest << min(p.broken-1, 10)
	for {
		pause = min(pause, longestRest)
		fresh, openErr := p.machine.Reopen()
		if openErr == nil {
			fresh.Untake(time.Now(), err)
			p.machine, p.rest = fresh, time.Now().Add(pause)
			return err
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return err
		}
	}
}

// publish makes the machine's condition known, and logs where it has changed.
func (p *pump) publish() {
	s := p.machine.Snapshot()
	p.seen.Store(s)
	c := s.Condition
	if p.place.Replay == "" {
		p.r.memory.mark(p.callback.memory, c.State != delivery.Active && c.State != delivery.Withholding)
	}
	if c.State != p.state {
		level := slog.LevelInfo
		switch c.State {
		case delivery.Degraded:
			level = slog.LevelWarn
		case delivery.AuthError, delivery.Misconfigured, delivery.Withholding:
			level = slog.LevelError
		}
		p.r.log.Log(context.Background(), level, "callback is "+c.State, "callback", p.name, "was", p.state, "reason", c.Reason)
		p.state = c.State
	}
	p.r.blocking()
	p.r.publish()
}
