package journal

import (
	"context"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// Store stores what a journal writes: ordered pairs of key and value, in atomic and durable
// batches. There are two implementations: Pebble, embedded, and Postgres (package pgstore).
// Everything else of a journal is implemented once on top of it: sequences, index, encryption,
// proofs and the callbacks' state.
//
// Only one goroutine at a time may write. Reads are safe for concurrent use, also during a
// write.
type Store interface {
	// Get returns the value under key, or ErrAbsent if there is none. The value is valid until
	// the closer is closed, and must not be modified.
	Get(key []byte) (value []byte, closer io.Closer, err error)
	// Iterate reads the committed pairs with keys in [from, to), which must be in one key space
	// (see SpaceOf). Concurrent commits may or may not be visible.
	Iterate(from, to []byte) (Iterator, error)
	// Batch starts a batch of about that many bytes.
	Batch(bytes int) Batch
	// Commit writes a batch. When it returns nil, all of it is durable. After an error it is
	// unknown whether any of it is, and the caller must not write again.
	Commit(Batch) error
	// Size returns the size of the store in bytes, and how many of the stored bytes must still
	// be written once more. The values may be some seconds old.
	Size() (used, owed int64)
	Close() error
}

// Batch collects changes, which are applied in order. It is not safe for concurrent use.
type Batch interface {
	// Set adds a pair and returns its memory. The caller must fill it before the next call.
	Set(keyBytes, valueBytes int) (key, value []byte)
	Delete(key []byte)
	DeleteRange(from, to []byte)
	// Len returns the size of the batch in bytes.
	Len() int
	Empty() bool
	Close() error
}

// Iterator is a position in a range of a Store. It is not safe for concurrent use. The results
// of Key and ValueAndErr are valid until it moves.
type Iterator interface {
	First() bool
	Last() bool
	SeekLT(key []byte) bool // moves to the greatest key below key
	Next() bool
	Valid() bool
	Key() []byte
	ValueAndErr() ([]byte, error)
	Error() error
	Close() error
}

// Shared is a Store outside the relay's data directory. It also stores the keyring.
type Shared interface {
	Store
	// Keyring returns the text of the keyring, or nil if there is none.
	Keyring() ([]byte, error)
	// SetKeyring replaces the keyring durably, as a whole or not at all. With wipe it also
	// removes the old text, as far as the store can ensure that.
	SetKeyring(text []byte, wipe bool) error
	// Err returns why Commit accepts nothing now, or ErrFailed if it never will again.
	Err() error
	// Lease returns a context that ends before another relay can get the journal. Another lease
	// may follow, so call Lease again for each piece of work.
	Lease() context.Context
}

// ErrAbsent: a Store does not have the key.
var ErrAbsent = errors.New("no such key")

// Space is the kind of data under a key of a Store.
type Space int

const (
	// SpaceState has all data that is set, replaced and deleted by key.
	SpaceState Space = iota
	// SpaceEvents has events by sequence. They are appended, never replaced, and deleted from
	// the oldest on.
	SpaceEvents
	// SpaceIndex has one index record for each commit that appended events, by its first
	// sequence. Records are deleted from the oldest on.
	SpaceIndex
	// SpaceHead is one key, which every commit that changes the journal sets last.
	SpaceHead
)

// SpaceOf returns the space of a key or of a range's bound, and the sequence in it.
func SpaceOf(key []byte) (s Space, sequence uint64) {
	switch {
	case len(key) == 9 && key[0] == spaceEvent:
		return SpaceEvents, keySequence(key)
	case len(key) == 9 && key[0] == spaceFrame:
		return SpaceIndex, keySequence(key)
	case string(key) == string(keyHead):
		return SpaceHead, 0
	}
	return SpaceState, 0
}

// AppendEventKey appends the key of an event.
func AppendEventKey(dst []byte, sequence uint64) []byte { return append(dst, eventKey(sequence)...) }

// AppendIndexKey appends the key of an index record.
func AppendIndexKey(dst []byte, first uint64) []byte { return append(dst, frameKey(first)...) }

// set adds a pair to a batch.
func set(b Batch, key, value []byte) {
	k, v := b.Set(len(key), len(value))
	copy(k, key)
	copy(v, value)
}

// pebbleStore implements Store with the embedded storage engine.
type pebbleStore struct {
	db    *pebble.DB
	write *pebble.WriteOptions
}

func newPebbleStore(db *pebble.DB, o Options) *pebbleStore {
	if o.UnsafeNoSync {
		return &pebbleStore{db, pebble.NoSync}
	}
	return &pebbleStore{db, pebble.Sync}
}

func (s *pebbleStore) Get(key []byte) ([]byte, io.Closer, error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		err = ErrAbsent
	}
	return v, closer, err
}

func (s *pebbleStore) Iterate(from, to []byte) (Iterator, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, err
	}
	return it, nil
}

func (s *pebbleStore) Batch(bytes int) Batch {
	return (*pebbleBatch)(s.db.NewBatchWithSize(bytes))
}

func (s *pebbleStore) Commit(b Batch) error { return b.(*pebbleBatch).engine().Commit(s.write) }

func (s *pebbleStore) Size() (used, owed int64) {
	m := s.db.Metrics()
	return int64(m.DiskSpaceUsage()), int64(m.WAL.Size)
}

func (s *pebbleStore) Close() error { return s.db.Close() }

// pebbleBatch implements Batch with a batch of the engine. The batch has no index, so no
// operation on it can fail.
type pebbleBatch pebble.Batch

func (b *pebbleBatch) engine() *pebble.Batch { return (*pebble.Batch)(b) }

func (b *pebbleBatch) Set(keyBytes, valueBytes int) (key, value []byte) {
	d := b.engine().SetDeferred(keyBytes, valueBytes)
	_ = d.Finish()
	return d.Key, d.Value
}

func (b *pebbleBatch) Delete(key []byte) { _ = b.engine().Delete(key, nil) }

func (b *pebbleBatch) DeleteRange(from, to []byte) { _ = b.engine().DeleteRange(from, to, nil) }

func (b *pebbleBatch) Len() int     { return b.engine().Len() }
func (b *pebbleBatch) Empty() bool  { return b.engine().Empty() }
func (b *pebbleBatch) Close() error { return b.engine().Close() }
