// Package api holds what the daemon and its client say to each other over HTTP:
// the shapes that the runtime's own types do not cover already.
package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Reasons are the closed set of an Error's Reason beside those of a single
// event, which are ingest's own.
const (
	ReasonBadRequest   = "bad_request"
	ReasonUnauthorized = "unauthorized"
	ReasonForbidden    = "forbidden"
	ReasonNotFound     = "not_found"
	ReasonNotSeen      = "not_seen"
	ReasonConflict     = "conflict"
	ReasonTooLarge     = "too_large"
	ReasonTooSlow      = "too_slow"
	ReasonAtomic       = "atomic" // another event of the atomic request was refused
	ReasonMediaType    = "media_type"
	ReasonUnavailable  = "unavailable"
	ReasonBusy         = "busy"
	ReasonMethod       = "method"
	ReasonCrossOrigin  = "cross_origin"
	ReasonConfig       = "config"
	ReasonFilter       = "filter" // one before the journal failed on it
	ReasonModule       = "module" // it is refused as a guest
	ReasonErased       = "erased" // its period's key was destroyed
	ReasonHeld         = "held"   // something still needs it
	ReasonInternal     = "internal"
)

// Error is why a request as a whole, or one event of it, was not done. It
// carries no event data beyond the name of a field.
type Error struct {
	Field   string `json:"field,omitempty"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`

	// Status and RetryAfter are the response's, where there is one; they travel in
	// its head.
	Status     int           `json:"-"`
	RetryAfter time.Duration `json:"-"`
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	if e.Message == "" {
		b.WriteString(e.Reason)
	}
	if e.Field != "" {
		fmt.Fprintf(&b, " (field %s)", e.Field)
	}
	return b.String()
}

// Failure is the body of every response that is an error and nothing else.
type Failure struct {
	Error *Error `json:"error"`
}

// Submitted answers POST /v1/events.
type Submitted struct {
	Accepted   int      `json:"accepted"`             // stored now
	Duplicates int      `json:"duplicates,omitempty"` // equal ones were stored before
	Refused    int      `json:"refused,omitempty"`
	Results    []Result `json:"results"`
	// Error is set where the body could not be read to its end. Events beyond
	// the last result were not looked at.
	Error *Error `json:"error,omitempty"`
}

// Result is what became of one event of a request.
type Result struct {
	Index         int    `json:"index"`
	ID            string `json:"id,omitempty"`
	Sequence      uint64 `json:"sequence,omitempty"`
	Duplicate     bool   `json:"duplicate,omitempty"`
	UnknownAction bool   `json:"unknown_action,omitempty"`
	Filtered      bool   `json:"filtered,omitempty"` // dropped by a filter before the journal
	Error         *Error `json:"error,omitempty"`
}

// Replay asks for events to be given to a callback again. From and To bound the
// sequences, half open; To 0 is the head. The times bound the received time.
type Replay struct {
	From     uint64    `json:"from,omitempty"`
	To       uint64    `json:"to,omitempty"`
	FromTime time.Time `json:"from_time,omitzero"`
	ToTime   time.Time `json:"to_time,omitzero"`
	DryRun   bool      `json:"dry_run,omitempty"`
	Emit     bool      `json:"emit,omitempty"`
}

// DeadLetters names dead letters of one callback. All has to be said, so that an
// empty request does not discard everything.
type DeadLetters struct {
	Sequences []uint64 `json:"sequences,omitempty"`
	All       bool     `json:"all,omitempty"`
}

// Changed says how many dead letters a request changed.
type Changed struct {
	Changed int `json:"changed"`
}

// BackedUp says where a backup is, on the daemon's machine.
type BackedUp struct {
	Dir string `json:"dir"`
}

// Reloaded says what a reload did.
type Reloaded struct {
	Before  string   `json:"before"` // digest of the configuration
	After   string   `json:"after"`
	Changed bool     `json:"changed"`
	Notes   []string `json:"notes,omitempty"` // what takes a restart
}

// Version is what the binary says of itself.
type Version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
}

// Stored answers GET /v1/stored: accepted events from a sequence on.
type Stored struct {
	Events []StoredEvent `json:"events"`
	Next   uint64        `json:"next"` // where to go on
}

// StoredEvent is one accepted event with its contents.
type StoredEvent struct {
	Sequence  uint64          `json:"sequence"`
	Namespace string          `json:"namespace"`
	ID        string          `json:"id"`
	Received  time.Time       `json:"received"`
	Data      json.RawMessage `json:"data"`
}
