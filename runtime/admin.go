package runtime

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// pump returns the pump of a configured callback, or ErrNoCallback.
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

// ErrControl: the callback must receive the relay's own records (Options.Control), or repeats the own
// records that it missed. It cannot be detached.
var ErrControl = errors.New("it receives the relay's own records, and so cannot be detached; change control.callback in the configuration and restart the relay")

// Pause stops a callback until Resume. The callback retains its events. The pause is durable, and one write
// contains the pause and its own record. by is the user. Replays of the callback continue: pause a replay
// by its own name, callback@id. ErrNoCallback: the callback is not configured. All this also applies to
// Resume, Detach and Attach.
func (r *Runtime) Pause(ctx context.Context, callback string, by By) error {
	return r.operate(ctx, callback, laneAct{"pause", auditrelay.ActionBlocked}, by, func(m *delivery.Lane, tx *journal.Tx, now time.Time) error {
		return m.SetPaused(tx, now, "paused by "+orNobody(by))
	})
}

// Resume ends a pause and retries failed work at once. If the sink is an
// auditrelay.Refresher, it first reads its credentials again.
func (r *Runtime) Resume(ctx context.Context, callback string, by By) error {
	r.refresh(callback)
	return r.operate(ctx, callback, laneAct{"resume", auditrelay.ActionUnblocked}, by, func(m *delivery.Lane, tx *journal.Tx, now time.Time) error {
		m.Retry()
		return m.SetPaused(tx, now, "")
	})
}

// Detach makes a callback skip its pending and all new events until Attach. It also works on a paused
// callback. Detach gives up sealed payloads and frees their space. A payload that is being sent stays pending
// until its attempt ends; if the attempt fails, the payload is given up too. Attach repeats the own records
// that the callback skips. Errors: *NeedsApprovalError if other principals must approve first; ErrControl if the
// callback cannot be detached.
func (r *Runtime) Detach(ctx context.Context, callback string, by By) error {
	if r.control != "" && callback == r.control {
		return fmt.Errorf("callback %s: %w", callback, ErrControl)
	}
	if err := r.askDetach(callback, by); err != nil {
		return err
	}
	return r.operate(ctx, callback, laneAct{"detach", auditrelay.ActionBlocked}, by, func(m *delivery.Lane, tx *journal.Tx, now time.Time) error {
		if s := m.State(); s.Replay != nil && s.Replay.Own {
			return refusal{fmt.Errorf("replay %s: %w", callback, ErrControl)}
		}
		return m.SetDetached(tx, now, "detached by "+orNobody(by))
	})
}

// Attach ends a detachment, whether an operator or the retain limit caused it. It refreshes and retries as
// Resume does. A separate replay delivers the own records that the callback skipped and that the journal
// still has.
func (r *Runtime) Attach(ctx context.Context, callback string, by By) error {
	r.refresh(callback)
	err := r.operate(ctx, callback, laneAct{"attach", auditrelay.ActionUnblocked}, by, func(m *delivery.Lane, tx *journal.Tx, now time.Time) error {
		m.Retry()
		if err := r.repeatOwn(m, tx, now); err != nil {
			return err
		}
		return m.SetDetached(tx, now, "")
	})
	if err != nil {
		return err
	}
	r.applying.Lock()
	defer r.applying.Unlock()
	return r.startReplays(callback)
}

// repeatOwn creates the replay of the events that a detached lane skipped. The replay delivers own records
// and skips all other events. It also repeats an own record that was being sent when the lane was detached,
// since its outcome was unknown.
func (r *Runtime) repeatOwn(m *delivery.Lane, tx *journal.Tx, now time.Time) error {
	s := m.State()
	from, to := max(s.DetachedFrom, r.journal.Oldest()), r.journal.Head().Next
	if s.Detached == "" || s.DetachedFrom == 0 || from >= to || s.Replay != nil || s.Receives == auditrelay.ReceivesEmitted {
		return nil
	}
	replay := delivery.State{Callback: s.Callback, Receives: s.Receives, Aliases: s.Aliases,
		Replay: &delivery.Replay{ID: replayID(), To: to, Own: true, By: "relay"}}
	_, err := delivery.Create(r.journal, tx, replay, from, now)
	return err
}

// startReplays starts the callback's replays that do not run yet. The caller must hold applying.
func (r *Runtime) startReplays(callback string) error {
	main, err := r.pump(callback)
	if err != nil {
		return nil //nolint:nilerr // it was removed meanwhile, or the runtime closes
	}
	states, err := delivery.States(r.journal)
	if err != nil {
		return err
	}
	for _, listed := range states {
		if listed.Callback != callback || listed.Replay == nil || listed.Removed {
			continue
		}
		if _, err := r.pump(listed.LaneName()); err == nil {
			continue
		}
		s, err := delivery.LoadState(r.journal, listed.LaneName()) // it may have ended since it was listed
		if err != nil {
			return err
		}
		if s == nil {
			continue
		}
		p, err := r.newPump(main.callback, s)
		if err != nil {
			return err
		}
		if p.seen.Load().Done {
			continue
		}
		r.mu.Lock()
		r.pumps[p.name] = p
		r.mu.Unlock()
		p.start()
	}
	return nil
}

// laneAct describes an operator's act on a callback, for its own record.
type laneAct struct {
	act    string
	action auditrelay.Action
}

// tableCallback is the table_name of own records about callbacks.
const tableCallback = "auditrelay_callback"

// laneRecord is the description of a callback in an own record.
type laneRecord struct {
	State   string `json:"state"`
	Why     string `json:"why,omitempty"` // why the callback is paused or detached
	Cursor  uint64 `json:"cursor"`
	Skipped uint64 `json:"skipped"`
}

// laneVersion returns a version that changes with every pause, detachment, resume and attach.
func laneVersion(s delivery.State) string {
	if s.Changed.IsZero() {
		return strconv.FormatInt(s.Created.UnixNano(), 36)
	}
	return strconv.FormatInt(s.Changed.UnixNano(), 36)
}

func recordLane(m *delivery.Lane) laneRecord {
	s, c := m.State(), m.Snapshot().Condition
	return laneRecord{State: c.State, Why: cmp.Or(s.Detached, s.Paused), Cursor: s.Cursor, Skipped: s.Counts.Skipped}
}

// operate is set for an act of an operator: the same write contains the act's own record.
func (r *Runtime) operate(ctx context.Context, callback string, a laneAct, by By, fn func(*delivery.Lane, *journal.Tx, time.Time) error) error {
	var finished func()
	err := r.set(ctx, callback, func(m *delivery.Lane, tx *journal.Tx, now time.Time) (err error) {
		if err := by.Check(laneVersion(m.State())); err != nil {
			return refusal{fmt.Errorf("callback %s: %w", callback, err)}
		}
		before := recordLane(m)
		if err := fn(m, tx, now); err != nil {
			return err
		}
		c := Change{By: by, Act: a.act, Action: a.action, Table: tableCallback, Object: callback,
			Before: before, After: recordLane(m), MakesRoom: true}
		if err := c.append(tx); err != nil {
			return err
		}
		finished, err = r.finishApproved(tx, by, "detached") // no other act on a callback needs approvals
		return err
	})
	if err == nil && finished != nil {
		finished()
	}
	return err
}

func (r *Runtime) refresh(callback string) {
	r.eachPump(func(p *pump) {
		if p.name == callback {
			p.callback.refresh()
		}
	})
}

func orNobody(by By) string { return cmp.Or(by.Principal, "an operator") }

// set runs fn between two steps of a callback's lane. If the callback is being reconfigured, set first
// waits until that is done.
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

// laneOf returns the lane of a callback, including one that is no longer configured.
func (r *Runtime) laneOf(callback string) (*delivery.State, error) {
	s, err := delivery.LoadState(r.journal, callback)
	if err == nil && s == nil {
		err = fmt.Errorf("callback %q: %w", callback, ErrNoCallback)
	}
	return s, err
}

// DeadLetters returns the callback's dead letters with a sequence above after, in order of sequence and
// without their data. It returns at most limit; 0 means 10,000, which is the maximum. ErrNoCallback: no
// callback has this name.
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

// tableDeadLetter is the table_name of own records about dead letters.
const tableDeadLetter = "auditrelay_deadletter"

// DiscardDeadLetters discards the named dead letters, or all if no sequence is given, and returns their
// number. It keeps dead letters under replay, and own records of a configured callback. It also works on
// removed callbacks, and on replays by name, callback@id. The own records name the sequences and are part
// of the same write. *NeedsApprovalError: other principals must approve first. On an error some dead
// letters may already be discarded; the number counts them.
func (r *Runtime) DiscardDeadLetters(ctx context.Context, callback string, by By, sequences ...uint64) (int, error) {
	if none, err := r.askDiscard(ctx, callback, by, sequences); none || err != nil {
		return 0, err
	}
	act := laneAct{"discard", auditrelay.ActionDeleted}
	discard := recorded(callback, act, by, func(m *delivery.Lane, tx *journal.Tx, now time.Time, after uint64) ([]uint64, uint64, error) {
		return m.DiscardDead(tx, now, by.Principal, sequences, after)
	})
	n, err := r.changeDead(ctx, callback, discard)
	if errors.Is(err, ErrNoCallback) {
		return r.changeRemoved(ctx, callback, discard)
	}
	return n, err
}

// ReplayDeadLetters processes the named dead letters again with the current filters and sink, or all if no
// sequence is given, and returns their number. Their filters emit nothing. The own records name the
// sequences and are part of the same write. On an error some dead letters may already be under replay; the
// number counts them.
func (r *Runtime) ReplayDeadLetters(ctx context.Context, callback string, by By, sequences ...uint64) (int, error) {
	act := laneAct{"replay", auditrelay.ActionUnblocked}
	return r.changeDead(ctx, callback, recorded(callback, act, by, func(m *delivery.Lane, tx *journal.Tx, _ time.Time, after uint64) ([]uint64, uint64, error) {
		return m.ReplayDead(tx, by.Principal, sequences, after)
	}))
}

// recorded adds an own record to each write that changes dead letters.
func recorded(callback string, a laneAct, by By, change func(*delivery.Lane, *journal.Tx, time.Time, uint64) ([]uint64, uint64, error)) changing {
	return func(m *delivery.Lane, tx *journal.Tx, now time.Time, after uint64) (int, uint64, error) {
		changed, next, err := change(m, tx, now, after)
		if err != nil || len(changed) == 0 {
			return 0, next, err
		}
		c := Change{By: by, Act: a.act, Action: a.action, Table: tableDeadLetter, Object: callback, MakesRoom: a.action == auditrelay.ActionDeleted,
			Before: map[string]any{"sequences": ranges(changed)}, After: map[string]any{"dead_letters": len(changed)}}
		return len(changed), next, c.append(tx)
	}
}

// ranges formats ascending sequences as ranges, such as 3-5,9.
func ranges(sequences []uint64) string {
	var out []byte
	for i := 0; i < len(sequences); i++ {
		first := sequences[i]
		for i+1 < len(sequences) && sequences[i+1] == sequences[i]+1 {
			i++
		}
		if len(out) > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendUint(out, first, 10)
		if sequences[i] > first {
			out = append(out, '-')
			out = strconv.AppendUint(out, sequences[i], 10)
		}
	}
	return string(out)
}

// changing changes some dead letters with a sequence above after. next is the after of the next call, or 0
// at the end.
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

// changeRemoved is changeDead for a callback that has no pump.
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

// Replay makes a callback process a range of events again, with its current filters and sink. The replay
// runs in parallel with the callback's own deliveries, has a separate account, and survives a restart. The
// same write contains its own record.
//
// Errors: ErrNoCallback; ErrReplayRange, also if retention removed the start of the range.
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
	state := delivery.State{Callback: req.Callback, Receives: main.callback.Receives,
		Aliases: main.seen.Load().State.Aliases,
		Replay:  &delivery.Replay{ID: replayID(), To: to, Emit: req.Emit, By: req.By.Principal}}
	tx := new(journal.Tx)
	s, err := delivery.Create(r.journal, tx, state, from, time.Now())
	if err != nil {
		return ReplayStarted{}, err
	}
	started := ReplayStarted{From: from, To: to, Events: uint64(-s.Base)}
	if req.DryRun || started.Events == 0 {
		return started, nil
	}
	started.ID = s.Replay.ID
	c := Change{By: req.By, Act: "replay", Action: auditrelay.ActionCreated, Table: tableCallback, Object: req.Callback, After: replayRecord{started.ID, from, to, req.Emit}}
	if err := c.append(tx); err != nil {
		return ReplayStarted{}, err
	}
	if _, err := r.journal.Commit(tx); err != nil {
		return ReplayStarted{}, unavailable(err)
	}
	p, err := r.newPump(main.callback, s)
	if err != nil {
		return ReplayStarted{}, err
	}
	r.mu.Lock()
	r.pumps[p.name] = p
	r.mu.Unlock()
	p.start()
	return started, nil
}

// CancelReplay ends a replay of events. Its undelivered events become skipped, and it gives up its sealed
// payloads except those being sent. The replay's dead letters stay. The cancellation is durable, and the
// same write contains its own record. Errors: ErrNoCallback, also for a replay that is done; ErrControl for
// a replay that repeats own records; ErrChanged.
func (r *Runtime) CancelReplay(ctx context.Context, callback, id string, by By) (CallbackStatus, error) {
	name := callback + "@" + id
	p, err := r.pump(name)
	if err != nil {
		return CallbackStatus{}, err
	}
	err = r.operate(ctx, name, laneAct{"cancel", auditrelay.ActionDeleted}, by, func(m *delivery.Lane, tx *journal.Tx, now time.Time) error {
		if m.State().Replay.Own {
			return refusal{fmt.Errorf("replay %s: %w", name, ErrControl)}
		}
		return m.SetDetached(tx, now, "cancelled by "+orNobody(by))
	})
	if err != nil {
		return CallbackStatus{}, err
	}
	return r.status(p.seen.Load())
}

// replayRecord is the description of a replay in an own record.
type replayRecord struct {
	Replay string `json:"replay"`
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Emit   bool   `json:"emit"`
}

func replayID() string {
	id := make([]byte, 4)
	rand.Read(id)
	return hex.EncodeToString(id)
}

// replayRange converts a request to a range of stored sequences.
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
		return 0, 0, fmt.Errorf("replay from sequence %d: %w: the journal's retention has forgotten the events before %d", from, ErrReplayRange, oldest)
	}
	if from > to {
		return 0, 0, fmt.Errorf("replay from sequence %d to %d: %w: the range ends before it begins", from, to, ErrReplayRange)
	}
	return from, to, nil
}

// Retry makes a callback retry failed work now, for example because the cause is gone. It returns at once.
// It ignores an unknown name.
func (r *Runtime) Retry(name string) {
	r.eachPump(func(p *pump) {
		if p.callback.Name == name {
			// The goroutine ends with the pump or the runtime.
			go func() {
				_ = p.do(r.ctx, func(m *delivery.Lane, _ *journal.Tx, now time.Time) error { m.Retake(now); return nil })
			}()
		}
	})
}
