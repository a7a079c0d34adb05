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
	Assigned     uint64
	Delivered    uint64
	Filtered     uint64
	DeadLettered uint64
	Discarded    uint64
	Skipped      uint64
	Pending      uint64
	Balanced     bool
}

// Settled reports whether nothing is pending.
func (a Account) Settled() bool { return a.Pending == 0 }

// CallbackStatus is what an operator sees of one callback, or of one replay.
type CallbackStatus struct {
	Name      string
	Replay    string // the replay's id
	State     State
	Reason    string
	Since     time.Time
	LastError string // empty when healthy

	Account Account
	Causes  map[string]uint64 // by cause, of what was not delivered
	// Findings counts since start what detectors found, by detector: what filters
	// redacted and what the gate refused.
	Findings map[string]uint64

	Cursor   uint64 // the next sequence to be taken
	Head     uint64 // the next sequence to be assigned
	Oldest   time.Time
	Lag      time.Duration // age of the oldest pending event, 0 if none
	InFlight int           // sealed payloads that are not delivered

	Filters []string  // names, in order
	Sink    string    // its type, as Callback.SinkType has it
	NextTry time.Time // when what failed is tried again, zero where nothing waits for that

	Attempts uint64 // deliveries tried since start
	Failures map[string]uint64
	Payloads uint64 // numbered so far
	// Duplicates are payloads that the destination had already. Unverified are those
	// of which it had something under the same key that was not compared: with another
	// writer in the same place it may be somebody else's.
	Duplicates, Unverified uint64
	Done                   bool
}

// DeadLetter is one event that was set aside.
type DeadLetter struct {
	Callback  string
	Sequence  uint64
	Namespace string
	ID        string
	Received  time.Time
	Action    string
	At        time.Time
	Cause     auditrelay.Cause
	Filter    string
	Error     string
	Attempts  int // how often it was set aside
	Replaying bool
	Data      []byte // the event as accepted; only from Runtime.DeadLetter
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
	ID     string // empty in a dry run
	From   uint64
	To     uint64
	Events uint64
}

// Explanation is everything that is known of one event.
type Explanation struct {
	Namespace  string
	ID         string
	Sequence   uint64
	Received   time.Time
	Time       time.Time
	TimeFrom   string
	Action     string
	Provenance auditrelay.Provenance
	AlsoFrom   []auditrelay.Provenance
	Emission   *auditrelay.Emission
	Callbacks  []Ending
}

// Ending is where an event is on one callback.
type Ending struct {
	Callback  string
	Replay    string
	Assigned  bool
	Outcome   auditrelay.Outcome
	Cause     auditrelay.Cause
	Filter    string // that decided or failed
	Reason    string
	Error     string
	Payload   uint64
	Key       string
	Location  string
	Version   string
	Attempts  int
	At        time.Time // of the outcome
	Tombstone bool
	// Duplicate: the destination had it already; Unverified: it had something under the
	// key that was not compared.
	Duplicate, Unverified bool
	// Receipts say what was done to the event: once when it was judged, and once more
	// for each time that it was judged again as a dead letter.
	Receipts []Receipt
}
