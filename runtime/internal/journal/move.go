package journal

import (
	"bytes"
	"errors"
	"fmt"
)

// The marks of a move are among the journal's own keys.
var (
	// keyMoving marks an incomplete destination of a move.
	keyMoving = []byte{spaceOwn, 'm'}
	// keyMoved marks a journal that was moved elsewhere.
	keyMoved = []byte{spaceOwn, 'x'}
)

// ErrMoved: the journal was moved elsewhere, or a move to it was interrupted.
var ErrMoved = errors.New("not a journal to go on with")

// checkMoved rejects the old journal of a move, and an incomplete new one.
func (j *Journal) checkMoved() error {
	for _, mark := range []struct {
		key []byte
		why string
	}{
		{keyMoving, "a move into it was interrupted: remove it (DROP SCHEMA), and move again"},
		{keyMoved, "it was moved elsewhere and goes on there; remove it (DROP SCHEMA) once it is not needed any more"},
	} {
		_, closer, err := j.store.Get(mark.key)
		if errors.Is(err, ErrAbsent) {
			continue
		}
		if err != nil {
			return err
		}
		closer.Close()
		return fmt.Errorf("%w: %s", ErrMoved, mark.why)
	}
	return nil
}

// CopyTo copies all of j into an empty shared store. Nobody may write to j meanwhile. The copy
// is the same journal in the same incarnation. Open rejects the store until the last commit.
// CopyTo does not change j: see MarkMoved.
func (j *Journal) CopyTo(s Shared) error {
	if err := j.vacant(s); err != nil {
		return err
	}
	return j.copyTo(s, func(text []byte) error { return s.SetKeyring(text, false) })
}

// CopyToDir is CopyTo into a new directory for Open. Until the copy is complete, the directory
// is not a journal.
func (j *Journal) CopyToDir(dir string, o Options) (err error) {
	o = o.withDefaults()
	if err := makeEmpty(o.FS, dir); err != nil {
		return err
	}
	to := newJournal(dir, o)
	if to.lock, err = lock(o.FS, dir); err != nil {
		return err
	}
	if err := to.openEngine(o, false); err != nil {
		return errors.Join(err, to.release())
	}
	err = j.copyTo(to.store, func(text []byte) error { return writeKeyring(o.FS, dir, text, false) })
	if err := errors.Join(err, to.release()); err != nil {
		return err
	}
	// The marker comes last, since a directory without it is not a journal.
	if err := writeMarker(o.FS, dir, j.id.Identity, j.state.Load().anchor()); err != nil {
		return err
	}
	return syncAncestors(o.FS, dir)
}

// MarkMoved marks j, which is in a shared store, as moved. Open rejects it from then on.
func (j *Journal) MarkMoved() error {
	b := j.store.Batch(0)
	set(b, keyMoved, []byte{1})
	return j.apply(b)
}

// vacant returns an error if a store is not empty.
func (j *Journal) vacant(s Store) error {
	if err := (&Journal{store: s}).checkMoved(); err != nil {
		return err
	}
	for _, r := range stateRanges() {
		it, err := s.Iterate(r[0], r[1])
		if err != nil {
			return err
		}
		found := it.First()
		if err := errors.Join(it.Error(), it.Close()); err != nil {
			return err
		}
		if found {
			return errors.New("there is a journal already: name another schema, or remove it (DROP SCHEMA) if nothing in it is needed")
		}
	}
	return nil
}

// stateRanges returns the ranges of all keys except those of events and the index.
func stateRanges() [][2][]byte {
	return [][2][]byte{{{spaceOwn}, {spaceOwn + 1}}, {{spaceAlso}, {spaceAlso + 1}}, {{byte(KindLane)}, {byte(kindEnd)}}}
}

const (
	copyPairs = 1000
	copyBytes = 1 << 20
)

func (j *Journal) copyTo(to Store, keyring func(text []byte) error) error {
	done, err := j.reading()
	if err != nil {
		return err
	}
	defer done()
	c := &copying{j: j, to: to, batch: to.Batch(copyBytes)}
	set(c.batch, keyMoving, []byte{1})
	if err := c.commit(); err != nil {
		return err
	}
	if err := c.state(); err != nil {
		return fmt.Errorf("copy the state: %w", err)
	}
	first, err := c.events()
	if err != nil {
		return fmt.Errorf("copy the events: %w", err)
	}
	if k := j.keyring.Load(); k != nil {
		text, err := k.text(j.id.ID)
		if err != nil {
			return err
		}
		if err := keyring(text); err != nil {
			return fmt.Errorf("copy the keyring: %w", err)
		}
	}
	s := j.state.Load()
	c.batch.Delete(keyMoving)
	c.batch.DeleteRange(eventKey(0), eventKey(s.oldest))
	c.batch.DeleteRange(frameKey(0), frameKey(first))
	set(c.batch, keyIdentity, j.id.record())
	set(c.batch, keyHead, s.record())
	return c.commit()
}

// copying is one running copy.
type copying struct {
	j     *Journal
	to    Store
	batch Batch
	pairs int
}

func (c *copying) commit() error {
	err := c.to.Commit(c.batch)
	c.batch.Close()
	c.batch, c.pairs = c.to.Batch(copyBytes), 0
	return err
}

func (c *copying) state() error {
	own := [][]byte{keyHead, keyIdentity, keyMoving, keyMoved}
	for _, r := range stateRanges() {
		err := c.j.scan(r[0], r[1], func(k, v []byte) error {
			for _, key := range own {
				if bytes.Equal(k, key) {
					return nil
				}
			}
			v, _, err := c.j.blob(k, v) // a value in a blob file is copied into the store
			if err != nil {
				return err
			}
			set(c.batch, k, v)
			if c.pairs++; c.pairs < copyPairs && c.batch.Len() < copyBytes {
				return nil
			}
			return c.commit()
		})
		if err != nil {
			return err
		}
	}
	if c.batch.Empty() {
		return nil
	}
	return c.commit()
}

// events copies the events with their index records, each record in one commit. It returns the
// first sequence of the oldest record.
func (c *copying) events() (first uint64, err error) {
	s := c.j.state.Load()
	first, next := s.next, s.oldest
	err = c.j.frames(s.oldest, s.next, func(f *frame) error {
		first = min(first, f.first)
		for at := f.first; at < s.oldest; at++ {
			set(c.batch, eventKey(at), nil) // keeps the place of an event that is already trimmed
		}
		err := c.j.scan(eventKey(max(f.first, s.oldest)), eventKey(f.end()), func(k, v []byte) error {
			if keySequence(k) != next {
				return &CorruptError{From: next, To: keySequence(k), Err: errMissing}
			}
			next++
			set(c.batch, k, v)
			return nil
		})
		if err != nil {
			return err
		}
		record, closer, err := c.j.store.Get(frameKey(f.first))
		if err != nil {
			return err
		}
		set(c.batch, frameKey(f.first), record)
		closer.Close()
		return c.commit()
	})
	if err == nil && next != s.next {
		err = &CorruptError{From: next, To: s.next, Err: errMissing}
	}
	return first, err
}
