package api

import (
	"time"

	"auditrelay"
)

// StartShadow requests a shadow: another module or policy processes live events in parallel
// with the filter's own, and the relay counts the differences. Set exactly one of Module and
// Policy.
type StartShadow struct {
	Filter   string `json:"filter"`
	Callback string `json:"callback,omitempty"` // default: the only one that lists the filter
	Module   string `json:"module,omitempty"`   // digest of an uploaded module, or at least its first 8 digits
	Policy   string `json:"policy,omitempty"`   // YAML
	Events   uint64 `json:"events,omitempty"`   // number after which it ends; default 10,000, at most 1,000,000
	Seconds  uint64 `json:"seconds,omitempty"`  // time after which it ends; default 900, at most 86,400
	Reason   string `json:"reason,omitempty"`   // in the user's words
}

// Shadow has a shadow's results so far. Paths and Failure need the role comply.
type Shadow struct {
	ID       string `json:"id"` // also its version, for If-Match
	Callback string `json:"callback"`
	Filter   string `json:"filter"`
	Kind     string `json:"kind"`   // module or policy
	Digest   string `json:"digest"` // digest of the module or policy on trial
	Running  string `json:"running"`
	By       string `json:"by"` // the user

	Started time.Time `json:"started"`
	Until   time.Time `json:"until"`
	Ended   time.Time `json:"ended,omitzero"`
	End     string    `json:"end,omitempty"` // why it ended

	Limit    uint64                      `json:"limit"`
	Events   uint64                      `json:"events"`   // number of compared events
	Missed   uint64                      `json:"missed"`   // number of events that passed while the shadow was busy
	Same     uint64                      `json:"same"`     // number of equal events
	Changed  uint64                      `json:"changed"`  // number of different events
	Exposing uint64                      `json:"exposing"` // number of changed events with a newly exposed value
	Emitting uint64                      `json:"emitting"` // number of changed events with different emitted records
	Outcomes []ShadowOutcome             `json:"outcomes"` // events with another outcome
	Failures map[auditrelay.Cause]uint64 `json:"failures,omitempty"`
	Failure  string                      `json:"failure,omitempty"` // text of the last failure

	Paths      []ShadowPath `json:"paths,omitempty"`
	OtherPaths uint64       `json:"other_paths,omitempty"` // number of differences at further paths
	Examples   []uint64     `json:"examples"`              // sequences of changed events; those with newly exposed values first

	Now   ShadowCost `json:"now"`   // cost of the current filter
	Would ShadowCost `json:"would"` // cost of the module or policy on trial
}

// ETag returns the version, for the header of a response.
func (s Shadow) ETag() string { return s.ID }

// ShadowOutcome counts events with another outcome. Would is pending if the shadow could not
// decide.
type ShadowOutcome struct {
	Now    auditrelay.Outcome `json:"now"`
	Would  auditrelay.Outcome `json:"would"`
	Events uint64             `json:"events"`
}

// ShadowPath counts the events that differ at a path.
type ShadowPath struct {
	Path      string `json:"path"`
	Exposed   uint64 `json:"exposed"`   // events with a newly exposed value
	Hidden    uint64 `json:"hidden"`    // events with a value that would no longer be exposed
	Otherwise uint64 `json:"otherwise"` // events with another difference
}

// ShadowCost adds up the calls of a filter. Events is 0 if nothing was measured.
type ShadowCost struct {
	Events uint64        `json:"events"`
	Fuel   int64         `json:"fuel"`
	Time   time.Duration `json:"time_ns"`
	Memory int64         `json:"memory"` // maximum of one instance, in bytes
}

// ShadowUsed says what is in force now.
type ShadowUsed struct {
	Filter string `json:"filter"`
	Digest string `json:"digest"`
}

// UsePolicy makes a native filter apply another policy. Set exactly one of the first three
// fields.
type UsePolicy struct {
	Policy     string `json:"policy,omitempty"`     // YAML
	Previous   bool   `json:"previous,omitempty"`   // the previous policy
	Configured bool   `json:"configured,omitempty"` // the configuration's policy
	Reason     string `json:"reason,omitempty"`     // in the user's words
}

// PolicyUsed is the policy in force.
type PolicyUsed struct {
	Filter  string `json:"filter"`
	Before  string `json:"before"` // digest of the previous policy
	Digest  string `json:"digest"`
	Changed bool   `json:"changed"`
	// From is the first sequence that the policy processes, by callback.
	From map[string]uint64 `json:"from,omitempty"`
}
