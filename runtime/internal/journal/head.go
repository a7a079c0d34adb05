package journal

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Head is how far the journal has come.
type Head struct {
	Next    uint64            // the next sequence to be assigned; the first is 1
	Bytes   uint64            // of events' Data, ever appended
	Events  uint64            // ever accepted
	Emitted map[string]uint64 // records emitted, ever, by target; not to be modified
}

// state is what every commit carries forward. It is written with each commit
// under one key, and published to readers once the commit is durable. A state is
// immutable.
type state struct {
	commits  uint64 // ever
	next     uint64
	oldest   uint64
	bytes    uint64
	received int64 // of the newest event, Unix ns
	emitted  map[string]uint64
}

// anchor is the state as an anchor tells it.
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
