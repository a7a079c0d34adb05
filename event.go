package auditrelay

import "time"

// Event is one accepted audit record. It is immutable: never write to Data, and
// copy Data if you keep it beyond the call that passed it.
type Event struct {
	// Namespace and ID identify the event. Inputs that belong together, as those from one
	// LiteLLM do, share a namespace: NamespaceLiteLLM unless the sender's credential has
	// another. Emitted records and the relay's own events have namespaces of their own.
	Namespace string
	ID        string

	// Sequence is the event's position in the journal, dense from 1.
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

	// Data is the event byte for byte as it came: one JSON object.
	Data []byte
}

// Ingest is the result of the filters before the journal. The event's Data is then
// the filtered document; an empty object if they dropped the event or failed. If
// they removed the ID, the event has its keyed digest instead.
type Ingest struct {
	Outcome Outcome  // Pending: kept; Filtered: dropped; Discarded: a filter failed
	Digest  [16]byte // keyed digest of the event as received
}

// The namespaces of an event's identity.
const (
	// NamespaceLiteLLM is the namespace of events whose sender has no other.
	NamespaceLiteLLM = "litellm"
	// NamespaceRelay is the namespace of the relay's own audit events, for example
	// a configuration change.
	NamespaceRelay = "auditrelay"
	// NamespaceEmitted is the namespace of records that guests emitted.
	NamespaceEmitted = "emitted"
)

// TimeSource says where an event's Time comes from.
type TimeSource uint8

const (
	// TimeOfEvent: the event's updated_at, with an offset or Z.
	TimeOfEvent TimeSource = iota
	// TimeNaive: updated_at carried no offset and was read as UTC.
	TimeNaive
	// TimeMissing: updated_at was absent, null or empty; Time is Received.
	TimeMissing
	// TimeUnreadable: updated_at was not a time; Time is Received.
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

// Provenance says where an event came from.
type Provenance struct {
	Source    string // the input: http, submit, stdin, s3, postgres, socket, kafka, guest, relay; quarantine: replayed from there
	Principal string // the authenticated name, empty without authentication
	Address   string // the peer's address, empty if there is none
}

// Emission links an emitted record to its source event.
type Emission struct {
	Target   string // the callback that receives it
	Callback string // the callback whose filter emitted it
	Filter   string
	Sequence uint64 // the source event's
	Ordinal  int    // number among this filter's records for this event, from 0
	Hops     int    // emissions between this record and an accepted event, from 1
}
