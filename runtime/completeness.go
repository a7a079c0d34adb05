package runtime

import (
	"context"
	"fmt"
	"time"

	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// MaxDays is the maximum number of days that Completeness returns.
const MaxDays = 92

// maxDeadCounted is the maximum number of dead letters that Completeness reads.
const maxDeadCounted = 20_000

// Completeness says for each UTC day whether each accepted event has an outcome, and whether the logs of
// proofs match their signatures.
type Completeness struct {
	At   time.Time
	Days []CompleteDay // newest first
	Logs []CompleteLog // the log of accepted events first
	// DeadLettersCut: only the first dead letters were counted by day, since there are too many.
	DeadLettersCut bool
}

// CompleteDay is one day of the journal. Sequences have no gaps, so First and Next give the number of
// accepted events.
type CompleteDay struct {
	Day         time.Time
	First, Next uint64 // the half-open range of the day's events
	Erased      uint64 // number of the day's events whose period key was destroyed
	// Forgotten: retention has removed events of the day. For the oldest day it may have done so.
	Forgotten bool
	// Signed: a checkpoint covers all of the day's accepted events.
	Signed bool
	// Open lists the callbacks that have pending events or dead letters of the day.
	Open []CompleteCallback
}

// CompleteCallback is the open work of a day on one callback.
type CompleteCallback struct {
	Callback    string
	Pending     bool // at least one event has no outcome yet
	DeadLetters uint64
}

// CompleteLog is one log of proofs.
type CompleteLog struct {
	Callback string // empty for the log of accepted events
	Size     uint64 // number of entries
	Signed   uint64 // number of entries that the last checkpoint covers
	SignedAt time.Time
	// Fault says why the checkpoint and the log do not match; empty if they match. The check reads the
	// log's hashes, not its entries. VerifyJournal reads everything.
	Fault string
}

// Completeness checks the last days, at most MaxDays. It reads indices and no events, so its duration
// hardly depends on the number of events. It stops when ctx ends.
func (r *Runtime) Completeness(ctx context.Context, days int) (Completeness, error) {
	out := Completeness{At: time.Now().UTC()}
	states, err := delivery.States(r.journal)
	if err != nil {
		return out, err
	}
	out.Days = r.days(out.At, min(max(days, 1), MaxDays))
	head := r.journal.Accepted()
	accepted, err := r.completeLog("", head.Name, head.Size, r.lastSignedAccepted())
	if err != nil {
		return out, err
	}
	out.Logs = append(out.Logs, accepted)
	for i := range out.Days {
		d := &out.Days[i]
		d.Signed = accepted.Fault == "" && d.Next > d.First && d.Next < head.First+accepted.Signed && d.First >= head.First
	}
	left := maxDeadCounted
	for _, s := range states {
		if s.Replay != nil || s.Removed {
			continue
		}
		if err := ctx.Err(); err != nil {
			return out, err
		}
		if err := r.completeLane(&out, s, &left); err != nil {
			return out, fmt.Errorf("completeness of callback %s: %w", s.Callback, err)
		}
	}
	out.DeadLettersCut = left <= 0
	return out, nil
}

// days divides the journal by day.
func (r *Runtime) days(now time.Time, n int) (days []CompleteDay) {
	oldest, next := r.journal.Oldest(), r.journal.Head().Next
	periods := r.journal.Periods()
	end := next
	for day := now.Truncate(24 * time.Hour); len(days) < n; day = day.Add(-24 * time.Hour) {
		d := CompleteDay{Day: day, First: r.journal.SeekTime(day), Next: end}
		if d.First = min(d.First, end); d.First <= oldest {
			d.First, d.Forgotten = oldest, oldest > 1
		}
		for _, p := range periods {
			to := p.To
			if p.Current() {
				to = next
			}
			if p.Erased() && p.From < d.Next && to > d.First {
				d.Erased += min(to, d.Next) - max(p.From, d.First)
			}
		}
		days = append(days, d)
		if end = d.First; end <= oldest {
			break
		}
	}
	return days
}

// completeLane adds a callback's open work of each day, and its log.
func (r *Runtime) completeLane(out *Completeness, s *delivery.State, left *int) error {
	dead := make([]uint64, len(out.Days))
	err := delivery.EachDead(r.journal, s, func(sequence uint64) bool {
		if *left <= 0 {
			return false
		}
		*left--
		for k := range out.Days {
			if d := &out.Days[k]; sequence >= d.First && sequence < d.Next {
				dead[k]++
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	status, err := r.Callback(s.Callback)
	if err != nil {
		return err
	}
	for k := range out.Days {
		d := &out.Days[k]
		pending := status.Account.Pending > 0 && d.Next > d.First && d.Next > s.Start &&
			(status.Oldest.IsZero() || status.Oldest.Before(d.Day.Add(24*time.Hour)))
		if pending || dead[k] > 0 {
			d.Open = append(d.Open, CompleteCallback{Callback: s.Callback, Pending: pending, DeadLetters: dead[k]})
		}
	}
	if s.Log == "" {
		return nil
	}
	size := uint64(0)
	if p, err := r.pump(s.Callback); err == nil && s.Log == r.journal.Identity().Incarnation {
		size = p.seen.Load().Leaves
	}
	log, err := r.completeLog(s.Callback, journal.DeliveredName(s.Log, s.ID), size, s.Attested.At)
	if err == nil {
		out.Logs = append(out.Logs, log)
	}
	return err
}

// completeLog compares a log with its last checkpoint. size is the number of its entries, if that is known
// without reading the log.
func (r *Runtime) completeLog(callback, name string, size uint64, at time.Time) (out CompleteLog, err error) {
	if size == 0 {
		if size, err = r.journal.TreeSize(name); err != nil {
			return out, err
		}
	}
	out = CompleteLog{Callback: callback, Size: size, SignedAt: at}
	signed, ok, err := r.journal.Get(delivery.CheckpointKey(name))
	if err != nil || !ok || r.signing == nil {
		return out, err
	}
	c, err := r.signing.open(signed)
	if err != nil {
		out.Fault = "its last checkpoint is not signed with the key in use"
		return out, nil //nolint:nilerr // it is the result
	}
	out.Signed = c.Size
	root, err := r.journal.TreeRoot(name, c.Size)
	if err != nil || root != c.Root {
		out.Fault = fmt.Sprintf("its first %d entries are not those that were signed", c.Size)
	}
	return out, nil
}

// lastSignedAccepted returns when the log of accepted events was last signed, or the zero time if it was
// not signed since the start.
func (r *Runtime) lastSignedAccepted() time.Time {
	if r.signing == nil {
		return time.Time{}
	}
	r.signing.mu.Lock()
	defer r.signing.mu.Unlock()
	return r.signing.accepted
}
