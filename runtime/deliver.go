package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

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

// deliver makes one attempt at one payload of that size, or at ready, which has its slot
// and its memory.
func (p *pump) deliver(ctx context.Context, number uint64, size int64, ready *fresh) {
	res := result{number: number}
	if ready != nil {
		p.attempt(ctx, &res, &ready.payload)
		ready.held.release()
		<-p.callback.slots
		p.results <- res
		return
	}
	select {
	case p.callback.slots <- struct{}{}:
		var held *grant
		if held, res.err = p.r.memory.all(ctx, p.callback.memory, copiesOfPayload*size); res.err == nil {
			p.attempt(ctx, &res, nil)
			held.release()
		}
		<-p.callback.slots
	case <-ctx.Done():
		res.err = ctx.Err()
	}
	p.results <- res
}

// attempt sends sealed, or where that is nil what is stored under the result's number.
func (p *pump) attempt(ctx context.Context, res *result, sealed *auditrelay.Payload) {
	var payload auditrelay.Payload
	var err error
	if sealed != nil {
		payload = *sealed
	} else if payload, err = delivery.Load(p.r.journal, p.laneID, res.number); err != nil {
		res.err = err
		return
	}
	var receipt auditrelay.Receipt
	lapsed := p.r.inLease(ctx, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, p.callback.Timeout)
		defer cancel()
		res.begun, res.bytes = time.Now(), len(payload.Body)
		receipt, err = deliver(ctx, p.callback.Sink, payload)
		res.took = time.Since(res.begun)
	})
	if lapsed != nil && (res.begun.IsZero() || err != nil) {
		res.err = lapsed // broken off by us
		return
	}
	if err == nil {
		p.callback.latency.observe(res.took)
		p.r.sight(ctx, &p.callback.Callback, p.place.Replay, &payload, receipt)
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

// fresh is a payload that was sealed just now, with its memory. Its first attempt need not
// read it back; each further one does.
type fresh struct {
	payload auditrelay.Payload
	held    *grant
}

// keepFresh keeps what a take sealed for the look that follows, with a part of the take's
// memory.
func (p *pump) keepFresh(batch *delivery.Assembled, held *grant) {
	for _, payload := range batch.Sealed() {
		if part := held.split(copiesOfPayload * int64(len(payload.Body))); part != nil {
			if p.fresh == nil {
				p.fresh = map[uint64]*fresh{}
			}
			p.fresh[payload.Number] = &fresh{payload, part}
		}
	}
}

// takeFresh returns the payload of that number if it was kept and can be sent at once, with
// a slot: who waits for one holds no memory.
func (p *pump) takeFresh(number uint64) *fresh {
	f := p.fresh[number]
	if f == nil {
		return nil
	}
	select {
	case p.callback.slots <- struct{}{}:
		delete(p.fresh, number)
		return f
	default:
		return nil
	}
}

// releaseHeld releases the memory of the results that are being settled.
func (p *pump) releaseHeld() {
	for _, g := range p.held {
		g.release()
	}
	p.held = nil
}

// dropFresh forgets what was kept and not taken.
func (p *pump) dropFresh() {
	for _, f := range p.fresh {
		f.held.release()
	}
	p.fresh = nil
}

// settle brings a result, and all that wait beside it, into the machine.
func (p *pump) settle(ctx context.Context, first result) {
	var sealed []result
	err := p.commit(ctx, func(tx *journal.Tx) error { // which logs its failure
		for res, more := first, true; more; {
			p.out--
			p.held = append(p.held, res.held)
			if err := p.absorb(ctx, tx, res); err != nil {
				return err
			}
			if res.taken && res.err == nil {
				sealed = append(sealed, res)
			}
			select {
			case res = <-p.results:
			default:
				more = false
			}
		}
		return nil
	})
	if err == nil {
		for i := range sealed {
			p.keepFresh(sealed[i].batch, sealed[i].held)
		}
	}
	p.releaseHeld()
	if err == nil && p.place.Replay == "" && p.r.rollout.Load() != nil {
		p.r.counted(p.callback.Name, p.machine.State().Tried)
	}
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
		p.machine.SetTried(p.r.tried(p.callback.Name))
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
	p.machine.SetTried(p.r.tried(p.callback.Name))
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
