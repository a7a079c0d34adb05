package api

import (
	"time"

	"auditrelay"
)

// Report is an auditor's summary of a period: accepted and delivered events, withheld events
// with causes, acts of users, and how to verify it. It contains no contents of events.
type Report struct {
	From      time.Time        `json:"from"`
	To        time.Time        `json:"to"` // exclusive
	Made      time.Time        `json:"made"`
	Events    uint64           `json:"events"` // number of accepted events
	Days      []CompleteDay    `json:"days"`
	Callbacks []ReportCallback `json:"callbacks"`
	Policies  []KeptText       `json:"policies"` // policies in force in the period, without their texts
	Acts      []ReportAct      `json:"acts"`
	Logs      []CompleteLog    `json:"logs"`
	// Notes lists what the report omits.
	Notes []string `json:"notes,omitempty"`
}

// ReportCallback counts the outcomes of a period's events on one callback, by its receipts and
// at the time of the report. The last receipt of an event counts.
type ReportCallback struct {
	Callback string                        `json:"callback"`
	Outcomes map[auditrelay.Outcome]uint64 `json:"outcomes"`
	Causes   map[string]uint64             `json:"causes,omitempty"`   // number of undelivered events by cause
	Edits    map[string]uint64             `json:"edits,omitempty"`    // number of edited values, by operation and path
	Versions map[string]uint64             `json:"versions,omitempty"` // number of events, by filter with digest of its policy or module
}

// ReportAct is an act on the relay, from an own record.
type ReportAct struct {
	Sequence uint64    `json:"sequence"`
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Act      string    `json:"act"`
	On       string    `json:"on"`
	Outcome  string    `json:"outcome,omitempty"`
	Reason   string    `json:"reason,omitempty"`
}
