package delivery

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

var errStop = errors.New("stop")

// The states of a lane.
const (
	Active        = "active"
	Paused        = "paused"
	Degraded      = "degraded"
	AuthError     = "auth_error"
	Misconfigured = "misconfigured"
	Detached      = "detached"
	Removed       = "removed"
	Withholding   = "withholding" // must_not_leave recently dead-lettered events
)

// Condition is the health of a lane.
type Condition struct {
	State     string
	Reason    string
	Since     time.Time
	LastError string // empty if healthy
}

// Condition returns the lane's current health.
func (l *Lane) Condition() Condition { return l.condition }

// Attempts returns the number of delivery attempts, and the number of failures by kind.
func (l *Lane) Attempts() (uint64, map[string]uint64) { return l.attempts, maps.Clone(l.failures) }

// resting returns the state of a lane on which nothing fails.
func (l *Lane) resting(now time.Time) string {
	switch {
	case l.state.Removed:
		return Removed
	case l.state.Detached != "":
		return Detached
	case l.state.Paused != "":
		return Paused
	case l.withholding(now):
		return Withholding
	}
	return Active
}

func (l *Lane) restingReason(now time.Time) string {
	if l.state.Detached != "" {
		return l.state.Detached
	}
	if l.state.Paused == "" && l.withholding(now) {
		return "must_not_leave set events aside; see the dead letters, cause leak"
	}
	return l.state.Paused
}

func (l *Lane) turn(now time.Time, state, reason, lastError string) {
	if l.condition.State != state {
		l.condition.Since = now
	}
	l.condition.State, l.condition.Reason, l.condition.LastError = state, reason, lastError
}

// recover ends the state of a failure once nothing fails any more. While one payload is
// retried, successes of others do not make the lane healthy.
func (l *Lane) recover(now time.Time) {
	if l.takeTries > 0 || now.Before(l.holdUntil) {
		return
	}
	for _, p := range l.pending {
		if p.failing {
			return
		}
	}
	l.turn(now, l.resting(now), l.restingReason(now), "")
}

// note counts a handled failure; the state does not change.
func (l *Lane) note(now time.Time, err error) {
	l.holdUntil = time.Time{}
	l.turn(now, l.resting(now), l.restingReason(now), errorText(err))
}

// fail counts a failure that blocks the lane.
func (l *Lane) fail(now time.Time, kind string, err error) {
	l.failures[kind]++
	state := Degraded
	switch auditrelay.KindOf(err) {
	case auditrelay.Unauthorized:
		state = AuthError
	case auditrelay.Misconfigured:
		state = Misconfigured
	}
	if rest := l.resting(now); rest != Active && rest != Withholding {
		state = rest
	}
	text := errorText(err)
	if held := l.condition.State; state == Degraded && now.Before(l.holdUntil) && (held == AuthError || held == Misconfigured) {
		l.turn(now, held, l.condition.Reason, text) // this state is why the lane tries nothing
		return
	}
	l.turn(now, state, text, text)
}

// retryLater schedules the next attempt of p.
func (l *Lane) retryLater(now time.Time, p *pending, err error) {
	p.failing = true
	kind := auditrelay.KindOf(err)
	l.fail(now, kind.String(), err)
	asked := auditrelay.RetryAfter(err)
	switch kind {
	case auditrelay.Unauthorized, auditrelay.Misconfigured:
		pause := stallPause/2 + time.Duration(l.random.Int64N(int64(stallPause)))
		l.hold(now.Add(max(pause, min(asked, longestAsked))))
	case auditrelay.Throttled:
		p.after = now.Add(l.pause(p.attempts, asked))
		l.hold(p.after)
	default:
		p.after = now.Add(l.pause(p.attempts, asked))
	}
}

// hold stops deliveries until a time. It never shortens another hold.
func (l *Lane) hold(until time.Time) {
	if until.After(l.holdUntil) {
		l.holdUntil = until
	}
}

// longestAsked limits the pause that a destination may ask for, so that a Retry-After of a year
// does not cause an outage of a year.
const longestAsked = time.Hour

// pause draws the time until the next attempt: full jitter, but at least what the destination
// asked for.
func (l *Lane) pause(tries int, asked time.Duration) time.Duration {
	ceiling := l.opts.Backoff.Initial
	for range min(tries-1, 40) {
		if ceiling >= l.opts.Backoff.Max {
			break
		}
		ceiling *= 2
	}
	ceiling = min(ceiling, l.opts.Backoff.Max)
	return max(time.Duration(l.random.Int64N(int64(ceiling)+1)), min(asked, longestAsked))
}

// SetPaused pauses the lane, or resumes it if reason is empty. Events are retained.
func (l *Lane) SetPaused(tx *journal.Tx, now time.Time, reason string) error {
	l.state.Paused = reason
	if reason == "" {
		l.state.Leaked = time.Time{} // the operator who resumes has seen the alert
	}
	return l.set(tx, now)
}

// SetDetached gives up sealed payloads and makes the lane skip events. An empty reason makes it
// process events again. A payload that is being sent ends with its attempt: as delivered or
// given up.
func (l *Lane) SetDetached(tx *journal.Tx, now time.Time, reason string) error {
	switch {
	case reason == "":
		l.state.DetachedFrom = 0
	case l.state.Detached == "":
		l.state.DetachedFrom = l.Floor()
	}
	l.state.Detached = reason
	if reason != "" {
		if err := l.giveUpSealed(tx, now); err != nil {
			return err
		}
	}
	return l.set(tx, now)
}

// GiveUp gives up the sealed payloads that a detached lane still has. It completes the action
// GiveUp.
func (l *Lane) GiveUp(tx *journal.Tx, now time.Time) error {
	if l.state.Detached == "" {
		return nil
	}
	if err := l.giveUpSealed(tx, now); err != nil {
		return err
	}
	return l.state.put(tx)
}

// giveUpSealed gives up all payloads of a detached lane except those being sent, and stores
// amendments for the next manifest.
func (l *Lane) giveUpSealed(tx *journal.Tx, now time.Time) error {
	for _, p := range l.pending {
		if !p.busy {
			if err := l.amend(tx, p.of(), auditrelay.Amendment{Number: p.Number}); err != nil {
				return err
			}
		}
	}
	skipped, err := l.giveUp(tx, now, auditrelay.CauseDetached, "the callback was detached")
	if err != nil {
		return err
	}
	l.skip(skipped, auditrelay.CauseDetached)
	return nil
}

// givable reports whether a payload waits that a detached lane must give up.
func (l *Lane) givable() bool {
	return slices.ContainsFunc(l.pending, func(p *pending) bool { return !p.busy })
}

func (l *Lane) set(tx *journal.Tx, now time.Time) error {
	l.state.Changed = now
	l.blocked = false
	l.turn(now, l.resting(now), l.restingReason(now), l.condition.LastError)
	return l.state.put(tx)
}

// Retry cancels all pauses, so that waiting work is tried at once.
func (l *Lane) Retry() {
	l.holdUntil, l.takeAfter = time.Time{}, time.Time{}
	for _, p := range l.pending {
		p.after = time.Time{}
	}
}

// RemoveLane gives up the events of the lane of s, which become skipped. Dead letters stay
// until an operator discards them. Dead letters in sealed payloads become plain dead letters
// again.
func RemoveLane(j *journal.Journal, tx *journal.Tx, s *State, now time.Time) error {
	l, err := Open(j, s, Options{}, nil)
	if err != nil {
		return err
	}
	end := s.end(j.Head().Next)
	waiting, err := j.Count(s.Cursor, end)
	if err != nil {
		return err
	}
	backlog := s.class(waiting.Events, waiting.Emitted)
	sealed, err := l.giveUp(tx, now, auditrelay.CauseOperator, "the callback was removed")
	if err != nil {
		return err
	}
	if end > s.Cursor {
		record, err := json.Marshal(chunkRecord{From: s.Cursor, To: end, At: now, Number: s.Number + 1, Skipped: true})
		if err != nil {
			return fmt.Errorf("encode what callback %s gave up: %w", s.LaneName(), err)
		}
		tx.SetPlain(journal.ChunkKey(s.ID, s.Cursor), record) // covers many periods and contains no event data
	}
	if end > s.Cursor {
		if err := l.stateRange(tx, s.Cursor, end, auditrelay.Skipped); err != nil {
			return err
		}
	}
	l.state.Taken += backlog
	l.skip(sealed+backlog, auditrelay.CauseOperator)
	l.state.Cursor = max(end, s.Cursor)
	l.state.Removed, l.state.Changed = true, now
	return l.state.put(tx)
}

// giveUp removes all sealed payloads that are not being sent, and returns the number of their
// events. Dead letters in them become plain dead letters again.
func (l *Lane) giveUp(tx *journal.Tx, now time.Time, cause auditrelay.Cause, why string) (events uint64, err error) {
	var back []uint64
	for _, p := range slices.Clone(l.pending) {
		if p.busy {
			continue
		}
		if p.Dead {
			sequences, _, err := decodeSequences(p.Records)
			if err != nil {
				return 0, err
			}
			back = append(back, sequences...)
		} else {
			events += p.Events
		}
		l.unpublish(p)
		if err := l.stateGivenUp(tx, p); err != nil {
			return 0, err
		}
		if err := l.close(tx, p, receipt{Number: p.Number, Key: p.Key, Attempts: p.attempts, At: now, Error: why, GivenUp: true, Cause: cause}); err != nil {
			return 0, err
		}
	}
	for _, sequence := range back {
		d, err := loadDeadLetter(l.journal, l.state.ID, sequence)
		if err != nil {
			return 0, err
		}
		if d == nil || d.Resolved != auditrelay.Pending {
			continue
		}
		d.Replaying, d.Sealed = false, false
		if err := l.putDeadLetter(tx, d); err != nil {
			return 0, err
		}
	}
	return events, nil
}

// skip counts events as skipped.
func (l *Lane) skip(n uint64, cause auditrelay.Cause) {
	if n > 0 {
		l.state.Counts.add(auditrelay.Skipped, int64(n))
		l.causes(cause, n)
	}
}
