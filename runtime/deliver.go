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

// result is what a goroutine of the pump reports.
type result struct {
	taken  bool
	batch  *delivery.Assembled // set for a take
	held   *grant              // the batch's memory until the batch is sealed; or nil
	sent   *delivery.Sent      // set for a delivery
	number uint64
	err    error

	begun time.Time // set for a delivery: start, duration and size of the sink's call
	took  time.Duration
	bytes int
}

func (r *result) failed() bool { return r.err != nil || r.sent.Err != nil && !r.sent.Replaced() }

// deliver attempts to send one payload of that size. If ready is not nil, it is that payload and already
// has its slot and its memory.
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

// attempt sends sealed. If sealed is nil, it sends the payload that is stored under the result's number.
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
		res.err = lapsed // the relay cancelled the delivery itself
		return
	}
	if err == nil {
		p.callback.latency.observe(res.took)
		p.r.sight(ctx, &p.callback.Callback, p.place.Replay, &payload, receipt)
	}
	if err != nil { // renders the replacement of a rejected payload
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

// fresh is a payload that was just sealed, with its memory. Its first attempt need not read the payload
// from the journal. Each retry does.
type fresh struct {
	payload auditrelay.Payload
	held    *grant
}

// keepFresh keeps the payloads that a take sealed, with a part of the take's memory, for the next call of
// advance.
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

// takeFresh returns the payload of that number, with a slot, if it was kept and can be sent at once. A
// delivery that waits for a slot must not hold memory.
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

// dropFresh forgets the kept payloads that no delivery took.
func (p *pump) dropFresh() {
	for _, f := range p.fresh {
		f.held.release()
	}
	p.fresh = nil
}

// settle passes a result, and all results that wait with it, to the state machine.
func (p *pump) settle(ctx context.Context, first result) {
	var sealed []result
	err := p.commit(ctx, func(tx *journal.Tx) error { // commit logs its failure
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
		// A pending event cannot be erased. So the lane started, or its replay was requested, after the
		// erasure.
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
		p.machine.Abandon(res.number) // the relay cancelled the delivery; this is not the destination's failure
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

// attempted stores an attempt whose payload still exists.
func (p *pump) attempted(res *result) {
	number, _ := p.machine.Tried(res.number)
	p.attemptedAs(res, number)
}

// attemptedAs stores an attempt with its number, after the state machine has settled the payload.
func (p *pump) attemptedAs(res *result, number int) {
	if res.begun.IsZero() {
		return // the journal could not be read, so the destination got no request
	}
	a := Attempt{Payload: res.number, Number: number, At: res.begun, Took: res.took, Bytes: res.bytes, Result: AttemptDelivered}
	switch {
	case res.err != nil: // the destination rejected the payload, and rendering its replacement failed
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
