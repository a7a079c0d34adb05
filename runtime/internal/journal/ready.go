package journal

import "context"

// Empty reports whether there is nothing to commit.
func (t *Tx) Empty() bool {
	return len(t.events) == 0 && len(t.ops) == 0 && t.trim == 0 && t.err == nil
}

// readyFor is what there has to be room for, so that the journal does not call
// itself ready and then refuse all but the smallest events.
const readyFor = 64 << 10

// Err returns nil while events are taken, and otherwise what Commit would
// answer to one: ErrClosed, ErrFailed or ErrFull, or why a server takes nothing now.
func (j *Journal) Err() error {
	if j.closed.Load() {
		return ErrClosed
	}
	if j.fault.get() != nil {
		return j.failed()
	}
	if j.shared != nil {
		if err := j.shared.Err(); err != nil {
			return err
		}
	}
	err := j.space.admit(&Tx{events: make([]pending, 1), bytes: readyFor}, 0)
	if err != nil {
		j.reclaim()
	}
	return err
}

// Lease ends before another relay can have the journal; that of an embedded one does not.
// Where it has ended, nothing may leave until there is another one: ask again.
func (j *Journal) Lease() context.Context {
	if j.shared == nil {
		return context.Background()
	}
	return j.shared.Lease()
}
