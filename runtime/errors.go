package runtime

import (
	"errors"
	"fmt"
	"time"

	"auditrelay/runtime/internal/journal"
	"auditrelay/runtime/internal/quarantine"
)

var (
	// ErrClosed is returned once Close or Drain has begun.
	ErrClosed = errors.New("the relay is shutting down")
	// ErrTooLarge: a call holds more than one may. It never passes as it is; the same
	// events in several calls may.
	ErrTooLarge = errors.New("too much for one call")
	// ErrConflict: an unequal event with this id was accepted before. The first
	// stands.
	ErrConflict = errors.New("another event with this id was accepted before; ids must be unique")
	// ErrIngestFilter: a filter that stands before the journal failed on this event,
	// and would again. Nothing of it is kept but a tombstone.
	ErrIngestFilter = errors.New("a filter before the journal failed on it: nothing of it is kept but a tombstone")
	// ErrFailed: a write to the journal failed, so that what is durable is not
	// known until the runtime is opened anew. Nothing is accepted or recorded.
	ErrFailed = journal.ErrFailed
	// ErrNotSeen: no event with this id is known; it was never accepted here, or
	// retention has forgotten it.
	ErrNotSeen = errors.New("never seen here")
	// ErrNoCallback: no callback has this name.
	ErrNoCallback = errors.New("no such callback")
	// ErrNoDeadLetter: the callback has no dead letter of this sequence.
	ErrNoDeadLetter = errors.New("no such dead letter")
	// ErrNoQuarantineItem: nothing in quarantine has this number.
	ErrNoQuarantineItem = quarantine.ErrNoItem
	// ErrQuarantineItem: larger than one item in quarantine may be. Nothing of it was
	// kept, and never will be.
	ErrQuarantineItem = quarantine.ErrTooLarge
	// ErrNotKept: since filters stand before the journal, which cannot judge what is no
	// event, only a digest of it is in quarantine. It is an ErrIngestFilter too: it is
	// not accepted, and would not be if it came again.
	ErrNotKept error = notKeptError{}
)

// UnavailableError says that nothing was accepted and that the same call may
// succeed later: the disk is short, or a required callback is too far behind.
type UnavailableError struct {
	RetryAfter time.Duration
	Err        error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("not accepting events: %v", e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

type notKeptError struct{}

func (notKeptError) Error() string {
	return "only its digest is in quarantine: filters before the journal cannot process invalid input"
}

func (notKeptError) Is(target error) bool { return target == ErrIngestFilter }
