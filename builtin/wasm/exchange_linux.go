package wasm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/builtin/wasm/internal/process"
	"auditrelay/filter"
)

// gone says why there is no answer from a worker.
type gone struct {
	cause   auditrelay.Cause // CauseWallTime if the worker did not get the processor
	why     string
	suspect int   // the event that the worker reported as current
	ctx     error // the context's error, if that ended it
}

func (g *gone) error() *filter.Error {
	return &filter.Error{Cause: g.cause, Err: fmt.Errorf("its worker process was ended: %s", g.why)}
}

// exchange has the limits of the wait for an answer.
type exchange struct {
	limit  time.Duration // per event
	name   string        // of the limit
	events int
	fuel   int64 // for pseudonyms
}

const (
	tick  = 20 * time.Millisecond
	grace = time.Second // added to the limit at which the worker ends by itself
	looks = 50 * time.Millisecond

	// patience is the factor of the time limit for a worker that does not get the processor.
	patience = 4
)

// exchange sends a message to the worker, waits for its answer and copies it. It kills a worker
// that takes too long, uses too much memory or lies.
func (i *remote) exchange(ctx context.Context, m process.Message, x exchange) ([]byte, *gone) {
	p := i.lane.Process
	end := func(cause auditrelay.Cause, why string) *gone {
		i.module.workers.lost.Add(1)
		suspect := min(i.lane.Progress(), x.events-1)
		p.Kill(why)
		return &gone{cause: cause, why: p.Ended(), suspect: suspect}
	}
	began, cpu := time.Now(), p.CPU()
	if err := i.lane.Send(m); err != nil {
		i.module.workers.lost.Add(1)
		return nil, &gone{cause: auditrelay.CauseKilled, why: p.Ended()}
	}
	for next := began.Add(tick); ; {
		got, err := i.lane.Receive(next)
		switch {
		case err == nil && got.Kind == sayAnswer:
			if i.answer, err = i.lane.Copy(i.answer[:0], got); err != nil {
				return nil, end(auditrelay.CauseKilled, "its answer was invalid: "+err.Error())
			}
			if p.Due(looks) {
				if why := i.module.workers.grown(p); why != "" {
					return nil, end(auditrelay.CauseKilled, why)
				}
			}
			return i.answer, nil
		case err == nil && got.Kind == sayPseudonym:
			if err := i.pseudonym(got, &x); err != nil {
				return nil, end(auditrelay.CauseKilled, "its answer was invalid: "+err.Error())
			}
		case errors.Is(err, process.ErrDead):
			i.module.workers.lost.Add(1)
			return nil, &gone{cause: auditrelay.CauseKilled, why: p.Ended(), suspect: max(0, min(i.lane.Progress(), x.events-1))}
		case errors.Is(err, process.ErrTime):
			next = time.Now().Add(tick)
		default:
			return nil, end(auditrelay.CauseKilled, "its answer was invalid")
		}
		if ctx.Err() != nil {
			g := end(auditrelay.CauseWallTime, "the relay stopped waiting for its answer")
			g.ctx = ctx.Err()
			return nil, g
		}
		if cause, why := i.late(p, time.Since(began), p.CPU()-cpu, x); why != "" {
			return nil, end(cause, why)
		}
		if p.Due(looks) {
			if why := i.module.workers.grown(p); why != "" {
				return nil, end(auditrelay.CauseKilled, why)
			}
		}
	}
}

// late returns why a worker that took so much wall time and processor time must be killed; ""
// if it need not be.
func (i *remote) late(p *process.Process, ran, cpu time.Duration, x exchange) (auditrelay.Cause, string) {
	limit := x.limit
	const spare = batchTime + grace
	switch {
	case ran > limit+spare && cpu/time.Duration(max(1, p.Used())) >= limit/2:
		return auditrelay.CauseKilled, fmt.Sprintf("it did not answer within %v (%s), although it had the processor", limit, x.name)
	case ran > patience*limit+spare:
		return auditrelay.CauseWallTime, fmt.Sprintf("it did not answer within %d times %v (%s), since it did not get the processor", patience, limit, x.name)
	}
	return "", ""
}

// pseudonym answers a worker's request for a pseudonym. It costs fuel of the worker's events.
func (i *remote) pseudonym(m process.Message, x *exchange) error {
	var err error
	if i.answer, err = i.lane.Copy(i.answer[:0], m); err != nil {
		return err
	}
	const units = 800
	if x.fuel -= units + int64(len(i.answer)); x.fuel < 0 || i.replay == nil {
		return errors.New("too many pseudonyms for the fuel of its events")
	}
	if len(i.answer) == 0 || int(i.answer[0]) >= len(i.answer) {
		return errors.New("a pseudonym of an empty value")
	}
	n := 1 + int(i.answer[0])
	reply, ok := i.replay.Pseudonym(i.reply[:0], string(i.answer[1:n]), i.answer[n:])
	i.reply = reply
	if !ok {
		return errors.New("a key that was not granted")
	}
	return i.lane.Reply(process.Message{Kind: sayAnswer, Inline: reply})
}
