package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"auditrelay"
	"auditrelay/builtin/wasm/internal/process"
	"auditrelay/builtin/wasm/internal/wire"
	"auditrelay/filter"
	"auditrelay/hostfuncs"
)

// remote is the relay's side of an instance in a worker process. It checks the worker's results
// for an event and applies them to the relay's own document.
type remote struct {
	module *Module
	group  string

	lane     *process.Lane // nil if it has none
	replay   *hostfuncs.Replay
	began    int64 // fuel of its start, as the worker reports
	failed   bool
	claimed  bool // the worker reports that the last event took too much wall time
	reserved bool

	answer  []byte // copied out of the shared memory
	result  wire.Result
	touched []filter.Touch
	reply   []byte
	text    []byte
	gaps    []byte
	call    [1]filter.Call // for Apply
	verdict [1]auditrelay.Verdict
}

var _ filter.Batcher = (*remote)(nil)

// open opens an instance for a group: the first ones in the group's worker, further ones in
// another.
func (w *workers) open(ctx context.Context, group string) (filter.Instance, error) {
	m := w.module
	if err := m.budget.reserve(m.limits.Footprint()); err != nil {
		return nil, &filter.Error{Cause: auditrelay.CauseWallTime, Err: err}
	}
	i := &remote{module: m, group: group, reserved: true}
	if err := i.start(ctx, nil); err != nil {
		_ = i.Close()
		return nil, err
	}
	return i, nil
}

// adopt assigns an instance without a group to a group.
func adopt(instance filter.Instance, group string) {
	i, ok := instance.(*remote)
	if !ok || i.group == group {
		return
	}
	i.module.workers.move(i.lane.Process, i.group, group)
	i.group = group
}

// start starts the instance in p, or in a worker of its group.
func (i *remote) start(ctx context.Context, p *process.Process) error {
	lane, err := i.module.workers.take(ctx, i.group, p)
	if err != nil {
		return err
	}
	i.lane = lane
	answer, g := i.exchange(ctx, process.Message{Kind: sayOpen}, exchange{limit: i.module.limits.InitTime, name: "limits.init_time", events: 1})
	if g != nil {
		i.drop()
		if g.ctx != nil {
			return g.ctx
		}
		f := g.error()
		if f.Cause == auditrelay.CauseKilled {
			f.Cause = auditrelay.CauseInit
		}
		return f
	}
	v, err := wire.ReadStarted(answer, i.module.wireLimits())
	if err == nil && !v.Failed {
		paths := make([]string, len(v.Paths))
		for k := range v.Paths {
			paths[k] = string(v.Paths[k])
		}
		i.replay, err = hostfuncs.NewReplay(i.module.policy, paths)
	}
	if err != nil {
		return i.lie(err)
	}
	i.say(nil, v.Lines)
	i.began = min(v.Fuel, i.module.limits.InitFuel)
	if !v.Failed {
		return nil
	}
	if string(v.Text) == errNoCode.Error() {
		return errNoCode
	}
	c := causes[v.Cause]
	if c != auditrelay.CauseWallTime && c != auditrelay.CauseMemory && c != auditrelay.CauseFuel {
		c = auditrelay.CauseInit
	}
	return &filter.Error{Cause: c, Err: errors.New(plain(v.Text, maxErrorText))}
}

// lie kills a worker that violated the protocol when it started an instance.
func (i *remote) lie(err error) *filter.Error {
	i.lane.Process.Kill("its answer was invalid")
	i.drop()
	return &filter.Error{Cause: auditrelay.CauseInit, Err: fmt.Errorf("its worker process was ended: its answer was invalid: %w", err)}
}

// drop releases the lane.
func (i *remote) drop() {
	if i.lane != nil {
		i.lane.Return()
		i.lane = nil
	}
}

// Close implements filter.Instance. It may be called again.
func (i *remote) Close() error {
	i.failed = true
	if i.lane != nil {
		_ = i.lane.Send(process.Message{Kind: sayClose})
		p := i.lane.Process
		i.drop()
		i.module.workers.idle(p)
	}
	if i.reserved {
		i.reserved = false
		i.module.budget.release(i.module.limits.Footprint())
	}
	return nil
}

// Apply implements filter.Instance.
func (i *remote) Apply(ctx context.Context, call *filter.Call) (auditrelay.Verdict, error) {
	i.call[0] = *call
	decided, err := i.ApplyAll(ctx, i.call[:], i.verdict[:])
	*call = i.call[0]
	i.call[0] = filter.Call{}
	if err != nil || decided == 0 {
		return auditrelay.NoVerdict, err
	}
	return i.verdict[0], nil
}

// ApplyAll implements filter.Batcher.
func (i *remote) ApplyAll(ctx context.Context, calls []filter.Call, verdicts []auditrelay.Verdict) (int, error) {
	m := i.module
	if err := ctx.Err(); err != nil {
		return 0, &filter.Error{Cause: auditrelay.CauseWallTime, Err: err}
	}
	if i.failed {
		return 0, &filter.Error{Cause: auditrelay.CauseInit, Err: errSpent}
	}
	if err := m.breaker.admit(); err != nil {
		return 0, err
	}
	if m.Resting() != nil {
		calls = calls[:1] // only the event that the breaker tries
	}
	i.touched, i.claimed = i.touched[:0], false
	decided, g, err := i.batch(ctx, calls, verdicts)
	if g != nil && g.ctx == nil && g.suspect > 0 {
		// Process the events before the suspect again. They count if they complete.
		suspect := g.suspect
		var again *gone
		if decided, again, err = i.batch(ctx, calls[:suspect], verdicts); again == nil && (err != nil || decided < suspect) {
			return i.settle(decided, err)
		} else if g = again; again == nil {
			g = &gone{suspect: suspect}
		} else {
			g.suspect = 0
		}
	}
	if g == nil && i.claimed {
		// A wall-time failure is the host's fault, so an event that the worker reports so is
		// retried elsewhere.
		g = &gone{suspect: decided}
	}
	switch {
	case g == nil:
		return i.settle(decided, err)
	case g.ctx != nil:
		return 0, &filter.Error{Cause: auditrelay.CauseWallTime, Err: g.ctx}
	}
	verdict, err := i.alone(ctx, &calls[g.suspect])
	if err != nil {
		return i.settle(g.suspect, err)
	}
	verdicts[g.suspect] = verdict
	return i.settle(g.suspect+1, nil)
}

// settle reports the result to the breaker.
func (i *remote) settle(decided int, err error) (int, error) {
	if decided > 0 {
		i.module.breaker.succeed()
	}
	if f, ok := errors.AsType[*filter.Error](err); ok {
		_ = i.Close()
		i.module.failed(f, i.began)
	}
	return decided, err
}

// alone processes an event that may have killed a worker, in a fresh worker without other work.
// A failure there is final.
func (i *remote) alone(ctx context.Context, call *filter.Call) (auditrelay.Verdict, error) {
	m := i.module
	i.drop()
	p, err := m.workers.start(ctx, 1)
	if err != nil {
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseWallTime, Err: err}
	}
	defer func() {
		i.drop()
		p.Kill("it was started for one event")
	}()
	if err := i.start(ctx, p); err != nil {
		if f, ok := errors.AsType[*filter.Error](err); ok {
			return auditrelay.NoVerdict, f
		}
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseWallTime, Err: err}
	}
	i.claimed = false
	calls, verdicts := []filter.Call{*call}, []auditrelay.Verdict{0}
	_, g, err := i.batch(ctx, calls, verdicts)
	*call = calls[0]
	switch {
	case g == nil && i.claimed:
		g = &gone{cause: auditrelay.CauseWallTime, why: err.Error()}
	case g == nil:
		return verdicts[0], err
	case g.ctx != nil:
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseWallTime, Err: g.ctx}
	}
	f := g.error()
	f.Final, f.Err = true, fmt.Errorf("twice, the second time alone in a new one: %w", f.Err)
	return auditrelay.NoVerdict, f
}

// batch makes the worker process as many events as there is room for. If the instance's worker
// has ended, batch starts the instance again. gone says why there is no answer. An error
// belongs to one event.
func (i *remote) batch(ctx context.Context, calls []filter.Call, verdicts []auditrelay.Verdict) (int, *gone, error) {
	if i.lane == nil {
		if err := i.start(ctx, nil); err != nil {
			f, ok := errors.AsType[*filter.Error](err)
			if !ok {
				f = &filter.Error{Cause: auditrelay.CauseWallTime, Err: err}
			}
			return 0, nil, f
		}
	}
	request, sent, fuel := i.request(calls)
	if sent == 0 {
		return 0, nil, &filter.Error{Cause: auditrelay.CauseRejectedOutput, Err: errors.New("the filtered event is larger than its worker's memory for it")}
	}
	x := exchange{limit: i.module.limits.Time, name: "limits.time", events: sent, fuel: fuel}
	answer, g := i.exchange(ctx, process.Message{Kind: sayEvents, Length: uint32(request)}, x)
	if g != nil {
		i.drop()
		return 0, g, nil
	}
	decided, err, lie := i.take(calls[:sent], verdicts, answer)
	i.trim(len(answer))
	if lie != nil {
		i.lane.Process.Kill("its answer was invalid")
		i.drop()
		return 0, &gone{cause: auditrelay.CauseKilled, why: "its answer was invalid: " + lie.Error(), suspect: min(decided, sent-1)}, nil //nolint:nilerr // it says so in gone
	}
	return decided, nil, err
}

// kept is the maximum size of a buffer for an answer or a document that stays between batches.
const kept = 1 << 20

// trim frees memory of a large batch.
func (i *remote) trim(answer int) {
	i.lane.Trim(answer)
	if cap(i.answer) > kept {
		i.answer, i.result = nil, wire.Result{}
	}
	if cap(i.text) > kept {
		i.text = nil
	}
	if cap(i.gaps) > kept {
		i.gaps = nil
	}
}

// request writes events into the lane's memory. It returns the length, the number of events,
// and their fuel.
func (i *remote) request(calls []filter.Call) (length, sent int, fuel int64) {
	in := i.lane.In()
	const room = 4
	b := in[:room]
	for k := range calls {
		c := &calls[k]
		data := c.Document.Data()
		i.gaps = i.gaps[:0]
		if c.Document.Edited() {
			i.text = c.Document.Append(i.text[:0])
			data, i.gaps = i.text, c.Document.AppendGaps(i.gaps)
		}
		e := wire.Event{Sequence: c.Event.Sequence, Received: c.Event.Received, Namespace: c.Event.Namespace, ID: c.Event.ID,
			Accepted: len(c.Event.Data), Data: data, Gaps: i.gaps}
		if len(b)+wire.EventSize(&e) > len(in) {
			break
		}
		b = wire.AppendEvent(b, &e)
		sent++
		fuel += i.module.fuelOf(c)
	}
	binary.LittleEndian.PutUint32(in, uint32(sent))
	return len(b), sent, fuel
}

func (m *Module) fuelOf(c *filter.Call) int64 {
	return m.limits.Fuel + m.limits.FuelPerByte*int64(len(c.Event.Data))
}
