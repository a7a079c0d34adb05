package delivery

import (
	"fmt"

	"auditrelay/runtime/internal/journal"
)

// Account counts a lane's events. Each number comes from separate durable records: Assigned
// from the journal's count of appended events, Counts from the seals and receipts, Sealed from
// the payloads, Backlog from the journal's index after the cursor.
type Account struct {
	Assigned uint64
	Counts   Counts
	Sealed   uint64 // events in sealed payloads that are not settled
	Backlog  uint64 // events after the cursor
	Taken    uint64
}

// Pending returns the number of events without an outcome.
func (a Account) Pending() uint64 { return a.Sealed + a.Backlog }

// Check returns an error if the account does not balance.
func (a Account) Check() error {
	if a.Taken != a.Counts.Sum()+a.Sealed {
		return fmt.Errorf("%d events were taken, but %d have an outcome and %d are sealed", a.Taken, a.Counts.Sum(), a.Sealed)
	}
	if a.Assigned != a.Taken+a.Backlog {
		return fmt.Errorf("%d events were assigned, but %d were taken and %d wait", a.Assigned, a.Taken, a.Backlog)
	}
	return nil
}

// AccountOf returns the account of a lane that is not open.
func AccountOf(j *journal.Journal, s *State) (Account, error) {
	l, err := Open(j, s, Options{}, nil)
	if err != nil {
		return Account{}, err
	}
	return l.Snapshot().Account(j)
}

// outside sets the numbers from the journal: assigned events and the backlog. It reads both at
// one head, since events arrive meanwhile.
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
