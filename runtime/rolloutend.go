package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"auditrelay"
)

// The end of a rollout: promotion, or rollback by a user or by the relay.

// TakenBackError says that a user rolled a rollout back, but the journal could not record it. RollBack
// returns it. The new version processes no more events, and the relay retries the record while the process
// runs. Keep ID and By. For a rollout with that ID, return the error from Options.OpenRollout, so that the
// next start ends the rollout too.
type TakenBackError struct {
	ID, By string
	Err    error // why the journal could not record it
}

func (e *TakenBackError) Error() string {
	return fmt.Sprintf("taken back by %s, which is not recorded yet: %v", e.By, e.Err)
}

func (e *TakenBackError) Unwrap() error { return e.Err }

// RollBack ends a rollout: from now on the version in force processes all events. Errors: ErrNoRollout;
// ErrChanged; *TakenBackError; ErrClosed.
func (r *Runtime) RollBack(_ context.Context, filter string, by By) (RolloutStatus, error) {
	o, err := r.rolloutOf(filter, by)
	if err != nil {
		return RolloutStatus{}, err
	}
	o.off.Store(true)
	why := "by " + orNobody(by)
	err = r.stopRollout(o, RolloutRolledBack, why, by)
	switch {
	case err == nil:
		return r.LastRollout()
	case errors.Is(err, ErrNoRollout) || r.ctx.Err() != nil:
		return RolloutStatus{}, err
	}
	r.endLater(o, RolloutRolledBack, why, by)
	return RolloutStatus{}, &TakenBackError{ID: o.ID, By: orNobody(by), Err: err}
}

// Promote calls use, which must put the rollout's version in force, and ends the rollout if use succeeds.
// If the process ends between the two, the rollout's version is in force and the rollout is still open:
// Options.OpenRollout must then return ErrRolloutInForce. Errors: those of use; ErrNoRollout; ErrChanged;
// those of Record.
func (r *Runtime) Promote(_ context.Context, filter string, by By, use func(Rollout) error) (RolloutStatus, error) {
	o, err := r.rolloutOf(filter, by)
	if err != nil {
		return RolloutStatus{}, err
	}
	if !r.beginPromotion(o) {
		return RolloutStatus{}, fmt.Errorf("filter %s: it is being ended: %w", filter, ErrNoRollout)
	}
	if err := use(o.Rollout); err != nil {
		o.promoting.Store(false)
		if o.off.Swap(false) {
			o.rollBack("it failed while it was to be promoted")
		}
		return RolloutStatus{}, err
	}
	if err := r.stopRollout(o, RolloutPromoted, "", by); err != nil {
		if r.ctx.Err() == nil { // the version is in force, so only a promotion may be recorded
			r.endLater(o, RolloutPromoted, "", by)
		}
		return RolloutStatus{}, fmt.Errorf("the version is in force; that is not recorded yet: %w", err)
	}
	return r.LastRollout()
}

// beginPromotion reports whether this call promotes o. From then on nothing rolls o back; see endRollout.
func (r *Runtime) beginPromotion(o *rollout) bool {
	r.applying.Lock()
	defer r.applying.Unlock()
	return r.rollout.Load() == o && !o.off.Load() && !o.promoting.Swap(true)
}

func (r *Runtime) rolloutOf(filter string, by By) (*rollout, error) {
	o := r.rollout.Load()
	if o == nil || o.Filter != filter {
		return nil, fmt.Errorf("filter %.64q: %w", filter, ErrNoRollout)
	}
	if err := by.Check(o.ID); err != nil {
		return nil, fmt.Errorf("rollout of filter %s: %w", filter, err)
	}
	return o, nil
}

// endLater starts endSoon unless it is already running. Otherwise each failing call would start another
// one.
func (r *Runtime) endLater(o *rollout, state RolloutState, why string, by By) {
	if o.ending.Swap(true) {
		return
	}
	r.wg.Go(func() {
		defer o.ending.Store(false)
		r.endSoon(o, state, why, by)
	})
}

// endSoon ends a rollout as soon as the journal can record it. It does not wait for r.applying as other
// code does, since the holder may wait for this goroutine in Close. If the process ends first, the next
// start finds the rollout again.
func (r *Runtime) endSoon(o *rollout, state RolloutState, why string, by By) {
	for pause, told := time.Duration(0), false; ; pause = min(max(2*pause, 10*time.Millisecond), 10*time.Second) {
		select {
		case <-time.After(pause):
		case <-r.ctx.Done():
			return
		}
		if !r.applying.TryLock() {
			pause = 0
			continue
		}
		err := r.endRollout(o, state, why, by)
		r.applying.Unlock()
		if err == nil || errors.Is(err, ErrNoRollout) {
			return
		}
		if !told {
			r.log.Error("the end of a rollout could not be recorded; it is tried again", "filter", o.Filter, "error", err)
			told = true
		}
	}
}

// stopRollout is endRollout for a caller that does not hold r.applying.
func (r *Runtime) stopRollout(o *rollout, state RolloutState, why string, by By) error {
	r.applying.Lock()
	defer r.applying.Unlock()
	return r.endRollout(o, state, why, by)
}

// endRollout records the end of a rollout and removes it from the callbacks. The caller must hold
// r.applying.
func (r *Runtime) endRollout(o *rollout, state RolloutState, why string, by By) error {
	if r.rollout.Load() != o {
		return fmt.Errorf("filter %s: %w", o.Filter, ErrNoRollout)
	}
	if state == RolloutRolledBack && o.promoting.Load() {
		return fmt.Errorf("filter %s: its version is being put in force: %w", o.Filter, ErrNoRollout)
	}
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	ended := o.Rollout
	ended.State, ended.Ended, ended.EndedBy, ended.Why = state, time.Now().UTC(), by.Principal, why
	act := "promote"
	if state == RolloutRolledBack {
		act = "roll back"
	}
	status, err := r.rolloutStatus(&ended)
	if err != nil {
		return err
	}
	type account struct {
		Rollout
		Counts []RolloutCount `json:"counts"`
	}
	change := Change{By: by, Act: act, Action: auditrelay.ActionUpdated, Table: TableRollout, Object: o.Filter, After: account{ended.recorded(), status.Counts}, MakesRoom: true}
	if err := r.putRollout(&ended, change); err != nil {
		return err
	}
	r.rollout.Store(nil)
	for name := range o.From {
		if c := r.callbackNamed(name); c != nil {
			c.judging.Lock()
			c.judge.endTrial(o)
			c.judging.Unlock()
		}
	}
	if err := o.filter.Close(); err != nil {
		r.log.Warn("closing the version of a rollout that has ended", "filter", o.Filter, "error", err)
	}
	for name := range o.From {
		r.Retry(name)
	}
	r.log.Info("a rollout has ended", "filter", o.Filter, "version", o.Digest, "state", state, "why", why, "by", by.Principal)
	return nil
}
