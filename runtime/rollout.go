package runtime

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// Bounds and defaults of rollouts.
const (
	DefaultRolloutShare  = 0.05
	DefaultRolloutBound  = 0.01
	DefaultRolloutEvents = 100
	MaxRolloutEvents     = 1_000_000
	MaxRolloutPolicy     = 256 << 10 // bytes of Policy
)

// Errors of rollouts.
var (
	// ErrNoRollout: none is under way for this filter.
	ErrNoRollout = errors.New("no rollout of this filter is under way")
	// ErrRollout: one is under way.
	ErrRollout = errors.New("a rollout is under way: promote it, or roll it back")
)

// RolloutState is where a rollout stands.
type RolloutState string

// The states of a rollout.
const (
	RolloutRunning    RolloutState = "running"
	RolloutPromoted   RolloutState = "promoted"    // the new version judges all events
	RolloutRolledBack RolloutState = "rolled_back" // the new version judges no event
)

// Rollout is a new version of one filter that judges a share of the events, on every
// callback that lists the filter, while the rest goes through the version in force. What it
// judges is delivered. Which events it gets is decided by a digest of their ids: a retry, and
// every callback, decide alike. The relay's own records stay with the version in force.
//
// A rollout ends when it is promoted, when somebody rolls it back, by itself when a callback
// saw more failures than Bound allows, when the version cannot judge at all, and when a
// callback that lists the filter is configured anew. Payloads that are sealed go out as they
// were sealed. The receipt of an event names the version that judged it.
type Rollout struct {
	ID      string `json:"id"` // random; keys the choice of events
	Filter  string `json:"filter"`
	Kind    string `json:"kind"`    // module or policy: the caller's word
	Digest  string `json:"digest"`  // of the new version, as receipts name it
	Running string `json:"running"` // of the version in force
	// Policy is the text of a policy, for the caller, who opens it again after a restart.
	Policy string `json:"policy,omitempty"`
	// Share is the share of events, above 0 and at most 1; default DefaultRolloutShare.
	Share float64 `json:"share"`
	// Bound is the share of the events that the new version judged on one callback which may
	// fail: be set aside or discarded for a failure, the gate or the destination. Below 1;
	// default DefaultRolloutBound. It holds from Events events on, at most MaxRolloutEvents;
	// default DefaultRolloutEvents. More failures than Bound allows of so many events are
	// too many before, too.
	Bound  float64 `json:"bound"`
	Events uint64  `json:"events"`

	From    map[string]uint64 `json:"from"` // the first sequence that it may judge, by callback
	Started time.Time         `json:"started"`
	By      string            `json:"by"`

	State   RolloutState `json:"state"`
	Ended   time.Time    `json:"ended,omitzero"`
	EndedBy string       `json:"ended_by,omitempty"`
	Why     string       `json:"why,omitempty"` // it was rolled back

	// Under are the digests of the callbacks' configurations, by name.
	Under map[string]string `json:"under,omitempty"`
}

// itself is who ends a rollout that nobody ended.
const itself = "auditrelay"

// ByItself reports whether the rollout was rolled back, and by nobody.
func (o *Rollout) ByItself() bool { return o.State == RolloutRolledBack && o.EndedBy == itself }

// RolloutStatus is a rollout with what it came to.
type RolloutStatus struct {
	Rollout
	Counts []RolloutCount // by callback
}

// RolloutCount counts the events that the new version judged on one callback.
type RolloutCount struct {
	Callback string `json:"callback"`
	Judged   uint64 `json:"judged"`
	Failed   uint64 `json:"failed"`
}

var rolloutKey = journal.MetaKey("rollout")

// rollout is a running rollout.
type rollout struct {
	Rollout
	filter    filter.Filter
	limit     uint64      // Share, as a part of the digests
	off       atomic.Bool // it judges no more; its end may not be durable yet
	promoting atomic.Bool // reconfiguring is part of its promotion
	ending    atomic.Bool // endSoon is under way
	r         *Runtime
}

func newRollout(r *Runtime, record Rollout, f filter.Filter) *rollout {
	o := &rollout{Rollout: record, filter: f, r: r, limit: ^uint64(0)}
	if record.Share < 1 {
		o.limit = uint64(record.Share * (1 << 63) * 2)
	}
	return o
}

// takes reports whether the new version is to judge e.
func (o *rollout) takes(e *auditrelay.Event) bool {
	return o != nil && !o.off.Load() && o.chooses(e)
}

// chooses is takes, whether or not the rollout is still on.
func (o *rollout) chooses(e *auditrelay.Event) bool {
	if own(e) {
		return false
	}
	h := sha256.New()
	fmt.Fprintf(h, "rollout\x00%s\x00%s\x00%s", o.ID, e.Namespace, e.ID)
	var sum [sha256.Size]byte
	return binary.BigEndian.Uint64(h.Sum(sum[:0])) <= o.limit
}

// tooMany reports whether failed of judged events are too many.
func (o *rollout) tooMany(judged, failed uint64) bool {
	return float64(failed) > o.Bound*float64(max(judged, o.Events))
}

// tried is what the delivery machine counts by; nil if no rollout is under way. What was
// sealed before the rollout is none of its failures.
func (r *Runtime) tried(callback string) *delivery.Tried {
	o := r.rollout.Load()
	if o == nil {
		return nil
	}
	from := o.From[callback]
	return &delivery.Tried{ID: o.ID, Filter: o.Filter, Digest: o.Digest,
		Chosen: func(e *auditrelay.Event) bool { return e.Sequence >= from && o.chooses(e) }}
}

// counted ends the rollout if a lane's counts say so.
func (r *Runtime) counted(callback string, t *delivery.TriedCounts) {
	o := r.rollout.Load()
	if o == nil || t == nil || t.ID != o.ID || !o.tooMany(t.Judged, t.Failed) {
		return
	}
	o.rollBack(fmt.Sprintf("%d of %d events failed on callback %s", t.Failed, t.Judged, callback))
}

// cannot ends the rollout: its version does not judge at all.
func (o *rollout) cannot(err error) {
	o.rollBack("the new version cannot judge: " + err.Error())
}

// rollBack ends the rollout by itself, soon. It returns at once.
func (o *rollout) rollBack(why string) { o.end(why, By{Principal: itself}) }

// end is rollBack for who takes the rollout back.
func (o *rollout) end(why string, by By) {
	if o.off.Swap(true) || o.promoting.Load() {
		return
	}
	o.r.log.Error("a rollout is rolled back: the version in force judges all events again", "filter", o.Filter, "version", o.Digest, "why", why)
	o.r.endLater(o, RolloutRolledBack, why, by)
}

func (o *Rollout) check() error {
	option := func(path, expected string, args ...any) error {
		return &auditrelay.OptionError{Path: path, Err: fmt.Errorf("expected "+expected, args...)}
	}
	switch {
	case !(o.Share > 0 && o.Share <= 1):
		return option("share", "a share above 0, at most 1")
	case !(o.Bound >= 0 && o.Bound < 1):
		return option("bound", "a share from 0, below 1")
	case o.Events > MaxRolloutEvents:
		return option("events", "at most %d", MaxRolloutEvents)
	case len(o.Policy) > MaxRolloutPolicy:
		return option("policy", "at most %d bytes", MaxRolloutPolicy)
	}
	return nil
}

// StartRollout starts a rollout of f as o says, at one sequence of each callback that lists
// the filter, with an own record in the same write. The runtime owns f and closes it, also
// if it fails. There is one rollout at a time. Errors: ErrRollout; ErrNoCallback if no
// callback lists the filter; *auditrelay.OptionError; those of Record.
func (r *Runtime) StartRollout(ctx context.Context, o Rollout, f filter.Filter, by By) (RolloutStatus, error) {
	status, err := r.startRollout(ctx, o, f, by)
	if err != nil {
		return status, errors.Join(fmt.Errorf("start a rollout of filter %s: %w", o.Filter, err), f.Close())
	}
	return status, nil
}

func (r *Runtime) startRollout(_ context.Context, o Rollout, f filter.Filter, by By) (RolloutStatus, error) {
	o.Share, o.Bound, o.Events = cmp.Or(o.Share, DefaultRolloutShare), cmp.Or(o.Bound, DefaultRolloutBound), cmp.Or(o.Events, DefaultRolloutEvents)
	if err := o.check(); err != nil {
		return RolloutStatus{}, err
	}
	id := make([]byte, 8)
	rand.Read(id)
	o.ID, o.By, o.Started, o.State = hex.EncodeToString(id), by.Principal, time.Now().UTC(), RolloutRunning
	o.Ended, o.EndedBy, o.Why, o.Under = time.Time{}, "", "", map[string]string{}
	var users []string
	r.mu.Lock()
	for _, c := range r.callbacks {
		if c.step(o.Filter) >= 0 {
			users = append(users, c.Name)
		}
	}
	r.mu.Unlock()
	if len(users) == 0 {
		return RolloutStatus{}, fmt.Errorf("no callback lists it: %w", ErrNoCallback)
	}
	err := r.AtBoundary(users, func(from map[string]uint64) error {
		if r.ctx.Err() != nil {
			return ErrClosed
		}
		if r.rollout.Load() != nil {
			return ErrRollout
		}
		o.From = from
		for name := range from {
			o.Under[name] = r.callbackNamed(name).Digest
		}
		change := Change{By: by, Act: "start", Action: auditrelay.ActionCreated, Table: TableRollout, Object: o.Filter, After: o.recorded()}
		if err := r.putRollout(&o, change); err != nil {
			return err
		}
		running := newRollout(r, o, f)
		r.rollout.Store(running)
		for name := range from {
			running.attach(r.callbackNamed(name))
		}
		return nil
	})
	if err != nil {
		return RolloutStatus{}, err
	}
	r.log.Info("a rollout begins", "filter", o.Filter, "version", o.Digest, "share", o.Share, "callbacks", users, "by", by.Principal)
	return r.rolloutStatus(&o)
}

// TableRollout is the table_name of own records about rollouts.
const TableRollout = "auditrelay_rollout"

// recorded is a rollout without the text of its policy, which is kept by digest.
func (o Rollout) recorded() Rollout {
	o.Policy, o.Under = "", nil
	return o
}

// putRollout commits a rollout and the own record of its change.
func (r *Runtime) putRollout(o *Rollout, change Change) error {
	value, err := json.Marshal(o)
	if err != nil {
		return err
	}
	tx := new(journal.Tx)
	tx.Set(rolloutKey, value)
	if err := change.append(tx); err != nil {
		return err
	}
	if _, err := r.journal.Commit(tx); err != nil {
		return unavailable(err)
	}
	return nil
}

// step returns the place of a filter that judges among c's steps, -1 if it has none.
func (c *Callback) step(name string) int {
	return slices.IndexFunc(c.Steps, func(s Step) bool { return s.Name == name && s.Role != auditrelay.RoleObserve })
}

// attach has c's events judged as the rollout says. c judges nothing meanwhile.
func (o *rollout) attach(c *callback) {
	c.judge.trial.Store(&trialStep{rollout: o, step: c.step(o.Filter)})
}

// fits reports whether the rollout may go on under a set of callbacks.
func (o *rollout) fits(callbacks []Callback) bool {
	n := 0
	for i := range callbacks {
		c := &callbacks[i]
		if c.step(o.Filter) < 0 {
			continue
		}
		if digest, ok := o.Under[c.Name]; !ok || digest == "" || digest != c.Digest {
			return false
		}
		n++
	}
	return n == len(o.Under)
}

// rolloutUnder returns the rollout that goes on under a set of callbacks, and what is to be
// called once they are in force.
func (r *Runtime) rolloutUnder(callbacks []Callback) (on *rollout, inForce func()) {
	o := r.rollout.Load()
	switch {
	case o == nil:
		return nil, func() {}
	case o.fits(callbacks):
		return o, func() {}
	}
	return nil, func() { o.rollBack("a callback that lists the filter was configured anew") }
}

// LastRollout returns the rollout that is under way, or else the last one. ErrNoRollout:
// there was none.
func (r *Runtime) LastRollout() (RolloutStatus, error) {
	o, err := loadRollout(r.journal)
	if err == nil && o == nil {
		err = ErrNoRollout
	}
	if err != nil {
		return RolloutStatus{}, err
	}
	return r.rolloutStatus(o)
}

func loadRollout(j *journal.Journal) (*Rollout, error) {
	value, ok, err := j.Get(rolloutKey)
	if err != nil || !ok {
		return nil, err
	}
	o := new(Rollout)
	if err := json.Unmarshal(value, o); err != nil {
		return nil, fmt.Errorf("decode a rollout: %w", err)
	}
	return o, nil
}

// rolloutStatus adds the lanes' counts.
func (r *Runtime) rolloutStatus(o *Rollout) (RolloutStatus, error) {
	status := RolloutStatus{Rollout: *o, Counts: []RolloutCount{}}
	states, err := delivery.States(r.journal)
	for _, s := range states {
		if _, ok := o.From[s.Callback]; !ok || s.Replay != nil {
			continue
		}
		count := RolloutCount{Callback: s.Callback}
		if s.Tried != nil && s.Tried.ID == o.ID {
			count.Judged, count.Failed = s.Tried.Judged, s.Tried.Failed
		}
		status.Counts = append(status.Counts, count)
	}
	return status, err
}

// openRollout goes on with the rollout of the life before, or ends it. Callbacks come later.
func (r *Runtime) openRollout(ctx context.Context, open func(context.Context, Rollout) (filter.Filter, error)) error {
	record, err := loadRollout(r.journal)
	if err != nil || record == nil || record.State != RolloutRunning {
		return err
	}
	if open == nil {
		open = func(context.Context, Rollout) (filter.Filter, error) {
			return nil, errors.New("this program opens no rollouts")
		}
	}
	f, err := open(ctx, *record)
	if f == nil {
		f = noFilter{}
	}
	o := newRollout(r, *record, f)
	r.rollout.Store(o)
	switch {
	case errors.Is(err, ErrRolloutInForce):
		o.off.Store(true)
		o.promoting.Store(true) // until resumeRollout
	case err != nil:
		if taken, ok := errors.AsType[*TakenBackError](err); ok {
			o.end("by "+taken.By+", before the relay started anew", By{Principal: taken.By})
			break
		}
		o.rollBack("the new version could not be loaded at the start: " + err.Error())
	}
	return nil
}

// ErrRolloutInForce is what Options.OpenRollout returns for a rollout whose version is in
// force: its promotion was interrupted.
var ErrRolloutInForce = errors.New("the version is in force")

// resumeRollout ends what was interrupted. The callbacks run.
func (r *Runtime) resumeRollout() {
	o := r.rollout.Load()
	if o == nil {
		return
	}
	if o.promoting.Load() {
		r.endLater(o, RolloutPromoted, "", By{Principal: o.By})
		return
	}
	r.eachPump(func(p *pump) {
		if p.place.Replay == "" {
			r.counted(p.callback.Name, p.seen.Load().State.Tried)
		}
	})
}

// noFilter stands for a version that could not be opened.
type noFilter struct{}

func (noFilter) Open(context.Context) (filter.Instance, error) {
	return nil, errors.New("it could not be loaded")
}
func (noFilter) Close() error { return nil }

// trialStep is the step of a callback that a rollout stands in for.
type trialStep struct {
	*rollout
	step int
}

// endTrial takes the rollout out of a judge that judges nothing.
func (j *judge) endTrial(o *rollout) {
	if t := j.trial.Load(); t == nil || t.rollout != o {
		return
	}
	j.trial.Store(nil)
	var workers []*worker
	for range cap(j.idle) {
		workers = append(workers, <-j.idle)
	}
	for _, w := range workers {
		if w != nil {
			w.fail(w.trialAt())
		}
		j.idle <- w
	}
}
