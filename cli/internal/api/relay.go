package api

import (
	"time"

	"auditrelay"
)

// Health is answered while the process can answer at all.
type Health struct {
	Status string `json:"status"`
}

// Readiness says whether events are accepted; all but Status with ?verbose alone.
type Readiness struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	// Alerts are what somebody has to look at although events are accepted.
	Alerts  []string `json:"alerts,omitempty"`
	Sources []Source `json:"sources,omitempty"`
}

// Version is what the binary says of itself.
type Version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
}

// String is the version as the command line prints it.
func (v Version) String() string {
	revision := ""
	if v.Revision != "" {
		revision = " (" + v.Revision + ")"
	}
	return "auditrelay " + v.Version + revision + ", " + v.Go
}

// Stats are figures about the journal and what was accepted since start.
type Stats struct {
	Journal   string    `json:"journal"` // identity and incarnation
	Head      uint64    `json:"head"`    // the next sequence
	Oldest    uint64    `json:"oldest"`  // the first that is kept
	OldestAt  time.Time `json:"oldest_at,omitzero"`
	DiskBytes int64     `json:"disk_bytes"`
	FreeBytes int64     `json:"free_bytes"`

	Accepted       uint64 `json:"accepted"`
	Duplicates     uint64 `json:"duplicates"`
	Conflicts      uint64 `json:"conflicts"`
	Rejected       uint64 `json:"rejected"`
	UnknownActions uint64 `json:"unknown_actions"`
	IngestFiltered uint64 `json:"ingest_filtered"` // accepted, and dropped by a filter before the journal
	IngestFailed   uint64 `json:"ingest_failed"`   // refused, since such a filter failed

	Quarantine QuarantineStats `json:"quarantine"`

	NotAccepting string `json:"not_accepting,omitempty"` // why, empty while events are accepted
}

// QuarantineStats are figures about the quarantine.
type QuarantineStats struct {
	Items     int                 `json:"items"`
	Bytes     int64               `json:"bytes"`
	MostItems int                 `json:"most_items"`
	MostBytes auditrelay.ByteSize `json:"most_bytes"`
	// Full: something was refused for lack of room since anything was last taken in or
	// away.
	Full bool `json:"full,omitempty"`
}

// Source is a way in that events are awaited from.
type Source struct {
	Name     string    `json:"name"`
	Kind     string    `json:"kind"`
	Since    time.Time `json:"since"`  // what follows counts from then
	Events   uint64    `json:"events"` // that came, whatever became of them
	LastSeen time.Time `json:"last_seen,omitzero"`
	Silent   bool      `json:"silent,omitempty"` // none came
	Causes   []string  `json:"causes,omitempty"` // why that may be, the likely ones first
	// Tail is how a source stands that reads a table.
	Tail *Tail `json:"tail,omitempty"`
}

// Tail is how the reading of a table stands.
type Tail struct {
	Source string    `json:"source"`
	Table  string    `json:"table"`
	State  string    `json:"state"`
	Since  time.Time `json:"since"`           // that it is in this state
	Error  string    `json:"error,omitempty"` // why, where it does not read
	Rows   Taken     `json:"rows"`            // since start
	// Backfill is how far the past is read, while it is.
	Backfill *Backfill `json:"backfill,omitempty"`
	// Position: every row inserted by a transaction below is taken.
	Position uint64 `json:"position"`
	// Looked is when new rows were last looked for; Complete, when the last look at
	// the whole table began: all that was committed before is taken.
	Looked   time.Time `json:"looked,omitzero"`
	Complete time.Time `json:"complete,omitzero"`
}

// Taken counts what became of rows.
type Taken struct {
	Read        uint64 `json:"read"`
	Accepted    uint64 `json:"accepted"`
	Duplicates  uint64 `json:"duplicates"`
	Quarantined uint64 `json:"quarantined"`
	Refused     uint64 `json:"refused"` // a filter before the journal failed on it; a tombstone stands for it
	// Unreadable are those in quarantine that the server cannot give: they are not valid
	// in its encoding, or damaged.
	Unreadable uint64 `json:"unreadable,omitempty"`
}

// Add adds o.
func (t *Taken) Add(o Taken) {
	t.Read += o.Read
	t.Accepted += o.Accepted
	t.Duplicates += o.Duplicates
	t.Quarantined += o.Quarantined
	t.Refused += o.Refused
	t.Unreadable += o.Unreadable
}

// Backfill is how far the past is read.
type Backfill struct {
	Rows uint64 `json:"rows"` // taken
	Of   uint64 `json:"of"`   // about
}

// BackedUp says where a backup is, on the daemon's machine.
type BackedUp struct {
	Dir string `json:"dir"`
}

// Reloaded says what a reload did.
type Reloaded struct {
	Before  string   `json:"before"` // digest of the configuration
	After   string   `json:"after"`
	Changed bool     `json:"changed"`
	Notes   []string `json:"notes,omitempty"` // what takes a restart
}

// Period is a span of events that one key encrypts.
type Period struct {
	Number    uint64    `json:"number"`
	State     string    `json:"state"`
	From      uint64    `json:"from"` // the first sequence
	To        uint64    `json:"to"`   // the sequence behind the last so far
	Began     time.Time `json:"began"`
	Until     time.Time `json:"until,omitzero"`
	Destroyed time.Time `json:"destroyed,omitzero"`
}

// DestroyQuery says what becomes of a period's dead letters: DiscardFirst, or they
// stand in the way.
type DestroyQuery struct {
	DeadLetters string `query:"dead_letters"`
}

// DiscardFirst discards a period's dead letters before its key is destroyed.
const DiscardFirst = "discard"

// Reconcile asks for a comparison of the table that is tailed with the journal, over the
// events' own time, To not included.
type Reconcile struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Repair bool      `json:"repair,omitempty"` // have what the journal lacks accepted; role admin
}

// ReconcileLine is one line of the answer: a difference, or, as the last one, what came
// of it all. A line with Error instead says that it broke off.
type ReconcileLine struct {
	Difference *Difference `json:"difference,omitempty"`
	Done       *Reconciled `json:"done,omitempty"`
	Error      *Error      `json:"error,omitempty"`
}

// The places that an event may be missing from.
const (
	MissingFromJournal = "journal"
	MissingFromTable   = "table"
)

// Difference is an event that one of the two has and the other has not.
type Difference struct {
	MissingFrom string    `json:"missing_from"`
	ID          string    `json:"id"`
	Time        time.Time `json:"time,omitzero"`         // its own
	Sequence    uint64    `json:"sequence,omitempty"`    // in the journal
	Unsure      bool      `json:"unsure,omitempty"`      // the journal may have had it, and forgotten it
	Quarantined bool      `json:"quarantined,omitempty"` // a repair put it into quarantine
	Repaired    bool      `json:"repaired,omitempty"`
	// Unstorable: the table cannot have it, since jsonb refuses what it holds (NaN,
	// Infinity, a null character, half a character).
	Unstorable bool `json:"unstorable,omitempty"`
}

// Reconciled is what came of a comparison.
type Reconciled struct {
	Rows             uint64    `json:"rows"`   // of the table, in the window
	Events           uint64    `json:"events"` // of LiteLLM's in the journal, in the window
	MissingInJournal uint64    `json:"missing_in_journal"`
	MissingInTable   uint64    `json:"missing_in_table"`
	Repaired         uint64    `json:"repaired,omitempty"`
	Unsure           uint64    `json:"unsure,omitempty"`       // rows from before what the journal keeps, and not in it
	Incomparable     uint64    `json:"incomparable,omitempty"` // events whose id a filter took before they were stored
	Unreadable       uint64    `json:"unreadable,omitempty"`   // rows whose id the server cannot give; the tail puts them into quarantine
	Unstorable       uint64    `json:"unstorable,omitempty"`   // events missing in the table that it cannot have, since jsonb refuses them
	JournalSince     time.Time `json:"journal_since,omitzero"` // what the journal keeps was received from then on
}

// Differ reports whether something is missing that is not repaired, and could be there.
func (r Reconciled) Differ() bool {
	return r.MissingInJournal > r.Repaired || r.MissingInTable > r.Unstorable
}
