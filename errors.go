package auditrelay

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNotChecked means that a Prober could not check its destination without side effects. Errors wrap it
// and add the reason.
var ErrNotChecked = errors.New("not checked")

// ErrorKind selects how the engine handles a failed delivery.
type ErrorKind uint8

const (
	// Transient failures are retried with full-jitter backoff, for ever unless the callback's retain option
	// limits them. It is the zero value, so that an unclassified failure loses nothing.
	Transient ErrorKind = iota
	// Throttled is a transient failure that also asks for less concurrency.
	Throttled
	// Unauthorized stalls the callback and raises an alert. The engine retries at a slow, steady pace.
	Unauthorized
	// Misconfigured means that the destination cannot accept any record with the current configuration, for
	// example because the bucket does not exist. It stalls the callback like Unauthorized, since every
	// record would fail.
	Misconfigured
	// TooLarge means that a payload with fewer records may succeed: the engine halves the payload. A single
	// record becomes a dead letter.
	TooLarge
	// Refused is permanent: the same payload always fails. The engine bisects the payload to find the bad
	// record, which becomes a dead letter.
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

// DeliveryError is a sink's classified failure. Its text names operation, subject and cause. It must not
// contain event data.
type DeliveryError struct {
	Kind ErrorKind
	// RetryAfter is the minimum time until the next attempt, as the destination requested; 0 if it
	// requested none.
	RetryAfter time.Duration
	Err        error

	// Status is the status code of the destination's response; 0 if there was no response.
	Status int
	// Answer is the body of the destination's response, for the history of attempts. It may quote event
	// data. It must not be part of Err, and only the role comply sees it. The engine cuts it at MaxAnswer
	// bytes and replaces control characters.
	Answer string
	// Reason says why the attempt failed. If it is empty, the engine derives it from Err.
	Reason AttemptReason
}

// ErrProofGap means that the destination lacks earlier bundles of proofs: someone emptied or replaced the
// destination.
var ErrProofGap = errors.New("the proofs before these are missing")

// MaxAnswer limits DeliveryError.Answer, in bytes.
const MaxAnswer = 512

// AttemptReason says why a delivery attempt failed. The set is closed and contains no event data, so every
// role may see it.
type AttemptReason string

const (
	ReasonNone        AttemptReason = ""                   // the attempt succeeded
	ReasonAnswer      AttemptReason = "answer"             // the destination responded with an error; see the status
	ReasonRecords     AttemptReason = "records"            // the destination or the sink rejected single records
	ReasonTimeout     AttemptReason = "timeout"            // no response in time
	ReasonDNS         AttemptReason = "dns"                // the name does not resolve
	ReasonTLS         AttemptReason = "tls"                // handshake or certificate
	ReasonRefused     AttemptReason = "connection_refused" // nothing listens at the address
	ReasonConnection  AttemptReason = "connection"         // no connection, or the connection broke
	ReasonAddress     AttemptReason = "address_refused"    // the configuration does not allow the address
	ReasonCredentials AttemptReason = "credentials"        // the sink could not get its credentials
	ReasonAge         AttemptReason = "too_old"            // the event is older than the destination keeps
	ReasonPanic       AttemptReason = "panic"              // the sink panicked
	ReasonOther       AttemptReason = "other"
)

func (e *DeliveryError) Error() string { return e.Err.Error() }
func (e *DeliveryError) Unwrap() error { return e.Err }

// RecordErrors names the records of a chunk or payload that failed permanently. If Render returns it,
// nothing was rendered. If Deliver returns it, all other records were delivered.
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

// Unwrap returns the errors of all records.
func (e *RecordErrors) Unwrap() []error {
	errs := make([]error, len(e.Records))
	for i, r := range e.Records {
		errs[i] = r.Err
	}
	return errs
}

// KindOf returns the kind of the first DeliveryError in err's chain, or Transient if there is none.
func KindOf(err error) ErrorKind {
	if d, ok := errors.AsType[*DeliveryError](err); ok {
		return d.Kind
	}
	return Transient
}

// RetryAfter returns the pause that the destination requested, or 0 if there is none.
func RetryAfter(err error) time.Duration {
	if d, ok := errors.AsType[*DeliveryError](err); ok {
		return d.RetryAfter
	}
	return 0
}

// OptionError reports an invalid option by its path in the YAML ("encryption.kms_key_id"). Join several
// with errors.Join. The configuration adds file and line to each.
type OptionError struct {
	Path string
	Err  error
}

func (e *OptionError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }
