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
	// Dir is the data directory. Open creates it, with mode 0700, if it is missing. Empty
	// keeps the journal in memory: for tests, since nothing survives.
	Dir string

	Journal JournalOptions

	// Callbacks receive every accepted event.
	Callbacks []Callback

	// Known names callbacks that are configured as they are because they delivered from
	// this data directory before. If the journal does not know one, Open returns a
	// *NewCallbackError.
	Known []string

	// Opened, if not nil, is called after the journal is open and before any callback
	// starts. Use it to choose the module of each guest filter from the uploaded ones. If
	// it fails, Open returns its error.
	Opened func(ctx context.Context, m *Modules, t *Texts) error

	// OpenRollout, if not nil, opens the version of the rollout that was under way when the
	// journal was closed, before any callback starts; the runtime owns the filter. An error
	// rolls the rollout back (*TakenBackError: in the name of who did so before),
	// ErrRolloutInForce ends it as promoted.
	OpenRollout func(context.Context, Rollout) (filter.Filter, error)

	// Ingest filters process every event before it is stored, in order: for data that
	// must never reach the disk. If they drop an event, it is stored without its data and
	// ends as filtered on every callback. If they fail, the event is rejected and only a
	// tombstone is stored. They may not emit.
	Ingest []Step

	// Removed names callbacks to give up: known to the journal, and no longer in
	// Callbacks. Their pending events become skipped. Open fails with a *RemovalError if
	// a known callback is in neither list, so that a truncated configuration loses
	// nothing.
	Removed []string

	// Changes are recorded before the callbacks start, in the same write: for example that
	// the program started, and with which configuration. If there is no disk space for
	// them, Open logs that and goes on. Recorded, if not nil, is called once they are
	// durable.
	Changes  []Change
	Recorded func()

	// Control says which callbacks get own records (see Runtime.Record).
	Control Control

	// Approvals says which acts need several principals; see SetApprovals.
	Approvals Approvals

	// Limits bound the events and calls that Submit accepts.
	Limits Limits

	// Quarantine bounds the quarantine.
	Quarantine QuarantineOptions

	// Proofs signs what the logs of proofs say.
	Proofs ProofOptions

	// Memory bounds the events and payloads that all callbacks process and send at a time,
	// estimated. An event below 512 bytes counts as 512: what is kept beside it takes that.
	// Callbacks share it fairly: under pressure chunks get smaller, and a
	// callback waits for its own share, never for another callback. One large event or
	// payload may exceed it. Default: 32 MiB, or eight times the largest Chunk.Bytes if
	// that is above its default.
	Memory auditrelay.ByteSize

	// Workers is the number of events of one callback that are filtered in parallel.
	// Default: GOMAXPROCS.
	Workers int

	// Logger receives messages for operators. They contain no event data. Default:
	// slog.Default().
	Logger *slog.Logger
}

// Control says which callbacks get the relay's own records. The zero value means every
// callback that receives events.
type Control struct {
	// Callback names the callback that must get them. It must receive events, have a
	// sink, and keep what it cannot deliver (Retain.Then is RetainBlock). It cannot be
	// detached, and Apply refuses callbacks without it.
	Callback string
	// Only: no other callback gets any. There they end as filtered, cause "when".
	Only bool
}

// JournalOptions configure the journal.
type JournalOptions struct {
	// Window is the number of event ids that are remembered to detect duplicates: an
	// event that comes again within it is stored once. Default: 1,048,576, some 16 MiB of
	// memory.
	Window int
	// Quota is the maximum size of the journal on disk. At the quota new events are
	// rejected. Compactions may exceed it briefly. Default: 0, no quota.
	Quota auditrelay.ByteSize
	// Reserve is the disk space that must stay free. New events are rejected before they
	// touch it. Default: 256 MiB or 5 % of the disk, whichever is less. Negative: none.
	Reserve auditrelay.ByteSize
	// Retention says how long events stay available, for replay and Explain, after every
	// callback has processed them.
	Retention Retention
	// Encryption encrypts stored events.
	Encryption Encryption
	// Postgres keeps the journal on a server. Reserve does not apply there, and Quota is
	// measured every 10 s.
	Postgres PostgresJournal
	// UnsafeNoSync acknowledges without waiting for the disk. It is only for crash tests,
	// to show that they detect the loss.
	UnsafeNoSync bool
	// UnsafeNoFence lets a relay commit after another one has taken its journal over. It
	// is only for crash tests, like UnsafeNoSync.
	UnsafeNoFence bool
}

// ProofOptions sign the logs of proofs. The logs themselves are always kept.
type ProofOptions struct {
	// Key signs: a line as auditrelay proof keygen prints it (c2sp.org/signed-note,
	// Ed25519). Empty: nothing is signed, and sinks get no proofs.
	Key string
	// Signer, if not nil, signs in the place of Key.
	Signer Signer
	// PreviousKey is the key before Key or Signer. The change is recorded, signed by both.
	PreviousKey string
	// Every is the time between two checkpoints of a log. Default: 60 s.
	Every time.Duration
}

// Signer signs checkpoints with an Ed25519 key that stays elsewhere, such as in a KMS. A
// callback waits for it once in each ProofOptions.Every; while it fails, checkpoints wait
// and deliveries go on. It must be safe for concurrent use.
type Signer interface {
	// PublicKey is the public key, as in c2sp.org/signed-note.
	PublicKey() string
	// Sign returns the signature of a message, in bounded time.
	Sign(ctx context.Context, message []byte) ([]byte, error)
}

// Retention bounds the events that are kept although no callback needs them. Events that
// a callback still needs are always kept.
type Retention struct {
	// Age is the maximum age. Default: 0, which means 7 days. Negative: no limit.
	Age time.Duration
	// Bytes is the maximum size of all events, estimated; the oldest are forgotten first.
	// Default: 0, no limit.
	Bytes auditrelay.ByteSize
}

// Limits bound one event and one call of Submit. An event over a limit is rejected with
// an *EventError, a call over Events with ErrTooLarge.
type Limits struct {
	EventBytes auditrelay.ByteSize // default 1 MiB
	Depth      int                 // nesting of objects and arrays; default 64
	IDBytes    int                 // default 256
	Events     int                 // per call; default 10,000, at most auditrelay.MaxAtomic
}

// record returns the limits of an emitted record, which are those of an event.
func (l Limits) record() document.Limits {
	return document.Limits{Bytes: cmp.Or(int(l.EventBytes), 1<<20), Depth: l.Depth}
}

// Callback is one destination with its condition, filters and delivery options.
type Callback struct {
	// Name identifies the callback permanently: its position and accounts belong to the
	// name. It must match [a-z0-9][a-z0-9_-]{0,63}.
	Name string
	// RenamedFrom is the previous name. At start this callback takes over its position,
	// accounts and dead letters.
	RenamedFrom string
	// Digest identifies this configuration. Apply leaves a callback running if its digest
	// is unchanged.
	Digest string

	// Receives says which events are assigned. Default: accepted events.
	Receives auditrelay.Receives
	// When, if not nil, must match before the filters run. Other events end as filtered,
	// cause "when".
	When *auditrelay.When
	// Steps are the filters, in order.
	Steps []Step
	// Alerts: the relay's own alerts (TableAlert) pass When and Steps unseen. Format and
	// MustNotLeave apply to them as to all.
	Alerts bool
	// MustNotLeave checks the filtered event and the payload that the sink made of it. An
	// event with a finding becomes a dead letter, cause "leak". The check does not trust
	// filters or sink.
	MustNotLeave auditrelay.MustNotLeave
	// Detectors are the ones that MustNotLeave may name. Nil: the built-in ones.
	Detectors *detect.Catalogue
	// Format says how the filtered event is written for the destination, before
	// MustNotLeave checks it. Default: as it is.
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
	// OnError says what happens to an event if the filter fails. The event never goes on.
	OnError auditrelay.OnError
	// Role limits what the filter may do to an event.
	Role auditrelay.Role
	// Emits names the callbacks that may receive records from this filter. Emits must not
	// form a cycle.
	Emits []string
}

// Submission is one incoming event.
type Submission struct {
	// Data is one JSON object, in LiteLLM's schema unless Schema is given. Submit copies it.
	Data       []byte
	Provenance auditrelay.Provenance
	// Namespace is where the event's id counts: events of two namespaces may have one id,
	// and no sender learns from an answer what another namespace holds. Default:
	// auditrelay.NamespaceLiteLLM. It must be the same on each way that the events of one
	// producer come in, and not one of the relay's own.
	Namespace string
	// Reserved allows a table_name that begins with auditrelay_, as events of another
	// relay have. Without it such an event is rejected: nobody can send what looks like an
	// own record of this relay.
	Reserved bool
	// Schema reads an event that is not in LiteLLM's schema. Default: it is. Namespace, if
	// given, counts before that of the schema.
	Schema *Schema
}

// Result is the outcome of one Submission.
type Result struct {
	ID       string
	Sequence uint64
	Received time.Time
	// Duplicate: an equal event was accepted before. Sequence is that event's.
	Duplicate bool
	// UnknownAction: the event was accepted unchanged, but its action is none of the six
	// known ones.
	UnknownAction bool
	// Filtered: a filter before the journal dropped the event. Its data was not stored.
	Filtered bool
	// Err says why the event was not accepted: an *EventError if it is invalid,
	// ErrConflict if a different event has its id, ErrIngestFilter if a filter before the
	// journal failed on it. None of these can succeed on retry.
	Err error
}
