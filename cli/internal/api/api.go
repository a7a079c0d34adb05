// Package api defines the HTTP API for the relay and its client: every endpoint with its path,
// and the types of requests and responses. It imports neither the runtime nor a source, so that
// a client links none of them.
package api

import (
	"fmt"
	"strings"
	"time"
)

// The values of Error.Reason for a request as a whole. Package ingest has those of a single
// event. The set is closed.
const (
	ReasonBadRequest   = "bad_request"
	ReasonUnauthorized = "unauthorized"
	ReasonForbidden    = "forbidden"
	ReasonNotFound     = "not_found"
	ReasonNotSeen      = "not_seen"
	ReasonConflict     = "conflict"
	ReasonTooLarge     = "too_large"
	ReasonTooSlow      = "too_slow"
	ReasonAtomic       = "atomic" // another event of the atomic request was rejected
	ReasonMediaType    = "media_type"
	ReasonUnavailable  = "unavailable"
	ReasonBusy         = "busy"
	ReasonMethod       = "method"
	ReasonCrossOrigin  = "cross_origin"
	ReasonConfig       = "config"
	ReasonFilter       = "filter"   // a filter before the journal failed on the event
	ReasonModule       = "module"   // the module is not accepted as a guest
	ReasonErased       = "erased"   // the event's period was erased
	ReasonHeld         = "held"     // something still needs the object
	ReasonRate         = "rate"     // above the rate limit of a token or an address
	ReasonChanged      = "changed"  // the object's version differs from If-Match
	ReasonApproval     = "approval" // other principals must approve it; a request for approval was created
	ReasonInternal     = "internal"
)

// Why is the user's reason for a request. The relay's own record of the request contains it.
type Why struct {
	Reason string `json:"reason,omitempty" query:"reason"`
}

// Error says why a request, or one event of it, failed. It contains no event data except
// the name of a field.
type Error struct {
	Field   string `json:"field,omitempty"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`

	// Status and RetryAfter are those of the response, if any. They travel in its header.
	Status     int           `json:"-"`
	RetryAfter time.Duration `json:"-"`
	// Invalid lists the invalid parameters of a 422 response.
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

// Failure is the body of every error response.
type Failure struct {
	Error *Error `json:"error"`
}

// Invalid is a parameter that the audit API rejects with 422, in LiteLLM's shape.
type Invalid struct {
	Type  string         `json:"type"`
	Where []string       `json:"loc"`
	Text  string         `json:"msg"`
	Input string         `json:"input"`
	Limit map[string]int `json:"ctx,omitempty"`
}

// Submitted is the response to POST /v1/events. Results has one Result for each event, in
// order.
type Submitted struct {
	Accepted   int `json:"accepted"`             // newly stored
	Duplicates int `json:"duplicates,omitempty"` // equal events were stored before
	Refused    int `json:"refused,omitempty"`
	// Quarantined is the number of invalid events of a hook that went to quarantine, since its
	// sender cannot see an error.
	Quarantined int      `json:"quarantined,omitempty"`
	Results     []Result `json:"results"`
	// Error is set if the body could not be read to its end. Events after the last result
	// were not processed.
	Error *Error `json:"error,omitempty"`
}

// Result is the outcome of one event of a request.
type Result struct {
	Index         int    `json:"index"` // index of the object in the body; all events of a wrapper have the same
	ID            string `json:"id,omitempty"`
	Sequence      uint64 `json:"sequence,omitempty"`
	Duplicate     bool   `json:"duplicate,omitempty"`
	UnknownAction bool   `json:"unknown_action,omitempty"`
	Filtered      bool   `json:"filtered,omitempty"` // dropped by a filter before the journal
	Empty         bool   `json:"empty,omitempty"`    // the object is a wrapper that holds no events
	Error         *Error `json:"error,omitempty"`
}
