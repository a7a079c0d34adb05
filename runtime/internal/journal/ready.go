package journal

import "context"

// Empty reports whether there is nothing to commit.
func (t *Tx) Empty() bool {
	return len(t.events) == 0 && len(t.ops) == 0 && t.trim == 0 && t.err == nil
}

// readyFor is the free space that Err requires, so that the journal does not report itself
// ready and then reject all but the smallest events.
const readyFor = 64 << 10

// Err returns nil while events are accepted. Otherwise it returns the error of a Commit:
// ErrClosed, ErrFailed, ErrFull, or why a server currently accepts nothing.
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

// Lease returns a context that ends before another relay can get the journal. For an embedded
// journal it does not end. After its end nothing may be sent until there is a new lease; call
// Lease again.
func (j *Journal) Lease() context.Context {
	if j.shared == nil {
		return context.Background()
	}
	return j.shared.Lease()
}
