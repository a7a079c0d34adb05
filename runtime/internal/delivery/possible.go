package delivery

import (
	"auditrelay"
	"auditrelay/internal/proof"
	"auditrelay/runtime/internal/journal"
)

// An attempt without a response may have succeeded, and so may one whose response was lost in a
// crash. This does not matter while the payload is retried. When the payload is given up or
// replaced, the log states that the destination has exactly these bytes or nothing. So every
// object at the destination has a leaf in the log.

// stateGivenUp states that the events of a payload are skipped. Events with a tombstone in the
// payload and dead letters have a separate outcome. If there was an attempt, stateGivenUp also
// states that the payload may have arrived.
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
			o.Outcome = 0 // the dead letter has the outcome
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

// possible returns the leaves of a payload that may have arrived.
func (s *stated) possible() [][]byte {
	s.payload.Flags |= proof.FlagPossible
	for i := range s.outcomes {
		o := &s.outcomes[i]
		o.Delivered = proof.Possible(o.Delivered)
	}
	return s.entries()
}

// stateEarlier states that an earlier attempt of a rejected payload may have succeeded.
func (l *Lane) stateEarlier(tx *journal.Tx, p *pending) error {
	if p.Proof || !p.tried(1) {
		return nil
	}
	s, err := l.loadStated(p)
	if err != nil {
		return err
	}
	for i := range s.outcomes {
		s.outcomes[i].Outcome = 0 // the payload's replacement states the outcome
	}
	return l.states(tx, max(p.of(), 1), p.Last, s.possible()...)
}
