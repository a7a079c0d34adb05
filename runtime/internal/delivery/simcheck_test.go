package delivery_test

import (
	"errors"
	"fmt"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// check compares the destinations, the accounts and the results of Explain with the truth, once
// everything is at rest.
func (w *world) check() error {
	if err := w.crash(); err != nil { // the end is durable too
		return err
	}
	var events []auditrelay.Event // erased ones as they were
	for at := uint64(1); at < w.journal.Head().Next; {
		some, next, err := w.journal.Read(at, 1<<20, 1<<40)
		erased, ok := errors.AsType[*journal.ErasedError](err)
		if !ok && err != nil {
			return err
		}
		for ; ok && next < erased.To; next++ {
			some = append(some, w.erased[next])
		}
		events, at = append(events, some...), next
	}
	for id, sequence := range w.acked {
		if e := events[sequence-1]; e.ID != id {
			return fmt.Errorf("event %s was acknowledged at sequence %d, where %s is", id, sequence, e.ID)
		}
	}
	for _, l := range w.lanes {
		if err := w.checkLane(l, events); err != nil {
			return fmt.Errorf("%s (%s): %w", l.state.LaneName(), l.origin, err)
		}
	}
	return errors.Join(w.checkEmits(events), w.checkAccepted(events))
}

func (w *world) checkLane(l *simLane, events []auditrelay.Event) error {
	records, tombstones := map[uint64]int{}, map[uint64]int{}
	for _, p := range l.sink.objects {
		for _, line := range l.sink.lines(p) {
			if line.tombstone {
				tombstones[line.sequence]++
			} else {
				records[line.sequence]++
			}
		}
	}
	unbounded := l.machine.State()
	bounded := unbounded
	unbounded.DeadFloor = 0
	listed, err := delivery.DeadLetters(w.journal, &bounded, 0, 0)
	all, err2 := delivery.DeadLetters(w.journal, &unbounded, 0, 0)
	if err = errors.Join(err, err2); err != nil {
		return err
	}
	if len(listed) != len(all) {
		return fmt.Errorf("%d dead letters are listed from %d on, of %d that there are", len(listed), bounded.DeadFloor, len(all))
	}
	receipts := map[uint64]int{}
	var tried delivery.TriedCounts
	err = delivery.Receipts(w.journal, w.codec, l.state, 0, ^uint64(0), func(r delivery.Receipt) error {
		if r.Again {
			return nil
		}
		receipts[r.Sequence]++
		if len(r.Trail) > 0 && r.Trail[0].Digest == newVersion {
			tried.Judged++
			if r.Outcome == auditrelay.DeadLettered || r.Outcome == auditrelay.Discarded {
				tried.Failed++
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("receipts: %w", err)
	}
	// The counts of a rollout match the receipts: each chunk counts exactly once.
	if got := l.state.Tried; len(w.erased) == 0 && l.begin.Replay == nil && tried.Judged > 0 &&
		(got == nil || got.Judged != tried.Judged || got.Failed < tried.Failed || got.Failed > tried.Judged) {
		return fmt.Errorf("counted %+v of a rollout, the receipts say %+v", got, tried)
	}
	log, err := w.readLog(l)
	if err == nil {
		err = errors.Join(w.checkPayloads(l, log), w.checkStated(l, log), w.checkBundles(l))
	}
	if err != nil {
		return err
	}
	var counted delivery.Counts
	assigned := uint64(0)
	ends := delivery.NewExplainer(w.journal, l.state)
	for i := range events {
		e := &events[i]
		_, erased := w.erased[e.Sequence]
		end, err := ends.Explain(e)
		if erased {
			// The lane had finished it, or began after it.
			gone, known := l.gone[e.Sequence]
			if end, err = gone, nil; !known && l.state.Assigned(e) && e.Sequence >= l.start && (l.begin.Replay == nil || e.Sequence < l.begin.Replay.To) {
				end = delivery.Ending{Assigned: true, Outcome: auditrelay.Skipped, Cause: auditrelay.CauseErased}
			}
		}
		if err != nil {
			return fmt.Errorf("explain: %w", err)
		}
		fail := func() error {
			return fmt.Errorf("event %s, sequence %d, by its filter %s: explained as %+v, the destination has %d records and %d tombstones of it",
				e.ID, e.Sequence, fate(l.origin, e.ID), end, records[e.Sequence], tombstones[e.Sequence])
		}
		mine := l.state.Assigned(e) && e.Sequence >= l.start && (l.begin.Replay == nil || e.Sequence < l.begin.Replay.To)
		if end.Assigned != mine && !(l.removed && mine) {
			return fail()
		}
		// An event given up with its callback may never have been judged.
		givenUp := end.Outcome == auditrelay.Skipped && end.Cause == auditrelay.CauseOperator
		if n := receipts[e.Sequence]; erased && n > 0 || !erased && n > 1 || !erased && (n == 1) != end.Assigned && !(n == 0 && givenUp) {
			return fmt.Errorf("%w; it has %d receipts", fail(), n)
		}
		if err := w.checkLog(l, log, e, end); err != nil {
			return fmt.Errorf("%w; %w", fail(), err)
		}
		if !end.Assigned {
			if records[e.Sequence]+tombstones[e.Sequence] > 0 {
				return fail()
			}
			continue
		}
		assigned++
		addOutcome(&counted, end.Outcome)
		if erased && end.Cause == auditrelay.CauseErased {
			continue
		}
		if _, found, err := delivery.FindDeadLetter(w.journal, l.state.ID, e.Sequence); err != nil && !erased || found != (end.Outcome == auditrelay.DeadLettered) {
			return fmt.Errorf("%w; a dead letter is there: %v, %w", fail(), found, err)
		}
		if !l.allowed(end.Outcome, e) || !arrived(end.Outcome, records[e.Sequence], tombstones[e.Sequence], l) {
			return fail()
		}
	}
	a, err := l.machine.Snapshot().Account(w.journal)
	if err != nil {
		return err
	}
	if a.Counts != counted || a.Assigned != assigned {
		return fmt.Errorf("the account says %+v of %d, the events themselves %+v of %d", a.Counts, a.Assigned, counted, assigned)
	}
	return nil
}

func addOutcome(c *delivery.Counts, o auditrelay.Outcome) {
	switch o {
	case auditrelay.Delivered:
		c.Delivered++
	case auditrelay.Filtered:
		c.Filtered++
	case auditrelay.DeadLettered:
		c.DeadLettered++
	case auditrelay.Discarded:
		c.Discarded++
	case auditrelay.Skipped:
		c.Skipped++
	}
}

// allowed reports whether an event may have this outcome, after the acts on the lane.
func (l *simLane) allowed(got auditrelay.Outcome, e *auditrelay.Event) bool {
	want := fate(l.origin, e.ID)
	if want == auditrelay.Delivered && l.sink.bad(e.Sequence) {
		want = auditrelay.DeadLettered
	}
	_, splits := l.opts.Sink.(auditrelay.Splitter)
	switch got {
	case want:
		return true
	case auditrelay.Skipped:
		return l.detached || l.removed
	case auditrelay.DeadLettered:
		// Without Split, the neighbours of an invalid record are dead-lettered too.
		return l.opts.Retain.Then == auditrelay.RetainDeadLetter || l.sink.picky && !l.sink.partial && !splits && want == auditrelay.Delivered
	case auditrelay.Discarded:
		return l.discarded && (want == auditrelay.DeadLettered || l.allowed(auditrelay.DeadLettered, e))
	}
	return false
}

// arrived reports whether the destination has what an event's outcome says: one record, one
// tombstone, or nothing. A dead letter that was delivered later leaves its tombstone.
func arrived(o auditrelay.Outcome, records, tombstones int, l *simLane) bool {
	switch o {
	case auditrelay.Delivered:
		return records == 1 && tombstones <= 1
	case auditrelay.DeadLettered, auditrelay.Discarded:
		// A payload given up with the callback may contain its tombstone. Its record may exist
		// too, if its answer was lost before.
		if l.removed || l.detached {
			return records <= 1 && tombstones <= 1
		}
		// Replayed and then dropped by a filter: the first tombstone stays.
		return records == 0 && tombstones == 1
	case auditrelay.Skipped:
		return records <= 1 && tombstones == 0
	}
	return records == 0 && tombstones <= 1
}

// checkEmits checks that every record emitted for a judged event exists once.
func (w *world) checkEmits(events []auditrelay.Event) error {
	emitted := map[uint64]int{}
	for _, e := range events {
		if e.Emission != nil {
			emitted[e.Emission.Sequence]++
		}
	}
	for id, sequence := range w.acked {
		n := emitted[sequence]
		l := w.lanes[0]
		unjudged := l.detached || l.removed || l.opts.Retain.Then == auditrelay.RetainDeadLetter
		if n > 1 || n == 1 && !emits(id) || n == 0 && emits(id) && !unjudged {
			return fmt.Errorf("event %s, sequence %d: %d records were emitted for it", id, sequence, n)
		}
	}
	return nil
}
