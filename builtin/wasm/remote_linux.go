package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"auditrelay"
	"auditrelay/builtin/wasm/internal/process"
	"auditrelay/builtin/wasm/internal/wire"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/hostfuncs"
)

// remote is an instance in a worker process, as the relay sees it. What the worker says
// of an event is checked and done again here, on the relay's own document.
type remote struct {
	module *Module
	group  string

	lane     *process.Lane // nil where none is taken
	replay   *hostfuncs.Replay
	began    int64 // fuel that the start took, as the worker says
	failed   bool
	claimed  bool // the worker says that the last event took too much wall time
	reserved bool

	answer  []byte // copied out of the shared memory
	result  wire.Result
	touched []filter.Touch
	reply   []byte
	text    []byte
	gaps    []byte
	call    [1]filter.Call // of Apply
	verdict [1]auditrelay.Verdict
}

var _ filter.Batcher = (*remote)(nil)

// gone is why a worker has no answer.
type gone struct {
	cause   auditrelay.Cause // CauseWallTime: it did not get the processor
	why     string
	suspect int   // the event that it said it was working on
	ctx     error // the context's, where that ended it
}

func (g *gone) error() *filter.Error {
	return &filter.Error{Cause: g.cause, Err: fmt.Errorf("its worker process was ended: %s", g.why)}
}

// open takes an instance of a group: one of the first in the group's worker, or in
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

// adopt makes an instance that was started for no group one of a group's.
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
	answer, g := i.exchange(ctx, process.Message{Kind: sayOpen}, exchange{limit: i.module.limits.InitTime, events: 1})
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
	i.began = v.Fuel
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

// lie ends a worker that did not keep to what was agreed when it started an instance.
func (i *remote) lie(err error) *filter.Error {
	i.lane.Process.Kill("its answer was not in order")
	i.drop()
	return &filter.Error{Cause: auditrelay.CauseInit, Err: fmt.Errorf("its worker process was ended: its answer was not in order: %w", err)}
}

// drop lets go of the lane.
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
		calls = calls[:1] // the one that is tried
	}
	i.touched, i.claimed = i.touched[:0], false
	decided, err, g := i.batch(ctx, calls, verdicts)
	if g != nil && g.ctx == nil && g.suspect > 0 {
		// Those before the suspect once more; they are done where they came to an end.
		suspect := g.suspect
		var again *gone
		if decided, err, again = i.batch(ctx, calls[:suspect], verdicts); again == nil && (err != nil || decided < suspect) {
			return i.settle(decided, err)
		} else if g = again; again == nil {
			g = &gone{suspect: suspect}
		} else {
			g.suspect = 0
		}
	}
	if g == nil && i.claimed {
		// Wall time is the host's, and so what the worker says of it is tried elsewhere.
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

// settle tells the breaker how it went.
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

// alone judges an event that may have ended a worker in a fresh one that has nothing else
// to do. What fails there has failed for good.
func (i *remote) alone(ctx context.Context, call *filter.Call) (auditrelay.Verdict, error) {
	m := i.module
	i.drop()
	p, err := m.workers.start(ctx, 1)
	if err != nil {
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseWallTime, Err: err}
	}
	defer func() {
		i.drop()
		p.Kill("it was for one event")
	}()
	if err := i.start(ctx, p); err != nil {
		if f, ok := errors.AsType[*filter.Error](err); ok {
			return auditrelay.NoVerdict, f
		}
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseWallTime, Err: err}
	}
	i.claimed = false
	calls, verdicts := []filter.Call{*call}, []auditrelay.Verdict{0}
	_, err, g := i.batch(ctx, calls, verdicts)
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
	f.Final, f.Err = true, fmt.Errorf("twice, the second time alone in a fresh one: %w", f.Err)
	return auditrelay.NoVerdict, f
}

// batch has the worker judge events, as many as there is room for. It starts the instance
// anew where its worker has ended.
func (i *remote) batch(ctx context.Context, calls []filter.Call, verdicts []auditrelay.Verdict) (int, error, *gone) { //nolint:revive // an error is of an event, gone of the worker
	if i.lane == nil {
		if err := i.start(ctx, nil); err != nil {
			f, ok := errors.AsType[*filter.Error](err)
			if !ok {
				f = &filter.Error{Cause: auditrelay.CauseWallTime, Err: err}
			}
			return 0, f, nil
		}
	}
	request, sent, fuel := i.request(calls)
	if sent == 0 {
		return 0, &filter.Error{Cause: auditrelay.CauseRejectedOutput, Err: errors.New("the event, as filters made it, is larger than its worker's memory for it")}, nil
	}
	x := exchange{limit: i.module.limits.Time, events: sent, fuel: fuel}
	answer, g := i.exchange(ctx, process.Message{Kind: sayEvents, Length: uint32(request)}, x)
	if g != nil {
		i.drop()
		return 0, nil, g
	}
	decided, err, lie := i.take(calls[:sent], verdicts, answer)
	i.lane.Trim(len(answer))
	if lie != nil {
		i.lane.Process.Kill("its answer was not in order")
		i.drop()
		return 0, nil, &gone{cause: auditrelay.CauseKilled, why: "its answer was not in order: " + lie.Error(), suspect: min(decided, sent-1)}
	}
	return decided, err, nil
}

// request writes events into the lane's memory, and returns how long that is, how many
// they are, and what fuel they have.
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

// take takes what the worker says of events. lie says that it does not keep to what was
// agreed: what it said before that of earlier events was in order.
func (i *remote) take(calls []filter.Call, verdicts []auditrelay.Verdict, answer []byte) (decided int, err, lie error) {
	if len(answer) < 4 {
		return 0, nil, errors.New("it ends too early")
	}
	count := int(binary.LittleEndian.Uint32(answer))
	answer = answer[4:]
	if count < 1 || count > len(calls) {
		return 0, nil, fmt.Errorf("results for %d events of %d", count, len(calls))
	}
	limits := i.module.wireLimits()
	// All of it is read before any of it is done, so that nothing is done twice.
	rest := answer
	for k := range count {
		if rest, err = wire.ReadResult(rest, &i.result, limits); err != nil {
			return k, nil, err
		}
		if i.result.Verdict == wire.Failed && k < count-1 {
			return k, nil, errors.New("results behind a failure")
		}
		if err := i.check(&i.result); err != nil {
			return k, nil, err
		}
	}
	if len(rest) > 0 {
		return count - 1, nil, errors.New("more than results")
	}
	rest = answer
	for k := range count {
		rest, _ = wire.ReadResult(rest, &i.result, limits)
		if verdicts[k], err = i.one(&calls[k], &i.result); err != nil {
			return k, err, nil
		}
	}
	return count, nil, nil
}

// check checks what does not depend on the event's document.
func (i *remote) check(r *wire.Result) error {
	for _, e := range r.Emits {
		if err := document.Check(e.Data, i.module.policy.Document); err != nil {
			return fmt.Errorf("a record: %w", err)
		}
	}
	return nil
}

// one does what the worker says of one event.
func (i *remote) one(call *filter.Call, r *wire.Result) (auditrelay.Verdict, error) {
	m := i.module
	call.Reason = plain(r.Reason, maxText)
	call.Usage = filter.Usage{Fuel: min(r.Fuel, m.fuelOf(call)+m.limits.InitFuel), Memory: min(r.Memory, int64(m.limits.Memory))}
	i.say(call, r.Lines)
	if r.Verdict == wire.Failed {
		text := plain(r.Text, maxErrorText)
		if call.Leaks != nil && call.Leaks([]byte(text)) {
			text = "(withheld: must_not_leave)"
		}
		cause := causes[r.Cause]
		i.claimed = cause == auditrelay.CauseWallTime
		return auditrelay.NoVerdict, &filter.Error{Cause: cause, Err: errors.New(text), Final: cause == auditrelay.CausePanic}
	}
	if len(r.Edits) > 0 {
		if err := i.replay.Edit(call, r.Edits, m.fuelOf(call)); err != nil {
			// The worker has checked the same: this one lies.
			i.lane.Process.Kill("its edits were not in order")
			return auditrelay.NoVerdict, err
		}
		from := len(i.touched)
		i.touched = append(i.touched, call.Touched...)
		call.Touched = i.touched[from:len(i.touched):len(i.touched)]
	}
	for _, e := range r.Emits {
		call.Emitted = append(call.Emitted, filter.Emit{Target: m.workers.targets[e.Target], Data: append([]byte(nil), e.Data...)})
	}
	for _, c := range r.Counts {
		m.policy.Metrics[m.workers.metrics[c.Metric]].Add(min(c.N, maxCount))
	}
	if r.Verdict == wire.Drop {
		return auditrelay.Drop, nil
	}
	return auditrelay.Keep, nil
}

// maxCount bounds what one event may add to a metric.
const maxCount = 1 << 40

// say logs what a guest said.
func (i *remote) say(call *filter.Call, lines []wire.Line) {
	for _, l := range lines {
		i.module.policy.Log.Say(context.Background(), call, slog.Level(l.Level), func() string { return plain(l.Text, maxText) })
	}
}

// plain makes a text of a worker's one that can be shown: valid, short, and without
// control characters but those that end lines.
func plain(text []byte, most int) string {
	clean := strings.ToValidUTF8(string(text[:min(len(text), most)]), "\uFFFD")
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || !unicode.IsControl(r) {
			return r
		}
		return '\uFFFD'
	}, clean)
}

// wireLimits bound a worker's answers.
func (m *Module) wireLimits() wire.Limits {
	return wire.Limits{Causes: len(causes), Text: 2 * maxErrorText, Emits: m.limits.EmitCount, EmitBytes: int(m.limits.EmitBytes),
		Targets: len(m.policy.Emit), Metrics: len(m.policy.Metrics), Lines: maxLines, Paths: m.policy.Paths, PathBytes: maxPathBytes}
}

const (
	maxLines     = 64      // of one event's, that a worker tells
	maxPathBytes = 1 << 20 // of all paths that a guest interns
)

// exchange is what bounds the wait for an answer.
type exchange struct {
	limit  time.Duration // of one event
	events int
	fuel   int64 // for pseudonyms
}

const (
	tick  = 20 * time.Millisecond
	grace = time.Second // beyond what the worker ends by itself
	looks = 50 * time.Millisecond

	// patience is how many times its limit a worker may take that does not get the
	// processor.
	patience = 4
)

// exchange says something to the worker and waits for its answer, which it copies out. A
// worker that takes too long, grows or lies is ended.
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
				return nil, end(auditrelay.CauseKilled, "its answer was not in order: "+err.Error())
			}
			if p.Due(looks) {
				if why := i.module.workers.grown(p); why != "" {
					return nil, end(auditrelay.CauseKilled, why)
				}
			}
			return i.answer, nil
		case err == nil && got.Kind == sayPseudonym:
			if err := i.pseudonym(got, &x); err != nil {
				return nil, end(auditrelay.CauseKilled, "its answer was not in order: "+err.Error())
			}
		case errors.Is(err, process.ErrDead):
			i.module.workers.lost.Add(1)
			return nil, &gone{cause: auditrelay.CauseKilled, why: p.Ended(), suspect: max(0, min(i.lane.Progress(), x.events-1))}
		case errors.Is(err, process.ErrTime):
			next = time.Now().Add(tick)
		default:
			return nil, end(auditrelay.CauseKilled, "its answer was not in order")
		}
		if ctx.Err() != nil {
			g := end(auditrelay.CauseWallTime, "the relay wanted no answer any more")
			g.ctx = ctx.Err()
			return nil, g
		}
		if cause, why := i.late(p, time.Since(began), p.CPU()-cpu, x.limit); why != "" {
			return nil, end(cause, why)
		}
		if p.Due(looks) {
			if why := i.module.workers.grown(p); why != "" {
				return nil, end(auditrelay.CauseKilled, why)
			}
		}
	}
}

// late says why a worker that took so long, and so much processor time, is to be ended.
func (i *remote) late(p *process.Process, ran, cpu, limit time.Duration) (auditrelay.Cause, string) {
	allowed := limit + batchTime + grace
	switch {
	case ran > allowed && cpu/time.Duration(max(1, p.Used())) >= limit/2:
		return auditrelay.CauseKilled, fmt.Sprintf("it did not answer in %v (limits.time), and had the processor", limit)
	case ran > patience*limit+allowed:
		return auditrelay.CauseWallTime, fmt.Sprintf("it did not answer in %d times %v (limits.time), and did not get the processor", patience, limit)
	}
	return "", ""
}

// pseudonym answers a worker that asks for one, at the cost of its events' fuel.
func (i *remote) pseudonym(m process.Message, x *exchange) error {
	var err error
	if i.answer, err = i.lane.Copy(i.answer[:0], m); err != nil {
		return err
	}
	const units = 800
	if x.fuel -= units + int64(len(i.answer)); x.fuel < 0 || i.replay == nil {
		return errors.New("more pseudonyms than its events have fuel for")
	}
	if len(i.answer) == 0 || int(i.answer[0]) >= len(i.answer) {
		return errors.New("a pseudonym of nothing")
	}
	n := 1 + int(i.answer[0])
	reply, ok := i.replay.Pseudonym(i.reply[:0], string(i.answer[1:n]), i.answer[n:])
	i.reply = reply
	if !ok {
		return errors.New("a key that it does not have")
	}
	return i.lane.Reply(process.Message{Kind: sayAnswer, Inline: reply})
}
