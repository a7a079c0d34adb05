package delivery

import (
	"maps"
	"time"

	"auditrelay/runtime/internal/journal"
)

// Snapshot is the state of a lane that its owner publishes to readers.
type Snapshot struct {
	State     State
	Condition Condition
	Sealed    uint64 // events in sealed, unsettled payloads
	Held      int64  // size of the sealed payloads that count for retain
	InFlight  int    // number of sealed, unsettled payloads
	Queued    int    // dead letters that wait for processing
	Oldest    time.Time
	Floor     uint64
	Blocked   bool
	Done      bool
	Unproved  bool      // see Unattested
	NextTry   time.Time // time of the next retry; zero if nothing failed
	Attempts  uint64
	Failures  map[string]uint64
	Leaves    uint64 // number of leaves in its log; 0 until the lane adds one
}

// Snapshot copies the visible state of the lane. Its State and Leaves are durable only if the
// last transaction was committed.
func (l *Lane) Snapshot() *Snapshot {
	s := &Snapshot{State: l.state, Condition: l.condition, InFlight: len(l.pending), Queued: len(l.deadQueue), Floor: l.Floor(),
		Blocked: l.blocked, Done: l.Done(), Unproved: l.Unattested(), Attempts: l.attempts, Failures: maps.Clone(l.failures)}
	s.State.Causes = maps.Clone(l.state.Causes)
	if l.tree != nil && l.state.Log == l.journal.Identity().Incarnation {
		s.Leaves = l.tree.Size()
	}
	s.NextTry = l.nextTry()
	s.Held = l.held()
	for _, p := range l.pending {
		if p.Dead {
			continue
		}
		s.Sealed += p.Events
		if s.Oldest.IsZero() || p.Oldest.Before(s.Oldest) {
			s.Oldest = p.Oldest
		}
	}
	return s
}

// Tried returns the number of attempts of a sealed payload since the start, and the time of the
// next one; zero if it does not depend on time.
func (l *Lane) Tried(number uint64) (attempts int, next time.Time) {
	p := l.find(number)
	if p == nil {
		return 0, time.Time{}
	}
	if p.failing && !p.busy {
		next = l.nextOf(p)
	}
	return p.attempts, next
}

// nextOf returns the time of a failing payload's next attempt.
func (l *Lane) nextOf(p *pending) time.Time {
	if p.after.After(l.holdUntil) {
		return p.after
	}
	return l.holdUntil
}

// nextTry returns the time of the next retry of a failed delivery or take.
func (l *Lane) nextTry() (next time.Time) {
	at := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if l.takeTries > 0 {
		at(l.takeAfter)
	}
	for _, p := range l.pending {
		if p.failing && !p.busy {
			at(l.nextOf(p))
		}
	}
	return next
}

// Account returns the account of the lane at the time of the snapshot.
func (s *Snapshot) Account(j *journal.Journal) (Account, error) {
	a := Account{Counts: s.State.Counts, Taken: s.State.Taken, Sealed: s.Sealed}
	err := s.State.outside(j, &a)
	return a, err
}
