package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// RemovalError reports a callback that the journal knows, but that is neither configured nor listed as
// removed. Without this error, the callback would silently miss all new events. The text explains how to
// decide.
type RemovalError struct {
	Callback string
	Pending  uint64 // number of pending events
	Dead     uint64 // number of dead letters
}

func (e *RemovalError) Error() string {
	return fmt.Sprintf("callback %s is no longer configured (it holds %d pending events and %d dead letters): "+
		"configure it again, or give its name as another callback's renamed_from, or list it under removed to give up its pending events (dead letters stay until they are discarded)",
		e.Callback, e.Pending, e.Dead)
}

// NewCallbackError reports a callback of Options.Known that the journal does not know.
type NewCallbackError struct{ Callback string }

func (e *NewCallbackError) Error() string {
	return fmt.Sprintf("callback %s has delivered nothing from this data directory", e.Callback)
}

// known returns a *NewCallbackError for a name that no callback has or had, unless a configured callback is
// renamed from it.
func (r *Runtime) known(names []string) error {
	if len(names) == 0 {
		return nil
	}
	states, err := delivery.States(r.journal)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.ContainsFunc(states, func(s *delivery.State) bool { return s.Replay == nil && s.Callback == name }) {
			return &NewCallbackError{name}
		}
	}
	return nil
}

// Apply replaces the configured callbacks of a running runtime. If Apply returns an error, nothing has
// changed.
//
// A callback with an unchanged Digest continues, and Apply closes the new sink and filters that were made
// for it. If the running sink is an auditrelay.Refresher, it reads its credentials again and retries failed
// work at once. Every other callback stops between two steps and continues from its durable state.
//
// The runtime owns the sinks and filters of callbacks from the call on, also if Apply fails. removed has
// the meaning of Options.Removed. The write that puts the callbacks in force also records changes.
func (r *Runtime) Apply(ctx context.Context, callbacks []Callback, removed []string, changes ...Change) error {
	r.applying.Lock()
	defer r.applying.Unlock()
	if r.ctx.Err() != nil {
		return errors.Join(ErrClosed, r.closeUnused(callbacks))
	}
	if err := r.apply(callbacks, removed, changes); err != nil {
		return errors.Join(err, r.closeUnused(callbacks))
	}
	r.blocking()
	return nil
}

// Begins returns, for each named callback, the first sequence that its filters may process with the current
// configuration. Apply stops all changed callbacks before it starts the first of them again. The result
// omits names that are not callbacks.
func (r *Runtime) Begins(callbacks []string) map[string]uint64 {
	from := map[string]uint64{}
	for _, name := range callbacks {
		if c := r.callbackNamed(name); c != nil {
			from[name] = c.begins
		}
	}
	return from
}

func (r *Runtime) apply(callbacks []Callback, removed []string, changes []Change) error {
	if err := errors.Join(check(callbacks), r.checkControl(callbacks)); err != nil {
		return err
	}
	states, err := delivery.States(r.journal)
	if err != nil {
		return err
	}
	plan, err := r.plan(states, callbacks, removed)
	if err != nil {
		return err
	}

	// Callbacks stop here. Only the journal can fail after this point.
	keep, stopped := r.stopAllBut(plan.keep)
	r.lastProofs(stopped, plan.removed)
	err = plan.commit(r.journal, time.Now(), changes)
	if err != nil {
		return errors.Join(err, r.revive(stopped))
	}
	if !r.memorySet {
		r.memory.resize(memoryFor(callbacks))
	}
	on, inForce := r.rolloutUnder(callbacks)
	old := map[string]*callback{}
	for _, c := range r.callbacks {
		old[c.Name] = c
	}
	next := make([]*callback, 0, len(callbacks))
	var fresh []*pump
	var spare []Callback
	for i := range callbacks {
		if name := callbacks[i].Name; plan.keep[name] {
			next = append(next, old[name])
			spare = append(spare, callbacks[i])
			delete(old, name)
			continue
		}
		c := r.newCallback(callbacks[i])
		if on != nil && c.step(on.Filter) >= 0 {
			on.attach(c)
		}
		next = append(next, c)
		started, err := r.pumpsOf(c)
		if err != nil {
			for _, c := range next {
				if !plan.keep[c.Name] {
					c.close(r)
				}
			}
			return errors.Join(err, r.revive(stopped))
		}
		fresh = append(fresh, started...)
	}
	for _, c := range next {
		if !plan.keep[c.Name] {
			r.retain(c.Callback)
		}
	}
	r.mu.Lock()
	keep = slices.DeleteFunc(keep, func(p *pump) bool { return r.pumps[p.name] != p }) // replays that ended meanwhile
	pumps, lanes := map[string]*pump{}, map[string]bool{}
	for _, p := range append(keep, fresh...) {
		pumps[p.name], lanes[p.laneID] = p, true
	}
	r.callbacks, r.pumps = next, pumps
	maps.DeleteFunc(r.histories, func(lane string, _ *attempts) bool { return !lanes[lane] })
	r.mu.Unlock()
	inForce()
	r.replace(old, spare, fresh)
	r.refreshKept(keep)
	return nil
}

// replace closes the old parts and then starts the new ones. It must close the old parts first: a sink may
// lock its destination, for example a file that it appends to.
func (r *Runtime) replace(old map[string]*callback, spare []Callback, fresh []*pump) {
	var errs []error
	for _, c := range old {
		c.close(r)
		errs = append(errs, r.release(c.Callback))
	}
	errs = append(errs, r.closeUnused(spare))
	for _, p := range fresh {
		p.start()
	}
	if err := errors.Join(errs...); err != nil {
		r.log.Warn("closing the former sink and filters of a changed callback", "error", err)
	}
}

// refreshKept makes unchanged callbacks read their credentials again, since operators reload after they
// change credentials.
func (r *Runtime) refreshKept(keep []*pump) {
	for _, p := range keep {
		if p.callback.refresh() {
			// The goroutine ends with the pump or the runtime.
			go func() {
				_ = p.do(r.ctx, func(m *delivery.Lane, _ *journal.Tx, _ time.Time) error { m.Retry(); return nil })
			}()
		}
	}
}

// stopAllBut stops the pumps of all callbacks but those in keep.
func (r *Runtime) stopAllBut(keep map[string]bool) (kept, stopped []*pump) {
	r.mu.Lock()
	for _, p := range r.pumps {
		if keep[p.callback.Name] {
			kept = append(kept, p)
		} else {
			stopped = append(stopped, p)
		}
	}
	r.mu.Unlock()
	for _, p := range stopped {
		p.stop()
	}
	return kept, stopped
}

// revive starts new pumps for the callbacks that a failed Apply stopped.
func (r *Runtime) revive(stopped []*pump) error {
	var errs []error
	for _, p := range stopped {
		s, err := delivery.LoadState(r.journal, p.name)
		if err != nil || s == nil {
			errs = append(errs, fmt.Errorf("start callback %s again: %w", p.name, err))
			continue
		}
		again, err := r.newPump(p.callback, s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r.mu.Lock()
		r.pumps[again.name] = again
		r.mu.Unlock()
		again.start()
	}
	return errors.Join(errs...)
}

// pumpsOf creates the pumps of a callback: one for its lane, and one for each unfinished replay.
func (r *Runtime) pumpsOf(c *callback) ([]*pump, error) {
	states, err := delivery.States(r.journal)
	if err != nil {
		return nil, err
	}
	var pumps []*pump
	for _, s := range states {
		if s.Callback != c.Name || s.Removed {
			continue
		}
		p, err := r.newPump(c, s)
		if err != nil {
			return nil, err
		}
		if s.Replay == nil {
			c.begins = s.Cursor
		}
		if s.Replay == nil || !p.seen.Load().Done {
			pumps = append(pumps, p)
		}
	}
	return pumps, nil
}

// plan lists the changes that Apply writes in one transaction.
type plan struct {
	keep    map[string]bool // callbacks that continue without interruption
	ops     []operation
	removed []Change // own records of callbacks that are given up; By is not set yet
}

// operation changes lanes in tx.
type operation func(j *journal.Journal, tx *journal.Tx, now time.Time) error

func (p *plan) commit(j *journal.Journal, now time.Time, changes []Change) error {
	tx := new(journal.Tx)
	for _, op := range p.ops {
		if err := op(j, tx, now); err != nil {
			return err
		}
	}
	by := By{Principal: "config file"}
	if len(changes) > 0 {
		by = changes[0].By
	}
	for _, c := range p.removed {
		c.By = by
		changes = append(changes[:len(changes):len(changes)], c)
	}
	for i := range changes {
		if err := changes[i].append(tx); err != nil {
			return err
		}
	}
	if tx.Empty() {
		return nil
	}
	_, err := j.Commit(tx)
	return err
}

// plan compares the durable state with the configuration. It changes nothing.
func (r *Runtime) plan(states []*delivery.State, callbacks []Callback, removed []string) (*plan, error) {
	p := &plan{keep: map[string]bool{}}
	known, former := map[string]*delivery.State{}, map[string]*delivery.State{}
	for _, s := range states {
		switch {
		case s.Replay != nil:
		case s.Removed:
			former[s.Callback] = s
		default:
			known[s.Callback] = s
		}
	}
	running := map[string]string{}
	for _, c := range r.callbacks {
		running[c.Name] = c.Digest
	}

	var errs []error
	renamed := map[string]string{} // old name -> new name
	configured := map[string]bool{}
	for _, c := range callbacks {
		configured[c.Name] = true
		digest, isRunning := running[c.Name]
		switch {
		case isRunning && digest == c.Digest && c.Digest != "":
			p.keep[c.Name] = true
		case known[c.Name] != nil:
			p.ops = append(p.ops, reconfigure(c))
		case c.RenamedFrom != "" && known[c.RenamedFrom] != nil:
			if other := renamed[c.RenamedFrom]; other != "" {
				errs = append(errs, fmt.Errorf("callbacks %s and %s both say renamed_from: %s; one can take it over", other, c.Name, c.RenamedFrom))
			}
			if former[c.Name] != nil {
				errs = append(errs, fmt.Errorf("callback %s says renamed_from: %s, but a removed callback had the name %s, whose accounts and dead letters are kept under it; choose another name",
					c.Name, c.RenamedFrom, c.Name))
			}
			renamed[c.RenamedFrom] = c.Name
			p.ops = append(p.ops, rename(c))
		case former[c.Name] != nil:
			p.ops = append(p.ops, again(c))
		default:
			p.ops = append(p.ops, create(c))
		}
	}
	given := map[string]bool{}
	for _, name := range removed {
		given[name] = true
		if configured[name] {
			errs = append(errs, fmt.Errorf("callback %s is both configured and listed under removed", name))
		}
	}
	for name, s := range known {
		if configured[name] {
			if renamed[name] != "" {
				errs = append(errs, fmt.Errorf("callback %s is configured, and %s says renamed_from: %s", name, renamed[name], name))
			}
			continue
		}
		if renamed[name] != "" {
			continue
		}
		account, err := delivery.AccountOf(r.journal, s)
		if err != nil {
			return nil, err
		}
		if !given[name] {
			errs = append(errs, &RemovalError{Callback: name, Pending: account.Pending(), Dead: account.Counts.DeadLettered})
			continue
		}
		p.ops = append(p.ops, remove(name))
		p.removed = append(p.removed, Change{Act: "remove", Action: auditrelay.ActionDeleted, Table: tableCallback, Object: name, MakesRoom: true,
			Before: map[string]any{"cursor": s.Cursor, "pending": account.Pending(), "dead_lettered": account.Counts.DeadLettered}})
	}
	return p, errors.Join(errs...)
}

func reconfigure(c Callback) operation {
	return func(j *journal.Journal, tx *journal.Tx, _ time.Time) error {
		s, err := delivery.LoadState(j, c.Name)
		if err != nil {
			return err
		}
		return s.Configure(j, tx, c.Receives, c.Digest)
	}
}

// rename moves the lanes of c.RenamedFrom to c.Name.
func rename(c Callback) operation {
	return eachLane(c.RenamedFrom, func(j *journal.Journal, tx *journal.Tx, _ time.Time, s *delivery.State) error {
		return s.Rename(j, tx, c.Name, c.Receives, c.Digest)
	})
}

// remove gives up a callback and its replays.
func remove(name string) operation {
	return eachLane(name, func(j *journal.Journal, tx *journal.Tx, now time.Time, s *delivery.State) error {
		return delivery.RemoveLane(j, tx, s, now)
	})
}

func eachLane(name string, fn func(*journal.Journal, *journal.Tx, time.Time, *delivery.State) error) operation {
	return func(j *journal.Journal, tx *journal.Tx, now time.Time) error {
		states, err := delivery.States(j)
		if err != nil {
			return err
		}
		for _, s := range states {
			if s.Callback == name && !s.Removed {
				if err := fn(j, tx, now, s); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// create creates the lane of a callback that is new to the journal.
func create(c Callback) operation {
	return func(j *journal.Journal, tx *journal.Tx, now time.Time) error {
		_, err := delivery.Create(j, tx, delivery.State{Callback: c.Name, Receives: c.Receives, Digest: c.Digest}, c.start(j), now)
		return err
	}
}

// again restores the lane of a callback that was removed earlier.
func again(c Callback) operation {
	return func(j *journal.Journal, tx *journal.Tx, now time.Time) error {
		s, err := delivery.LoadState(j, c.Name)
		if err != nil {
			return err
		}
		return s.Revive(j, tx, c.start(j), c.Receives, c.Digest, now)
	}
}

// start returns the sequence at which a new callback starts.
func (c *Callback) start(j *journal.Journal) uint64 {
	switch c.From.Kind {
	case auditrelay.FromBeginning:
		return j.Oldest()
	case auditrelay.FromTime:
		return max(j.SeekTime(c.From.Time), j.Oldest())
	}
	return j.Head().Next
}
