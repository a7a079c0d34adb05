package api

import (
	"encoding/json"
	"time"

	"auditrelay"
)

// Account counts a callback's events by outcome. It balances if assigned is the sum of
// all others.
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

// Retain is the limit of a callback's undelivered events, and its use. The age is that of the
// oldest pending event.
type Retain struct {
	Age   time.Duration         `json:"age_ns,omitempty"` // 0: no limit
	Bytes int64                 `json:"bytes,omitempty"`  // 0: no limit
	Held  int64                 `json:"held_bytes"`
	Then  auditrelay.RetainThen `json:"then"` // what happens at the limit
}

// CallbackStatus is the state of one callback or one replay.
type CallbackStatus struct {
	Name      string    `json:"name"`
	Replay    string    `json:"replay,omitempty"` // the replay's id
	State     string    `json:"state"`
	Reason    string    `json:"reason,omitempty"`
	Since     time.Time `json:"since"`
	LastError string    `json:"last_error"` // empty when healthy

	Account Account           `json:"account"`
	Causes  map[string]uint64 `json:"causes,omitempty"` // events that were not delivered, by cause

	Relay string `json:"relay,omitempty"` // in a fleet: the relay that runs the callback

	Cursor   uint64        `json:"cursor"` // the next sequence to process
	Head     uint64        `json:"head"`   // the next sequence that the journal will assign
	Oldest   time.Time     `json:"oldest_pending,omitzero"`
	Lag      time.Duration `json:"lag_ns"`          // age of the oldest pending event; 0 if there is none
	InFlight int           `json:"in_flight"`       // sealed, undelivered payloads
	Leaked   time.Time     `json:"leaked,omitzero"` // when must_not_leave last dead-lettered an event, unless resumed since
	// MaxAge is the maximum age of an event at the destination. Expiring: the oldest pending
	// event has reached three quarters of it.
	MaxAge   time.Duration `json:"max_age_ns,omitempty"`
	Expiring bool          `json:"expiring,omitempty"`

	// Retain is the limit of undelivered events. It is missing without a limit.
	Retain *Retain `json:"retain,omitempty"`

	Filters []string  `json:"filters,omitempty"` // names, in order
	Sink    string    `json:"sink,omitempty"`    // its type
	NextTry time.Time `json:"next_try,omitzero"` // time of the next retry

	Attempts uint64            `json:"attempts"` // delivery attempts since start
	Failures map[string]uint64 `json:"failures,omitempty"`
	Payloads uint64            `json:"payloads"` // number of the latest payload
	// Duplicates counts payloads that the destination already had. Unverified counts payloads
	// for which it had an object under the same key and did not compare it.
	Duplicates uint64 `json:"duplicates,omitempty"`
	Unverified uint64 `json:"unverified,omitempty"`
	Done       bool   `json:"done,omitempty"`
	// Recent has the last attempts since start, newest first; only GetCallback returns it.
	Recent []Attempt `json:"recent_attempts,omitempty"`
	// Version changes with every pause, resume, detachment and attach. Send it as If-Match to
	// change only the state that you have seen.
	Version string `json:"version"`
}

// ETag returns the version, for the header of a response.
func (s CallbackStatus) ETag() string { return s.Version }

// Replay asks for a replay of events on a callback. From and To are the half-open range
// of sequences; To 0 means the head. FromTime and ToTime bound the time of receipt
// instead.
type Replay struct {
	From     uint64    `json:"from,omitempty"`
	To       uint64    `json:"to,omitempty"`
	FromTime time.Time `json:"from_time,omitzero"`
	ToTime   time.Time `json:"to_time,omitzero"`
	DryRun   bool      `json:"dry_run,omitempty"`
	Emit     bool      `json:"emit,omitempty"`
	Reason   string    `json:"reason,omitempty"` // in the user's words
}

// ReplayStarted is the response to a Replay.
type ReplayStarted struct {
	ID     string `json:"id"` // empty in a dry run
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Events uint64 `json:"events"`
}

// DeadLetterQuery selects the dead letters of one callback with a sequence above After.
type DeadLetterQuery struct {
	After uint64 `query:"after"`
	Limit int    `query:"limit"` // default 100, at most 1,000
}

// DeadLetter is an event that a callback could not process or deliver. Data is the accepted
// event; only GetDeadLetter returns it.
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
	Attempts  int              `json:"attempts"` // number of times that it became a dead letter
	Replaying bool             `json:"replaying,omitempty"`
	Data      json.RawMessage  `json:"data,omitempty"`
}

// DeadLetters names dead letters of one callback. All must be set to select all, so that an
// empty request does not discard everything.
type DeadLetters struct {
	Sequences []uint64 `json:"sequences,omitempty"`
	All       bool     `json:"all,omitempty"`
	Reason    string   `json:"reason,omitempty"` // in the user's words; required to discard
}

// DeadLetterReplay selects dead letters of one callback to process again: by sequence, all, or
// by filter. A dead letter must match every field of the filter that is set. With a filter or a
// rate the response has a job.
type DeadLetterReplay struct {
	Reason    string             `json:"reason,omitempty"` // in the user's words
	Sequences []uint64           `json:"sequences,omitempty"`
	All       bool               `json:"all,omitempty"`
	Causes    []auditrelay.Cause `json:"causes,omitempty"`
	Filters   []string           `json:"filters,omitempty"` // names of the filters that failed
	Actions   []string           `json:"actions,omitempty"`
	Tables    []string           `json:"tables,omitempty"` // values of table_name, as accepted
	IDs       []string           `json:"ids,omitempty"`    // ids of events, in any namespace
	From      time.Time          `json:"from,omitzero"`    // became a dead letter at or after this time
	To        time.Time          `json:"to,omitzero"`      // became a dead letter before this time
	Rate      float64            `json:"rate,omitempty"`   // maximum number of events per second; default: no limit
	DryRun    bool               `json:"dry_run,omitempty"`
}

// DeadLetterReplayed is the response to a DeadLetterReplay: the number of dead letters that
// were queued at once, or the job that queues them. In a dry run the job has no id.
type DeadLetterReplayed struct {
	Changed int            `json:"changed"`
	Job     *DeadReplayJob `json:"job,omitempty"`
}

// DeadReplayJob is a replay of dead letters by filter. It survives a restart, and queues each
// dead letter at most once.
type DeadReplayJob struct {
	ID       string           `json:"id,omitempty"`
	Callback string           `json:"callback"`
	Filter   DeadLetterFilter `json:"filter"`
	Rate     float64          `json:"rate,omitempty"`
	By       string           `json:"by,omitempty"`
	State    string           `json:"state"` // running, done or cancelled
	Started  time.Time        `json:"started"`
	Ended    time.Time        `json:"ended,omitzero"`
	Matched  uint64           `json:"matched"` // number at the time of the request
	Given    uint64           `json:"given"`   // number so far
	After    uint64           `json:"after"`   // the job has processed the dead letters up to this sequence
	Last     uint64           `json:"last"`    // the job ends at this sequence
	Error    string           `json:"error,omitempty"`
}

// DeadLetterFilter is the filter of a job.
type DeadLetterFilter struct {
	Causes    []auditrelay.Cause `json:"causes,omitempty"`
	Filters   []string           `json:"filters,omitempty"`
	Actions   []string           `json:"actions,omitempty"`
	Tables    []string           `json:"tables,omitempty"`
	Sequences []uint64           `json:"sequences,omitempty"`
	From      time.Time          `json:"from,omitzero"`
	To        time.Time          `json:"to,omitzero"`
}

// Changed is the number of dead letters that a request changed.
type Changed struct {
	Changed int `json:"changed"`
}
