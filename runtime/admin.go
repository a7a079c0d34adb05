package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// pump returns the pump of a configured callback.
func (r *Runtime) pump(callback string) (*pump, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	p, ok := r.pumps[callback]
	if !ok {
		return nil, fmt.Errorf("callback %q: %w", callback, ErrNoCallback)
	}
	return p, nil
}

// Pause stops a callback until Resume; its events are retained. The pause is durable.
// Replays of the callback go on: pause a replay by its own name, callback@id. by names
// the user in the status. ErrNoCallback: the callback is not configured. The same holds
// for Resume, Detach and Attach.
func (r *Runtime) Pause(ctx context.Context, callback, by string) error {
	return r.set(ctx, callback, func(m *delivery.Lane, tx *journal.Tx, now time.Time) error {
		return m.SetPaused(tx, now, "paused by "+orNobody(by))
	})
}

// Resume ends a pause and retries failed work at once. If the sink is an
// auditrelay.Refresher, it first reads its credentials again.
func (r *Runtime) Resume(ctx context.Context, callback, by string) error {
	r.refresh(callback)
	return r.set(ctx, callback, func(m *delivery.Lane, tx *journal.Tx, now time.Time) error {
		m.Retry()
		return m.SetPaused(tx, now, "")
	})
}

// Detach makes a callback skip its pending and all new events until Attach. It also works
// on a paused callback. Sealed payloads are given up and their space is freed.
func (r *Runtime) Detach(ctx context.Context, callback, by string) error {
	return r.set(ctx, callback, func(m *delivery.Lane, tx *journal.Tx, now time.Time) error {
		return m.SetDetached(tx, now, "detached by "+orNobody(by))
	})
}

// Attach ends a detachment, whether an operator or the retain limit caused it. It
// refreshes and retries as Resume does.
func (r *Runtime) Attach(ctx context.Context, callback, by string) error {
	r.refresh(callback)
	return r.set(ctx, callback, func(m *delivery.Lane, tx *journal.Tx, now time.Time) error {
		m.Retry()
		return m.SetDetached(tx, now, "")
	})
}

func (r *Runtime) refresh(callback string) {
	r.eachPump(func(p *pump) {
		if p.name == callback {
			p.callback.refresh()
		}
	})
}

func orNobody(by string) string {
	if by == "" {
		return "an operator"
	}
	return by
}

// set runs fn between two steps of a callback's lane. If the callback is being
// reconfigured, set waits until that is done.
func (r *Runtime) set(ctx context.Context, callback string, fn func(*delivery.Lane, *journal.Tx, time.Time) error) error {
	for {
		p, err := r.pump(callback)
		if err != nil {
			return err
		}
		if err := p.do(ctx, fn); err != errStopped {
			return err
		}
		r.awaitApply()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func (r *Runtime) awaitApply() {
	r.applying.Lock()
	defer r.applying.Unlock()
}

// laneOf returns the lane of a callback, also of one that is no longer configured.
func (r *Runtime) laneOf(callback string) (*delivery.State, error) {
	s, err := delivery.LoadState(r.journal, callback)
	if err == nil && s == nil {
		err = fmt.Errorf("callback %q: %w", callback, ErrNoCallback)
	}
	return s, err
}

// DeadLetters returns a callback's dead letters with a sequence above after, by sequence,
// without their data. It returns at most limit; 0 means 10,000, which is the maximum.
// ErrNoCallback: there is no such callback.
func (r *Runtime) DeadLetters(_ context.Context, callback string, after uint64, limit int) ([]DeadLetter, error) {
	s, err := r.laneOf(callback)
	if err != nil {
		return nil, err
	}
	found, err := delivery.DeadLetters(r.journal, s, after, limit)
	list := make([]DeadLetter, len(found))
	for i := range found {
		list[i] = deadLetter(callback, &found[i])
	}
	return list, err
}

// DeadLetter returns one dead letter with the accepted event. Errors: ErrNoCallback,
// ErrNoDeadLetter.
func (r *Runtime) DeadLetter(_ context.Context, callback string, sequence uint64) (DeadLetter, error) {
	s, err := r.laneOf(callback)
	if err != nil {
		return DeadLetter{}, err
	}
	d, ok, err := delivery.FindDeadLetter(r.journal, s.ID, sequence)
	if err == nil && !ok {
		err = fmt.Errorf("callback %s, sequence %d: %w", callback, sequence, ErrNoDeadLetter)
	}
	return deadLetter(callback, &d), err
}

func deadLetter(callback string, d *delivery.DeadLetter) DeadLetter {
	e := &d.Event
	return DeadLetter{Callback: callback, Sequence: e.Sequence, Namespace: e.Namespace, ID: e.ID, Received: e.Received,
		Action: e.Action.Closed(), At: d.At, Cause: d.Cause, Filter: d.Filter, Error: d.Error,
		Attempts: d.Attempts, Replaying: d.Replaying, Data: e.Data}
}

// DiscardDeadLetters discards dead letters, or all if no sequence is given, and returns
// their number. Those under replay stay. It also works on removed callbacks, and on
// replays by name, callback@id. On an error some may already be discarded; the number
// says how many.
func (r *Runtime) DiscardDeadLetters(ctx context.Context, callback, by string, sequences ...uint64) (int, error) {
	discard := func(m *delivery.Lane, tx *journal.Tx, now time.Time, after uint64) (int, uint64, error) {
		return m.DiscardDead(tx, now, by, sequences, after)
	}
	n, err := r.changeDead(ctx, callback, discard)
	if errors.Is(err, ErrNoCallback) {
		return r.changeRemoved(ctx, callback, discard)
	}
	return n, err
}

// ReplayDeadLetters processes dead letters again with the current filters and sink, or
// all if no sequence is given, and returns their number. Their filters emit nothing. On
// an error some may already be under replay; the number says how many.
func (r *Runtime) ReplayDeadLetters(ctx context.Context, callback, by string, sequences ...uint64) (int, error) {
	return r.changeDead(ctx, callback, func(m *delivery.Lane, tx *journal.Tx, _ time.Time, after uint64) (int, uint64, error) {
		return m.ReplayDead(tx, by, sequences, after)
	})
}

// changing changes dead letters above after. next is the after of the next call; 0 means
// done.
type changing func(m *delivery.Lane, tx *journal.Tx, now time.Time, after uint64) (n int, next uint64, err error)

func (r *Runtime) changeDead(ctx context.Context, callback string, change changing) (int, error) {
	total := 0
	for after, more := uint64(0), true; more; more = after > 0 {
		var n int
		err := r.set(ctx, callback, func(m *delivery.Lane, tx *journal.Tx, now time.Time) (err error) {
			n, after, err = change(m, tx, now, after)
			return err
		})
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// changeRemoved is changeDead for a callback without a pump.
func (r *Runtime) changeRemoved(ctx context.Context, callback string, change changing) (int, error) {
	r.applying.Lock()
	defer r.applying.Unlock()
	total := 0
	for after, more := uint64(0), true; more; more = after > 0 {
		if err := errors.Join(r.ctx.Err(), ctx.Err()); err != nil {
			return total, err
		}
		s, err := r.laneOf(callback)
		if err != nil {
			return total, err
		}
		if !s.Removed && s.Replay == nil {
			return total, fmt.Errorf("callback %q: %w", callback, ErrNoCallback)
		}
		lane, err := delivery.Open(r.journal, s, delivery.Options{}, nil)
		if err != nil {
			return total, err
		}
		tx := new(journal.Tx)
		var n int
		if n, after, err = change(lane, tx, time.Now(), after); err == nil && !tx.Empty() {
			_, err = r.journal.Commit(tx)
		}
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// Replay makes a callback process a range of events again, with its current filters and
// sink. The replay runs beside the callback's own deliveries, has its own account, and
// survives a restart. It fails if retention removed the start of the range.
func (r *Runtime) Replay(ctx context.Context, req ReplayRequest) (ReplayStarted, error) {
	r.applying.Lock()
	defer r.applying.Unlock()
	main, err := r.pump(req.Callback)
	if err != nil {
		return ReplayStarted{}, err
	}
	from, to, err := r.replayRange(req)
	if err != nil {
		return ReplayStarted{}, err
	}
	id := make([]byte, 4)
	rand.Read(id)
	state := delivery.State{Callback: req.Callback, Receives: main.callback.Receives,
		Aliases: main.seen.Load().State.Aliases,
		Replay:  &delivery.Replay{ID: hex.EncodeToString(id), To: to, Emit: req.Emit, By: req.By}}
	tx := new(journal.Tx)
	s, err := delivery.Create(r.journal, tx, state, from, time.Now())
	if err != nil {
		return ReplayStarted{}, err
	}
	started := ReplayStarted{From: from, To: to, Events: uint64(-s.Base)}
	if req.DryRun || started.Events == 0 {
		return started, nil
	}
	if _, err := r.journal.Commit(tx); err != nil {
		return ReplayStarted{}, r.unavailable(err)
	}
	p, err := r.newPump(main.callback, s)
	if err != nil {
		return ReplayStarted{}, err
	}
	r.mu.Lock()
	r.pumps[p.name] = p
	r.mu.Unlock()
	p.start()
	started.ID = s.Replay.ID
	return started, nil
}

// replayRange converts a request to a range of stored events.
func (r *Runtime) replayRange(req ReplayRequest) (from, to uint64, err error) {
	head, oldest := r.journal.Head().Next, r.journal.Oldest()
	from, to = req.From, req.To
	if !req.FromTime.IsZero() {
		from = r.journal.SeekTime(req.FromTime)
	}
	if !req.ToTime.IsZero() {
		to = r.journal.SeekTime(req.ToTime)
	}
	if to == 0 || to > head {
		to = head
	}
	if from == 0 {
		from = oldest
	}
	if from < oldest {
		return 0, 0, fmt.Errorf("replay from sequence %d: the journal's retention has forgotten the events before %d", from, oldest)
	}
	if from > to {
		return 0, 0, fmt.Errorf("replay from sequence %d to %d: the range ends before it begins", from, to)
	}
	return from, to, nil
}

// Retry makes a callback retry failed work now, because the obstacle is gone. It returns
// at once. An unknown name is ignored.
func (r *Runtime) Retry(name string) {
	r.eachPump(func(p *pump) {
		if p.callback.Name == name {
			// Ends with the pump, or the runtime.
			go func() {
				_ = p.do(r.ctx, func(m *delivery.Lane, _ *journal.Tx, now time.Time) error { m.Retake(now); return nil })
			}()
		}
	})
}
