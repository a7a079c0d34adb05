package api

import (
	"time"
)

// StartRollout requests a rollout. A new version of a filter processes a share of the events,
// selected by their ids, on every callback that lists the filter. Its events are delivered. Set
// exactly one of Module and Policy.
type StartRollout struct {
	Filter string `json:"filter"`
	Module string `json:"module,omitempty"` // digest of an uploaded module, or at least its first 8 digits
	Policy string `json:"policy,omitempty"` // YAML
	// Share is the share of events, above 0 and at most 1; default 0.05.
	Share float64 `json:"share,omitempty"`
	// Bound is the maximum share of failures among the events that the new version processed,
	// below 1; default 0.01. After Events events (default 100, at most 1,000,000), more
	// failures roll the version back.
	Bound  float64 `json:"bound,omitempty"`
	Events uint64  `json:"events,omitempty"`
	Reason string  `json:"reason,omitempty"` // in the user's words
}

// Rollout is the rollout in progress, or the last one.
type Rollout struct {
	ID      string            `json:"id"` // also its version, for If-Match
	Filter  string            `json:"filter"`
	Kind    string            `json:"kind"`    // module or policy
	Digest  string            `json:"digest"`  // digest of the new version
	Running string            `json:"running"` // digest of the version in force
	Share   float64           `json:"share"`
	Bound   float64           `json:"bound"`
	Events  uint64            `json:"events"` // Bound applies from this number of events on
	State   string            `json:"state"`  // running, promoted or rolled_back
	Why     string            `json:"why,omitempty"`
	From    map[string]uint64 `json:"from"` // the first sequence for the new version, by callback
	Started time.Time         `json:"started"`
	By      string            `json:"by"`
	Ended   time.Time         `json:"ended,omitzero"`
	EndedBy string            `json:"ended_by,omitempty"`
	Counts  []RolloutCount    `json:"counts"`
}

// ETag returns the version, for the header of a response.
func (r Rollout) ETag() string { return r.ID }

// RolloutCount counts the events that the new version processed on one callback, and their
// failures: events that were dead-lettered or discarded because of the version, the gate or the
// destination.
type RolloutCount struct {
	Callback string `json:"callback"`
	Judged   uint64 `json:"judged"`
	Failed   uint64 `json:"failed"`
}
