package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"auditrelay/internal/delivery"
	"auditrelay/internal/journal"
)

// RemovalError says that a callback which still holds events is no longer
// configured. It names what to do, since either answer by itself would be wrong.
type RemovalError struct {
	Callback string
	Pending  uint64
	Dead     uint64
}

func (e *RemovalError) Error() string {
	return fmt.Sprintf("callback %s is no longer configured, but holds %d pending events and %d dead letters: "+
		"configure it again, or give its name as another callback's renamed_from, or list it under removed to give up what is pending (dead letters stay until they are discarded)",
		e.Callback, e.Pending, e.Dead)
}

// Apply replaces the configured callbacks while the runtime runs. A callback
// whose Digest is the same goes on undisturbed, and what callbacks brings for it
// is closed; others stop between two steps and go on from what is durable. When
// Apply returns an error nothing has changed.
//
// Sinks and filters of callbacks belong to the runtime from the call on.
func (r *Runtime) Apply(ctx context.Context, callbacks []Callback, removed []string) error {
	r.applying.Lock()
	defer r.applying.Unlock()
	err := r.apply(ctx, callbacks, removed)
	if err != nil {
		r.closeNew(callbacks)
	}
	return err
}

// closeNew closes what callbacks brings and nothing that runs uses.
func (r *Runtime) closeNew(callbacks []Callback) {
	r.mu.Lock()
	var unused []Callback
	running := map[any]bool{}
	for _, c := range r.callbacks {
		running[c.Sink] = true
	}
	for _, c := range callbacks {
		if running[c.Sink] {
			c.Sink = nil
		}
		var steps []Step
		for _, step := range c.Steps {
			if r.filters[step.Filter] == 0 {
				steps = append(steps, step)
			}
		}
		c.Steps = steps
		unused = append(unused, c)
	}
	r.mu.Unlock()
	closeUnused(unused)
}

func (r *Runtime) apply(_ context.Context, callbacks []Callback, removed []string) error {
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	if err := check(callbacks); err != nil {
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

	// From here on callbacks stop. What follows can only fail with the journal.
	r.mu.Lock()
	old := map[string]*callback{}
	for _, c := range r.callbacks {
		old[c.Name] = c
	}
	var keep, stop []*pump
	for _, p := range r.pumps {
		if plan.keep[p.callback.Name] {
			keep = append(keep, p)
		} else {
			stop = append(stop, p)
		}
	}
	r.mu.Unlock()
	for _, p := range stop {
		p.stop()
	}
	if err := plan.commit(r.journal, time.Now()); err != nil {
		return err
	}

	next := make([]*callback, 0, len(callbacks))
	pumps := map[string]*pump{}
	for _, p := range keep {
		pumps[p.name] = p
	}
	var fresh []*pump
	var spare []Callback
	for i := range callbacks {
		name := callbacks[i].Name
		if plan.keep[name] {
			next = append(next, old[name])
			spare = append(spare, callbacks[i])
			delete(old, name)
			continue
		}
		c := newCallback(callbacks[i], r.workers)
		r.retain(c.Callback)
		next = append(next, c)
		started, err := r.pumpsOf(c)
		if err != nil {
			return err
		}
		fresh = append(fresh, started...)
	}
	for _, p := range fresh {
		pumps[p.name] = p
	}
	r.mu.Lock()
	r.callbacks, r.pumps = next, pumps
	r.mu.Unlock()
	for _, p := range fresh {
		p.start()
	}
	var errs []error
	for _, c := range old {
		c.judge.close()
		errs = append(errs, r.release(c.Callback))
	}
	r.closeNew(spare)
	if err := errors.Join(errs...); err != nil {
		r.log.Warn("closing what a changed callback used before", "error", err)
	}
	r.blocking()
	return nil
}

// pumpsOf makes the pumps of a callback: its lane's, and those of its replays
// that are not done.
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
		if s.Replay == nil || !p.seen.Load().Done {
			pumps = append(pumps, p)
		}
	}
	return pumps, nil
}

// plan is what Apply is going to write.
type plan struct {
	keep map[string]bool // callbacks that go on undisturbed
	ops  []func(j *journal.Journal, tx *journal.Tx, now time.Time) error
}

func (p *plan) commit(j *journal.Journal, now time.Time) error {
	for _, op := range p.ops {
		tx := new(journal.Tx)
		if err := op(j, tx, now); err != nil {
			return err
		}
		if tx.Empty() {
			continue
		}
		if _, err := j.Commit(tx); err != nil {
			return err
		}
	}
	return nil
}

// plan compares what is durable with what is configured. It changes nothing.
func (r *Runtime) plan(states []*delivery.State, callbacks []Callback, removed []string) (*plan, error) {
	p := &plan{keep: map[string]bool{}}
	known := map[string]*delivery.State{}
	for _, s := range states {
		if s.Replay == nil && !s.Removed {
			known[s.Callback] = s
		}
	}
	r.mu.Lock()
	running := map[string]string{}
	for _, c := range r.callbacks {
		running[c.Name] = c.Digest
	}
	r.mu.Unlock()

	var errs []error
	renamed := map[string]bool{}
	configured := map[string]bool{}
	for i := range callbacks {
		c := callbacks[i]
		configured[c.Name] = true
		digest, isRunning := running[c.Name]
		switch {
		case isRunning && digest == c.Digest && c.Digest != "":
			p.keep[c.Name] = true
		case known[c.Name] != nil:
			p.ops = append(p.ops, reconfigure(c))
		case c.RenamedFrom != "" && known[c.RenamedFrom] != nil:
			renamed[c.RenamedFrom] = true
			p.ops = append(p.ops, rename(c))
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
			if renamed[name] {
				errs = append(errs, fmt.Errorf("callback %s is configured, and another says renamed_from: %s", name, name))
			}
			continue
		}
		if renamed[name] {
			continue
		}
		account, err := delivery.AccountOf(r.journal, s)
		if err != nil {
			return nil, err
		}
		if !given[name] && (account.Pending() > 0 || account.Counts.DeadLettered > 0) {
			errs = append(errs, &RemovalError{Callback: name, Pending: account.Pending(), Dead: account.Counts.DeadLettered})
			continue
		}
		p.ops = append(p.ops, func(j *journal.Journal, tx *journal.Tx, now time.Time) error {
			s, err := delivery.LoadState(j, name)
			if err != nil || s == nil {
				return err
			}
			return delivery.RemoveLane(j, tx, s, now)
		})
	}
	return p, errors.Join(errs...)
}

func reconfigure(c Callback) func(*journal.Journal, *journal.Tx, time.Time) error {
	return func(j *journal.Journal, tx *journal.Tx, _ time.Time) error {
		s, err := delivery.LoadState(j, c.Name)
		if err != nil {
			return err
		}
		return s.Configure(j, tx, c.receives(), c.Digest)
	}
}

// rename gives a callback the lane that another name had.
func rename(c Callback) func(*journal.Journal, *journal.Tx, time.Time) error {
	return func(j *journal.Journal, tx *journal.Tx, _ time.Time) error {
		states, err := delivery.States(j)
		if err != nil {
			return err
		}
		for _, s := range states {
			if s.Callback == c.RenamedFrom && !s.Removed {
				if err := s.Rename(j, tx, c.Name, c.receives(), c.Digest); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// create makes the lane of a callback that the journal does not know.
func create(c Callback) func(*journal.Journal, *journal.Tx, time.Time) error {
	return func(j *journal.Journal, tx *journal.Tx, now time.Time) error {
		start := j.Head().Next
		switch c.From.Kind {
		case FromBeginning:
			start = j.Oldest()
		case FromTime:
			start = max(j.SeekTime(c.From.Time), j.Oldest())
		}
		_, err := delivery.Create(j, tx, delivery.State{Callback: c.Name, Receives: c.receives(), Digest: c.Digest}, start, now)
		return err
	}
}
