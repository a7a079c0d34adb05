package runtime

import (
	"errors"
	"time"

	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// maintainEvery is the interval between maintenance runs.
const maintainEvery = 10 * time.Second

// maintain applies retention and checks the accounts against each other.
func (r *Runtime) maintain() {
	ticker := time.NewTicker(maintainEvery)
	defer ticker.Stop()
	unbalanced, warned := map[string]bool{}, map[string]bool{}
	for {
		select {
		case <-ticker.C:
		case <-r.ctx.Done():
			return
		}
		r.signAccepted(false)
		_ = r.Ready() // logs a change even if nobody calls Submit or Ready
		if err := r.trim(time.Now()); err != nil && r.ctx.Err() == nil {
			r.log.Error("apply the journal's retention", "error", err)
		}
		r.audit(unbalanced)
		r.closeApprovals()
		r.warnOfAge(warned)
	}
}

// warnOfAge logs once, and again when it is over, that pending events approach the maximum age of their
// destination.
func (r *Runtime) warnOfAge(warned map[string]bool) {
	all, err := r.Callbacks()
	if err != nil {
		return // the journal's failure is reported elsewhere
	}
	for i := range all {
		s := &all[i]
		name := s.Name
		if s.Replay != "" {
			name += "@" + s.Replay
		}
		switch {
		case s.Expiring && !warned[name]:
			r.log.Warn("pending events come close to the destination's age limit", "callback", name, "oldest", s.Oldest, "age", s.Lag.Round(time.Second), "max_age", s.MaxAge, "pending", s.Account.Pending)
		case !s.Expiring && warned[name]:
			r.log.Info("no pending event is close to the destination's age limit any more", "callback", name)
		}
		if s.Expiring {
			warned[name] = true
		} else {
			delete(warned, name)
		}
	}
}

// audit logs each unbalanced account once.
func (r *Runtime) audit(logged map[string]bool) {
	r.mu.Lock()
	snapshots := map[string]*delivery.Snapshot{}
	for name, p := range r.pumps {
		snapshots[name] = p.seen.Load()
	}
	r.mu.Unlock()
	for name, s := range snapshots {
		account, err := s.Account(r.journal)
		if err == nil {
			err = account.Check()
		}
		if err != nil && !logged[name] && r.ctx.Err() == nil {
			r.log.Error("a callback's account does not balance", "callback", name, "error", err)
		}
		logged[name] = err != nil
	}
}

// trim removes events that retention does not keep and no callback needs.
func (r *Runtime) trim(now time.Time) error {
	// A replay or callback in creation does not protect its events yet. Skip this run.
	if !r.applying.TryLock() {
		return nil
	}
	defer r.applying.Unlock()
	before := uint64(0)
	if r.retention.Age > 0 {
		before = r.journal.SeekTime(now.Add(-r.retention.Age))
	}
	head, oldest := r.journal.Head(), r.journal.Oldest()
	if limit := int64(r.retention.Bytes); limit > 0 && head.Next > oldest {
		// An estimate suffices, since events have similar sizes and each run repeats it.
		held := int64(float64(head.Bytes) / float64(head.Next-1) * float64(head.Next-oldest))
		if held > limit {
			share := float64(held-limit) / float64(held)
			before = max(before, oldest+uint64(share*float64(head.Next-oldest)))
		}
	}
	states, err := delivery.States(r.journal)
	if err != nil {
		return err
	}
	before = min(before, head.Next)
	r.mu.Lock()
	for _, p := range r.pumps {
		if s := p.seen.Load(); !s.Done {
			before = min(before, s.Floor)
		}
	}
	r.mu.Unlock()
	if before <= oldest {
		return r.forgetPeriods()
	}
	var errs []error
	for _, s := range states {
		tx := new(journal.Tx)
		if err := delivery.Prune(r.journal, tx, s, before); err != nil {
			errs = append(errs, err)
			continue
		}
		if !tx.Empty() {
			_, err := r.journal.Commit(tx)
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := errors.Join(r.journal.Trim(before), r.texts.forget(states)); err != nil {
		return err
	}
	return r.forgetPeriods()
}
