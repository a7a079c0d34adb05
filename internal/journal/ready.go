package journal

// Empty reports whether there is nothing to commit.
func (t *Tx) Empty() bool {
	return len(t.events) == 0 && len(t.ops) == 0 && t.trim == 0 && t.err == nil
}

// Err returns nil while events are taken, and otherwise what Commit would
// answer to one: ErrClosed, ErrFailed or ErrFull.
func (j *Journal) Err() error {
	if j.closed.Load() {
		return ErrClosed
	}
	if err := j.fault.get(); err != nil {
		return err
	}
	return j.space.admit(&Tx{events: make([]pending, 1), bytes: 1}, 0)
}
