package delivery

import (
	"fmt"

	"auditrelay/runtime/internal/journal"
)

// Account is where a lane's events are, each number from its own durable
// records: Assigned from the journal's count of what it appended, Counts from the
// seals and receipts, Sealed from the payloads, Backlog from the journal's index
// beyond the cursor.
type Account struct {
	Assigned uint64
	Counts   Counts
	Sealed   uint64 // in sealed payloads that are not settled
	Backlog  uint64 // beyond the cursor
	Taken    uint64
}

// Pending is what has no outcome yet.
func (a Account) Pending() uint64 { return a.Sealed + a.Backlog }

// Check reports whether the account balances.
func (a Account) Check() error {
	if a.Taken != a.Counts.Sum()+a.Sealed {
		return fmt.Errorf("%d events were taken, but %d have an outcome and %d are sealed", a.Taken, a.Counts.Sum(), a.Sealed)
	}
	if a.Assigned != a.Taken+a.Backlog {
		return fmt.Errorf("%d events were assigned, but %d were taken and %d wait", a.Assigned, a.Taken, a.Backlog)
	}
	return nil
}

// AccountOf counts the events of a lane that is not open.
func AccountOf(j *journal.Journal, s *State) (Account, error) {
	l, err := Open(j, s, Options{}, nil)
	if err != nil {
		return Account{}, err
	}
	return l.Snapshot().Account(j)
}

// outside counts what the journal knows: what was assigned and what waits. Both
// are read at one head, since events arrive meanwhile.
func (s *State) outside(j *journal.Journal, a *Account) error {
	head := j.Head()
	if s.Removed {
		a.Assigned = s.Taken
		return nil
	}
	waiting, err := j.Count(s.Cursor, s.end(head.Next))
	if err != nil {
		return fmt.Errorf("count the events that wait for callback %s: %w", s.LaneName(), err)
	}
	a.Backlog = s.class(waiting.Events, waiting.Emitted)
	if s.Replay != nil {
		a.Assigned = uint64(-s.Base)
		return nil
	}
	a.Assigned = uint64(int64(s.class(head.Events, head.Emitted)) - s.Base)
	return nil
}
