package api

import (
	"time"

	"auditrelay"
)

// Report is an auditor's summary of a period: what came, what left, what was withheld and
// why, who did what, and how it can be verified. It holds no contents of events.
type Report struct {
	From      time.Time        `json:"from"`
	To        time.Time        `json:"to"` // exclusive
	Made      time.Time        `json:"made"`
	Events    uint64           `json:"events"` // accepted
	Days      []CompleteDay    `json:"days"`
	Callbacks []ReportCallback `json:"callbacks"`
	Policies  []KeptText       `json:"policies"` // in force in the period, without texts
	Acts      []ReportAct      `json:"acts"`
	Logs      []CompleteLog    `json:"logs"`
	// Notes name what the report leaves out.
	Notes []string `json:"notes,omitempty"`
}

// ReportCallback counts what became of the events of a period on one callback, by its
// receipts and as things were when the report was made. The last receipt of an event counts.
type ReportCallback struct {
	Callback string                        `json:"callback"`
	Outcomes map[auditrelay.Outcome]uint64 `json:"outcomes"`
	Causes   map[string]uint64             `json:"causes,omitempty"`   // of events that did not leave
	Edits    map[string]uint64             `json:"edits,omitempty"`    // values, by operation and path
	Versions map[string]uint64             `json:"versions,omitempty"` // events, by filter with digest of its policy or module
}

// ReportAct is one own record of the relay: an act on it.
type ReportAct struct {
	Sequence uint64    `json:"sequence"`
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Act      string    `json:"act"`
	On       string    `json:"on"`
	Outcome  string    `json:"outcome,omitempty"`
	Reason   string    `json:"reason,omitempty"`
}
