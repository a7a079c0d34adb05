package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/internal/ingest"
	"auditrelay/runtime/internal/journal"
)

// EventError says what is wrong with one event: its field and the reason.
type EventError = ingest.EventError

// blockedRetry is what a producer is told to wait while we cannot accept.
const blockedRetry = 5 * time.Second

// Submit accepts events. Each is durable when its Result has no error; all that
// are accepted share one write. An error of the call itself means that none was
// accepted: ErrClosed, ErrTooLarge, ctx's error, or an *UnavailableError.
//
// What is wrong with one event, or an id that an unequal event has already, is
// that Result's Err and does not touch the others.
func (r *Runtime) Submit(ctx context.Context, events ...Submission) ([]Result, error) {
	return r.submit(ctx, events, false, nil)
}

// SubmitAtomic accepts all events or none: when any Result has an error, nothing
// was accepted.
func (r *Runtime) SubmitAtomic(ctx context.Context, events ...Submission) ([]Result, error) {
	return r.submit(ctx, events, true, nil)
}

// submit has also, where set, add to the transaction what belongs to its events.
func (r *Runtime) submit(ctx context.Context, events []Submission, atomic bool, also func(tx *journal.Tx, events []auditrelay.Event) error) ([]Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(events) > r.limits.Events {
		return nil, fmt.Errorf("%w: %d events, at most %d", ErrTooLarge, len(events), r.limits.Events)
	}
	if n := bytesOf(events); n > int(auditrelay.MaxAtomicBytes) {
		return nil, fmt.Errorf("%w: %d bytes, at most %v", ErrTooLarge, n, auditrelay.MaxAtomicBytes)
	}
	r.accepting.RLock()
	defer r.accepting.RUnlock()
	if err := r.Ready(); err != nil {
		return nil, err
	}
	filters := r.ingest.Load()
	results := make([]Result, len(events))
	var tx journal.Tx
	var taken, refused []auditrelay.Event // by filters; each that is refused leaves a tombstone
	bad := 0
	for i := range events {
		event, err := ingest.Check(events[i].Data, r.limits)
		if err != nil {
			if e, ok := errors.AsType[*EventError](err); ok {
				e.Index = i
			}
			results[i].Err = err
			bad++
			continue
		}
		event.Provenance = events[i].Provenance
		results[i].ID = event.ID
		if filters != nil {
			if event, err = r.filterIngest(ctx, filters, event); err != nil {
				return nil, err
			}
			if event.Ingest.Outcome == auditrelay.Discarded {
				results[i].Err = ErrIngestFilter
				refused = append(refused, event)
				bad++
				continue
			}
			results[i].Filtered = event.Ingest.Outcome == auditrelay.Filtered
		}
		if !event.Action.Known() {
			results[i].UnknownAction = true
		}
		tx.Append(event)
		if also != nil {
			taken = append(taken, event)
		}
	}
	r.counters.rejected.Add(uint64(bad))
	if len(refused) > 0 {
		if err := r.bury(refused); err != nil {
			return nil, err
		}
	}
	if bad == len(events) || (atomic && bad > 0) {
		return results, nil
	}
	if atomic {
		tx.AllOrNothing()
	}
	if also != nil {
		if err := also(&tx, taken); err != nil {
			return nil, err
		}
	}
	appended, err := r.journal.Commit(&tx)
	if conflict, ok := errors.AsType[*journal.ConflictError](err); ok {
		// All or nothing, and so every event was appended: indices are the same.
		for _, at := range conflict.Conflicts {
			if at.Index < len(results) { // the rest is what belongs to them
				results[at.Index].Err = ErrConflict
				r.counters.conflicts.Add(1)
			}
		}
		return results, nil
	}
	if err != nil {
		return nil, r.unavailable(err)
	}
	next := 0
	for i := range results {
		if results[i].Err != nil {
			continue
		}
		r.finish(&results[i], appended[next])
		next++
	}
	return results, nil
}

func bytesOf(events []Submission) int {
	n := 0
	for i := range events {
		n += len(events[i].Data)
	}
	return n
}

func (r *Runtime) finish(res *Result, a journal.Appended) {
	switch a.Status {
	case journal.Conflict:
		res.Err = ErrConflict
		r.counters.conflicts.Add(1)
		return
	case journal.Duplicate:
		res.Duplicate = true
		r.counters.duplicates.Add(1)
	default:
		r.counters.accepted.Add(1)
		if res.Filtered {
			r.counters.ingestFiltered.Add(1)
		}
		if res.UnknownAction {
			r.counters.unknownActions.Add(1)
		}
	}
	res.Sequence, res.Received = a.Sequence, a.Received
}

func (r *Runtime) unavailable(err error) error {
	switch {
	case errors.Is(err, journal.ErrClosed):
		return ErrClosed
	case errors.Is(err, journal.ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return &UnavailableError{RetryAfter: blockedRetry, Err: err}
}

// Ready returns nil while events are accepted, and otherwise what Submit would
// return.
func (r *Runtime) Ready() error {
	if r.draining.Load() {
		return ErrClosed
	}
	if by := r.counters.blockedBy.Load(); by != nil {
		return &UnavailableError{RetryAfter: blockedRetry, Err: fmt.Errorf("callback %s is required and holds more than its retain allows", *by)}
	}
	if err := r.journal.Err(); err != nil {
		return &UnavailableError{RetryAfter: blockedRetry, Err: err}
	}
	return nil
}

// Event returns an accepted event by its sequence.
func (r *Runtime) Event(_ context.Context, sequence uint64) (auditrelay.Event, error) {
	return r.journal.Event(sequence)
}
