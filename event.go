package auditrelay

import "time"

// Event is one accepted audit record. It is immutable: never write to Data. The engine owns Data, so copy
// it if you keep it longer than the call that passed it.
type Event struct {
	// Namespace and ID identify the event. Related inputs, such as all inputs from one LiteLLM, share a
	// namespace. It is NamespaceLiteLLM unless the sender's credential has another. Emitted records and the
	// relay's own events have their own namespaces.
	Namespace string
	ID        string

	// Sequence is the event's position in the journal. Sequences start at 1 and have no gaps.
	Sequence uint64

	// Received is when the journal accepted the event (UTC).
	Received time.Time

	// Time is the event's own time (updated_at), in UTC. If it is missing or
	// unreadable, Time equals Received. TimeFrom says which.
	Time     time.Time
	TimeFrom TimeSource

	Action     Action
	Provenance Provenance

	// Emission is nil, except for a record that a guest emitted.
	Emission *Emission

	// Ingest is nil, unless filters processed the event before it was stored.
	Ingest *Ingest

	// Mapping is nil for an event in LiteLLM's schema.
	Mapping *Mapping

	// Data is one JSON object: the event's bytes exactly as received.
	Data []byte
}

// Ingest is the result of the filters that ran before the journal stored the event. The event's Data is
// then the filtered document, or an empty object if the filters dropped the event or failed. If they
// removed the ID, the event's ID is its keyed digest.
type Ingest struct {
	Outcome Outcome  // Pending: kept; Filtered: dropped; Discarded: a filter failed
	Digest  [16]byte // keyed digest of the event as received
}

// The namespaces of events.
const (
	// NamespaceLiteLLM is the default namespace.
	NamespaceLiteLLM = "litellm"
	// NamespaceRelay is the namespace of the relay's own audit events, for example
	// a configuration change.
	NamespaceRelay = "auditrelay"
	// NamespaceEmitted is the namespace of records that guests emitted.
	NamespaceEmitted = "emitted"
)

// TimeSource says how an event got its Time.
type TimeSource uint8

const (
	// TimeOfEvent: the event's updated_at, with an offset or Z.
	TimeOfEvent TimeSource = iota
	// TimeNaive: updated_at had no offset and was read as UTC.
	TimeNaive
	// TimeMissing: updated_at was missing, null or empty; Time is Received.
	TimeMissing
	// TimeUnreadable: updated_at was not a valid time; Time is Received.
	TimeUnreadable
)

// String returns the name used in manifests and by explain.
func (s TimeSource) String() string {
	switch s {
	case TimeOfEvent:
		return "event"
	case TimeNaive:
		return "event_naive"
	case TimeMissing:
		return "received_missing"
	case TimeUnreadable:
		return "received_unreadable"
	}
	return "unknown"
}

// Provenance says where an event came from. The relay sets it; an event's content cannot change it.
type Provenance struct {
	Source    string // the input: http, submit, stdin, s3, postgres, socket, kafka, guest or relay; quarantine for a replayed quarantine item
	Principal string // the authenticated name, empty without authentication
	Address   string // the sender's address, empty if unknown
}

// Emission links an emitted record to its source event.
type Emission struct {
	Target   string // the callback that receives it
	Callback string // the callback whose filter emitted it
	Filter   string
	Sequence uint64 // the source event's sequence
	Ordinal  int    // index among the records that this filter emitted for this event, from 0
	Hops     int    // number of emissions between an accepted event and this record, from 1
}
