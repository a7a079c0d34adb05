package api

import (
	"time"
)

// StartRollout asks for a rollout: a new version of a filter judges a share of the events,
// chosen by their ids, on every callback that lists the filter; what it judges is delivered.
// Set exactly one of Module and Policy.
type StartRollout struct {
	Filter string `json:"filter"`
	Module string `json:"module,omitempty"` // the digest of an uploaded one, or at least its first 8 digits
	Policy string `json:"policy,omitempty"` // YAML
	// Share is the share of events, above 0 and at most 1; default 0.05.
	Share float64 `json:"share,omitempty"`
	// Bound is the share of the events that the new version judged which may fail, below 1;
	// default 0.01. More, of at least Events events (default 100, at most 1,000,000), roll
	// the version back.
	Bound  float64 `json:"bound,omitempty"`
	Events uint64  `json:"events,omitempty"`
	Reason string  `json:"reason,omitempty"` // in the user's words
}

// Rollout is the rollout that is under way, or the last one.
type Rollout struct {
	ID      string            `json:"id"` // also its version, for If-Match
	Filter  string            `json:"filter"`
	Kind    string            `json:"kind"`    // module or policy
	Digest  string            `json:"digest"`  // of the new version
	Running string            `json:"running"` // of the one that judges the rest
	Share   float64           `json:"share"`
	Bound   float64           `json:"bound"`
	Events  uint64            `json:"events"` // from so many on the bound holds
	State   string            `json:"state"`  // running, promoted or rolled_back
	Why     string            `json:"why,omitempty"`
	From    map[string]uint64 `json:"from"` // the first sequence that it may judge, by callback
	Started time.Time         `json:"started"`
	By      string            `json:"by"`
	Ended   time.Time         `json:"ended,omitzero"`
	EndedBy string            `json:"ended_by,omitempty"`
	Counts  []RolloutCount    `json:"counts"`
}

// ETag is the version, for the header of an answer.
func (r Rollout) ETag() string { return r.ID }

// RolloutCount counts the events that the new version judged on one callback, and those
// among them that failed: set aside or discarded, by the version, the gate or the
// destination.
type RolloutCount struct {
	Callback string `json:"callback"`
	Judged   uint64 `json:"judged"`
	Failed   uint64 `json:"failed"`
}
