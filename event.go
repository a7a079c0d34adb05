package auditrelay

import "time"

// Event is one accepted audit record. It is immutable: nothing that holds an
// Event may write to Data, and who keeps Data beyond the call that handed it
// over copies it.
type Event struct {
	// Namespace and ID are the event's identity. All of LiteLLM's ways in
	// share NamespaceLiteLLM; records that guests emit and events of the relay's
	// own have namespaces of their own.
	Namespace string
	ID        string

	// Sequence is the event's position in the journal, dense from 1.
	Sequence uint64

	// Received is when the journal accepted the event (UTC).
	Received time.Time

	// Time is the event's own time (updated_at), in UTC. Where it is missing or
	// unreadable it equals Received, and TimeFrom says so.
	Time     time.Time
	TimeFrom TimeSource

	Action     Action
	Provenance Provenance

	// Emission is set on a record that a guest emitted, nil otherwise.
	Emission *Emission

	// Ingest is set on an event that filters judged before it was stored, nil
	// otherwise.
	Ingest *Ingest

	// Data is the event as it came, one JSON object, byte for byte.
	Data []byte
}

// Ingest is what filters made of an event before it was stored. Its Data is then
// what they left, and where they dropped it or failed on it an empty object; an ID
// that they did not leave is replaced by its keyed digest.
type Ingest struct {
	Outcome Outcome  // Pending: it went on; Filtered: dropped; Discarded: one failed
	Digest  [16]byte // keyed, of the event as it was received
}

// The namespaces of an event's identity.
const (
	// NamespaceLiteLLM is the namespace of events in LiteLLM's schema, whichever
	// way they came in.
	NamespaceLiteLLM = "litellm"
	// NamespaceRelay is the namespace of the relay's own audit events, such as a
	// change of configuration.
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

// Provenance says how an event came in.
type Provenance struct {
	Source    string // the way in: http, submit, stdin, s3, postgres, guest, relay; quarantine: replayed from there
	Principal string // the authenticated name, empty where nobody authenticated
	Address   string // the peer's address, empty where there is none
}

// Emission ties an emitted record to what it came from.
type Emission struct {
	Target   string // the callback that receives it
	Callback string // the callback whose filter emitted it
	Filter   string
	Sequence uint64 // the source event's
	Ordinal  int    // among what this filter emitted for this event, from 0
	Hops     int    // emissions between this record and an accepted event, from 1
}
