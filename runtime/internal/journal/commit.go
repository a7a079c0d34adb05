package journal

import (
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// The bounds of what is merged into one synced write. A transaction that alone
// exceeds them is written by itself.
const (
	maxGroupBytes  = 8 << 20
	maxGroupEvents = 1 << 14
)

// queue brings concurrent transactions together. The one that finds no leader
// leads: it writes for all that wait, then hands over to the first of those that
// came meanwhile, so that nobody works for others longer than one write.
type queue struct {
	mu      sync.Mutex
	waiting []*waiter
	leading bool
}

type waiter struct {
	tx   *Tx
	out  []Appended
	err  error
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
	for i := range tx.events {
		p := &tx.events[i]
		p.hash = j.id.hash(p.namespace, p.id)
	}
	w := &waiter{tx: tx}
	q := &j.queue
	q.mu.Lock()
	q.waiting = append(q.waiting, w)
	lead := !q.leading
	if lead {
		q.leading = true
	} else {
		w.wake = make(chan bool, 1)
	}
	q.mu.Unlock()
	if !lead {
		lead = <-w.wake
	}
	if lead {
		j.lead()
	}
	return w.out, w.err
}

// lead writes one group, the caller's transaction first among it, and hands
// leadership over.
func (j *Journal) lead() {
	q := &j.queue
	q.mu.Lock()
	group := q.take()
	q.mu.Unlock()

	j.writeGroup(group)

	q.mu.Lock()
	if len(q.waiting) > 0 {
		q.waiting[0].wake <- true
	} else {
		q.leading = false
	}
	q.mu.Unlock()
	for _, w := range group[1:] {
		w.wake <- false
	}
}

// take removes the next group from the queue.
func (q *queue) take() []*waiter {
	bytes, events, n := 0, 0, 0
	for _, w := range q.waiting {
		bytes += w.tx.bytes
		events += len(w.tx.events)
		if n > 0 && (bytes > maxGroupBytes || events > maxGroupEvents) {
			break
		}
		n++
	}
	group := q.waiting[:n:n]
	q.waiting = append([]*waiter(nil), q.waiting[n:]...)
	return group
}

// writeGroup gives every waiter its result. Only the leader runs it.
func (j *Journal) writeGroup(group []*waiter) {
	g, err := j.begin()
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
func (j *Journal) apply(b *pebble.Batch) (err error) {
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
	opts := pebble.Sync
	if j.options.UnsafeNoSync {
		opts = pebble.NoSync
	}
	return b.Commit(opts)
}

// failed is the error of every Commit after the first failed write.
func (j *Journal) failed() error {
	return fmt.Errorf("%w: %w; open it again to see what is durable", ErrFailed, j.fault.get())
}
