package journal

import (
	"context"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// A Store keeps what a journal writes: ordered pairs of key and value, in batches that
// are durable whole or not at all. Two implementations exist: Pebble, embedded, and
// Postgres (package pgstore). All that makes a journal of one, its sequences, its index,
// encryption, proofs and the callbacks' state, is written once, above it.
//
// One goroutine at a time writes. Reads are safe for concurrent use, also beside it.
type Store interface {
	// Get returns the value under key, ErrAbsent where there is none. The value is valid
	// until the closer is closed, and not to be modified.
	Get(key []byte) (value []byte, closer io.Closer, err error)
	// Iterate reads the pairs with keys in [from, to), which lie in one key space (see
	// SpaceOf), as they were committed. What is committed while it goes on may show or not.
	Iterate(from, to []byte) (Iterator, error)
	// Batch begins a batch of about that many bytes.
	Batch(bytes int) Batch
	// Commit writes a batch. When it returns nil, all of it is durable. After an error it
	// is not known whether any of it is, and nothing may be written any more.
	Commit(Batch) error
	// Size returns how many bytes the store takes, and how many of those that it holds
	// already it is still to write once more. It may be some seconds old.
	Size() (used, owed int64)
	Close() error
}

// Batch collects changes, applied in their order. It belongs to one goroutine.
type Batch interface {
	// Set adds a pair and returns its memory, to be filled in before the next call.
	Set(keyBytes, valueBytes int) (key, value []byte)
	Delete(key []byte)
	DeleteRange(from, to []byte)
	// Len is the size of the batch in bytes.
	Len() int
	Empty() bool
	Close() error
}

// Iterator is a place in a range of a Store. It belongs to one goroutine. What Key and
// ValueAndErr return is valid until it moves.
type Iterator interface {
	First() bool
	Last() bool
	SeekLT(key []byte) bool // to the greatest key below key
	Next() bool
	Valid() bool
	Key() []byte
	ValueAndErr() ([]byte, error)
	Error() error
	Close() error
}

// Shared is a Store that is not in the data directory of the relay, and so keeps the
// keyring as well.
type Shared interface {
	Store
	// Keyring returns the text of the keyring, nil where there is none.
	Keyring() ([]byte, error)
	// SetKeyring replaces it durably, whole or not at all. With wipe the one before is to
	// be gone, as far as the store can say.
	SetKeyring(text []byte, wipe bool) error
	// Err says why Commit takes nothing now; ErrFailed where it never will again.
	Err() error
	// Lease ends before another relay can have the journal. It may end and be followed by
	// another one: ask again for each piece of work.
	Lease() context.Context
}

// ErrAbsent: there is no such key in a Store.
var ErrAbsent = errors.New("no such key")

// Space tells apart what the keys of a Store hold.
type Space int

const (
	// SpaceState is all that is set, replaced and deleted by key.
	SpaceState Space = iota
	// SpaceEvents holds events by sequence. They are appended, never replaced, and
	// deleted from the oldest on.
	SpaceEvents
	// SpaceIndex holds one index record for each commit that appended events, by the
	// first of their sequences; deleted from the oldest on.
	SpaceIndex
	// SpaceHead is one key, which every commit that changes the journal sets last.
	SpaceHead
)

// SpaceOf returns the space of a key, or of the bound of a range, and the sequence in it.
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

// AppendEventKey and AppendIndexKey append the key of an event, and of an index record.
func AppendEventKey(dst []byte, sequence uint64) []byte { return append(dst, eventKey(sequence)...) }

// AppendIndexKey appends the key of an index record.
func AppendIndexKey(dst []byte, first uint64) []byte { return append(dst, frameKey(first)...) }

// set adds a pair to a batch.
func set(b Batch, key, value []byte) {
	k, v := b.Set(len(key), len(value))
	copy(k, key)
	copy(v, value)
}

// pebbleStore is Store on the embedded storage engine.
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

// pebbleBatch is Batch on one of the engine, which is not indexed: nothing that it is
// told can fail.
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
