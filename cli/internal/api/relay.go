package api

import (
	"time"

	"auditrelay"
)

// Health is the response of a process that is alive.
type Health struct {
	Status string `json:"status"`
}

// Readiness says whether events are accepted. All fields but Status need ?verbose.
type Readiness struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	// Alerts lists problems that need an operator although events are accepted.
	Alerts  []string `json:"alerts,omitempty"`
	Sources []Source `json:"sources,omitempty"`
	// Guests says where guests run. It is missing until one is loaded.
	Guests *GuestsSandbox `json:"guests,omitempty"`
}

// GuestsSandbox says where guests run.
type GuestsSandbox struct {
	Process string `json:"process"` // worker, or relay for the relay's own process
	Locked  bool   `json:"locked"`  // the operating system confines guest code
	// Missing lists the restrictions that were not applied, with the reason.
	Missing []string `json:"missing,omitempty"`
	// Limits lists the limits of a worker's control group, if the relay's was delegated to it.
	Limits []string `json:"limits,omitempty"`
	// LimitsError says why a worker has no control group although the relay's was delegated.
	LimitsError string `json:"limits_error,omitempty"`
}

// Principal is the authenticated caller.
type Principal struct {
	// Name is the name of the caller's token, or "local" on a relay without tokens.
	Name  string   `json:"name"`
	Roles []string `json:"roles"` // includes implied roles, from least to most
}

// Version identifies the binary.
type Version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
}

// String returns the version as the command line prints it.
func (v Version) String() string {
	revision := ""
	if v.Revision != "" {
		revision = " (" + v.Revision + ")"
	}
	return "auditrelay " + v.Version + revision + ", " + v.Go
}

// Stats are figures about the journal, and counts since start. Sizes are in bytes.
type Stats struct {
	Journal   string    `json:"journal"` // identity and incarnation
	Head      uint64    `json:"head"`    // the next sequence to assign
	Oldest    uint64    `json:"oldest"`  // the oldest stored sequence
	OldestAt  time.Time `json:"oldest_at,omitzero"`
	DiskBytes int64     `json:"disk_bytes"`
	FreeBytes int64     `json:"free_bytes"`
	Quota     int64     `json:"quota_bytes,omitempty"`   // maximum size of the journal on disk
	Reserve   int64     `json:"reserve_bytes,omitempty"` // disk space that must stay free

	Accepted       uint64 `json:"accepted"`
	Duplicates     uint64 `json:"duplicates"`
	Conflicts      uint64 `json:"conflicts"`
	Rejected       uint64 `json:"rejected"`
	UnknownActions uint64 `json:"unknown_actions"`
	IngestFiltered uint64 `json:"ingest_filtered"` // accepted events that a filter before the journal dropped
	IngestFailed   uint64 `json:"ingest_failed"`   // events rejected because such a filter failed

	Quarantine QuarantineStats `json:"quarantine"`

	NotAccepting string `json:"not_accepting,omitempty"` // the reason; empty while events are accepted
}

// QuarantineStats are figures about the quarantine.
type QuarantineStats struct {
	Items     int                 `json:"items"`
	Bytes     int64               `json:"bytes"`
	MostItems int                 `json:"most_items"`
	MostBytes auditrelay.ByteSize `json:"most_bytes"`
	// Full: the quarantine rejected an item for lack of space, and has stored or deleted none
	// since.
	Full bool `json:"full,omitempty"`
}

// Source is an expected sender of one input.
type Source struct {
	Name     string    `json:"name"`
	Kind     string    `json:"kind"`
	Since    time.Time `json:"since"`  // start of the counts
	Events   uint64    `json:"events"` // events received, whatever their outcome
	LastSeen time.Time `json:"last_seen,omitzero"`
	Silent   bool      `json:"silent,omitempty"` // the source has sent no events
	Causes   []string  `json:"causes,omitempty"` // possible causes, likely ones first
	// Tail is the progress of a source that reads a table.
	Tail *Tail `json:"tail,omitempty"`
	// Topic is the progress of a source that reads a topic.
	Topic *Topic `json:"topic,omitempty"`
}

// Topic is the progress of reading a topic of Kafka.
type Topic struct {
	Group      string    `json:"group"`
	State      string    `json:"state"`
	Since      time.Time `json:"since"`             // start of this state
	Error      string    `json:"error,omitempty"`   // why it cannot read
	Partitions int       `json:"partitions"`        // number of partitions that this relay reads
	Lag        uint64    `json:"lag"`               // unread messages in these partitions
	Deleted    uint64    `json:"deleted,omitempty"` // unread messages that the brokers deleted, since start
}

// Tail is the progress of reading a table.
type Tail struct {
	Source string    `json:"source"`
	Table  string    `json:"table"`
	State  string    `json:"state"`
	Since  time.Time `json:"since"`           // start of this state
	Error  string    `json:"error,omitempty"` // why it cannot read
	Rows   Taken     `json:"rows"`            // counts since start
	// Backfill is the progress through existing rows; missing when done.
	Backfill *Backfill `json:"backfill,omitempty"`
	// Position: every row inserted by an earlier transaction was processed.
	Position uint64 `json:"position"`
	// Looked is the time of the last check for new rows. Complete is when the last finished
	// sweep of the whole table began: every row committed before it was processed.
	Looked   time.Time `json:"looked,omitzero"`
	Complete time.Time `json:"complete,omitzero"`
}

// Taken counts rows by outcome.
type Taken struct {
	Read        uint64 `json:"read"`
	Accepted    uint64 `json:"accepted"`
	Duplicates  uint64 `json:"duplicates"`
	Quarantined uint64 `json:"quarantined"`
	Refused     uint64 `json:"refused"` // a filter before the journal failed on the row; a tombstone replaces it
	// Unreadable are quarantined rows that the server cannot return: invalid in its
	// encoding, or damaged.
	Unreadable uint64 `json:"unreadable,omitempty"`
}

// Add adds the counts of o to t.
func (t *Taken) Add(o Taken) {
	t.Read += o.Read
	t.Accepted += o.Accepted
	t.Duplicates += o.Duplicates
	t.Quarantined += o.Quarantined
	t.Refused += o.Refused
	t.Unreadable += o.Unreadable
}

// Backfill is the progress through existing rows.
type Backfill struct {
	Rows uint64 `json:"rows"` // number of processed rows
	Of   uint64 `json:"of"`   // estimated total
}

// BackedUp is the path of a new backup on the relay's machine.
type BackedUp struct {
	Dir string `json:"dir"`
}

// Reloaded is the result of a reload.
type Reloaded struct {
	Before  string   `json:"before"` // digest of the configuration
	After   string   `json:"after"`
	Changed bool     `json:"changed"`
	Notes   []string `json:"notes,omitempty"` // changes that need a restart
}

// Period is a range of events encrypted under one key.
type Period struct {
	Number    uint64    `json:"number"`
	State     string    `json:"state"`
	From      uint64    `json:"from"` // the first sequence
	To        uint64    `json:"to"`   // the sequence after the last one so far
	Began     time.Time `json:"began"`
	Until     time.Time `json:"until,omitzero"`
	Destroyed time.Time `json:"destroyed,omitzero"`
}

// DestroyQuery selects what happens to a period's dead letters: DiscardFirst, or "" for an
// error if there are any. Reason, in the user's words, is required.
type DestroyQuery struct {
	DeadLetters string `query:"dead_letters"`
	Reason      string `query:"reason"`
}

// DiscardFirst discards a period's dead letters before its key is destroyed.
const DiscardFirst = "discard"

// Reconcile requests a comparison of the tailed table with the journal. From (inclusive) and To
// (exclusive) limit the time of the events.
type Reconcile struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Repair bool      `json:"repair,omitempty"` // accept the events that the journal lacks; needs the role admin
}

// ReconcileLine is one line of the response: a difference or, as the last line, the totals. A
// line with Error means that the comparison stopped.
type ReconcileLine struct {
	Difference *Difference `json:"difference,omitempty"`
	Done       *Reconciled `json:"done,omitempty"`
	Error      *Error      `json:"error,omitempty"`
}

// The values of Difference.MissingFrom.
const (
	MissingFromJournal = "journal"
	MissingFromTable   = "table"
)

// Difference is an event that is only in the table or only in the journal.
type Difference struct {
	MissingFrom string    `json:"missing_from"`
	ID          string    `json:"id"`
	Time        time.Time `json:"time,omitzero"`         // the event's own time
	Sequence    uint64    `json:"sequence,omitempty"`    // its sequence in the journal
	Unsure      bool      `json:"unsure,omitempty"`      // the journal may have removed it
	Quarantined bool      `json:"quarantined,omitempty"` // a repair quarantined it
	Repaired    bool      `json:"repaired,omitempty"`
	// Unstorable: the table cannot store it, since jsonb rejects a value in it (NaN, Infinity,
	// a null character, half a surrogate pair).
	Unstorable bool `json:"unstorable,omitempty"`
}

// Reconciled has the totals of a comparison.
type Reconciled struct {
	Rows             uint64    `json:"rows"`   // rows of the table in the range
	Events           uint64    `json:"events"` // LiteLLM events of the journal in the range
	MissingInJournal uint64    `json:"missing_in_journal"`
	MissingInTable   uint64    `json:"missing_in_table"`
	Repaired         uint64    `json:"repaired,omitempty"`
	Unsure           uint64    `json:"unsure,omitempty"`       // missing rows that are older than the journal's oldest event
	Incomparable     uint64    `json:"incomparable,omitempty"` // events whose id a filter removed before they were stored
	Unreadable       uint64    `json:"unreadable,omitempty"`   // rows whose id the server cannot return; the tail quarantines them
	Unstorable       uint64    `json:"unstorable,omitempty"`   // events missing in the table because jsonb rejects them
	JournalSince     time.Time `json:"journal_since,omitzero"` // time of receipt of the oldest stored event
}

// Differ reports whether a storable event is missing and was not repaired.
func (r Reconciled) Differ() bool {
	return r.MissingInJournal > r.Repaired || r.MissingInTable > r.Unstorable
}
