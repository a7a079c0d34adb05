// Package filter is the contract between the engine and a filter, native or guest:
// one step of a callback.
package filter

import (
	"context"
	"fmt"

	"auditrelay"
	"auditrelay/document"
)

// Filter is one configured step. It must be safe for concurrent use. The engine
// opens one Instance for each worker.
type Filter interface {
	// Open returns a new instance. The engine calls it again after an instance failed.
	Open(ctx context.Context) (Instance, error)
	// Close releases what the instances share. The engine calls it after it closed
	// the last instance.
	Close() error
}

// Instance processes one event at a time, from one goroutine at a time.
type Instance interface {
	// Apply decides on call's event. With Keep and no error, edits of
	// call.Document and emitted records take effect; with Drop, only the records.
	// After an error or a panic neither does, and the engine closes the instance.
	// Return an *Error; any other error counts as auditrelay.CauseFail. NoVerdict
	// without an error is a failure too.
	//
	// Keep nothing of call after Apply returns.
	Apply(ctx context.Context, call *Call) (auditrelay.Verdict, error)
	Close() error
}

// Batcher is implemented by an Instance that may take several events at a time, as one
// does for which a call costs much beside the work.
type Batcher interface {
	// ApplyAll does what Apply does on one call after the other. It sets the verdicts of
	// those that it decided and returns how many that are, at least one where err is nil.
	// Where err is nil and calls are left, it has no room for more: the engine calls it
	// again with the rest. An error is that of calls[decided]; the calls behind it were
	// not looked at, and the engine goes on with another instance.
	//
	// What it puts into calls stays valid until the next call of the instance.
	ApplyAll(ctx context.Context, calls []Call, verdicts []auditrelay.Verdict) (decided int, err error)
}

// Grouped is implemented by a Filter whose instances of one callback share what those of
// others must not, as a process. The engine calls OpenFor in the place of Open.
type Grouped interface {
	OpenFor(ctx context.Context, callback string) (Instance, error)
}

// Wide is implemented by a Filter whose instances are Batchers. Width is how many events
// they like to get at a time; the engine may pass fewer or more.
type Wide interface {
	Width() int
}

// Call is one event's visit to one filter.
type Call struct {
	Event    *auditrelay.Event
	Document *document.Document // shared by the callback's filters, as edited so far

	// Leaks reports whether text contains what must not leave the callback. A
	// filter must ask before it logs a text of its own or of a guest. If Leaks is
	// nil, everything may be logged.
	Leaks func(text []byte) bool

	// Learn, unless nil, takes each value that a native filter redacted as a secret. The
	// gate and the records that later filters emit must not contain it. The bytes are
	// valid during the call.
	Learn func(value []byte)

	// Reason is the filter's own explanation; the engine keeps it with the outcome.
	Reason string
	// Emitted are records for other callbacks; the seal appends them to the journal.
	Emitted []Emit
	// Touched lists Apply's edits, for the event's receipt. The filter owns the
	// slice and may reuse it for the next event.
	Touched []Touch
	// Usage is the cost of this call. Apply sets it, also when it fails. Native
	// filters leave it zero.
	Usage Usage
}

// Touch is one kind of edit of an event. Its texts come from the policy or the
// module, never from the event.
type Touch struct {
	Path      string // as the policy or the module writes it, or a detector's name
	Operation string // remove, mask, hmac, ...
	Count     int    // number of values
}

// Described is for a Filter that knows its version; receipts contain it. If the
// version can change between events, as with switched modules, the instances
// implement it too and answer for their last event.
type Described interface {
	Describe() Description
}

// Masker is implemented by a Filter that masks values and never drops an event, as a
// policy does. The relay's own audit events pass Maskers alone, so that no other filter
// can keep them from the destination. Masks does nothing.
type Masker interface {
	Masks()
}

// Rester is implemented by a Filter that may judge nothing for a time, as a guest
// does whose breaker is open. Resting says why; nil while it judges. It is safe for
// concurrent use and takes no time.
type Rester interface {
	Resting() error
}

// Pure is implemented by a Filter whose verdict and edits depend on the event's Data and
// on its own configuration alone, and that never emits. Two filters with equal
// identities do the same to every event, byte for byte: everything that they depend on
// is part of it, keys included. Callbacks with equal filters judge an event once. The
// identity is comparable with ==.
type Pure interface {
	Identity() any
}

// Description names the version of a filter.
type Description struct {
	Kind    string // wasm, redact
	Digest  string // SHA-256 of the module or the policy, lower-case hex
	Version string // from the module's manifest, empty if there is none
}

// Usage is a guest's cost for one event.
type Usage struct {
	Fuel   int64 // units, host functions included
	Memory int64 // bytes of linear memory after the event
}

// Emit is a record for another callback. The filter must have checked both fields:
// Target is granted, Data is a valid JSON object in memory that the filter does not
// reuse.
type Emit struct {
	Target string
	Data   []byte
}

// Error is a filter's failure on one event. Its text must not contain event data.
type Error struct {
	Cause auditrelay.Cause
	Err   error
	// Final says that the filter tried the event again itself: the failure is the event's
	// outcome, also with a cause that the engine would try again for.
	Final bool
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Cause, e.Err) }
func (e *Error) Unwrap() error { return e.Err }
