package journal

import (
	"fmt"
	"sync"
	"time"
)

// The bounds of what is merged into one synced write. A transaction that alone
// exceeds them is written by itself.
const (
	maxGroupBytes  = 8 << 20
	maxGroupEvents = 1 << 14
)

// queue brings concurrent transactions together. The one that finds no leader
// leads: it writes for all that wait until its own is written, then hands over to the
// first that waits.
//
// The door comes first: transactions that hold much beside new events, as seals do, are
// bulk, and wait while others come. After each of their writes the others have the
// journal for three times as long, so that bulk has a quarter of the time whatever
// comes in, and all of it when it is quiet.
type queue struct {
	mu      sync.Mutex
	small   []*waiter
	bulk    []*waiter
	leading bool
	arrived chan struct{} // of one place: tells a leader that holds bulk back

	bulkAt time.Time // no bulk before, while others come
	smalls time.Time // when one of the others was last written
}

// What makes a transaction bulk, and what of it is written at a time. quiet is how long
// nothing else must have come for bulk to go on at once.
const (
	bulkBytes    = 64 << 10
	maxBulkBytes = 1 << 20
	bulkShare    = 4 // bulk has one part of so many
	quiet        = 5 * time.Millisecond
)

type waiter struct {
	tx   *Tx
	out  []Appended
	err  error
	done bool
	wake chan bool // true: lead; false: out and err are set
}

// Commit writes tx whole or not at all. When it returns without an error, all of
// it is on disk. It returns what became of each appended event.
//
// Errors: *ConflictError (nothing written, only after AllOrNothing), ErrFull
// (nothing written; try again later), ErrTooLarge (nothing written, and never will
// be), ErrErased (nothing written: a value is about events whose period's key is
// destroyed), ErrFailed, ErrClosed, ErrCorrupt. After ErrFailed it is not known
// whether the transaction is durable.
//
// It is safe for concurrent use.
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

// join puts w into the queue, and reports whether it leads.
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

// arrival is called with mu held.
func (q *queue) arrival() chan struct{} {
	if q.arrived == nil {
		q.arrived = make(chan struct{}, 1)
	}
	return q.arrived
}

// lead writes groups until the caller's own transaction is written, and hands
// leadership over.
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

// take removes the next group from the queue. Where there is bulk alone and others may
// come, there is none, and wait is how long to wait for them.
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

// held returns for how long bulk is still held back. It is called with mu held.
func (q *queue) held(now time.Time) time.Duration {
	due := q.bulkAt
	if len(q.small) == 0 {
		if calm := q.smalls.Add(quiet); calm.Before(due) {
			due = calm
		}
	}
	return due.Sub(now)
}

// turn waits until bulk is not held back: for what is written beside the log.
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

// wrote notes how long a group took.
func (q *queue) wrote(bulk bool, begun, ended time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if bulk {
		q.bulkAt = ended.Add((bulkShare - 1) * ended.Sub(begun))
	} else {
		q.smalls = ended
	}
}

// first takes the first waiters whose transactions make one write.
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

// writeGroup gives every waiter its result. Only the leader runs it.
func (j *Journal) writeGroup(group []*waiter) {
	bytes := 1 << 10 // and the head
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

// apply writes a batch and makes every kind of failure, Pebble's panics and
// fatal messages included, the journal's.
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

// failed is the error of every Commit after the first failed write.
func (j *Journal) failed() error {
	return fmt.Errorf("%w: %w; open it again to see what is durable", ErrFailed, j.fault.get())
}
