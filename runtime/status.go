package runtime

import (
	"time"

	"auditrelay"
)

// State is the operating state of a callback.
type State string

const (
	StateActive        State = "active"
	StatePaused        State = "paused"        // an operator paused it; it retains events
	StateDegraded      State = "degraded"      // deliveries or filters fail and are retried
	StateAuthError     State = "auth_error"    // the destination rejects the credentials
	StateMisconfigured State = "misconfigured" // the destination accepts nothing with this configuration
	StateWithholding   State = "withholding"   // must_not_leave recently dead-lettered events
	StateDetached      State = "detached"      // it skips events until an operator attaches it
	StateRemoved       State = "removed"       // it is no longer configured
)

// Account counts a callback's events by outcome. It balances if
//
//	Assigned = Delivered + Filtered + DeadLettered + Discarded + Skipped + Pending
//
// Each number comes from separate durable records: Assigned from the journal's appends, Pending from the
// journal's index after the cursor and from the sealed payloads, the others from the callback's seals and
// receipts.
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

// CallbackStatus is the state of one callback or one replay. Counts since the start begin at 0 when the
// process starts. Account is durable.
type CallbackStatus struct {
	Name      string
	Replay    string // the replay's id; empty for the callback itself
	State     State
	Reason    string
	Since     time.Time
	LastError string // empty if healthy

	Account Account
	// SetAside counts all events that ever became dead letters, including those replayed or discarded
	// later. It is durable and never falls.
	SetAside uint64
	Causes   map[string]uint64 // number of undelivered events by cause
	// Findings counts detector findings since the start, by detector: values that filters redacted and
	// payloads that the gate rejected.
	Findings map[string]uint64

	Cursor   uint64 // the next sequence to process
	Head     uint64 // the next sequence that the journal will assign
	Oldest   time.Time
	Lag      time.Duration // age of the oldest pending event; 0 if none
	InFlight int           // number of sealed, undelivered payloads
	Leaked   time.Time     // when must_not_leave last dead-lettered an event; zero if never, or not since a resume
	// MaxAge is the maximum age of an event at the destination; 0 if there is none. Expiring: the oldest
	// pending event has reached three quarters of it.
	MaxAge   time.Duration
	Expiring bool

	// Retain is the callback's limit (none for a replay). Held is the number of bytes that count against
	// Retain.Bytes.
	Retain auditrelay.Retain
	Held   int64

	Filters []string  // names, in order
	Sink    string    // Callback.SinkType
	NextTry time.Time // time of the next retry; zero if none is due

	Attempts uint64 // delivery attempts since start
	Failures map[string]uint64
	Payloads uint64 // number of the latest payload
	// Duplicates counts payloads that the destination already had. Unverified counts payloads for which the
	// destination had an object under the same key and did not compare it. If another writer uses the same
	// place, that object may belong to it.
	Duplicates, Unverified uint64
	Done                   bool
	// Recent has the last attempts since the start, newest first. Only Runtime.Callback sets it.
	Recent []Attempt
	// Version changes with every pause, resume, detachment and attach; see By.Seen.
	Version string
}

// DeadLetter is an event that a callback could not process or deliver. An operator can replay or discard
// it.
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
	Attempts  int // number of times that it became a dead letter
	Replaying bool
	Data      []byte // the accepted event; only Runtime.DeadLetter sets it; owned by the caller
}

// ReplayRequest asks for a replay: a callback processes a range of events again.
type ReplayRequest struct {
	Callback string
	// From and To are the half-open range of sequences. From 0 means the oldest stored
	// event, To 0 the head.
	From, To uint64
	// FromTime and ToTime, if set, select by time of receipt instead.
	FromTime, ToTime time.Time
	// DryRun counts the events but starts nothing.
	DryRun bool
	// Emit lets filters emit again. Default: emitted records are dropped.
	Emit bool
	// By is the user, for the own record.
	By By
}

// ReplayStarted is the result of a ReplayRequest: the effective range and its number of events.
type ReplayStarted struct {
	ID     string // empty in a dry run, or if the range is empty
	From   uint64
	To     uint64
	Events uint64
}

// Explanation has everything known about one event, without the event's data.
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
	// Namesakes are other events with this id, by sequence, at most 100. Those in the same namespace
	// arrived after this one had left the window of known ids (JournalOptions.Window).
	Namesakes []Namesake
}

// Namesake is another event with the same id.
type Namesake struct {
	Sequence   uint64
	Namespace  string
	Received   time.Time // zero if the event was erased
	Provenance auditrelay.Provenance
	// Same: it is the same event, sent again. If it is false and the namespaces are equal, the two events
	// conflict.
	Same bool
}

// Ending is the state of an event on one callback or one replay.
type Ending struct {
	Callback  string
	Replay    string
	Assigned  bool
	Outcome   auditrelay.Outcome
	Cause     auditrelay.Cause
	Filter    string // the filter that decided or failed
	Reason    string
	Error     string
	Payload   uint64
	Key       string
	Location  string
	Version   string
	Attempts  int
	At        time.Time // time of the outcome
	Tombstone bool
	// Duplicate: the destination already had the payload. Unverified: it had an object under the key and
	// did not compare it.
	Duplicate, Unverified bool
	// Receipts has one receipt of the first processing, and one for each replay of the dead letter.
	Receipts []Receipt
	// History has the stored attempts of the latest payload, oldest first.
	History []Attempt
}
