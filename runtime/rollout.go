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

// Limits and defaults of rollouts.
const (
	DefaultRolloutShare  = 0.05
	DefaultRolloutBound  = 0.01
	DefaultRolloutEvents = 100
	MaxRolloutEvents     = 1_000_000
	MaxRolloutPolicy     = 256 << 10 // size of Policy in bytes
)

// Errors of rollouts.
var (
	// ErrNoRollout: no rollout of this filter is in progress.
	ErrNoRollout = errors.New("no rollout of this filter is under way")
	// ErrRollout: a rollout is already in progress.
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

// Rollout runs a new version of one filter on a share of the events, on every callback that lists the
// filter. All other events go through the version in force. Events that the new version processes are
// delivered. A digest of an event's id selects the version, so every callback and every retry selects the
// same one. Own records always go through the version in force.
//
// A rollout ends when a user promotes it or rolls it back. The relay rolls it back when a callback has more
// failures than Bound allows, when the version cannot process events, and when a callback that lists the
// filter is reconfigured. Sealed payloads are sent as they are. The receipt of an event names the version
// that processed it.
type Rollout struct {
	ID      string `json:"id"` // random; keys the selection of events
	Filter  string `json:"filter"`
	Kind    string `json:"kind"`    // module or policy; set by the caller
	Digest  string `json:"digest"`  // digest of the new version, as in receipts
	Running string `json:"running"` // digest of the version in force
	// Policy is the text of a policy. The caller uses it to open the policy again after a restart.
	Policy string `json:"policy,omitempty"`
	// Share is the share of events for the new version, above 0 and at most 1. Default:
	// DefaultRolloutShare.
	Share float64 `json:"share"`
	// Bound is the maximum share of failures among the events that the new version processed on one
	// callback. A failure is an event that was dead-lettered or discarded by a filter failure, the gate or
	// the destination. Bound must be below 1; default: DefaultRolloutBound. It applies after Events events,
	// at most MaxRolloutEvents; default: DefaultRolloutEvents. Before that, the rollout ends when the
	// number of failures exceeds what Bound allows of Events events.
	Bound  float64 `json:"bound"`
	Events uint64  `json:"events"`

	From    map[string]uint64 `json:"from"` // the first sequence for the new version, by callback
	Started time.Time         `json:"started"`
	By      string            `json:"by"`

	State   RolloutState `json:"state"`
	Ended   time.Time    `json:"ended,omitzero"`
	EndedBy string       `json:"ended_by,omitempty"`
	Why     string       `json:"why,omitempty"` // why it was rolled back

	// Under has the digests of the callbacks' configurations, by name.
	Under map[string]string `json:"under,omitempty"`
}

// itself is the principal of a rollback by the relay.
const itself = "auditrelay"

// ByItself reports whether the relay rolled the rollout back.
func (o *Rollout) ByItself() bool { return o.State == RolloutRolledBack && o.EndedBy == itself }

// RolloutStatus is a rollout with its counts.
type RolloutStatus struct {
	Rollout
	Counts []RolloutCount // by callback
}

// RolloutCount counts the events that the new version processed on one callback.
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
	limit     uint64      // Share as a limit for the digests
	off       atomic.Bool // it processes no more events; its end may not be durable yet
	promoting atomic.Bool // reconfiguration is part of its promotion
	ending    atomic.Bool // endSoon is running
	r         *Runtime
}

func newRollout(r *Runtime, record Rollout, f filter.Filter) *rollout {
	o := &rollout{Rollout: record, filter: f, r: r, limit: ^uint64(0)}
	if record.Share < 1 {
		o.limit = uint64(record.Share * (1 << 63) * 2)
	}
	return o
}

// takes reports whether the new version must process e.
func (o *rollout) takes(e *auditrelay.Event) bool {
	return o != nil && !o.off.Load() && o.chooses(e)
}

// chooses is takes without the check that the rollout is still active.
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

// tried returns the state by which the delivery state machine counts, or nil if no rollout is in progress.
// Payloads sealed before the rollout do not count as its failures.
func (r *Runtime) tried(callback string) *delivery.Tried {
	o := r.rollout.Load()
	if o == nil {
		return nil
	}
	from := o.From[callback]
	return &delivery.Tried{ID: o.ID, Filter: o.Filter, Digest: o.Digest,
		Chosen: func(e *auditrelay.Event) bool { return e.Sequence >= from && o.chooses(e) }}
}

// counted ends the rollout if a lane's counts require it.
func (r *Runtime) counted(callback string, t *delivery.TriedCounts) {
	o := r.rollout.Load()
	if o == nil || t == nil || t.ID != o.ID || !o.tooMany(t.Judged, t.Failed) {
		return
	}
	o.rollBack(fmt.Sprintf("%d of %d events failed on callback %s", t.Failed, t.Judged, callback))
}

// cannot ends the rollout because its version cannot process events.
func (o *rollout) cannot(err error) {
	o.rollBack("the new version cannot judge: " + err.Error())
}

// rollBack starts a rollback by the relay and returns at once.
func (o *rollout) rollBack(why string) { o.end(why, By{Principal: itself}) }

// end starts a rollback by a user and returns at once.
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

// StartRollout starts the rollout o of filter f, at one sequence of each callback that lists the filter.
// The same write contains its own record. The runtime owns f and closes it, also if StartRollout fails.
// Only one rollout can be in progress. Errors: ErrRollout; ErrNoCallback if no callback lists the filter;
// *auditrelay.OptionError; those of Record.
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

// recorded returns a rollout without its policy's text, which is stored by digest.
func (o Rollout) recorded() Rollout {
	o.Policy, o.Under = "", nil
	return o
}

// putRollout commits a rollout and its own record.
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

// step returns the index of a judging filter among c's steps, or -1 if c does not have it.
func (c *Callback) step(name string) int {
	return slices.IndexFunc(c.Steps, func(s Step) bool { return s.Name == name && s.Role != auditrelay.RoleObserve })
}

// attach makes c use the rollout. c must not process events meanwhile.
func (o *rollout) attach(c *callback) {
	c.judge.trial.Store(&trialStep{rollout: o, step: c.step(o.Filter)})
}

// fits reports whether the rollout may continue with a set of callbacks.
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

// rolloutUnder returns the rollout if it continues with a set of callbacks, and a function to call once
// they are in force.
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

// LastRollout returns the rollout in progress, or else the last one. ErrNoRollout: there was none.
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

// openRollout continues or ends a rollout of an earlier run. It runs before the callbacks start.
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

// ErrRolloutInForce: Options.OpenRollout returns it for a rollout whose version is in force because its
// promotion was interrupted.
var ErrRolloutInForce = errors.New("the version is in force")

// resumeRollout ends an interrupted promotion. The callbacks already run.
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

// noFilter replaces a version that could not be opened.
type noFilter struct{}

func (noFilter) Open(context.Context) (filter.Instance, error) {
	return nil, errors.New("it could not be loaded")
}
func (noFilter) Close() error { return nil }

// trialStep is the step of a callback that a rollout replaces.
type trialStep struct {
	*rollout
	step int
}

// endTrial removes the rollout from an idle judge.
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
