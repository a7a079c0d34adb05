package runtime

import (
	"errors"
	"fmt"
	"time"

	"auditrelay/runtime/internal/journal"
	"auditrelay/runtime/internal/quarantine"
)

var (
	// ErrClosed: Close or Drain has begun.
	ErrClosed = errors.New("the relay is shutting down")
	// ErrTooLarge: one call contains too many events or bytes. A retry fails too; split the call.
	ErrTooLarge = errors.New("too much for one call")
	// ErrConflict: the journal has a different event with this id, which stays. An act that is impossible
	// in the present state, such as an approval of a closed request, matches it too, with its own text.
	ErrConflict = errors.New("another event with this id was accepted before; ids must be unique")
	// ErrIngestFilter: a filter before the journal failed on this event. A retry fails too until the
	// filters change. The journal stores only a tombstone.
	ErrIngestFilter = errors.New("a filter before the journal failed on it: nothing of it is kept but a tombstone")
	// ErrFailed: a write to the journal failed, so it is unknown which events are durable. The runtime
	// accepts and records nothing until it is opened again.
	ErrFailed = journal.ErrFailed
	// ErrOnPostgres: the journal is on Postgres. Use Postgres's own tools for a backup.
	ErrOnPostgres = errors.New("the journal is on Postgres: back the database up with pg_basebackup and the archive of its log, or with pg_dump of the schema; see docs/operators/postgres-journal.md")
	// ErrNotSeen: no event has this id. The relay never accepted it, or retention removed it.
	ErrNotSeen = errors.New("never seen here")
	// ErrBadPage: the page marker does not come from such a query.
	ErrBadPage = errors.New("not the mark of a page of this list")
	// ErrReplayRange: the range to replay ends before it begins, or begins before the oldest event that
	// retention keeps.
	ErrReplayRange = errors.New("not a range that can be replayed")
	// ErrNoCallback: no callback has this name.
	ErrNoCallback = errors.New("no such callback")
	// ErrNoDeadLetter: the callback has no dead letter with this sequence.
	ErrNoDeadLetter = errors.New("no such dead letter")
	// ErrNoQuarantineItem: the quarantine has no item with this number.
	ErrNoQuarantineItem = quarantine.ErrNoItem
	// ErrQuarantineItem: the item is larger than the quarantine allows. Nothing was stored, and a retry
	// fails too.
	ErrQuarantineItem = quarantine.ErrTooLarge
	// ErrNotKept: the quarantine stored only a digest of the item. Filters run before the journal, and they
	// cannot process invalid input. ErrNotKept also matches ErrIngestFilter: the input was not accepted,
	// and a retry fails too.
	ErrNotKept error = notKeptError{}
)

// actError matches another error, and has a text of its own about an act.
type actError struct {
	text    string
	matches error
}

func (e *actError) Error() string        { return e.text }
func (e *actError) Is(target error) bool { return target == e.matches }

// conflict returns an error that matches ErrConflict.
func conflict(format string, args ...any) error {
	return &actError{fmt.Sprintf(format, args...), ErrConflict}
}

// UnavailableError says that nothing was accepted and that a retry may succeed. The disk or the quota is
// full, a required callback is too far behind, the journal failed, or a filter before the journal cannot
// run.
type UnavailableError struct {
	// RetryAfter is the suggested pause before the retry.
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
