package runtime

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/detect"
)

// Options configure a Runtime. The zero value is a runtime without callbacks and with a
// journal in memory.
type Options struct {
	// Dir is the data directory. Open creates it with mode 0700 if it is missing. If Dir is empty, the
	// journal is in memory and nothing survives: use this only for tests.
	Dir string

	Journal JournalOptions

	// Callbacks receive every accepted event.
	Callbacks []Callback

	// Known names callbacks that already delivered from this data directory. If the journal does not know
	// one of them, Open returns a *NewCallbackError.
	Known []string

	// Opened, if not nil, is called after the journal is open and before any callback starts. Use it to
	// select the module of each guest filter from the uploaded ones. If it fails, Open returns its error.
	Opened func(ctx context.Context, m *Modules, t *Texts) error

	// OpenRollout, if not nil, opens the new version of a rollout that was in progress when the journal was
	// closed. It is called before any callback starts. The runtime owns the returned filter. An error rolls
	// the rollout back; a *TakenBackError does so in the name of the user in it. ErrRolloutInForce ends the
	// rollout as promoted.
	OpenRollout func(context.Context, Rollout) (filter.Filter, error)

	// Ingest lists filters that process every event in order before it is stored. Use them for data that
	// must never reach the disk. If they drop an event, the journal stores it without its data, and it ends
	// as filtered on every callback. If they fail, the event is rejected and the journal stores only a
	// tombstone. They must not emit.
	Ingest []Step

	// Removed names callbacks to give up, which the journal knows and Callbacks no longer lists. Their
	// pending events become skipped. Open fails with a *RemovalError if a known callback is in neither
	// list, so that a truncated configuration loses nothing.
	Removed []string

	// Changes are recorded in one write before the callbacks start, for example the start of the program
	// and its configuration. If there is no disk space for them, Open logs that and continues. Recorded, if
	// not nil, is called once they are durable.
	Changes  []Change
	Recorded func()

	// Control selects the callbacks that get own records (see Runtime.Record).
	Control Control

	// Approvals says which acts need several principals; see SetApprovals.
	Approvals Approvals

	// Limits bound the events and calls that Submit accepts.
	Limits Limits

	// Quarantine bounds the quarantine.
	Quarantine QuarantineOptions

	// Proofs configures the signatures of the logs of proofs.
	Proofs ProofOptions

	// Memory limits the estimated size of the events and payloads that all callbacks process and send at a
	// time. An event below 512 bytes counts as 512, since its metadata takes that much. Callbacks share the
	// memory fairly: under pressure chunks get smaller, and a callback waits only for its own share. One
	// large event or payload may exceed the limit. Default: 32 MiB, or eight times the largest Chunk.Bytes
	// if that is above its default.
	Memory auditrelay.ByteSize

	// Workers is the number of workers that filter events of one callback in parallel. Default: GOMAXPROCS.
	Workers int

	// Logger receives messages for operators. They contain no event data. Default:
	// slog.Default().
	Logger *slog.Logger
}

// Control selects the callbacks that get the relay's own records. The zero value means every callback that
// receives events.
type Control struct {
	// Callback names the callback that must get own records. It must receive events, have a sink, and
	// retain undelivered events (Retain.Then is RetainBlock). It cannot be detached, and Apply rejects a
	// set of callbacks without it.
	Callback string
	// Only: no other callback gets own records. On others they end as filtered, cause "when".
	Only bool
}

// JournalOptions configure the journal.
type JournalOptions struct {
	// Window is the number of remembered event ids for detecting duplicates: the journal stores an event
	// that is repeated within the window once. Default: 1,048,576, about 16 MiB of memory.
	Window int
	// Quota is the maximum size of the journal on disk. At the quota the relay rejects new events.
	// Compactions may exceed the quota briefly. Default: 0, no quota.
	Quota auditrelay.ByteSize
	// Reserve is the disk space that must stay free. The relay rejects new events before they use it.
	// Default: 256 MiB or 5 % of the disk, whichever is less. Negative: none.
	Reserve auditrelay.ByteSize
	// Retention limits how long events stay available for replay and Explain after every callback has
	// processed them.
	Retention Retention
	// Encryption encrypts stored events.
	Encryption Encryption
	// Postgres stores the journal on a server. Reserve does not apply there, and Quota is measured every 10
	// s.
	Postgres PostgresJournal
	// UnsafeNoSync acknowledges without waiting for the disk. It is only for crash tests,
	// to show that they detect the loss.
	UnsafeNoSync bool
	// UnsafeNoFence lets a relay commit after another one has taken over its journal. It is only for crash
	// tests, like UnsafeNoSync.
	UnsafeNoFence bool
}

// ProofOptions configure the signatures of the logs of proofs. The relay always keeps the logs themselves.
type ProofOptions struct {
	// Key is the signing key: a line that auditrelay proof keygen prints (c2sp.org/signed-note, Ed25519).
	// Empty: nothing is signed, and sinks get no proofs.
	Key string
	// Signer, if not nil, signs instead of Key.
	Signer Signer
	// PreviousKey is the key that Key or Signer replaces. Both sign the record of the change.
	PreviousKey string
	// Every is the interval between two checkpoints of a log. Default: 60 s.
	Every time.Duration
}

// Signer signs checkpoints with an external Ed25519 key, for example in a KMS. A callback waits for it once
// in each ProofOptions.Every. While it fails, checkpoints wait and deliveries continue. It must be safe for
// concurrent use.
type Signer interface {
	// PublicKey returns the public key in the format of c2sp.org/signed-note.
	PublicKey() string
	// Sign returns the signature of a message. It must return in bounded time.
	Sign(ctx context.Context, message []byte) ([]byte, error)
}

// Retention limits the events that are kept although no callback needs them. The journal always keeps
// events that a callback needs.
type Retention struct {
	// Age is the maximum age. Default: 0, which means 7 days. Negative: no limit.
	Age time.Duration
	// Bytes is the estimated maximum size of all events. The oldest are removed first. Default: 0, no
	// limit.
	Bytes auditrelay.ByteSize
}

// Limits bound one event and one call of Submit. An event over a limit is rejected with an *EventError, and
// a call over Events with ErrTooLarge.
type Limits struct {
	EventBytes auditrelay.ByteSize // default 1 MiB
	Depth      int                 // maximum nesting of objects and arrays; default 64
	IDBytes    int                 // default 256
	Events     int                 // maximum per call; default 10,000, at most auditrelay.MaxAtomic
}

// record returns the limits of an emitted record, which are those of an event.
func (l Limits) record() document.Limits {
	return document.Limits{Bytes: cmp.Or(int(l.EventBytes), 1<<20), Depth: l.Depth}
}

// Callback is one destination with its condition, filters and delivery options.
type Callback struct {
	// Name identifies the callback permanently: position and accounts belong to the name. It must match
	// [a-z0-9][a-z0-9_-]{0,63}.
	Name string
	// RenamedFrom is the previous name. At start this callback takes over the position, accounts and dead
	// letters of that name.
	RenamedFrom string
	// Digest identifies this configuration. Apply does not restart a callback whose digest is unchanged.
	Digest string

	// Receives selects the assigned events. Default: accepted events.
	Receives auditrelay.Receives
	// When, if not nil, must match before the filters run. Other events end as filtered,
	// cause "when".
	When *auditrelay.When
	// Steps are the filters, in order.
	Steps []Step
	// Alerts: the relay's own alerts (TableAlert) bypass When and Steps. Format and MustNotLeave still
	// apply.
	Alerts bool
	// MustNotLeave checks the filtered event and the payload that the sink made of it. An event with a
	// finding becomes a dead letter, cause "leak". The check does not rely on filters or sink.
	MustNotLeave auditrelay.MustNotLeave
	// Detectors is the catalogue of detectors for MustNotLeave. Nil: the built-in detectors.
	Detectors *detect.Catalogue
	// Format is the format of the filtered event for the destination. MustNotLeave checks the formatted
	// record. Default: the event as it is.
	Format auditrelay.Format
	// Sink delivers events. If nil, an event counts as delivered once its emitted records
	// are durable.
	Sink auditrelay.Sink
	// SinkType is the type of Sink for the status, such as "s3".
	SinkType string

	// From is the start position of a callback that is new to the journal.
	From auditrelay.From
	// Chunk limits the size and age of a chunk.
	Chunk auditrelay.Chunking
	// InFlight is the maximum number of sealed, undelivered chunks. Default: 4. At most
	// auditrelay.MaxInFlight.
	InFlight int
	// Backoff sets the pauses between retries.
	Backoff auditrelay.Backoff
	// Timeout bounds one delivery attempt. Default: 60 s. At most auditrelay.MaxTimeout.
	Timeout time.Duration
	// Retain limits the events that the callback may hold while it cannot deliver.
	Retain auditrelay.Retain
}

// Step is one filter of a callback.
type Step struct {
	Name   string
	Filter filter.Filter
	// OnError selects what happens to an event if the filter fails. The event itself never reaches the
	// sink.
	OnError auditrelay.OnError
	// Role limits what the filter may do to an event.
	Role auditrelay.Role
	// Emits names the callbacks that may receive records from this filter. The Emits of all callbacks must
	// not form a cycle.
	Emits []string
}

// Submission is one incoming event.
type Submission struct {
	// Data is one JSON object, in LiteLLM's schema unless Schema is set. Submit copies it.
	Data       []byte
	Provenance auditrelay.Provenance
	// Namespace is the scope of the event's id. Events of two namespaces may have the same id, and a
	// response tells a sender nothing about other namespaces. All inputs of one producer must use the same
	// namespace. It must not be one of the relay's own. Default: auditrelay.NamespaceLiteLLM.
	Namespace string
	// Reserved allows a table_name that begins with auditrelay_, as events of another relay have. Without
	// it such an event is rejected, so that nobody can imitate an own record of this relay.
	Reserved bool
	// Schema reads an event that is not in LiteLLM's schema. Default: LiteLLM's schema. If Namespace is
	// set, it overrides the schema's namespace.
	Schema *Schema
}

// Result is the outcome of one Submission.
type Result struct {
	ID       string
	Sequence uint64
	Received time.Time
	// Duplicate: the journal already had an equal event. Sequence is that event's.
	Duplicate bool
	// UnknownAction: the event was accepted unchanged, but its action is not one of the six known ones.
	UnknownAction bool
	// Filtered: a filter before the journal dropped the event. Its data was not stored.
	Filtered bool
	// Err says why the event was not accepted: an *EventError if it is invalid, ErrConflict if a different
	// event has its id, ErrIngestFilter if a filter before the journal failed on it. A retry fails too.
	Err error
}
