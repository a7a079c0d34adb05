package api

import (
	"encoding/json"
	"fmt"
	"time"

	"auditrelay"
)

// Provenance says where an event came from: the input, the authenticated sender and its
// address.
type Provenance struct {
	Source    string `json:"source"`
	Principal string `json:"principal,omitempty"`
	Address   string `json:"address,omitempty"`
}

// Emission links an emitted record to its source event.
type Emission struct {
	Target   string `json:"target"`
	Callback string `json:"callback"`
	Filter   string `json:"filter"`
	Sequence uint64 `json:"sequence"`
	Ordinal  int    `json:"ordinal"`
	Hops     int    `json:"hops"`
}

// EventQuery selects one event. ID is only for FindEvent; GetEvent has it in the path.
type EventQuery struct {
	ID        string `query:"id"`
	Namespace string `query:"namespace"`
	Data      bool   `query:"data"` // include its data; needs the role comply
}

// ProofQuery selects the proofs of one event.
type ProofQuery struct {
	ID        string `query:"id"`
	Namespace string `query:"namespace"`
	Callback  string `query:"callback"`
}

// EventProof proves one event's outcome on one callback, or on a replay of it.
type EventProof struct {
	Callback string `json:"callback"`
	Replay   string `json:"replay,omitempty"`
	Sequence uint64 `json:"sequence"`
	File     string `json:"file"` // in the format of c2sp.org/tlog-proof
}

// Explained has everything known about one event. Data is set only if the query asks for it.
type Explained struct {
	Namespace  string       `json:"namespace"`
	ID         string       `json:"id"`
	Sequence   uint64       `json:"sequence"`
	Received   time.Time    `json:"received"`
	Time       time.Time    `json:"time"`
	TimeFrom   string       `json:"time_from"`
	Action     string       `json:"action"`
	Provenance Provenance   `json:"provenance"`
	AlsoFrom   []Provenance `json:"also_from,omitempty"`
	Emission   *Emission    `json:"emission,omitempty"`
	Callbacks  []Ending     `json:"callbacks"`
	// Namesakes are other events with this id, by sequence, at most 100.
	Namesakes []Namesake      `json:"namesakes,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
}

// Namesake is another event with the same id. If it has the same namespace, it arrived after
// the first had left the window of known ids. It is then the same event again, or conflicts
// with it.
type Namesake struct {
	Sequence   uint64     `json:"sequence"`
	Namespace  string     `json:"namespace"`
	Received   time.Time  `json:"received,omitzero"` // missing if the event was erased
	Provenance Provenance `json:"provenance"`
	Same       bool       `json:"same"`
}

// Ending is the state of an event on one callback or one replay.
type Ending struct {
	Callback  string             `json:"callback"`
	Replay    string             `json:"replay,omitempty"`
	Assigned  bool               `json:"assigned"`
	Outcome   auditrelay.Outcome `json:"outcome"`
	Cause     auditrelay.Cause   `json:"cause,omitempty"`
	Filter    string             `json:"filter,omitempty"` // the filter that decided or failed
	Reason    string             `json:"reason,omitempty"`
	Error     string             `json:"error,omitempty"`
	Payload   uint64             `json:"payload,omitempty"`
	Key       string             `json:"key,omitempty"`
	Location  string             `json:"location,omitempty"`
	Version   string             `json:"version,omitempty"`
	Attempts  int                `json:"attempts,omitempty"`
	At        time.Time          `json:"at,omitzero"` // time of the outcome
	Tombstone bool               `json:"tombstone,omitempty"`
	// Duplicate: the destination already had the payload. Unverified: it had an object under
	// the key and did not compare it.
	Duplicate  bool      `json:"duplicate,omitempty"`
	Unverified bool      `json:"unverified,omitempty"`
	Receipts   []Receipt `json:"receipts,omitempty"`
	History    []Attempt `json:"history,omitempty"` // the payload's stored attempts
}

// ReceiptQuery selects receipts. From and To are a half-open range of sequences or times.
type ReceiptQuery struct {
	Callback  string `query:"callback"`
	From      string `query:"from"`
	To        string `query:"to"`
	ID        string `query:"id"`
	Namespace string `query:"namespace"`
}

// Receipt says what one callback did to one event. It contains nothing of the event but its
// identity.
type Receipt struct {
	Callback  string    `json:"callback"`
	Replay    string    `json:"replay,omitempty"`
	Sequence  uint64    `json:"sequence"`
	Namespace string    `json:"namespace,omitempty"` // empty, like ID, if retention removed the event
	ID        string    `json:"id,omitempty"`
	At        time.Time `json:"at"` // time of the seal
	// Again: this processing replayed a dead letter.
	Again bool `json:"again,omitempty"`

	// Outcome is the outcome at the seal. Delivered means that delivery was due; Now has the
	// result. If the destination rejected the event later, Refused has the cause.
	Outcome auditrelay.Outcome `json:"outcome"`
	// Now is the event's outcome when the receipt is read: pending while it waits for delivery.
	// Older relays do not send it.
	Now     auditrelay.Outcome `json:"now"`
	Cause   auditrelay.Cause   `json:"cause,omitempty"`
	Filter  string             `json:"filter,omitempty"` // the filter that decided or failed
	Reason  string             `json:"reason,omitempty"`
	Refused auditrelay.Cause   `json:"refused,omitempty"`
	Emitted int                `json:"emitted,omitempty"` // number of emitted records

	Filters []Visit `json:"filters,omitempty"` // the filters that processed the event, in order
	// Input and Output are keyed digests, in hexadecimal, of the accepted event and of
	// the outgoing document.
	Input  string `json:"input,omitempty"`
	Output string `json:"output,omitempty"`
	Config string `json:"config,omitempty"` // the digest of the callback's configuration
}

// Visit is the work of one filter on an event.
type Visit struct {
	Name    string  `json:"name"`
	Kind    string  `json:"kind,omitempty"`    // wasm or redact
	Digest  string  `json:"digest,omitempty"`  // digest of the module or the policy
	Version string  `json:"version,omitempty"` // from the module's manifest
	Touched []Touch `json:"touched,omitempty"`
}

// Touch counts one kind of edit by path and operation.
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

// Stored is the response to a StoredQuery. Next is the From of the next query; at the end it
// equals From.
type Stored struct {
	Events []StoredEvent `json:"events"`
	Next   uint64        `json:"next"`
}

// StoredEvent is one accepted event with its data.
type StoredEvent struct {
	Sequence  uint64          `json:"sequence"`
	Namespace string          `json:"namespace"`
	ID        string          `json:"id"`
	Received  time.Time       `json:"received"`
	Mapping   *Mapping        `json:"mapping,omitempty"` // set for an event that is not in LiteLLM's schema
	Data      json.RawMessage `json:"data"`
}

// Mapping says where an event has its fields, as expressions of its schema.
type Mapping struct {
	Schema     string `json:"schema"`
	ID         string `json:"id,omitempty"`
	Action     string `json:"action,omitempty"`
	Time       string `json:"time,omitempty"`
	Actor      string `json:"actor,omitempty"`
	Object     string `json:"object,omitempty"`
	ObjectType string `json:"object_type,omitempty"`
}

// LookUp asks for the pseudonyms of a value.
type LookUp struct {
	// Value is the value as in an event: the text of a string, or the JSON of any other value.
	Value    string `json:"value"`
	Callback string `json:"callback,omitempty"` // empty: all callbacks
	Key      string `json:"key,omitempty"`      // empty: all keys
	// Field is the name of the value's key. Policies that separate pseudonyms have one for each
	// field. Without Field the response omits those.
	Field string `json:"field,omitempty"`
}

// LookedUp is the response to a LookUp.
type LookedUp struct {
	Pseudonyms []Pseudonym `json:"pseudonyms"`
}

// Pseudonym is the pseudonym of a value under one version of a key that a filter uses.
type Pseudonym struct {
	Callback string `json:"callback,omitempty"` // empty: all, since the filter runs before the journal
	Filter   string `json:"filter"`
	Key      string `json:"key"`
	Version  int    `json:"version"` // 0 if the key has, or had, no versions
	Current  bool   `json:"current"` // new pseudonyms use this version
	// Pseudonym is empty if the version was destroyed. Its pseudonyms can no longer be found by
	// value.
	Pseudonym string `json:"pseudonym,omitempty"`
	Destroyed bool   `json:"destroyed,omitempty"`
	// Separate says that the pseudonym is only for one callback and field. It is empty without
	// a field in the look-up.
	Separate bool   `json:"separate,omitempty"`
	Field    string `json:"field,omitempty"`
}

// AuditPage is the response to a search of the store. A search with a cursor has no totals.
type AuditPage struct {
	Logs       []json.RawMessage `json:"audit_logs"`
	Total      int64             `json:"total"`
	TotalExact bool              `json:"total_exact"` // false: Total is a lower bound
	Page       int               `json:"page"`
	PageSize   int               `json:"page_size"`
	TotalPages int64             `json:"total_pages"`
	NextCursor string            `json:"next_cursor"` // empty at the end
}

// ControlQuery selects own records from a sequence on.
type ControlQuery struct {
	From  uint64 `query:"from"`
	Limit int    `query:"limit"` // default 100, at most 1,000
}

// ControlRecords are own records in the journal, oldest first. Next is the From of the next
// request, or 0 at the end.
type ControlRecords struct {
	Next    uint64        `json:"next"`
	Records []StoredEvent `json:"records"`
}

// OwnRecord is the content of an own record. Records of older versions have no Control.
type OwnRecord struct {
	By      string          `json:"changed_by"`
	Action  string          `json:"action"`
	Table   string          `json:"table_name"`
	Object  string          `json:"object_id"`
	Before  json.RawMessage `json:"before_value"`
	After   json.RawMessage `json:"updated_values"`
	Control struct {
		Act     string `json:"act"`
		Outcome string `json:"outcome"`
		Reason  string `json:"reason"`
		Address string `json:"address"`
		With    string `json:"with"` // the credential
		// Approval is the id of the request that ApprovedBy approved.
		Approval   string   `json:"approval"`
		ApprovedBy []string `json:"approved_by"`
	} `json:"control"`
}

// OwnRecord decodes an own record.
func (e *StoredEvent) OwnRecord() (r OwnRecord, err error) {
	if err := json.Unmarshal(e.Data, &r); err != nil {
		return r, fmt.Errorf("own record %d: %w", e.Sequence, err)
	}
	if r.Control.Act == "" {
		r.Control.Act = r.Action
	}
	return r, nil
}

// Rebuild asks for a replay of the journal into the store.
type Rebuild struct {
	DryRun bool   `json:"dry_run,omitempty"`
	Reason string `json:"reason,omitempty"` // in the user's words
}

// Rebuilt is the replay that fills the store's callback.
type Rebuilt struct {
	Callback string `json:"callback"`
	ReplayStarted
}
