package journal

import (
	"fmt"
	"sync"
	"time"
)

// The limits of one synced write. A transaction that exceeds them is written alone.
const (
	maxGroupBytes  = 8 << 20
	maxGroupEvents = 1 << 14
)

// queue groups concurrent transactions. A caller that finds no leader leads: it writes for all
// waiting callers until its own transaction is written, and then passes the lead to the first
// waiter.
//
// New events have priority. A transaction with much other data, such as a seal, is bulk: it
// waits while others arrive. After each bulk write the others have the journal for three times
// as long. So bulk has at least a quarter of the time, and all of it when nothing else arrives.
type queue struct {
	mu      sync.Mutex
	small   []*waiter
	bulk    []*waiter
	leading bool
	arrived chan struct{} // has room for one value; wakes a leader that delays bulk

	bulkAt time.Time // no bulk before this time while others arrive
	smalls time.Time // when the last other transaction was written
}

// The size that makes a transaction bulk, and the limit of one bulk write. If no other
// transaction arrives for quiet, bulk continues at once.
const (
	bulkBytes    = 64 << 10
	maxBulkBytes = 1 << 20
	bulkShare    = 4 // bulk has one part in this many
	quiet        = 5 * time.Millisecond
)

type waiter struct {
	tx   *Tx
	out  []Appended
	err  error
	done bool
	wake chan bool // true: lead; false: out and err are set
}

// Commit writes tx as a whole or not at all. When it returns nil, all of tx is on disk. It
// returns the result of each appended event.
//
// Errors: *ConflictError (nothing written; only after AllOrNothing), ErrFull (nothing written;
// a retry may succeed), ErrTooLarge (nothing written; a retry fails too), ErrErased (nothing
// written: a value is about events whose period's key was destroyed), ErrFailed, ErrClosed,
// ErrCorrupt. After ErrFailed it is unknown whether the transaction is durable.
//
// Commit is safe for concurrent use.
func (j *Journal) Commit(tx *Tx) ([]Appended, error) {
	if err := tx.check(); err != nil {
		return nil, err
	}
	if err := j.encrypt(tx); err != nil {
		return nil, err
	}
	blob, err := j.separate(tx)
	if err != nil {
		return nil, err
	}
	for i := range tx.events {
		p := &tx.events[i]
		p.hash = j.id.hash(p.namespace, p.id)
	}
	w := &waiter{tx: tx}
	if j.queue.join(w) {
		j.lead(w)
	} else if <-w.wake {
		j.lead(w)
	}
	j.settle(tx, blob, w.err)
	return w.out, w.err
}

// join adds w to the queue and reports whether w leads.
func (q *queue) join(w *waiter) (leads bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.tx.bulk > bulkBytes {
		q.bulk = append(q.bulk, w)
	} else {
		q.small = append(q.small, w)
	}
	if !q.leading {
		q.leading = true
		return true
	}
	w.wake = make(chan bool, 1)
	select {
	case q.arrival() <- struct{}{}:
	default:
	}
	return false
}

// arrival must be called with mu held.
func (q *queue) arrival() chan struct{} {
	if q.arrived == nil {
		q.arrived = make(chan struct{}, 1)
	}
	return q.arrived
}

// lead writes groups until the caller's own transaction is written, and then passes the lead
// on.
func (j *Journal) lead(own *waiter) {
	q := &j.queue
	for !own.done {
		group, bulk, wait := q.take(time.Now())
		if group == nil {
			select {
			case <-q.arrived:
			case <-time.After(wait):
			}
			continue
		}
		begun := time.Now()
		j.writeGroup(group)
		q.wrote(bulk, begun, time.Now())
		for _, w := range group {
			w.done = true
			if w != own {
				w.wake <- false
			}
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.small) > 0:
		q.small[0].wake <- true
	case len(q.bulk) > 0:
		q.bulk[0].wake <- true
	default:
		q.leading = false
	}
}

// take removes the next group from the queue. If only bulk waits and others may arrive, it
// returns no group, and wait is how long to wait for them.
func (q *queue) take(now time.Time) (group []*waiter, bulk bool, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.arrival()
	switch held := q.held(now); {
	case len(q.bulk) > 0 && held <= 0:
		group, q.bulk = first(q.bulk, maxBulkBytes)
		return group, true, 0
	case len(q.small) > 0:
		group, q.small = first(q.small, maxGroupBytes)
		return group, false, 0
	default:
		return nil, false, held
	}
}

// held returns how long bulk must still wait. The caller must hold mu.
func (q *queue) held(now time.Time) time.Duration {
	due := q.bulkAt
	if len(q.small) == 0 {
		if calm := q.smalls.Add(quiet); calm.Before(due) {
			due = calm
		}
	}
	return due.Sub(now)
}

// turn waits until bulk may be written. It is for writes outside the log.
func (q *queue) turn() {
	for {
		q.mu.Lock()
		held := q.held(time.Now())
		q.mu.Unlock()
		if held <= 0 {
			return
		}
		time.Sleep(min(held, quiet))
	}
}

// wrote records the duration of a write.
func (q *queue) wrote(bulk bool, begun, ended time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if bulk {
		q.bulkAt = ended.Add((bulkShare - 1) * ended.Sub(begun))
	} else {
		q.smalls = ended
	}
}

// first returns the first waiters whose transactions fit in one write.
func first(waiting []*waiter, most int) (group, rest []*waiter) {
	bytes, events, n := 0, 0, 0
	for _, w := range waiting {
		bytes += w.tx.bytes
		events += len(w.tx.events)
		if n > 0 && (bytes > most || events > maxGroupEvents) {
			break
		}
		n++
	}
	return waiting[:n:n], append([]*waiter(nil), waiting[n:]...)
}

// writeGroup sets every waiter's result. Only the leader calls it.
func (j *Journal) writeGroup(group []*waiter) {
	bytes := 1 << 10 // includes the head
	for _, w := range group {
		bytes += w.tx.bytes
	}
	g, err := j.begin(bytes)
	if err == nil {
		defer g.close()
		for _, w := range group {
			w.out, w.err = g.add(w.tx)
		}
		err = g.commit()
	}
	if err == nil {
		return
	}
	for _, w := range group {
		if w.err == nil {
			w.out, w.err = nil, err
		}
	}
}

// apply writes a batch. It turns every kind of failure, including Pebble's panics and fatal
// messages, into a failure of the journal.
func (j *Journal) apply(b Batch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("storage engine stopped: %v", p)
		}
		if err == nil {
			err = j.fault.get()
		}
		if err != nil {
			j.fault.set(err)
			err = j.failed()
		}
	}()
	return j.store.Commit(b)
}

// failed returns the error of every Commit after the first failed write.
func (j *Journal) failed() error {
	return fmt.Errorf("%w: %w; open it again to see what is durable", ErrFailed, j.fault.get())
}
