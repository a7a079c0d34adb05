package journaltest

import (
	"fmt"
	"slices"
	"testing"

	"auditrelay/internal/proof"
	"auditrelay/runtime/internal/journal"
)

// stating adds writes to a log as a lane does: most state the outcomes of a chunk of five
// events, some that of one event of long ago, a few those of events here and there.
type stating struct {
	t       *testing.T
	j       *journal.Journal
	tree    *journal.Tree
	chunks  int
	leaves  uint64
	indexes map[uint64][]uint64 // of the outcomes, by sequence
}

func (s *stating) open() {
	var err error
	if s.tree, err = s.j.OpenTree("log"); err != nil {
		s.t.Fatal(err)
	}
}

// add adds more chunks of events, and what is stated of them.
func (s *stating) add(chunks int) {
	s.t.Helper()
	for to := s.chunks + chunks; s.chunks < to; {
		tx := new(journal.Tx)
		for range min(10, to-s.chunks) {
			first := uint64(5*s.chunks) + 1
			var sequences []uint64
			for k := range uint64(5) {
				tx.Append(event(fmt.Sprint(first+k), `{}`))
				sequences = append(sequences, first+k)
			}
			s.write(tx, sequences...)
			if s.chunks%7 == 3 {
				s.write(tx, first/2)
			}
			if s.chunks%50 == 49 {
				s.write(tx, 3, first/3, first)
			}
			s.chunks++
		}
		commit(s.t, s.j, tx)
	}
}

func (s *stating) write(tx *journal.Tx, sequences ...uint64) {
	entries := [][]byte{proof.Payload{Number: s.leaves, Records: uint32(len(sequences))}.Append(nil)}
	for i, sequence := range sequences {
		s.indexes[sequence] = append(s.indexes[sequence], s.leaves+1+uint64(i))
		entries = append(entries, proof.Outcome{Outcome: 1, Sequence: sequence}.Append(nil))
	}
	s.leaves += uint64(len(entries))
	if at := journal.StatementKey("lane", s.leaves); s.leaves%3 == 0 {
		tx.SetPlain(at, proof.AppendEntries(nil, entries...))
		s.tree.AppendStated(tx, 0, at, entries...)
	} else {
		s.tree.Append(tx, 0, 0, entries...)
	}
}

// look finds an event's outcomes, and returns how many values that read.
func (s *stating) look(sequence uint64) uint64 {
	s.t.Helper()
	var found []uint64
	before := s.j.Scanned()
	if err := s.j.Outcomes(s.t.Context(), "log", sequence, func(index uint64, o proof.Outcome) error {
		if o.Sequence != sequence {
			return fmt.Errorf("an outcome of %d", o.Sequence)
		}
		found = append(found, index)
		return nil
	}); err != nil || !slices.Equal(found, s.indexes[sequence]) {
		s.t.Errorf("of %d leaves those at %d tell of event %d, found are %d: %v", s.leaves, s.indexes[sequence], sequence, found, err)
	}
	return s.j.Scanned() - before
}

// outcomes: those of one event are found by reading as little of a long log as of a short
// one, also after a reopening.
func outcomes(t *testing.T, p Place) {
	s := &stating{t: t, j: open(t, p, journal.Options{}), indexes: map[uint64][]uint64{}}
	s.open()
	for _, chunks := range []int{100, 300, 1200} {
		s.add(chunks)
		last := uint64(5 * s.chunks)
		for _, sequence := range []uint64{1, 2, 6, 256, last / 3, last / 2, last - 1, last} {
			if read := s.look(sequence); read > 150 {
				t.Errorf("of %d leaves %d values were read for the outcomes of event %d", s.leaves, read, sequence)
			}
		}
		s.look(3)
		s.look(last + 1)
		s.j = reopen(t, s.j, p, journal.Options{})
		s.open()
	}
}

// outcomesOfEarlier: those are found that a program wrote which leaves no spans, at first
// and between.
func outcomesOfEarlier(t *testing.T, p Place) {
	s := &stating{t: t, j: open(t, p, journal.Options{}), indexes: map[uint64][]uint64{}}
	s.open()
	all := func() {
		t.Helper()
		for sequence := range uint64(5*s.chunks) + 2 {
			s.look(sequence)
		}
	}
	earlier := func(chunks int) { // changes nothing of what there was under KindSpan
		t.Helper()
		kept := map[string][]byte{}
		from, to := journal.All(journal.KindSpan)
		each := func(fn func(k journal.Key, v []byte)) {
			t.Helper()
			if err := s.j.Scan(from, to, func(k journal.Key, v []byte) error {
				fn(slices.Clone(k), slices.Clone(v))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		each(func(k journal.Key, v []byte) { kept[string(k)] = v })
		s.add(chunks)
		tx := new(journal.Tx)
		each(func(k journal.Key, _ []byte) { tx.Delete(k) })
		commit(t, s.j, tx)
		tx = new(journal.Tx)
		for k, v := range kept {
			tx.Set(journal.Key(k), v)
		}
		if !tx.Empty() {
			commit(t, s.j, tx)
		}
		s.open()
	}
	earlier(20)
	all()
	s.add(20)
	all()
	earlier(10)
	all()
	s.add(20)
	all()
	tx := new(journal.Tx)
	if err := s.j.PruneEntries(tx, "log", 1, s.leaves); err != nil { // all: the test tells of no sequence
		t.Fatal(err)
	}
	commit(t, s.j, tx)
	s.indexes = nil
	all()
}
