// Package filter is the contract of one step of a callback: what the engine asks
// of a filter, native or guest, and what a filter may do with one event.
package filter

import (
	"context"
	"fmt"

	"auditrelay"
	"auditrelay/document"
)

// Filter is one configured step. It is safe for concurrent use; the engine opens
// one Instance per worker and never shares it.
type Filter interface {
	// Open makes an instance. It is called again after an instance failed.
	Open(ctx context.Context) (Instance, error)
	// Close releases what all instances share, after the last is closed.
	Close() error
}

// Instance judges one event at a time, from one goroutine at a time.
type Instance interface {
	// Apply decides on call's event. Edits of call.Document and what was emitted
	// take effect only when it returns Keep (both) or Drop (what was emitted)
	// without an error; after an error, or a panic, the engine closes the
	// instance and uses neither. An error should be an *Error; any other counts
	// as auditrelay.CauseFail. NoVerdict without an error is a failure too.
	//
	// Nothing of call may be kept after Apply returns.
	Apply(ctx context.Context, call *Call) (auditrelay.Verdict, error)
	Close() error
}

// Call is one event's visit to one filter.
type Call struct {
	Event    *auditrelay.Event
	Document *document.Document // shared by the callback's filters, as edited so far

	// Leaks reports whether a text holds what must not leave the callback. What a
	// filter logs of its own making, or of a guest's, it asks about first. Nil:
	// nothing is held back.
	Leaks func(text []byte) bool

	// Reason is why, in the filter's words; kept with the outcome.
	Reason string
	// Emitted are the records to be appended to the journal with the seal.
	Emitted []Emit
	// Touched are the edits that Apply made, for the event's receipt. The filter
	// owns the slice and may use it again for the next event.
	Touched []Touch
	// Usage is what the visit took, set by Apply also when it fails. Native filters
	// leave it zero.
	Usage Usage
}

// Touch is one kind of edit that was made to an event. Its texts are constants of
// the policy or the module, never the event's own keys or values.
type Touch struct {
	Path      string // as the policy or the module wrote it, or a detector's name
	Operation string // remove, mask, hmac, ...
	Count     int    // of values
}

// Described is implemented by a Filter that can say what exactly it is; what it
// answers stands in receipts. Where that changes from event to event, as a module
// does that is switched, its instances implement it too, and speak of the event
// that they judged last.
type Described interface {
	Describe() Description
}

// Description names the version of a filter.
type Description struct {
	Kind    string // wasm, redact
	Digest  string // lower-case hex SHA-256 of the module, or of the policy
	Version string // as the module's manifest has it, empty where there is none
}

// Usage is what a guest took for one event.
type Usage struct {
	Fuel   int64 // units of weighted work, host functions' included
	Memory int64 // bytes: the instance's linear memory after the event
}

// Emit is a record for another callback. The filter that appends it has checked
// target and data: a granted callback, and a valid JSON object of its own bytes.
type Emit struct {
	Target string
	Data   []byte
}

// Error is a filter's failure on one event. Its text carries no event data.
type Error struct {
	Cause auditrelay.Cause
	Err   error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Cause, e.Err) }
func (e *Error) Unwrap() error { return e.Err }
