package delivery

import (
	"errors"
	"slices"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// errMore ends a scan that the next call continues.
var errMore = errors.New("more")

// Giving is one step of a replay of dead letters by filter.
type Giving struct {
	Job   string // the job's id
	By    string
	After uint64 // selects sequences above this one
	Last  uint64 // selects sequences up to this one
	Limit int    // maximum number
	// Match selects dead letters. The event's data is valid only during the call.
	Match func(*DeadLetter) bool
}

// Give queues matching dead letters for processing, in order. It returns their number, and the
// After of the next step, or 0 if the job is finished. It skips dead letters that are already
// being replayed.
func (l *Lane) Give(tx *journal.Tx, g Giving) (n int, next uint64, err error) {
	looked, bytes := 0, 0
	err = l.scanDeadLetters(g.After, func(d *deadLetter) error {
		switch {
		case d.Sequence > g.Last:
			next = 0
			return errStop
		case n >= g.Limit, looked >= maxDeadPerCall, bytes >= maxDeadBytesCall:
			return errMore
		}
		looked++
		next = d.Sequence
		if d.Resolved != auditrelay.Pending || d.Replaying {
			return nil
		}
		if public := d.public(); !g.Match(&public) {
			return nil
		}
		bytes += len(d.data)
		d.Replaying, d.By, d.Job = true, g.By, g.Job
		n++
		l.deadQueue = append(l.deadQueue, d.Sequence)
		return l.putDeadLetter(tx, d)
	})
	switch err {
	case errMore:
		return n, next, nil
	case nil, errStop:
		return n, 0, nil
	}
	return n, 0, err
}

// TakeBack removes dead letters of a job from the queue, above after, and returns values as
// Give does. Those that are being processed or sent continue.
func (l *Lane) TakeBack(tx *journal.Tx, job string, after uint64) (n int, next uint64, err error) {
	gone := map[uint64]bool{}
	for _, sequence := range slices.Sorted(slices.Values(l.deadQueue)) {
		if sequence <= after || l.deadTaken[sequence] {
			continue
		}
		if n >= maxDeadPerCall {
			l.dequeue(gone)
			return n, next, nil
		}
		next = sequence
		d, err := loadDeadLetter(l.journal, l.state.ID, sequence)
		if err != nil {
			return n, 0, err
		}
		if d == nil || !d.queued() || d.Job != job {
			continue
		}
		d.Replaying, d.Job = false, ""
		gone[sequence] = true
		n++
		if err := l.putDeadLetter(tx, d); err != nil {
			return n, 0, err
		}
	}
	l.dequeue(gone)
	return n, 0, nil
}

// CountDead counts the dead letters that a replay with this Match would queue, and returns the
// highest sequence of all dead letters.
func CountDead(j *journal.Journal, laneID string, match func(*DeadLetter) bool) (n, last uint64, err error) {
	err = scanDeadLetters(j, laneID, 0, func(d *deadLetter) error {
		if d.Resolved != auditrelay.Pending {
			return nil
		}
		last = d.Sequence
		if public := d.public(); !d.Replaying && match(&public) {
			n++
		}
		return nil
	})
	return n, last, err
}
