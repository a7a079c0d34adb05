package journal

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Head is the progress of the journal.
type Head struct {
	Next    uint64            // the next sequence; the first is 1
	Bytes   uint64            // size of the Data of all events ever appended
	Events  uint64            // number of events ever accepted
	Emitted map[string]uint64 // number of records ever emitted, by target; must not be modified
}

// state is the state that every commit carries forward. Each commit writes it under one key.
// Readers see it once the commit is durable. A state is immutable.
type state struct {
	commits  uint64 // number of commits ever
	next     uint64
	oldest   uint64
	bytes    uint64
	received int64 // time of the newest event, in Unix ns
	emitted  map[string]uint64
}

// anchor returns the part of the state that the anchor stores.
func (s *state) anchor() *anchor {
	return &anchor{next: s.next, commits: s.commits, received: s.received}
}

const headVersion = 1

func (s *state) record() []byte {
	b := []byte{headVersion}
	for _, v := range []uint64{s.commits, s.next, s.oldest, s.bytes, uint64(s.received)} {
		b = binary.AppendUvarint(b, v)
	}
	b = binary.AppendUvarint(b, uint64(len(s.emitted)))
	for _, target := range slices.Sorted(maps.Keys(s.emitted)) {
		b = appendString(b, target)
		b = binary.AppendUvarint(b, s.emitted[target])
	}
	return sealRecord(keyHead, b)
}

func decodeState(record []byte) (*state, error) {
	r, err := openRecord(keyHead, record)
	if err != nil {
		return nil, err
	}
	if r.byte() != headVersion {
		r.fail()
	}
	s := &state{commits: r.uvarint(), next: r.uvarint(), oldest: r.uvarint(), bytes: r.uvarint(), received: int64(r.uvarint())}
	n := r.uvarint()
	if n > 0 {
		s.emitted = map[string]uint64{}
	}
	for ; n > 0 && r.err == nil; n-- {
		target := string(r.bytes())
		s.emitted[target] = r.uvarint()
	}
	if r.err != nil || len(r.b) > 0 || s.oldest == 0 || s.oldest > s.next {
		return nil, errDamaged
	}
	return s, nil
}
