package auditrelay

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNotChecked is returned, wrapped with the reason, by a Prober that could
// not check its destination without harm.
var ErrNotChecked = errors.New("not checked")

// ErrorKind says what the engine does about a failed delivery.
type ErrorKind uint8

const (
	// Transient failures are retried with full-jitter backoff, for ever unless
	// the callback's retain says otherwise. The zero value, so that an
	// unclassified failure loses nothing.
	Transient ErrorKind = iota
	// Throttled is transient, and asks for less concurrency.
	Throttled
	// Unauthorized stalls the callback and alerts; it is tried again at a slow,
	// steady pace.
	Unauthorized
	// Misconfigured is a destination that takes nothing as it is set up (no such
	// bucket): like Unauthorized it stalls the callback, since each record would
	// fail alike.
	Misconfigured
	// TooLarge means that fewer records may pass; the payload is halved, and a
	// single record is dead-lettered.
	TooLarge
	// Refused is permanent: the same payload always fails. It is bisected to the
	// bad record, which is dead-lettered.
	Refused
)

func (k ErrorKind) String() string {
	switch k {
	case Transient:
		return "transient"
	case Throttled:
		return "throttled"
	case Unauthorized:
		return "unauthorized"
	case Misconfigured:
		return "misconfigured"
	case TooLarge:
		return "too_large"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// DeliveryError is a sink's classified failure. Its text names operation,
// subject and cause and carries no event data.
type DeliveryError struct {
	Kind ErrorKind
	// RetryAfter is the least time until the next attempt, 0 where the
	// destination named none.
	RetryAfter time.Duration
	Err        error
}

func (e *DeliveryError) Error() string { return e.Err.Error() }
func (e *DeliveryError) Unwrap() error { return e.Err }

// RecordErrors names the records of a chunk or payload that failed for good,
// where a sink can tell them apart. From Render it means that nothing was
// rendered yet; from Deliver, that all other records were delivered.
type RecordErrors struct {
	Records []RecordError
}

// RecordError is one record's permanent failure.
type RecordError struct {
	Sequence uint64
	Cause    Cause
	Err      error
}

func (e *RecordErrors) Error() string {
	parts := make([]string, 0, min(len(e.Records), 3))
	for i, r := range e.Records {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("and %d more", len(e.Records)-3))
			break
		}
		parts = append(parts, fmt.Sprintf("record %d: %v", r.Sequence, r.Err))
	}
	return strings.Join(parts, "; ")
}

// Unwrap gives every record's cause.
func (e *RecordErrors) Unwrap() []error {
	errs := make([]error, len(e.Records))
	for i, r := range e.Records {
		errs[i] = r.Err
	}
	return errs
}

// KindOf returns how a delivery failed: the kind of the first DeliveryError in
// err's chain, Transient where there is none.
func KindOf(err error) ErrorKind {
	if d, ok := errors.AsType[*DeliveryError](err); ok {
		return d.Kind
	}
	return Transient
}

// RetryAfter returns the pause that the destination asked for, 0 if none.
func RetryAfter(err error) time.Duration {
	if d, ok := errors.AsType[*DeliveryError](err); ok {
		return d.RetryAfter
	}
	return 0
}

// OptionError names an option that a constructor refuses, by its path among the
// options as they are written in YAML ("encryption.kms_key_id"). Several are
// joined with errors.Join; the configuration puts file and line to each.
type OptionError struct {
	Path string
	Err  error
}

func (e *OptionError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }
