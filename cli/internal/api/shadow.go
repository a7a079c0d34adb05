package api

import (
	"time"

	"auditrelay"
)

// StartShadow asks for a shadow: another module or policy runs beside the filter's own on
// live events, and what differs is counted. Set exactly one of Module and Policy.
type StartShadow struct {
	Filter   string `json:"filter"`
	Callback string `json:"callback,omitempty"` // default: the only one that lists the filter
	Module   string `json:"module,omitempty"`   // the digest of an uploaded one, or at least its first 8 digits
	Policy   string `json:"policy,omitempty"`   // YAML
	Events   uint64 `json:"events,omitempty"`   // ends it; default 10,000, at most 1,000,000
	Seconds  uint64 `json:"seconds,omitempty"`  // end it; default 900, at most 86,400
	Reason   string `json:"reason,omitempty"`   // in the user's words
}

// Shadow is what a shadow found so far. Paths and Failure need the role comply.
type Shadow struct {
	Callback string `json:"callback"`
	Filter   string `json:"filter"`
	Kind     string `json:"kind"`   // module or policy
	Digest   string `json:"digest"` // of what is tried
	Running  string `json:"running"`
	By       string `json:"by"` // the user

	Started time.Time `json:"started"`
	Until   time.Time `json:"until"`
	Ended   time.Time `json:"ended,omitzero"`
	End     string    `json:"end,omitempty"` // why it ended

	Limit    uint64                      `json:"limit"`
	Events   uint64                      `json:"events"`   // compared
	Missed   uint64                      `json:"missed"`   // passed while the shadow was busy
	Same     uint64                      `json:"same"`     // of events
	Changed  uint64                      `json:"changed"`  // of events
	Exposing uint64                      `json:"exposing"` // of changed: a value would leave that does not now
	Emitting uint64                      `json:"emitting"` // of changed: other records would be emitted
	Outcomes []ShadowOutcome             `json:"outcomes"` // of events that would end in another way
	Failures map[auditrelay.Cause]uint64 `json:"failures,omitempty"`
	Failure  string                      `json:"failure,omitempty"` // the last one's text

	Paths      []ShadowPath `json:"paths,omitempty"`
	OtherPaths uint64       `json:"other_paths,omitempty"` // differences at further paths
	Examples   []uint64     `json:"examples"`              // sequences of changed events, exposing ones first

	Now   ShadowCost `json:"now"`   // of the filter as it runs
	Would ShadowCost `json:"would"` // of what is tried
}

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
	Exposed   uint64 `json:"exposed"`   // a value would leave that does not now
	Hidden    uint64 `json:"hidden"`    // a value would no longer leave
	Otherwise uint64 `json:"otherwise"` // another difference
}

// ShadowCost adds up the calls of a filter. Events is 0 if nothing was measured.
type ShadowCost struct {
	Events uint64        `json:"events"`
	Fuel   int64         `json:"fuel"`
	Time   time.Duration `json:"time_ns"`
	Memory int64         `json:"memory"` // the most of one instance, in bytes
}

// ShadowUsed says what runs now.
type ShadowUsed struct {
	Filter string `json:"filter"`
	Digest string `json:"digest"`
}

// UsePolicy asks a native filter to apply another policy. Set exactly one of the first
// three fields.
type UsePolicy struct {
	Policy     string `json:"policy,omitempty"`     // YAML
	Previous   bool   `json:"previous,omitempty"`   // the one before
	Configured bool   `json:"configured,omitempty"` // the configuration's
	Reason     string `json:"reason,omitempty"`     // in the user's words
}

// PolicyUsed is the policy that is in force now.
type PolicyUsed struct {
	Filter  string `json:"filter"`
	Before  string `json:"before"` // digest
	Digest  string `json:"digest"`
	Changed bool   `json:"changed"`
	// From is the first sequence that the policy sees, by callback.
	From map[string]uint64 `json:"from,omitempty"`
}
