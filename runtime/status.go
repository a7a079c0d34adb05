package runtime

import (
	"time"

	"auditrelay"
)

// State is the condition of a callback.
type State string

const (
	StateActive        State = "active"
	StatePaused        State = "paused"        // by an operator; events are retained
	StateDegraded      State = "degraded"      // deliveries or filters fail and are retried
	StateAuthError     State = "auth_error"    // the destination refuses the credentials
	StateMisconfigured State = "misconfigured" // the destination takes nothing as it is set up
	StateWithholding   State = "withholding"   // must_not_leave set events aside, lately
	StateDetached      State = "detached"      // events are skipped until an operator attaches it
	StateRemoved       State = "removed"       // no longer configured
)

// Account is where a callback's events are. It balances when
//
//	Assigned = Delivered + Filtered + DeadLettered + Discarded + Skipped + Pending
//
// where each is counted from its own durable records: Assigned by the journal as
// it appends, Pending from the journal's index beyond the cursor and from the
// sealed payloads, the rest by the callback's seals and receipts.
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

// Settled reports whether nothing is pending.
func (a Account) Settled() bool { return a.Pending == 0 }

// CallbackStatus is what an operator sees of one callback, or of one replay.
type CallbackStatus struct {
	Name      string    `json:"name"`
	Replay    string    `json:"replay,omitempty"` // the replay's id
	State     State     `json:"state"`
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

	Attempts uint64            `json:"attempts"` // deliveries tried since start
	Failures map[string]uint64 `json:"failures,omitempty"`
	Payloads uint64            `json:"payloads"` // numbered so far
	Done     bool              `json:"done,omitempty"`
}

// DeadLetter is one event that was set aside.
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
	Data      []byte           `json:"-"` // the event as accepted; only from Runtime.DeadLetter
}

// ReplayRequest asks for events to be given to a callback again.
type ReplayRequest struct {
	Callback string
	// From and To bound the sequences, half open; To 0 means up to the head.
	From, To uint64
	// FromTime and ToTime, where set, bound the received time instead.
	FromTime, ToTime time.Time
	// DryRun counts and starts nothing.
	DryRun bool
	// Emit lets the filters emit again. Default: what they emit is dropped.
	Emit bool
	// By is who asks, for the record.
	By string
}

// ReplayStarted is the answer to a ReplayRequest.
type ReplayStarted struct {
	ID     string `json:"id"` // empty in a dry run
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Events uint64 `json:"events"`
}

// Explanation is everything that is known of one event.
type Explanation struct {
	Namespace  string                  `json:"namespace"`
	ID         string                  `json:"id"`
	Sequence   uint64                  `json:"sequence"`
	Received   time.Time               `json:"received"`
	Time       time.Time               `json:"time"`
	TimeFrom   string                  `json:"time_from"`
	Action     string                  `json:"action"`
	Provenance auditrelay.Provenance   `json:"provenance"`
	AlsoFrom   []auditrelay.Provenance `json:"also_from,omitempty"`
	Emission   *auditrelay.Emission    `json:"emission,omitempty"`
	Callbacks  []Ending                `json:"callbacks"`
}

// Ending is where an event is on one callback.
type Ending struct {
	Callback  string             `json:"callback"`
	Replay    string             `json:"replay,omitempty"`
	Assigned  bool               `json:"assigned"`
	Outcome   auditrelay.Outcome `json:"outcome"`
	Cause     auditrelay.Cause   `json:"cause,omitempty"`
	Filter    string             `json:"filter,omitempty"` // that decided or failed
	Reason    string             `json:"reason,omitempty"`
	Error     string             `json:"error,omitempty"`
	Payload   uint64             `json:"payload,omitempty"`
	Key       string             `json:"key,omitempty"`
	Location  string             `json:"location,omitempty"`
	Version   string             `json:"version,omitempty"`
	Attempts  int                `json:"attempts,omitempty"`
	At        time.Time          `json:"at,omitzero"` // of the outcome
	Tombstone bool               `json:"tombstone,omitempty"`
	// Receipts say what was done to the event: once when it was judged, and once more
	// for each time that it was judged again as a dead letter.
	Receipts []Receipt `json:"receipts,omitempty"`
}
