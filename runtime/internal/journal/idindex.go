package journal

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// The id index finds events outside the window by the hash of their identity, so that a lookup
// reads 1/256 of the index frames' data. It is built in the background, one run of sequences at
// a time, once the run is out of the window. So accepting an event writes nothing to it.
// Sequences without an indexed run are looked up in the frames.
//
// A key has the index's space, one byte of the hash and the run's number. Its value lists the
// run's events with that byte, sorted: 4 further bytes of the hash and the event's place in the
// run, 8 bytes in all. One transaction writes a run.
type idIndex struct {
	run  uint64        // number of sequences in a run
	runs atomic.Uint64 // number of runs that are indexed or trimmed; the lower ones have no other index
	wake chan struct{}
	stop chan struct{}
	done sync.WaitGroup
}

const (
	spaceIDs       = 0x05
	idBuckets      = 256
	idEntryBytes   = 8
	defaultIDRun   = 1 << 16
	fewIDs         = 64 // for more ids at a time, one pass over the frames reads less
	idBucketShift  = 56
	idSuffixShift  = 24
	idRunKeyPrefix = 2
)

func newIDIndex(o Options) *idIndex {
	return &idIndex{run: uint64(cmp.Or(o.idRun, defaultIDRun)), wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

func idKey(bucket byte, run uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{spaceIDs, bucket}, run)
}

// openIDs determines which runs are indexed, and starts indexing the others.
func (j *Journal) openIDs() error {
	it, err := j.store.Iterate(idKey(idBuckets-1, 0), []byte{spaceIDs + 1})
	if err != nil {
		return j.damaged(0, 0, err)
	}
	if it.Last() {
		j.ids.runs.Store(binary.BigEndian.Uint64(it.Key()[idRunKeyPrefix:]) + 1)
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return j.damaged(0, 0, err)
	}
	j.ids.done.Go(j.indexIDs)
	j.pokeIDs()
	return nil
}

// pokeIDs starts indexing the next run if it is complete and out of the window.
func (j *Journal) pokeIDs() {
	if !j.idsDue() {
		return
	}
	select {
	case j.ids.wake <- struct{}{}:
	default:
	}
}

func (j *Journal) idsDue() bool {
	return (j.ids.runs.Load()+1)*j.ids.run+uint64(j.options.Window) <= j.state.Load().next
}

func (j *Journal) indexIDs() {
	for {
		select {
		case <-j.ids.wake:
		case <-j.ids.stop:
			return
		}
		for j.idsDue() {
			if err := j.indexRun(j.ids.runs.Load()); err != nil {
				if !errors.Is(err, ErrClosed) && !errors.Is(err, ErrFull) {
					j.options.Logger.Warn("journal: could not index ids; lookups of old ids are slower", "error", err)
				}
				break // retried with the next events
			}
		}
	}
}

// indexRun writes the index of one run.
func (j *Journal) indexRun(run uint64) error {
	done, err := j.reading()
	if err != nil {
		return err
	}
	defer done()
	oldest := j.state.Load().oldest
	if first := oldest / j.ids.run; run < first {
		j.ids.runs.Store(first) // trimmed before it was indexed
		return nil
	}
	type entry struct {
		hash   uint64
		offset uint32
	}
	from, to := run*j.ids.run, (run+1)*j.ids.run
	entries := make([]entry, 0, j.ids.run)
	err = j.frames(max(from, oldest), to, func(f *frame) error {
		for i, h := range f.hashes {
			if at := f.first + uint64(i); at >= from && at < to {
				entries = append(entries, entry{h, uint32(at - from)})
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("index the ids of events %d to %d: %w", from, to-1, err)
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.hash>>idSuffixShift, b.hash>>idSuffixShift), cmp.Compare(a.offset, b.offset))
	})
	tx := &Tx{}
	for bucket := range idBuckets {
		n := sort.Search(len(entries), func(i int) bool { return entries[i].hash>>idBucketShift > uint64(bucket) })
		value := make([]byte, 0, n*idEntryBytes)
		for _, e := range entries[:n] {
			value = binary.BigEndian.AppendUint32(value, uint32(e.hash>>idSuffixShift))
			value = binary.BigEndian.AppendUint32(value, e.offset)
		}
		entries = entries[n:]
		key := idKey(byte(bucket), run)
		tx.own(key, sealRecord(key, value))
	}
	if _, err := j.Commit(tx); err != nil {
		return fmt.Errorf("index the ids of events %d to %d: %w", from, to-1, err)
	}
	j.ids.runs.Store(run + 1)
	if j.state.Load().oldest < to {
		return nil
	}
	tx = &Tx{} // trimmed meanwhile, before there was anything to delete
	for bucket := range idBuckets {
		tx.ops = append(tx.ops, op{kind: opDelete, key: idKey(byte(bucket), run)})
	}
	_, err = j.Commit(tx)
	return err
}

// own sets one of the journal's own keys.
func (t *Tx) own(key, value []byte) {
	t.ops = append(t.ops, op{kind: opSet, key: key, arg: value})
	t.bytes += len(key) + len(value) + 16
	t.bulk += len(key) + len(value)
}

// byID calls fn with the sequences, ascending, of events from oldest on and in runs before end
// that may have an identity with this hash. The caller must hold the journal open.
func (j *Journal) byID(hash, oldest, end uint64, fn func(at uint64)) error {
	bucket, suffix := byte(hash>>idBucketShift), uint32(hash>>idSuffixShift)
	expected := oldest / j.ids.run
	it, err := j.store.Iterate(idKey(bucket, expected), idKey(bucket, end))
	if err != nil {
		return j.damaged(oldest, end*j.ids.run, err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		run := binary.BigEndian.Uint64(it.Key()[idRunKeyPrefix:])
		value, err := it.ValueAndErr()
		var r *reader
		if err == nil {
			r, err = openRecord(it.Key(), value)
		}
		switch {
		case err != nil:
		case len(r.b)%idEntryBytes != 0:
			err = errDamaged
		case run != expected && j.state.Load().oldest == oldest: // not trimmed meanwhile
			err = errMissing
		}
		if err != nil {
			return j.damaged(expected*j.ids.run, (run+1)*j.ids.run, err)
		}
		expected = run + 1
		at := func(i int) uint32 { return binary.BigEndian.Uint32(r.b[i*idEntryBytes:]) }
		n := len(r.b) / idEntryBytes
		for i := sort.Search(n, func(i int) bool { return at(i) >= suffix }); i < n && at(i) == suffix; i++ {
			sequence := run*j.ids.run + uint64(binary.BigEndian.Uint32(r.b[i*idEntryBytes+4:]))
			if sequence >= oldest {
				fn(sequence)
			}
		}
	}
	err = it.Error()
	if err == nil && expected != end && j.state.Load().oldest == oldest {
		err = errMissing
	}
	return j.damaged(oldest, end*j.ids.run, err)
}

// trimIDs deletes the runs that lie wholly below before, with g.
func (g *group) trimIDs(before uint64) {
	ids := g.j.ids
	first, end := g.state.oldest/ids.run, min(before/ids.run, ids.runs.Load())
	for run := first; run < end; run++ {
		for bucket := range idBuckets {
			g.batch.Delete(idKey(byte(bucket), run))
		}
	}
}
