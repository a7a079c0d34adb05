package runtime

import (
	"context"
	"errors"
	"maps"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/runtime/internal/delivery"
)

// Callbacks returns the status of every callback: the configured ones in order, then replays, then removed
// ones.
func (r *Runtime) Callbacks() ([]CallbackStatus, error) {
	states, err := delivery.States(r.journal)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	var order []string
	running := map[string]*delivery.Snapshot{}
	for _, c := range r.callbacks {
		order = append(order, c.Name)
	}
	for name, p := range r.pumps {
		running[name] = p.seen.Load()
	}
	r.mu.Unlock()
	var list, removed []CallbackStatus
	for _, name := range order {
		status, err := r.status(running[name])
		if err != nil {
			return nil, err
		}
		list = append(list, status)
	}
	for _, s := range states {
		if s.Replay == nil && !s.Removed {
			continue
		}
		snapshot := running[s.LaneName()]
		if snapshot == nil {
			lane, err := delivery.Open(r.journal, s, delivery.Options{}, nil)
			if err != nil {
				return nil, err
			}
			snapshot = lane.Snapshot()
		}
		status, err := r.status(snapshot)
		if err != nil {
			return nil, err
		}
		if s.Replay != nil {
			list = append(list, status)
		} else {
			removed = append(removed, status)
		}
	}
	return append(list, removed...), nil
}

// Callback returns the status of one callback, or of a replay by its name, callback@id. ErrNoCallback: no
// callback has this name.
func (r *Runtime) Callback(name string) (CallbackStatus, error) {
	p, err := r.pump(name)
	if err != nil {
		return CallbackStatus{}, err
	}
	status, err := r.status(p.seen.Load())
	status.Recent = p.history.latest()
	return status, err
}

func (r *Runtime) status(s *delivery.Snapshot) (CallbackStatus, error) {
	account, err := s.Account(r.journal)
	if err != nil {
		return CallbackStatus{}, err
	}
	counts := account.Counts
	head := r.journal.Head().Next
	status := CallbackStatus{Name: s.State.Callback, State: State(s.Condition.State), Reason: s.Condition.Reason,
		Since: s.Condition.Since, LastError: s.Condition.LastError,
		Account: Account{Assigned: account.Assigned, Delivered: counts.Delivered, Filtered: counts.Filtered,
			DeadLettered: counts.DeadLettered, Discarded: counts.Discarded, Skipped: counts.Skipped,
			Pending: account.Pending(), Balanced: account.Check() == nil},
		SetAside: s.State.SetAside,
		Cursor:   s.State.Cursor, Head: head, Oldest: s.Oldest, InFlight: s.InFlight,
		Attempts: s.Attempts, Failures: s.Failures, Payloads: s.State.Number, Done: s.Done,
		Duplicates: s.State.Duplicates, Unverified: s.State.Unverified, NextTry: s.NextTry, Version: laneVersion(s.State)}
	status.Leaked = s.State.Leaked
	r.describe(&status)
	if s.State.Replay != nil {
		status.Replay, status.Retain = s.State.Replay.ID, auditrelay.Retain{} // retain does not apply to a replay
		status.Head = min(head, s.State.Replay.To)
	}
	if c := r.callbackNamed(s.State.Callback); c != nil {
		status.Findings = c.judge.findings.all()
		status.MaxAge = c.maxAge()
	}
	if n := r.observerFailures(s.State.Callback); n > 0 {
		status.Failures = maps.Clone(status.Failures)
		if status.Failures == nil {
			status.Failures = map[string]uint64{}
		}
		status.Failures["observer"] = n
	}
	if len(s.State.Causes) > 0 {
		status.Causes = map[string]uint64{}
		for cause, n := range s.State.Causes {
			status.Causes[string(cause)] = n
		}
	}
	if status.Oldest.IsZero() && account.Backlog > 0 {
		if e, err := r.journal.Event(s.State.Cursor); err == nil {
			status.Oldest = e.Received
		}
	}
	if !status.Oldest.IsZero() {
		status.Lag = max(time.Since(status.Oldest), 0)
	}
	if status.Held = s.Held; account.Backlog > 0 {
		status.Held += max(0, int64(r.journal.Head().Bytes-s.State.Bytes))
	}
	status.Expiring = expiring(status.Lag, status.MaxAge)
	return status, nil
}

// expiring reports whether the oldest pending event has reached three quarters of the destination's maximum
// age, so that the relay must warn.
func expiring(age, maxAge time.Duration) bool { return maxAge > 0 && age >= maxAge/4*3 }

// describe adds the callback's configuration to its status.
func (r *Runtime) describe(status *CallbackStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.callbacks {
		if c.Name == status.Name {
			status.Sink, status.Retain = c.SinkType, c.Retain
			for _, step := range c.Steps {
				status.Filters = append(status.Filters, step.Name)
			}
		}
	}
}

func (r *Runtime) observerFailures(name string) uint64 {
	if c := r.callbackNamed(name); c != nil {
		return c.judge.observerFailures()
	}
	return 0
}

// callbackNamed returns the running callback with that name, or nil.
func (r *Runtime) callbackNamed(name string) *callback {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.callbacks {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Stats has figures about the journal, and counts since the start. Sizes are in bytes.
type Stats struct {
	Journal   string // the journal's identity and incarnation
	Head      uint64 // the next sequence to assign
	Oldest    uint64 // the oldest stored sequence
	OldestAt  time.Time
	DiskBytes int64
	FreeBytes int64
	// Quota is the maximum size of the journal; 0 if unlimited. Reserve is the disk space that must stay
	// free.
	Quota, Reserve int64

	Accepted       uint64
	Duplicates     uint64
	Conflicts      uint64
	Rejected       uint64
	UnknownActions uint64
	IngestFiltered uint64 // accepted events that a filter before the journal dropped
	IngestFailed   uint64 // events rejected because such a filter failed

	Quarantine QuarantineStats
	Memory     MemoryStats

	NotAccepting string // the error of Ready; empty while events are accepted
	// NotAcceptingReason classifies NotAccepting: quota, reserve, inodes, callback, journal or filter. It
	// stays for some seconds after the last rejection. Refused counts rejected calls since the start by the
	// same reasons and by share. share means that one sender used its share of the quota while others are
	// accepted.
	NotAcceptingReason string
	Refused            map[string]uint64
}

// Stats returns the current figures.
func (r *Runtime) Stats() Stats {
	usage := r.journal.Usage()
	s := Stats{Journal: r.journal.Identity().String(), Head: r.journal.Head().Next, Oldest: r.journal.Oldest(),
		OldestAt: usage.Oldest, DiskBytes: usage.DiskBytes, FreeBytes: usage.FreeBytes, Quota: usage.Quota, Reserve: max(0, usage.Reserve),
		Accepted: r.counters.accepted.Load(), Duplicates: r.counters.duplicates.Load(), Conflicts: r.counters.conflicts.Load(),
		Rejected: r.counters.rejected.Load(), UnknownActions: r.counters.unknownActions.Load(),
		IngestFiltered: r.counters.ingestFiltered.Load(), IngestFailed: r.counters.ingestFailed.Load(),
		Quarantine: r.QuarantineStats(), Memory: r.memory.stats()}
	if err := r.Ready(); err != nil {
		s.NotAccepting = err.Error()
	}
	s.NotAcceptingReason, s.Refused = r.door.state()
	return s
}

// Explain returns everything known about an event: its provenance, and its state on every callback. An
// empty namespace means any. If several events have the id, Explain describes the first and lists the
// others in Namesakes. ErrNotSeen: no event has this id.
func (r *Runtime) Explain(_ context.Context, namespace, id string) (Explanation, error) {
	sequence, others, err := r.lookup(namespace, id)
	if err != nil {
		return Explanation{}, err
	}
	x, err := r.explain(sequence)
	if err != nil || len(others) == 0 {
		return x, err
	}
	first, err := r.journal.Event(sequence)
	if err != nil {
		return Explanation{}, err
	}
	for _, other := range others {
		n := Namesake{Sequence: other, Namespace: first.Namespace}
		switch e, err := r.journal.Event(other); {
		case errors.Is(err, ErrErased):
		case err != nil:
			return Explanation{}, err
		default:
			n.Namespace, n.Received, n.Provenance = e.Namespace, e.Received, e.Provenance
			n.Same = e.Namespace == first.Namespace && same(&e, &first)
		}
		x.Namesakes = append(x.Namesakes, n)
	}
	return x, nil
}

// same reports whether two events had the same content when they were received. With filters before the
// journal only digests of that content exist.
func same(a, b *auditrelay.Event) bool {
	if a.Ingest != nil && b.Ingest != nil {
		return a.Ingest.Digest == b.Ingest.Digest
	}
	return a.Ingest == nil && b.Ingest == nil && document.Equal(a.Data, b.Data)
}

func (r *Runtime) explain(sequence uint64) (Explanation, error) {
	e, err := r.journal.Event(sequence)
	if err != nil {
		return Explanation{}, err
	}
	also, err := r.journal.AlsoFrom(sequence)
	if err != nil {
		return Explanation{}, err
	}
	x := Explanation{Namespace: e.Namespace, ID: e.ID, Sequence: e.Sequence, Received: e.Received, Time: e.Time,
		TimeFrom: e.TimeFrom.String(), Action: string(e.Action), Provenance: e.Provenance, AlsoFrom: also, Emission: e.Emission}
	states, err := delivery.States(r.journal)
	if err != nil {
		return Explanation{}, err
	}
	for _, s := range states {
		end, err := delivery.Explain(r.journal, s, &e)
		if err != nil {
			return Explanation{}, err
		}
		if !end.Assigned && s.Replay != nil {
			continue
		}
		ending := Ending{Callback: s.Callback, Assigned: end.Assigned, Outcome: end.Outcome, Cause: end.Cause,
			Filter: end.Filter, Reason: end.Reason, Error: end.Error, Payload: end.Payload, Key: end.Key,
			Location: end.Location, Version: end.Version, Attempts: end.Attempts, At: end.At, Tombstone: end.Tombstone,
			Duplicate: end.Duplicate, Unverified: end.Unverified}
		if s.Replay != nil {
			ending.Replay = s.Replay.ID
		}
		if end.Payload != 0 {
			ending.History = r.history(s.ID).of(end.Payload)
		}
		err = delivery.Receipts(r.journal, r.receipts, s, sequence, sequence+1, func(d delivery.Receipt) error {
			one := receiptOf(s, &d)
			one.Now = end.Outcome
			ending.Receipts = append(ending.Receipts, one)
			return nil
		})
		if err != nil {
			return Explanation{}, err
		}
		x.Callbacks = append(x.Callbacks, ending)
	}
	return x, nil
}

// blocking checks whether a required callback is at its retain limit. It stores the answer under r.mu, so
// that the latest check wins.
func (r *Runtime) blocking() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pumps {
		if p.seen.Load().Blocked {
			r.counters.blockedBy.Store(&p.callback.Name)
			return
		}
	}
	r.counters.blockedBy.Store(nil)
}
