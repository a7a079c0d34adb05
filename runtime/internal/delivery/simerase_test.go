package delivery_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// shown counts what histories covered: erased periods, and replays across them.
type shown struct{ erased, skipped atomic.Int64 }

func (s *shown) add(w *world) {
	s.erased.Add(int64(w.erasures))
	for _, l := range w.lanes {
		s.skipped.Add(int64(l.machine.State().Causes[auditrelay.CauseErased]))
	}
}

// enough fails the test if n histories erased too little.
func (s *shown) enough(t *testing.T, n int) {
	erased, skipped := s.erased.Load(), s.skipped.Load()
	if t.Logf("%d periods erased, %d events skipped for that", erased, skipped); n >= 100 && (erased < int64(n)/6 || skipped == 0) {
		t.Errorf("%d histories: too few for them to show anything", n)
	}
}

// erase destroys a period that no lane needs. If only dead letters need it, it discards them
// first. It remembers the outcomes of the period's events.
func (w *world) erase() error {
	periods := w.journal.Periods()
	if len(periods) < 2 {
		return nil
	}
	p := periods[w.random.IntN(len(periods)-1)]
	if p.Erased() {
		return nil
	}
	for _, l := range w.lanes {
		s := l.machine.State()
		held, err := delivery.HoldsOf(w.journal, &s, p)
		if err != nil || !held.Nothing() {
			return err
		}
		if len(held.Dead) == 0 {
			continue
		}
		l.discarded = true
		if err := w.commit(l, func(tx *journal.Tx) error {
			_, _, err := l.machine.DiscardDead(tx, w.now, "sim", held.Dead, 0)
			return err
		}); err != nil {
			return err
		}
		s = l.machine.State()
		if held, err = delivery.HoldsOf(w.journal, &s, p); err != nil || len(held.Dead) > 0 {
			return err // they are in flight
		}
	}
	for at := p.From; at < p.To; at++ {
		e, err := w.journal.Event(at)
		if err != nil {
			return err
		}
		w.erased[at] = e
		for _, l := range w.lanes {
			s := l.machine.State()
			end, err := delivery.Explain(w.journal, &s, &e)
			if err != nil {
				return err
			}
			if end.Outcome == auditrelay.Pending && end.Assigned {
				return fmt.Errorf("%s holds nothing of period %d, but event %d is pending", s.LaneName(), p.Number, at)
			}
			l.gone[at] = end
		}
	}
	w.logf("erase period %d, [%d, %d)", p.Number, p.From, p.To)
	w.erasures++
	_, err := w.journal.Destroy(p.Number)
	return errors.Join(err, w.balanced())
}

// eraseAndGoOn waits until everything is at rest, so that periods can be erased, erases some,
// and continues with replays across them, crashes, and everything else.
func (w *world) eraseAndGoOn() error {
	w.faults = false
	if err := w.quiesce(); err != nil {
		return err
	}
	w.faults = true
	for range 1 + w.random.IntN(4) {
		if err := w.erase(); err != nil {
			return err
		}
	}
	for range 20 + w.random.IntN(20) {
		var err error
		switch w.random.IntN(6) {
		case 0:
			err = w.replay(w.lanes[0])
		default:
			err = w.step()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
