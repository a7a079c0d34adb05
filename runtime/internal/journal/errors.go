package journal

import (
	"errors"
	"fmt"
	"time"

	"auditrelay"
)

// Errors for callers; match them with errors.Is.
var (
	// ErrLocked: another owner, in this or another process, has the journal open.
	ErrLocked = errors.New("journal is in use")
	// ErrCorrupt: the data on disk differs from the written data. See CorruptError.
	ErrCorrupt = errors.New("journal is corrupt")
	// ErrFormat: the journal has another format version. See FormatError.
	ErrFormat = errors.New("journal has another format")
	// ErrFull: the quota or the reserve is reached. See FullError.
	ErrFull = errors.New("journal is full")
	// ErrTooLarge: the transaction exceeds the limits of any transaction, or the whole quota. A
	// retry fails too.
	ErrTooLarge = errors.New("too large for one transaction of the journal")
	// ErrFailed: a write failed, so it is unknown what is durable until the journal is opened
	// again. Reads still work; every Commit fails.
	ErrFailed = errors.New("journal has failed")
	// ErrClosed: the journal was closed.
	ErrClosed = errors.New("journal is closed")
	// ErrConflict: the journal has an event with this identity and different content. See
	// ConflictError.
	ErrConflict = errors.New("event conflicts with a stored one")
	// ErrErased: the key of its period was destroyed. See ErasedError.
	ErrErased = errors.New("erased: its period's key was destroyed")
	// ErrNoKey: the journal has encrypted events, but there is no master key.
	ErrNoKey = errors.New("journal is encrypted, and no key is given; configure journal.encryption.key, with decrypt_only: true to encrypt nothing from now on")
	// ErrWrongKey: the master key is not the journal's.
	ErrWrongKey = errors.New("journal is encrypted under another key than the one given; after a change of the key the old one is to be given as journal.encryption.previous_key once")
	// ErrNoPeriod: the keyring has no such period.
	ErrNoPeriod = errors.New("no such period in the keyring")
	// ErrTrimmed: the sequence is below Oldest.
	ErrTrimmed = errors.New("event is past retention")
)

// CorruptError describes the damage. From and To are the half-open range of damaged sequences,
// both 0 if it is unknown.
type CorruptError struct {
	From, To uint64
	Since    time.Time // when the newest event before From was received; zero if unknown
	Err      error

	recoverable bool // Recover can open the intact part
}

func (e *CorruptError) Error() string {
	text := "journal is corrupt: "
	if e.To > e.From {
		text += fmt.Sprintf("sequences [%d, %d): ", e.From, e.To)
	}
	text += e.Err.Error()
	if e.Since.UnixNano() > 0 {
		text += fmt.Sprintf(", since %s", e.Since.UTC().Format(time.RFC3339Nano))
	}
	if e.recoverable {
		return text + "; auditrelay journal recover shows what is whole and can open it; or restore a backup"
	}
	return text + "; restore a backup, or keep the directory for examination"
}

// Recoverable reports whether Recover can open the intact part.
func (e *CorruptError) Recoverable() bool { return e.recoverable }

func (e *CorruptError) Unwrap() error     { return e.Err }
func (e *CorruptError) Is(err error) bool { return err == ErrCorrupt }

// ErasedError names the period whose key was destroyed. From and To are the half-open range of
// erased sequences, both 0 for a value.
type ErasedError struct {
	Period   uint64
	From, To uint64
}

func (e *ErasedError) Error() string {
	if e.To > e.From {
		return fmt.Sprintf("events [%d, %d) are erased: the key of their period, %d, was destroyed", e.From, e.To, e.Period)
	}
	return fmt.Sprintf("erased: the key of its period, %d, was destroyed", e.Period)
}

func (e *ErasedError) Is(err error) bool { return err == ErrErased }

// FormatError reports a journal of another format version.
type FormatError struct {
	Found, Expected int
}

func (e *FormatError) Error() string {
	hint := "use the newer program that wrote it"
	if e.Found < e.Expected {
		hint = "migrate it first"
	}
	return fmt.Sprintf("journal has format version %d, expected %d; %s", e.Found, e.Expected, hint)
}

func (e *FormatError) Is(err error) bool { return err == ErrFormat }

// FullError reports a rejected transaction, with the figures that led to it.
type FullError struct {
	Quota, Used   int64 // in bytes; Quota is 0 if the reserve was reached
	Reserve, Free int64 // in bytes
	// SpareFiles and FreeFiles are numbers of inodes. SpareFiles is 0 if there are enough.
	SpareFiles, FreeFiles int64
	Needed                int64 // additional bytes for writing the transaction, including its rewriting
}

func (e *FullError) Error() string {
	if e.SpareFiles > 0 {
		return fmt.Sprintf("journal is full: its disk takes %d more files (inodes), %d are kept in reserve; delete files on it, or make its file system anew with more inodes",
			e.FreeFiles, e.SpareFiles)
	}
	if e.Quota > 0 {
		return fmt.Sprintf("journal is full: %s of a quota of %s in use, and writing needs up to %s more; raise the quota, or let callbacks catch up so that retention can free space",
			size(e.Used), size(e.Quota), size(e.Needed))
	}
	return fmt.Sprintf("journal is full: %s free on its disk, %s are kept in reserve, and writing needs up to %s; free disk space, or let callbacks catch up so that retention can",
		size(e.Free), size(e.Reserve), size(e.Needed))
}

func (e *FullError) Is(err error) bool { return err == ErrFull }

// size formats n with the largest unit that fits and at most three decimals, rounded down.
func size(n int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.bytes), unit.name)
		}
	}
	return auditrelay.ByteSize(n).String()
}

// ConflictError names the conflicting events of an all-or-nothing transaction. Nothing of the
// transaction was written.
type ConflictError struct {
	Conflicts []ConflictAt
}

// ConflictAt is one conflicting event: its index among the transaction's appends, and the
// sequence of the stored event with the same identity. The sequence is 0 if the other event is
// in the same transaction.
type ConflictAt struct {
	Index    int
	Sequence uint64
}

func (e *ConflictError) Error() string {
	first := e.Conflicts[0]
	text := fmt.Sprintf("event %d conflicts with the stored event %d: same id, other content", first.Index, first.Sequence)
	if first.Sequence == 0 {
		text = fmt.Sprintf("event %d conflicts with another of the same request: same id, other content", first.Index)
	}
	if n := len(e.Conflicts) - 1; n > 0 {
		text += fmt.Sprintf("; and %d more", n)
	}
	return text
}

func (e *ConflictError) Is(err error) bool { return err == ErrConflict }
