// Package api is the HTTP API as the relay and its client share it: every endpoint
// with its path, and the shapes of requests, answers and errors. It imports neither
// the runtime nor a source, so that a client links none of them.
package api

import (
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
	// Invalid are the parameters that an answer of 422 is about.
	Invalid []Invalid `json:"-"`
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

// Invalid is a parameter that the audit API refuses with 422, in LiteLLM's shape.
type Invalid struct {
	Type  string         `json:"type"`
	Where []string       `json:"loc"`
	Text  string         `json:"msg"`
	Input string         `json:"input"`
	Limit map[string]int `json:"ctx,omitempty"`
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
