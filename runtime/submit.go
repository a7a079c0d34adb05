package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/internal/ingest"
	"auditrelay/runtime/internal/journal"
)

// EventError says why one event is invalid: the field and the reason. It contains no value of the event.
type EventError = ingest.EventError

// blockedRetry is the RetryAfter of an UnavailableError.
const blockedRetry = 5 * time.Second

// Submit accepts events. An event is durable if its Result has no error. One write contains all accepted
// events. Submit copies Data.
//
// The results are in the order of events. An invalid event, or one whose id belongs to a different event,
// has an error in its own Result and does not affect the others.
//
// If Submit itself returns an error, no event was accepted. Errors: ErrClosed; ErrTooLarge, after which a
// retry fails too; ctx's error; *UnavailableError, after which a retry may succeed.
func (r *Runtime) Submit(ctx context.Context, events ...Submission) ([]Result, error) {
	return r.submit(ctx, events, false, nil)
}

// SubmitAtomic accepts all events or none: if any Result has an error, no event was accepted. In all other
// respects it is Submit.
func (r *Runtime) SubmitAtomic(ctx context.Context, events ...Submission) ([]Result, error) {
	return r.submit(ctx, events, true, nil)
}

// submit accepts events. If also is not nil, submit calls it to add records to the
// same transaction.
func (r *Runtime) submit(ctx context.Context, events []Submission, atomic bool, also func(tx *journal.Tx, events []auditrelay.Event) error) ([]Result, error) {
	if err := r.fits(events); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.turns.submitting.Add(1)
	defer r.turns.submitting.Add(-1)
	r.accepting.RLock()
	defer r.accepting.RUnlock()
	if err := r.ready(); err != nil {
		r.door.refuse(err, true)
		return nil, err
	}
	if also == nil {
		if err := r.shareOf(events); err != nil {
			return nil, err
		}
	}
	s := submitting{results: make([]Result, len(events)), keep: also != nil || r.taps.any()}
	s.tx.Expect(len(events))
	filters := r.ingest.Load()
	for i := range events {
		if err := r.admit(ctx, &s, i, &events[i], filters); err != nil {
			return nil, r.refusal(err)
		}
	}
	r.counters.rejected.Add(uint64(s.bad))
	if len(s.refused) > 0 {
		if err := r.bury(s.refused, s.fresh); err != nil {
			return nil, err
		}
	}
	if s.bad == len(events) || (atomic && s.bad > 0) {
		return s.results, nil
	}
	if atomic {
		s.tx.AllOrNothing()
	}
	if also != nil {
		if err := also(&s.tx, s.taken); err != nil {
			return nil, err
		}
	}
	if err := r.accept(&s); err != nil {
		return nil, err
	}
	return s.results, nil
}

// errShare: events of other senders are still accepted.
var errShare = errors.New("this sender has its share of the last quarter of journal.quota; let callbacks catch up so that retention can free space, or raise the quota")

// shareOf rejects a sender that has used its share of the last quarter of the quota.
func (r *Runtime) shareOf(events []Submission) error {
	used, quota := r.journal.Filled()
	if quota == 0 || len(events) == 0 {
		return nil
	}
	from := events[0].Provenance
	if r.share.Take(cmp.Or(from.Principal, from.Source), int64(bytesOf(events)), used, quota) {
		return nil
	}
	r.door.refuseOne(from.Principal)
	return &UnavailableError{RetryAfter: blockedRetry, Err: errShare}
}

// submitting is one call of Submit in progress.
type submitting struct {
	tx      journal.Tx
	results []Result
	keep    bool               // whether to fill taken
	taken   []auditrelay.Event // the events in tx, in order
	refused []auditrelay.Event // events that filters failed on; each leaves a tombstone
	fresh   []string           // namespaces that had no event before
	bad     int
}

// fits returns ErrTooLarge for a call that can never succeed.
func (r *Runtime) fits(events []Submission) error {
	if len(events) > r.limits.Events {
		return fmt.Errorf("%w: %d events, at most %d", ErrTooLarge, len(events), r.limits.Events)
	}
	if n := bytesOf(events); n > int(auditrelay.MaxAtomicBytes) {
		return fmt.Errorf("%w: %d bytes, at most %v", ErrTooLarge, n, auditrelay.MaxAtomicBytes)
	}
	return nil
}

// admit checks and filters one event and adds it to the transaction. An error of the event goes into its
// result. A returned error means that admit decided nothing.
func (r *Runtime) admit(ctx context.Context, s *submitting, i int, in *Submission, filters *ingestFilters) error {
	result := &s.results[i]
	limits := r.limits
	limits.Reserved = in.Reserved
	event, err := r.check(in, limits)
	if err != nil {
		if e, ok := errors.AsType[*EventError](err); ok {
			e.Index = i
		}
		result.Err = err
		s.bad++
		return nil
	}
	event.Provenance = in.Provenance
	if in.Namespace != "" {
		event.Namespace = in.Namespace
	}
	if ingest.ReservedNamespace(event.Namespace) {
		result.Err = &EventError{Index: i, Kind: ingest.Odd, Reason: ingest.Reserved, Offset: -1,
			Message: "the relay's own records and those of guests are in namespace " + event.Namespace}
		s.bad++
		return nil
	}
	if r.namespaces.isNew(event.Namespace) && !slices.Contains(s.fresh, event.Namespace) {
		s.fresh = append(s.fresh, event.Namespace)
	}
	result.ID = event.ID
	if filters != nil {
		if event, err = r.filterIngest(ctx, filters, event); err != nil {
			return err
		}
		if event.Ingest.Outcome == auditrelay.Discarded {
			result.Err = ErrIngestFilter
			s.refused = append(s.refused, event)
			s.bad++
			return nil
		}
		result.Filtered = event.Ingest.Outcome == auditrelay.Filtered
	}
	result.UnknownAction = event.Mapping == nil && !event.Action.Known() // other schemas have verbs of their own
	s.tx.Append(event)
	if s.keep {
		s.taken = append(s.taken, event)
	}
	return nil
}

// accept commits the transaction and sets the events' results.
func (r *Runtime) accept(s *submitting) error {
	for _, name := range s.fresh {
		s.tx.Set(namespaceKey(name), []byte{1})
	}
	appended, err := r.journal.Commit(&s.tx)
	if conflict, ok := errors.AsType[*journal.ConflictError](err); ok {
		// A conflict index is valid for results too, since an atomic call appends every event.
		for _, at := range conflict.Conflicts {
			if at.Index < len(s.results) { // further entries belong to other records of the call
				s.results[at.Index].Err = ErrConflict
				r.counters.conflicts.Add(1)
			}
		}
		return nil
	}
	if err != nil {
		return r.refusal(unavailable(err))
	}
	r.door.pass()
	r.namespaces.add(s.fresh)
	if s.taken != nil {
		r.taps.accepted(s.taken, appended)
	}
	next := 0
	for i := range s.results {
		if s.results[i].Err == nil {
			r.finish(&s.results[i], appended[next])
			next++
		}
	}
	return nil
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

func unavailable(err error) error {
	switch {
	case errors.Is(err, journal.ErrClosed):
		return ErrClosed
	case errors.Is(err, journal.ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return &UnavailableError{RetryAfter: blockedRetry, Err: err}
}

// Ready returns nil while events are accepted, otherwise the error that Submit would return.
func (r *Runtime) Ready() error {
	err := r.ready()
	if err != nil {
		r.door.refuse(err, false)
	} else {
		r.door.pass()
	}
	return err
}

// refusal records and returns err if it means that events are currently rejected.
func (r *Runtime) refusal(err error) error {
	if _, ok := errors.AsType[*UnavailableError](err); ok {
		r.door.refuse(err, true)
	}
	return err
}

// errBlocked: a callback with retain's then: block is at its limit.
var errBlocked = errors.New("is required and holds more than its retain allows")

func (r *Runtime) ready() error {
	if r.draining.Load() {
		return ErrClosed
	}
	if by := r.counters.blockedBy.Load(); by != nil {
		return &UnavailableError{RetryAfter: blockedRetry, Err: fmt.Errorf("callback %s %w", *by, errBlocked)}
	}
	if err := r.journal.Err(); err != nil {
		return &UnavailableError{RetryAfter: blockedRetry, Err: err}
	}
	return nil
}

// Event returns an accepted event by its sequence. ErrErased: its period was destroyed.
func (r *Runtime) Event(_ context.Context, sequence uint64) (auditrelay.Event, error) {
	return r.journal.Event(sequence)
}
