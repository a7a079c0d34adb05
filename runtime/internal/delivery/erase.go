package delivery

import (
	"encoding/json"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// SkipErased skips the events from the cursor up to but not including to. The key of their
// period was destroyed, so nobody can process them. This happens only if the lane started, or
// its replay was requested, after the erasure. It completes the action that requested these
// events.
func (l *Lane) SkipErased(tx *journal.Tx, now time.Time, to uint64) error {
	l.taking, l.deadTaken = false, nil
	l.takeTries, l.takeAfter = 0, time.Time{}
	l.recover(now)
	head := l.journal.Head()
	to = min(to, l.state.end(head.Next))
	if to <= l.state.Cursor {
		return nil
	}
	waiting, err := l.journal.Count(l.state.Cursor, to)
	if err != nil {
		return fmt.Errorf("count the erased events of callback %s: %w", l.state.LaneName(), err)
	}
	if n := l.state.class(waiting.Events, waiting.Emitted); n > 0 {
		record, err := json.Marshal(chunkRecord{From: l.state.Cursor, To: to, At: now, Number: l.state.Number + 1, Skipped: true})
		if err != nil {
			return fmt.Errorf("encode what callback %s passes over: %w", l.state.LaneName(), err)
		}
		tx.SetPlain(journal.ChunkKey(l.state.ID, l.state.Cursor), record)
		l.state.Taken += n
		l.state.Counts.add(auditrelay.Skipped, int64(n))
		l.causes(auditrelay.CauseErased, n)
	}
	if err := l.stateRange(tx, l.state.Cursor, to, auditrelay.Skipped); err != nil {
		return err
	}
	l.state.Cursor, l.state.Bytes = to, bytesAt(head, to)
	l.firstSeen = time.Time{}
	return l.state.put(tx)
}

// Held says what a lane still needs of a period.
type Held struct {
	Waiting uint64 // events without an outcome that are not sealed
	Sealed  bool   // whether there are unsettled payloads or unsent amendments
	Dead    []uint64
}

// Nothing reports whether the lane needs nothing of the period, except possibly its dead
// letters.
func (h *Held) Nothing() bool { return h.Waiting == 0 && !h.Sealed }

// maxHeldDead limits Held.Dead; there may be more.
const maxHeldDead = 100_000

// HoldsOf returns what the lane of s needs of a period. The caller must ensure that no callback
// is configured and no replay starts meanwhile. Then a lane that needs nothing of a period
// never needs it again: its cursor does not go back, and it seals only events after the cursor
// or events counted here. HoldsOf reads in that order, so that it misses nothing that moves on
// meanwhile.
func HoldsOf(j *journal.Journal, s *State, p journal.Period) (Held, error) {
	var h Held
	if !s.Removed {
		from, to := max(s.Cursor, p.From), min(p.To, s.end(j.Head().Next))
		waiting, err := j.Count(from, to)
		if err != nil {
			return h, fmt.Errorf("count the events that wait for callback %s: %w", s.LaneName(), err)
		}
		h.Waiting = s.class(waiting.Events, waiting.Emitted)
		_, sealed, err := j.HeldBy(p.Number, journal.PayloadKey(s.ID, 0), journal.PayloadKey(s.ID, ^uint64(0)))
		if err == nil && !sealed {
			_, sealed, err = j.HeldBy(p.Number, s.amendmentKey(0), s.amendmentKey(^uint64(0)))
		}
		if h.Sealed = sealed; err != nil {
			return h, err
		}
	}
	err := scanDeadLetters(j, s.ID, p.From-1, func(d *deadLetter) error {
		if d.Sequence >= p.To || len(h.Dead) == maxHeldDead {
			return errStop
		}
		if d.Resolved == auditrelay.Pending {
			h.Dead = append(h.Dead, d.Sequence)
		}
		return nil
	})
	if err == errStop {
		err = nil
	}
	return h, err
}
