package runtime

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// pump runs one lane. It asks the delivery state machine for the next actions, runs them in goroutines, and
// passes the results to the machine and the journal. Results that arrive together share one transaction.
type pump struct {
	r        *Runtime
	callback *callback
	place    delivery.Place
	name     string // the lane's name
	laneID   string

	history    *attempts
	machine    *delivery.Lane // used only by run's goroutine
	results    chan result    // of takes and deliveries
	asks       chan ask
	wake       chan struct{}
	seen       atomic.Pointer[delivery.Snapshot]
	out        int       // number of running takes and deliveries
	broken     int       // number of consecutive failed transactions
	rest       time.Time // nothing starts before this time after a failed transaction
	oldestAt   uint64    // the cursor at which oldestTime was read
	oldestTime time.Time
	held       []*grant          // memory of the results that are being settled
	fresh      map[uint64]*fresh // payloads sealed since the last call of advance
	cancel     context.CancelFunc
	done       chan struct{} // closed when run has returned
	state      string        // the last logged state
	unsigned   bool          // signing the log failed the last time
}

// ask is a request to the state machine between two steps: to call fn or, if fn is nil, to sign the lane's
// log.
type ask struct {
	fn   func(m *delivery.Lane, tx *journal.Tx, now time.Time) error
	done chan error
}

func (r *Runtime) newPump(c *callback, s *delivery.State) (*pump, error) {
	p := &pump{r: r, callback: c, name: s.LaneName(), laneID: s.ID, history: r.historyOf(s.ID),
		place: delivery.Place{Callback: c.Name, Journal: r.journal.Identity().String(), Sink: c.Sink, TombstoneKey: r.tombstoneKey, Gate: c.gate, Format: c.judge.format, Receipts: c.receipts, Config: c.Digest,
			Proofs: r.journal, Lane: s.ID},
		// There are never more results than this, so a sender never blocks.
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
	if err := c.judge.resting(); err != nil { // known and logged before a reload
		p.machine.Resting(time.Now(), err)
		p.state = p.machine.Condition().State
	}
	p.seen.Store(p.machine.Snapshot())
	return p, nil
}

// start runs the pump until stop, or until its replay is finished.
func (p *pump) start() {
	ctx, cancel := context.WithCancel(p.r.ctx)
	p.cancel = cancel
	p.r.wg.Go(func() {
		defer close(p.done)
		defer cancel()
		p.run(ctx)
	})
}

// stop ends the pump and waits for its running work.
func (p *pump) stop() {
	p.cancel()
	<-p.done
}

// poke makes the pump check for work.
func (p *pump) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// refusal is the error of a request that was refused before it changed the state machine or wrote anything.
// It is no failure of the lane.
type refusal struct{ error }

// errStopped: the pump stopped before it handled the request.
var errStopped = errors.New("the callback is being configured anew")

// do runs fn on the pump's goroutine and commits its writes. It returns errStopped if the pump no longer
// runs.
func (p *pump) do(ctx context.Context, fn func(m *delivery.Lane, tx *journal.Tx, now time.Time) error) error {
	return p.ask(ctx, ask{fn: fn, done: make(chan error, 1)})
}

// sign signs the log now. It logs a failure.
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
			p.leaveProofs(ctx)
			p.r.log.Info("replay done", "callback", p.callback.Name, "replay", p.place.Replay)
			p.r.forget(p)
			return
		}
		if until.IsZero() {
			until = time.Now().Add(time.Hour)
		}
		p.await(ctx, timer, appended, until)
	}
}

// together is how long the pump leaves further appended events for the next check. With many callbacks, a
// check by each callback at every commit costs more than the commit.
const together = 5 * time.Millisecond

// await waits until there is work, and settles reported results.
func (p *pump) await(ctx context.Context, timer *time.Timer, appended <-chan struct{}, until time.Time) {
	looked := time.Now()
	timer.Reset(max(until.Sub(looked), 0))
	for {
		select {
		case res := <-p.results:
			p.settle(ctx, res)
		case a := <-p.asks:
			p.answer(ctx, a)
		case <-appended:
			if again := looked.Add(together); time.Now().Before(again) && again.Before(until) {
				appended, until = nil, again
				timer.Reset(time.Until(again))
				continue
			}
		case <-p.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		return
	}
}

// finish waits for running work and records its results, so that an acknowledged delivery is not repeated
// at the next start.
func (p *pump) finish(ctx context.Context) {
	for p.out > 0 {
		p.settle(ctx, <-p.results)
	}
	p.dropFresh()
	if p.machine.Unattested() {
		p.attest(ctx, time.Now())
	}
	p.publish()
}

// leaveProofs publishes the proofs of a cancelled replay's deliveries. The cancellation gave up the sealed
// bundles. It tries once; the next start repeats it.
func (p *pump) leaveProofs(ctx context.Context) {
	if p.machine.State().Detached == "" || p.r.signing == nil {
		return
	}
	p.attest(ctx, time.Now())
	for _, number := range p.machine.Bundles() {
		res := result{number: number}
		p.out++
		p.attempt(ctx, &res, nil)
		p.settle(ctx, res)
	}
}

// attest signs the lane's log: it first makes the time of signing durable, then signs the log.
func (p *pump) attest(ctx context.Context, now time.Time) {
	accepted := p.r.journal.Accepted()
	err := p.commit(ctx, func(tx *journal.Tx) error { return p.machine.Clock(tx, now, accepted) })
	if err != nil {
		return // commit logged it and opened the machine anew
	}
	_ = p.commit(ctx, func(tx *journal.Tx) error { // commit logs its failure
		err := p.machine.Attest(tx, now, p.place, p.r.signing.sign)
		if err != nil {
			*tx = journal.Tx{}
			p.machine.Unattest(now)
		}
		switch {
		case err != nil && !p.unsigned:
			p.r.log.Error("cannot sign the log of a callback; the next checkpoint includes it", "callback", p.name, "error", err)
		case err == nil && p.unsigned:
			p.r.log.Info("the log of a callback is signed again", "callback", p.name)
		}
		p.unsigned = err != nil
		return nil
	})
}

// advance starts all due actions of the state machine. It returns the time of the next call.
func (p *pump) advance(ctx context.Context) time.Time {
	defer p.dropFresh()
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
			go p.deliver(ctx, action.Number, action.Bytes, p.takeFresh(action.Number))
		case delivery.Detach:
			_ = p.commit(ctx, func(tx *journal.Tx) error { // commit logs its failure
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

// oldest returns the received time of the event at the cursor, if retain needs it.
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

// answer runs a request to the state machine and commits its writes.
func (p *pump) answer(ctx context.Context, a ask) {
	var err error
	if a.fn == nil {
		p.attest(ctx, time.Now())
	} else {
		var refused error
		err = p.commit(ctx, func(tx *journal.Tx) error {
			err := a.fn(p.machine, tx, time.Now())
			if r, ok := errors.AsType[refusal](err); ok {
				refused = r.error
				return nil
			}
			return err
		})
		err = cmp.Or(refused, err)
	}
	p.publish()
	if errors.Is(err, journal.ErrFull) {
		err = unavailable(err) // so that the caller knows that a retry may succeed
	}
	a.done <- err
}

// The limits of the pause after a failed transaction.
const (
	shortestRest = 100 * time.Millisecond
	longestRest  = 10 * time.Second
)

// commit runs fn and makes its writes durable. After a failure the state machine no longer knows the
// durable state. So commit opens it anew and pauses for a while. Without the pause, a journal that cannot
// record results would make the relay send the same data again and again.
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
	p.releaseHeld() // the work awaited below may wait for this memory
	p.dropFresh()
	for p.out > 0 { // their results belong to the abandoned state machine
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

// publish makes the machine's state visible, and logs changes.
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
	if s.Blocked || p.r.counters.blockedBy.Load() != nil { // otherwise no other callback has changed the answer
		p.r.blocking()
	}
	p.r.publish()
}
