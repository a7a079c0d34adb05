// Package filter defines the contract between the engine and a filter. A filter, native or guest, is one
// step of a callback.
package filter

import (
	"context"
	"fmt"

	"auditrelay"
	"auditrelay/document"
)

// Filter is one configured step. It must be safe for concurrent use. The engine opens one Instance for each
// worker.
type Filter interface {
	// Open returns a new instance. The engine calls it again after an instance failed.
	Open(ctx context.Context) (Instance, error)
	// Close releases the resources that the instances share. The engine calls it after it closed the last
	// instance.
	Close() error
}

// Instance processes one event at a time, from one goroutine at a time.
type Instance interface {
	// Apply decides on call's event. If Apply returns Keep and no error, the edits of call.Document and the
	// emitted records take effect. If it returns Drop, only the records do. After an error or a panic
	// neither takes effect, and the engine closes the instance. Return an *Error; any other error counts as
	// auditrelay.CauseFail. NoVerdict without an error is a failure too.
	//
	// Apply must not keep any part of call after it returns.
	Apply(ctx context.Context, call *Call) (auditrelay.Verdict, error)
	Close() error
}

// Batcher is an optional interface of an Instance that can process several events in one call. It helps
// where a call costs much more than the work on one event.
type Batcher interface {
	// ApplyAll does the work of Apply for the calls, in order. It sets the verdicts of the calls that it
	// decided and returns their number.
	//
	// If err is nil, decided is at least 1. If calls are left, the instance had no room for them: the
	// engine calls ApplyAll again with the rest. If err is not nil, it is the error of calls[decided]. The
	// calls after that one were not processed, and the engine continues with another instance.
	//
	// The values that ApplyAll puts into calls stay valid until the next call of the instance.
	ApplyAll(ctx context.Context, calls []Call, verdicts []auditrelay.Verdict) (decided int, err error)
}

// Grouped is an optional interface of a Filter whose instances share a resource, such as a process, within
// one callback but not across callbacks. The engine calls OpenFor instead of Open.
type Grouped interface {
	OpenFor(ctx context.Context, callback string) (Instance, error)
}

// Wide is an optional interface of a Filter whose instances are Batchers. Width returns the preferred
// number of events per call. The engine may pass fewer or more.
type Wide interface {
	Width() int
}

// Call is one event's pass through one filter.
type Call struct {
	Event    *auditrelay.Event
	Document *document.Document // shared by the callback's filters; contains the edits of earlier filters

	// Leaks reports whether text contains a value that the callback must not send. A filter must call it
	// before it logs its own text or a guest's. If Leaks is nil, the filter may log everything.
	Leaks func(text []byte) bool

	// Learn receives each value that a native filter redacted as a secret, unless Learn is nil. The gate
	// then rejects the value in payloads and in the records that later filters emit. Learn does not keep
	// value after it returns.
	Learn func(value []byte)

	// Reason is the filter's own explanation. The engine stores it with the outcome.
	Reason string
	// Emitted lists records for other callbacks. The seal appends them to the journal.
	Emitted []Emit
	// Touched lists Apply's edits, for the event's receipt. The filter owns the
	// slice and may reuse it for the next event.
	Touched []Touch
	// Usage is the cost of this call. Apply sets it on success and on failure. Native filters leave it
	// zero.
	Usage Usage
}

// Touch is one kind of edit of an event. Its texts come from the policy or the module, never from the
// event.
type Touch struct {
	Path      string // as written in the policy or the module, or a detector's name
	Operation string // remove, mask, hmac, ...
	Count     int    // number of edited values
}

// Described is an optional interface of a Filter that knows its version. Receipts contain the version. If
// the version can change between events, for example because modules are switched, the instances must
// implement Described too and return the version of their last event.
type Described interface {
	Describe() Description
}

// Masker is an optional interface of a Filter that only masks values and never drops an event. The relay's
// own audit events pass only Maskers, so that no other filter can hide them from the destination. Masks is
// a marker and does nothing.
type Masker interface {
	Masks()
}

// Rester is an optional interface of a Filter that may pause, as a guest does whose breaker is open.
// Resting returns the reason for a pause, or nil if the filter works. It must be safe for concurrent use
// and must return at once.
type Rester interface {
	Resting() error
}

// Pure is an optional interface of a Filter that never emits, and whose verdict and edits depend only on
// the event's Data and the filter's configuration. Callbacks with equal filters process an event once and
// share the result.
//
// Two filters with equal identities must do the same to every event, byte for byte. So the identity must
// cover everything that they depend on, including keys. It must be comparable with ==.
type Pure interface {
	Identity() any
}

// Description identifies the version of a filter.
type Description struct {
	Kind    string // wasm or redact
	Digest  string // SHA-256 of the module or the policy, in lower-case hexadecimal
	Version string // from the module's manifest, empty if there is none
}

// Usage is a guest's cost for one event.
type Usage struct {
	Fuel   int64 // in units of fuel, including host functions
	Memory int64 // linear memory after the event, in bytes
}

// Emit is a record for another callback. The filter must have checked both fields: Target is granted, and
// Data is a valid JSON object. The filter must not reuse Data's memory.
type Emit struct {
	Target string
	Data   []byte
}

// Error is a filter's failure on one event. Its text must not contain event data.
type Error struct {
	Cause auditrelay.Cause
	Err   error
	// Final says that the filter already tried the event again. The failure is then the event's outcome,
	// even for a cause after which the engine would retry.
	Final bool
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Cause, e.Err) }
func (e *Error) Unwrap() error { return e.Err }
