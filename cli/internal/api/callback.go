package api

import (
	"encoding/json"
	"time"

	"auditrelay"
)

// Account is where a callback's events are. It balances when assigned is the sum of
// all the others.
type Account struct {
	Assigned     uint64 `json:"assigned"`
	Delivered    uint64 `json:"delivered"`
	Filtered     uint64 `json:"filtered"`
	DeadLettered uint64 `json:"dead_lettered"`
	Discarded    uint64 `json:"discarded"`
	Skipped      uint64 `json:"skipped"`
	Pending      uint64 `json:"pending"`
	Balanced     bool   `json:"balanced"`
}

// CallbackStatus is what an operator sees of one callback, or of one replay.
type CallbackStatus struct {
	Name      string    `json:"name"`
	Replay    string    `json:"replay,omitempty"` // the replay's id
	State     string    `json:"state"`
	Reason    string    `json:"reason,omitempty"`
	Since     time.Time `json:"since"`
	LastError string    `json:"last_error"` // empty when healthy

	Account Account           `json:"account"`
	Causes  map[string]uint64 `json:"causes,omitempty"` // by cause, of what was not delivered

	Cursor   uint64        `json:"cursor"` // the next sequence to be taken
	Head     uint64        `json:"head"`   // the next sequence to be assigned
	Oldest   time.Time     `json:"oldest_pending,omitzero"`
	Lag      time.Duration `json:"lag_ns"`    // age of the oldest pending event, 0 if none
	InFlight int           `json:"in_flight"` // sealed payloads that are not delivered

	Filters []string  `json:"filters,omitempty"` // names, in order
	Sink    string    `json:"sink,omitempty"`    // its type
	NextTry time.Time `json:"next_try,omitzero"` // of what failed

	Attempts uint64            `json:"attempts"` // deliveries tried since start
	Failures map[string]uint64 `json:"failures,omitempty"`
	Payloads uint64            `json:"payloads"` // numbered so far
	// Payloads that the destination had already, and those of which it had something
	// under the same key that was not compared.
	Duplicates uint64 `json:"duplicates,omitempty"`
	Unverified uint64 `json:"unverified,omitempty"`
	Done       bool   `json:"done,omitempty"`
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

// ReplayStarted answers a Replay.
type ReplayStarted struct {
	ID     string `json:"id"` // empty in a dry run
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Events uint64 `json:"events"`
}

// DeadLetterQuery selects dead letters of one callback beyond a sequence.
type DeadLetterQuery struct {
	After uint64 `query:"after"`
	Limit int    `query:"limit"` // default 100, at most 1,000
}

// DeadLetter is one event that was set aside. Data is the event as accepted, where
// one letter was asked for.
type DeadLetter struct {
	Callback  string           `json:"callback"`
	Sequence  uint64           `json:"sequence"`
	Namespace string           `json:"namespace"`
	ID        string           `json:"id"`
	Received  time.Time        `json:"received"`
	Action    string           `json:"action"`
	At        time.Time        `json:"at"`
	Cause     auditrelay.Cause `json:"cause"`
	Filter    string           `json:"filter,omitempty"`
	Error     string           `json:"error"`
	Attempts  int              `json:"attempts"` // how often it was set aside
	Replaying bool             `json:"replaying,omitempty"`
	Data      json.RawMessage  `json:"data,omitempty"`
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
