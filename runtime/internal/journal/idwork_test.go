package journal

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// countingStore counts the bytes of the pairs that iterators visit.
type countingStore struct {
	Store
	read atomic.Int64
}

func (s *countingStore) Iterate(from, to []byte) (Iterator, error) {
	it, err := s.Store.Iterate(from, to)
	return &countingIterator{it, &s.read}, err
}

type countingIterator struct {
	Iterator
	read *atomic.Int64
}

func (i *countingIterator) at(ok bool) bool {
	if ok {
		value, _ := i.ValueAndErr()
		i.read.Add(int64(len(i.Key()) + len(value)))
	}
	return ok
}

func (i *countingIterator) First() bool { return i.at(i.Iterator.First()) }
func (i *countingIterator) Last() bool  { return i.at(i.Iterator.Last()) }
func (i *countingIterator) Next() bool  { return i.at(i.Iterator.Next()) }

func (i *countingIterator) SeekLT(key []byte) bool { return i.at(i.Iterator.SeekLT(key)) }

// Looking up an unknown id reads a 256th of the index frames of events outside the window, and
// at most the frames of one run, for any size.
func TestAnUnknownIDReadsLittle(t *testing.T) {
	const run, window = 1 << 10, 256
	j := open(t, "j", Options{FS: vfs.NewMem(), Now: clock, Window: window, idRun: run})
	n := 0
	for _, size := range []int{4_000, 16_000, 64_000} {
		for n < size {
			tx := &Tx{}
			for range 250 {
				tx.Append(event(fmt.Sprint(n), `{}`))
				n++
			}
			if _, err := j.Commit(tx); err != nil {
				t.Fatal(err)
			}
		}
		indexed(t, j)
		s := &countingStore{Store: j.store}
		j.store = s
		found, err := j.All("litellm", []string{"never"}, 1)
		j.store = s.Store
		if err != nil || len(found) > 0 {
			t.Fatal(found, err)
		}
		// A run's share of a bucket, with its key and checksum, and its variance. A frame has
		// some 9 bytes per event.
		runs := int64(size / run)
		most := runs*(run/idBuckets*idEntryBytes+64)*2 + (2*run+window)*16
		if read := s.read.Load(); read > most {
			t.Errorf("of %d events an unknown id reads %d bytes, at most %d", size, read, most)
		} else {
			t.Logf("%d events: %d bytes read", size, read)
		}
	}
}
