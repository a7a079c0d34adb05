package delivery

import (
	"maps"
	"time"

	"auditrelay/runtime/internal/journal"
)

// Snapshot is what a lane's owner publishes for others to read.
type Snapshot struct {
	State     State
	Condition Condition
	Sealed    uint64 // events in sealed payloads that are not settled
	Held      int64  // bytes of sealed payloads that count for retain
	InFlight  int    // payloads
	Queued    int    // dead letters that are to be judged again
	Oldest    time.Time
	Floor     uint64
	Blocked   bool
	Done      bool
	Unproved  bool      // see Unattested
	NextTry   time.Time // when what failed is tried again, zero where nothing did
	Attempts  uint64
	Failures  map[string]uint64
	Leaves    uint64 // of its log; 0: not known before the lane states something
}

// Snapshot copies what is to be seen of the lane. Its State and Leaves are durable
// only if the last transaction was committed.
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

// Tried returns how often a sealed payload was tried since start, and when it is tried
// next, zero where it does not wait for a time.
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

// nextOf is when a failing payload is tried again.
func (l *Lane) nextOf(p *pending) time.Time {
	if p.after.After(l.holdUntil) {
		return p.after
	}
	return l.holdUntil
}

// nextTry is when a failed delivery or take is tried again.
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

// Account counts the events of the lane as the snapshot saw it.
func (s *Snapshot) Account(j *journal.Journal) (Account, error) {
	a := Account{Counts: s.State.Counts, Taken: s.State.Taken, Sealed: s.Sealed}
	err := s.State.outside(j, &a)
	return a, err
}
