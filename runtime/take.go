package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
)

// take reads, filters and assembles one chunk.
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

const (
	// leastChunk is the approximate minimum of memory for events that a take requests.
	leastChunk = 64 << 10
	// leastEvent is the minimum size that an event counts as: its metadata, such as receipt and outcome,
	// takes copiesOfChunk times as much.
	leastEvent = 512
)

// takeMemory waits for the memory of a take. If it gets less than it asked for, it reduces the take and
// sets short.
func (p *pump) takeMemory(ctx context.Context, a *delivery.Action) (held *grant, short bool, err error) {
	want := chunkMemory(a)
	held, err = p.r.memory.take(ctx, p.callback.memory, want)
	if err != nil {
		return nil, false, err
	}
	a.Bytes = min(a.Bytes, max(held.bytes/copiesOfChunk, 1))
	events := int(max(held.bytes/(copiesOfChunk*leastEvent), 1))
	short = held.bytes < want
	a.Events, a.Sequences = min(a.Events, events), a.Sequences[:min(len(a.Sequences), events)]
	return held, short, nil
}

// chunkMemory returns the maximum memory that a take needs.
func chunkMemory(a *delivery.Action) int64 {
	if a.Kind == delivery.TakeDead {
		return copiesOfChunk * max(a.Bytes, leastEvent*int64(len(a.Sequences)))
	}
	bytes := min(a.Bytes, max(a.Waiting, leastChunk))
	events := min(int64(a.Events), int64(a.To-a.From))
	if average := a.Waiting / max(int64(a.To-a.From), 1); average > 0 {
		events = min(events, bytes/average+1)
	}
	return copiesOfChunk * max(bytes, leastEvent*events)
}

// enough handles a take whose single event is larger than its grant. It exchanges the grant for a larger
// one and reports whether it did. The caller must then read the event again, since no callback waits for
// memory while it holds some.
func (p *pump) enough(ctx context.Context, events []auditrelay.Event, held **grant) (more bool, err error) {
	if len(events) != 1 || copiesOfChunk*int64(len(events[0].Data)) <= (*held).bytes {
		return false, nil
	}
	(*held).release()
	*held, err = p.r.memory.all(ctx, p.callback.memory, copiesOfChunk*int64(len(events[0].Data)))
	return true, err
}

// assemble filters and renders a chunk. It may exchange held for a larger grant.
func (p *pump) assemble(ctx context.Context, a delivery.Action, short bool, held **grant) (*delivery.Assembled, error) {
	batch, err := p.judge(ctx, a, short, held)
	if err != nil {
		return nil, err
	}
	p.callback.rendering.Lock()
	defer p.callback.rendering.Unlock()
	return delivery.Assemble(*batch, p.place)
}

// judge reads and filters a chunk. short says that the take got less memory than it asked for.
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
	for i := range events {
		if !a.Before.IsZero() && !events[i].Received.Before(a.Before) {
			batch.To, events = events[i].Sequence, events[:i]
			break
		}
	}
	assigned := assignedOf(&state, events)
	p.callback.judging.RLock() // after the wait for memory
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
			batch.Judged[i].Emitted = nil // a replay emits nothing unless requested
		}
	}
	if n := len(batch.Judged); n < len(assigned) {
		batch.To = assigned[n].Sequence // the rest becomes the next chunk
	}
	if state.Replay == nil {
		p.callback.judgedTo.Store(batch.To)
	}
	for i := range events[:batch.To-a.From] {
		batch.Bytes += uint64(len(events[i].Data))
	}
	return batch, nil
}

// assignedOf returns the events that are assigned to a lane, usually all.
func assignedOf(s *delivery.State, events []auditrelay.Event) []auditrelay.Event {
	n := 0
	for n < len(events) && s.Assigned(&events[n]) {
		n++
	}
	if n == len(events) {
		return events
	}
	assigned := slices.Clone(events[:n])
	for i := n + 1; i < len(events); i++ {
		if s.Assigned(&events[i]) {
			assigned = append(assigned, events[i])
		}
	}
	return assigned
}

// judgeOwn processes the own records among events and skips all others. Like judge.all it may return fewer
// results.
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

// judgeDead processes dead letters again.
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
		batch.Judged[i].Emitted = nil // a replay emits nothing unless requested
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
