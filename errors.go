package auditrelay

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNotChecked means that a Prober could not check its destination without harm.
// It comes wrapped with the reason.
var ErrNotChecked = errors.New("not checked")

// ErrorKind says what the engine does about a failed delivery.
type ErrorKind uint8

const (
	// Transient failures are retried with full-jitter backoff, without end unless
	// the callback's retain says otherwise. It is the zero value, so that an
	// unclassified failure loses nothing.
	Transient ErrorKind = iota
	// Throttled is transient and asks for less concurrency.
	Throttled
	// Unauthorized stalls the callback and alerts. The engine retries at a slow,
	// steady pace.
	Unauthorized
	// Misconfigured means that the destination cannot accept anything as it is set
	// up (no such bucket, for example). It stalls the callback like Unauthorized,
	// since every record would fail.
	Misconfigured
	// TooLarge means that fewer records may succeed: the payload is halved. A
	// single record is dead-lettered.
	TooLarge
	// Refused is permanent: the same payload always fails. The engine bisects to
	// the bad record and dead-letters it.
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
	// RetryAfter is the least time until the next attempt; 0 if the destination
	// named none.
	RetryAfter time.Duration
	Err        error

	// Status is the status code that the destination answered; 0 if it answered none.
	Status int
	// Answer is what the destination wrote, for the history of attempts. It may quote
	// event data: it is never part of Err, and only the role comply sees it. The engine
	// cuts it at MaxAnswer bytes and replaces control characters.
	Answer string
	// Reason says why the attempt failed; empty lets the engine find it in Err.
	Reason AttemptReason
}

// ErrProofGap says that the destination lacks the bundles of proofs before the one that
// was to be delivered: it was emptied, or replaced.
var ErrProofGap = errors.New("the proofs before these are missing")

// MaxAnswer is how much of a DeliveryError's Answer is kept, in bytes.
const MaxAnswer = 512

// AttemptReason says why a delivery attempt failed. The set is closed, so that everyone
// may see it.
type AttemptReason string

const (
	ReasonNone        AttemptReason = ""                   // it succeeded
	ReasonAnswer      AttemptReason = "answer"             // the destination answered a failure; see the status
	ReasonRecords     AttemptReason = "records"            // the destination or the sink refuses single records
	ReasonTimeout     AttemptReason = "timeout"            // no answer in time
	ReasonDNS         AttemptReason = "dns"                // the name does not resolve
	ReasonTLS         AttemptReason = "tls"                // handshake or certificate
	ReasonRefused     AttemptReason = "connection_refused" // nothing listens there
	ReasonConnection  AttemptReason = "connection"         // no connection, or one that broke
	ReasonAddress     AttemptReason = "address_refused"    // the address is not allowed by the configuration
	ReasonCredentials AttemptReason = "credentials"        // the sink could not get its credentials
	ReasonAge         AttemptReason = "too_old"            // older than the destination keeps
	ReasonPanic       AttemptReason = "panic"              // the sink panicked
	ReasonOther       AttemptReason = "other"
)

func (e *DeliveryError) Error() string { return e.Err.Error() }
func (e *DeliveryError) Unwrap() error { return e.Err }

// RecordErrors names the records of a chunk or payload that failed permanently.
// From Render it means that nothing was rendered; from Deliver, that all other
// records were delivered.
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

// Unwrap returns every record's error.
func (e *RecordErrors) Unwrap() []error {
	errs := make([]error, len(e.Records))
	for i, r := range e.Records {
		errs[i] = r.Err
	}
	return errs
}

// KindOf returns the kind of the first DeliveryError in err's chain, Transient if
// there is none.
func KindOf(err error) ErrorKind {
	if d, ok := errors.AsType[*DeliveryError](err); ok {
		return d.Kind
	}
	return Transient
}

// RetryAfter returns the pause that the destination asked for; 0 if none.
func RetryAfter(err error) time.Duration {
	if d, ok := errors.AsType[*DeliveryError](err); ok {
		return d.RetryAfter
	}
	return 0
}

// OptionError names an invalid option by its path in the YAML
// ("encryption.kms_key_id"). Join several with errors.Join; the configuration adds
// file and line to each.
type OptionError struct {
	Path string
	Err  error
}

func (e *OptionError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }
