package delivery

import (
	"auditrelay"
	"auditrelay/internal/proof"
	"auditrelay/runtime/internal/journal"
)

// An attempt that ended without an answer, or whose answer was lost in a crash, may have
// succeeded. As long as its payload is retried that does not matter. When the payload is
// given up or replaced, its log states that it is at the destination with these bytes, or
// not at all: whoever verifies the destination finds nothing there that no leaf tells of.

// stateGivenUp states that the events of a payload are skipped. Those that have a
// tombstone in it, or are dead letters, have their outcome without it. If there was an
// attempt, the payload may have arrived: that is stated too.
func (l *Lane) stateGivenUp(tx *journal.Tx, p *pending) error {
	possible := p.tried(0)
	if p.Proof || (p.Manifest || p.Dead) && !possible {
		return nil
	}
	s, err := l.loadStated(p)
	if err != nil {
		return err
	}
	for i := range s.outcomes {
		o := &s.outcomes[i]
		switch {
		case p.Dead:
			o.Outcome = 0 // it is that of the dead letter
		case o.Delivered == proof.Record:
			o.Outcome = byte(auditrelay.Skipped)
		}
		if !possible {
			o.Delivered, o.Digest = proof.Nothing, proof.Hash{}
		}
	}
	entries := s.entries()[1:]
	if possible {
		entries = s.possible()
	}
	return l.states(tx, max(p.of(), 1), p.Last, entries...)
}

// possible are the leaves of a payload that may have arrived.
func (s *stated) possible() [][]byte {
	s.payload.Flags |= proof.FlagPossible
	for i := range s.outcomes {
		o := &s.outcomes[i]
		o.Delivered = proof.Possible(o.Delivered)
	}
	return s.entries()
}

// stateEarlier states of a refused payload that an earlier attempt may have succeeded.
func (l *Lane) stateEarlier(tx *journal.Tx, p *pending) error {
	if p.Proof || !p.tried(1) {
		return nil
	}
	s, err := l.loadStated(p)
	if err != nil {
		return err
	}
	for i := range s.outcomes {
		s.outcomes[i].Outcome = 0 // what takes the payload's place says it
	}
	return l.states(tx, max(p.of(), 1), p.Last, s.possible()...)
}
