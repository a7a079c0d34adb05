package delivery_test

import (
	"errors"
	"fmt"

	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// operate performs a random act of an operator.
func (w *world) operate() error {
	l := w.lanes[w.random.IntN(len(w.lanes))]
	if len(w.encryption.Key) > 0 && w.random.IntN(3) == 0 {
		return w.erase()
	}
	switch w.random.IntN(10) {
	case 0:
		return w.commit(l, func(tx *journal.Tx) error {
			_, _, err := l.machine.ReplayDead(tx, "sim", nil, 0)
			return err
		})
	case 1:
		l.discarded = true
		return w.commit(l, func(tx *journal.Tx) error {
			_, _, err := l.machine.DiscardDead(tx, w.now, "sim", nil, uint64(w.random.IntN(20)))
			return err
		})
	case 2:
		if w.random.IntN(3) > 0 {
			return nil
		}
		l.detached = true
		return w.commit(l, func(tx *journal.Tx) error { return l.machine.SetDetached(tx, w.now, "sim") })
	case 3, 4:
		return w.commit(l, func(tx *journal.Tx) error { return l.machine.SetDetached(tx, w.now, "") })
	case 5:
		w.rolledBack = w.rolledBack || w.random.IntN(8) == 0
		return w.reconfigure(l)
	case 6:
		return w.replay(l)
	case 7:
		return w.commit(l, func(tx *journal.Tx) error { return l.machine.SetPaused(tx, w.now, "sim") })
	default:
		return w.commit(l, func(tx *journal.Tx) error { return l.machine.SetPaused(tx, w.now, "") })
	}
}

// reconfigure renames a lane, or removes it and creates its name again.
func (w *world) reconfigure(l *simLane) error {
	if l.begin.Replay != nil || w.random.IntN(2) == 0 {
		return nil
	}
	change := func(fn func(tx *journal.Tx, s *delivery.State) error) error {
		s, err := delivery.LoadState(w.journal, l.name)
		if err != nil {
			return err
		}
		tx := new(journal.Tx)
		if err := fn(tx, s); err != nil {
			return err
		}
		_, err = w.journal.Commit(tx)
		return err
	}
	if w.random.IntN(2) == 0 && l.origin != alertsName {
		w.logf("rename %s", l.name)
		name := l.name + "x"
		if err := change(func(tx *journal.Tx, s *delivery.State) error {
			return s.Rename(w.journal, tx, name, s.Receives, "")
		}); err != nil {
			return err
		}
		l.name = name
		return w.openLane(l)
	}
	w.logf("remove %s and make it again", l.name)
	l.removed = true
	if err := change(func(tx *journal.Tx, s *delivery.State) error {
		return delivery.RemoveLane(w.journal, tx, s, w.now)
	}); err != nil {
		return err
	}
	if w.random.IntN(2) == 0 {
		if err := w.submit(); err != nil {
			return err
		}
	}
	start := w.journal.Head().Next
	if w.random.IntN(2) == 0 {
		start = 1
	}
	if err := change(func(tx *journal.Tx, s *delivery.State) error {
		return s.Revive(w.journal, tx, start, s.Receives, "", w.now)
	}); err != nil {
		return err
	}
	return errors.Join(w.openLane(l), w.balanced())
}

// replay starts a lane beside l that replays a part of the journal to its own destination.
func (w *world) replay(l *simLane) error {
	head := w.journal.Head().Next
	if w.replays == 2 || l.begin.Replay != nil || l.origin == alertsName || head < 3 {
		return nil
	}
	w.replays++
	again := w.newLane(l.name)
	again.origin = l.origin
	again.start = 1 + w.random.Uint64N(head-1)
	again.begin.Replay = &delivery.Replay{ID: fmt.Sprint("r", w.replays), To: again.start + w.random.Uint64N(head-again.start+1)}
	w.lanes = append(w.lanes, again)
	w.logf("replay of %s from %d to %d", l.name, again.start, again.begin.Replay.To)
	return w.openLane(again)
}
