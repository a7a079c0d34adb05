package api

import (
	"encoding/json"

	"auditrelay"
)

// Sample selects the events of a trial: Events or, if there are none, accepted events from
// the sequence From on.
type Sample struct {
	Events []json.RawMessage `json:"events,omitempty"` // in LiteLLM's schema; at most 100
	From   uint64            `json:"from,omitempty"`   // 0: the oldest
	Limit  int               `json:"limit,omitempty"`  // number of accepted events; default 20, at most 1,000
}

// Try asks what a callback would do to events. The relay accepts, delivers and stores nothing.
type Try struct {
	Sample
	Callback string `json:"callback"`
	// Policy, if set, is the YAML of a policy that replaces that of the native filter Filter.
	Filter string `json:"filter,omitempty"`
	Policy string `json:"policy,omitempty"`
	// Module, if set, is the digest of an uploaded module, or at least its first 8 digits. It
	// replaces that of the guest filter Filter. Set at most one of Policy and Module.
	Module string `json:"module,omitempty"`
}

// Tried is what a callback would do to one event. Before and After are the original and the
// filtered event.
type Tried struct {
	Sequence uint64             `json:"sequence"`
	ID       string             `json:"id"`
	Outcome  auditrelay.Outcome `json:"outcome"`
	Cause    auditrelay.Cause   `json:"cause,omitempty"`
	Filter   string             `json:"filter,omitempty"`
	Reason   string             `json:"reason,omitempty"`
	Error    string             `json:"error,omitempty"`
	Filters  []TriedFilter      `json:"filters"`
	Before   json.RawMessage    `json:"before"`
	After    json.RawMessage    `json:"after,omitempty"`
	Record   json.RawMessage    `json:"record,omitempty"` // After in the callback's format
	Emitted  []TriedRecord      `json:"emitted,omitempty"`
}

// TriedFilter is the work of one filter in a trial.
type TriedFilter struct {
	Filter  string `json:"filter"`
	Verdict string `json:"verdict"`
	Reason  string `json:"reason,omitempty"`
	Error   string `json:"error,omitempty"`
	Fuel    int64  `json:"fuel"`
	Memory  int64  `json:"memory"` // in bytes

	Digest  string  `json:"digest,omitempty"` // digest of the module or the policy
	Version string  `json:"version,omitempty"`
	Touched []Touch `json:"touched,omitempty"`
}

// TriedRecord is a record that a filter would emit.
type TriedRecord struct {
	Target string          `json:"target"`
	Filter string          `json:"filter"`
	Data   json.RawMessage `json:"data"`
}

// PolicyInForce is a policy of the running configuration: that of a native filter (kind policy)
// or of a callback's must_not_leave.
type PolicyInForce struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Digest string `json:"digest"`
	// Callbacks names the callbacks to which it applies.
	Callbacks []string `json:"callbacks"`
	// Source is configuration, or selected if policy use replaced the configuration's policy.
	Source string `json:"source"`
	// Previous: policy use --previous can restore an earlier policy.
	Previous bool `json:"previous,omitempty"`
	// From is the first sequence that it processed, by callback, if policy use selected it.
	From map[string]uint64 `json:"from,omitempty"`
}

// PolicyDiff asks what another policy would change for the native filter Filter.
type PolicyDiff struct {
	Sample
	Filter string `json:"filter"`
	Policy string `json:"policy"` // YAML
}

// PolicyChange counts what another policy would change. The maps count values by path.
type PolicyChange struct {
	Old     string         `json:"old"` // digest of the old policy
	New     string         `json:"new"`
	Events  int            `json:"events"`
	Same    int            `json:"same"`
	Changed int            `json:"changed"`
	Leaking int            `json:"leaking"`          // events with newly exposed values
	Failed  int            `json:"failed"`           // events on which only the new policy fails
	Leaks   map[string]int `json:"leaks,omitempty"`  // newly exposed values
	Hidden  map[string]int `json:"hidden,omitempty"` // values that are no longer exposed
	// Otherwise counts values that neither policy exposes but that they redact differently.
	Otherwise map[string]int `json:"otherwise,omitempty"`
}
