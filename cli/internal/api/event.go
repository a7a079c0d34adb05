package api

import (
	"encoding/json"
	"time"

	"auditrelay"
)

// Provenance says how an event came in.
type Provenance struct {
	Source    string `json:"source"`
	Principal string `json:"principal,omitempty"`
	Address   string `json:"address,omitempty"`
}

// Emission ties an emitted record to what it came from.
type Emission struct {
	Target   string `json:"target"`
	Callback string `json:"callback"`
	Filter   string `json:"filter"`
	Sequence uint64 `json:"sequence"`
	Ordinal  int    `json:"ordinal"`
	Hops     int    `json:"hops"`
}

// EventQuery asks for one event. ID only where it is no part of the path.
type EventQuery struct {
	ID        string `query:"id"`
	Namespace string `query:"namespace"`
	Data      bool   `query:"data"` // its contents too; takes the role comply
}

// Explained is everything that is known of one event.
type Explained struct {
	Namespace  string          `json:"namespace"`
	ID         string          `json:"id"`
	Sequence   uint64          `json:"sequence"`
	Received   time.Time       `json:"received"`
	Time       time.Time       `json:"time"`
	TimeFrom   string          `json:"time_from"`
	Action     string          `json:"action"`
	Provenance Provenance      `json:"provenance"`
	AlsoFrom   []Provenance    `json:"also_from,omitempty"`
	Emission   *Emission       `json:"emission,omitempty"`
	Callbacks  []Ending        `json:"callbacks"`
	Data       json.RawMessage `json:"data,omitempty"`
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
	// The destination had it already; it had something under the key, not compared.
	Duplicate  bool      `json:"duplicate,omitempty"`
	Unverified bool      `json:"unverified,omitempty"`
	Receipts   []Receipt `json:"receipts,omitempty"`
}

// ReceiptQuery selects receipts. From and To are sequences or times, half open.
type ReceiptQuery struct {
	Callback  string `query:"callback"`
	From      string `query:"from"`
	To        string `query:"to"`
	ID        string `query:"id"`
	Namespace string `query:"namespace"`
}

// Receipt says what was done to one event on one callback when it was judged. It
// holds nothing of the event but its identity.
type Receipt struct {
	Callback  string    `json:"callback"`
	Replay    string    `json:"replay,omitempty"`
	Sequence  uint64    `json:"sequence"`
	Namespace string    `json:"namespace,omitempty"` // empty, like ID, where the event is forgotten
	ID        string    `json:"id,omitempty"`
	At        time.Time `json:"at"` // of the seal
	// Again: it was a dead letter, and was judged again.
	Again bool `json:"again,omitempty"`

	// Outcome is that of the seal. Delivered means that it was to be delivered; where
	// the destination refused it, Refused says so.
	Outcome auditrelay.Outcome `json:"outcome"`
	Cause   auditrelay.Cause   `json:"cause,omitempty"`
	Filter  string             `json:"filter,omitempty"` // that decided or failed
	Reason  string             `json:"reason,omitempty"`
	Refused auditrelay.Cause   `json:"refused,omitempty"`
	Emitted int                `json:"emitted,omitempty"` // records

	Filters []Visit `json:"filters,omitempty"` // that saw it, in order
	// Input and Output are keyed digests, in hexadecimal, of the event as accepted and
	// of the document that went out.
	Input  string `json:"input,omitempty"`
	Output string `json:"output,omitempty"`
	Config string `json:"config,omitempty"` // the digest of the callback's configuration
}

// Visit is what one filter did to an event.
type Visit struct {
	Name    string  `json:"name"`
	Kind    string  `json:"kind,omitempty"`    // wasm, redact
	Digest  string  `json:"digest,omitempty"`  // of the module or the policy
	Version string  `json:"version,omitempty"` // as the module says
	Touched []Touch `json:"touched,omitempty"`
}

// Touch is one kind of edit.
type Touch struct {
	Path      string `json:"path"`
	Operation string `json:"operation"`
	Count     int    `json:"count"`
}

// StoredQuery selects accepted events from a sequence on.
type StoredQuery struct {
	From  uint64 `query:"from"`
	Limit int    `query:"limit"` // default 100, at most 1,000
}

// Stored answers a StoredQuery.
type Stored struct {
	Events []StoredEvent `json:"events"`
	Next   uint64        `json:"next"` // where to go on
}

// StoredEvent is one accepted event with its contents.
type StoredEvent struct {
	Sequence  uint64          `json:"sequence"`
	Namespace string          `json:"namespace"`
	ID        string          `json:"id"`
	Received  time.Time       `json:"received"`
	Data      json.RawMessage `json:"data"`
}

// LookUp asks for the pseudonyms of a value.
type LookUp struct {
	// Value as it stands in an event: a string's text, any other value's JSON.
	Value    string `json:"value"`
	Callback string `json:"callback,omitempty"` // of this one only
	Key      string `json:"key,omitempty"`      // under this one only
}

// LookedUp answers a LookUp.
type LookedUp struct {
	Pseudonyms []Pseudonym `json:"pseudonyms"`
}

// Pseudonym is a value's under one version of a key that a filter uses.
type Pseudonym struct {
	Callback string `json:"callback,omitempty"` // empty: of all, since the filter stands before the journal
	Filter   string `json:"filter"`
	Key      string `json:"key"`
	Version  int    `json:"version"` // 0: the key stands, or stood, without versions
	Current  bool   `json:"current"` // new pseudonyms are made with it
	// Pseudonym is empty where the version was destroyed: what it made cannot be
	// found by its value any more.
	Pseudonym string `json:"pseudonym,omitempty"`
	Destroyed bool   `json:"destroyed,omitempty"`
}

// AuditPage answers a search of the store. With a cursor there are no totals.
type AuditPage struct {
	Logs       []json.RawMessage `json:"audit_logs"`
	Total      int64             `json:"total"`
	TotalExact bool              `json:"total_exact"` // false: there are more than Total
	Page       int               `json:"page"`
	PageSize   int               `json:"page_size"`
	TotalPages int64             `json:"total_pages"`
	NextCursor string            `json:"next_cursor"` // empty at the end
}

// Rebuild asks for the store to be filled from the journal.
type Rebuild struct {
	DryRun bool `json:"dry_run,omitempty"`
}

// Rebuilt says what was begun: a replay of the store's callback.
type Rebuilt struct {
	Callback string `json:"callback"`
	ReplayStarted
}
