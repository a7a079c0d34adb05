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

// Options configure a Runtime. The zero value is a runtime without callbacks on
// a journal in memory.
type Options struct {
	// Dir is the data directory; it is made if it is not there, with mode 0700.
	// Empty keeps the journal in memory: for tests, since nothing survives.
	Dir string

	Journal JournalOptions

	// Callbacks are what every accepted event is given to.
	Callbacks []Callback

	// Opened, where set, is called once the journal is open and before any callback
	// starts, with what the journal keeps of modules: filters can be told then which
	// module to run. Its error is Open's.
	Opened func(ctx context.Context, m *Modules) error

	// Ingest are filters that judge every event before it is stored, in order: for
	// what must never touch the disk. What they drop is stored without its data and
	// ends as filtered on every callback; one on which they fail is refused, and
	// nothing of it is kept but what makes a tombstone. They may not emit.
	Ingest []Step

	// Removed names callbacks that the journal knows, that Callbacks no longer
	// lists, and that are to be given up: what they still hold becomes skipped.
	// Open refuses to start (*RemovalError) while the journal knows a callback that
	// stands in neither, so that a configuration that was cut off loses nothing.
	Removed []string

	// Limits bound what Submit takes.
	Limits Limits

	// Quarantine bounds what Quarantine keeps.
	Quarantine QuarantineOptions

	// Workers is how many events of one callback are filtered at a time.
	// Default: the number of CPUs that Go may use.
	Workers int

	// Logger receives what operators should know. Default: slog.Default().
	Logger *slog.Logger
}

// JournalOptions configure the journal.
type JournalOptions struct {
	// Window is how many of the latest events' ids are remembered, so that an
	// event that comes again is stored once. Default 1,048,576.
	Window int
	// Quota is the most bytes that the journal may take on disk; appends are
	// refused beyond it. The rewriting of its tables may exceed it for moments.
	// Default 0: no quota.
	Quota auditrelay.ByteSize
	// Reserve is how many bytes of the disk stay free; appends are refused
	// beyond it. Default: see the journal's own documentation.
	Reserve auditrelay.ByteSize
	// Retention says how long events are kept after every callback has taken
	// them, so that they can be replayed and explained.
	Retention Retention
	// Encryption of what the journal holds of events.
	Encryption Encryption
	// UnsafeNoSync acknowledges without waiting for the disk. It exists so that
	// the crash tests can show that they notice, and for nothing else.
	UnsafeNoSync bool
}

// Retention bounds what the journal keeps of events that no callback waits for.
type Retention struct {
	// Age: older events are forgotten. Default 0: 7 days. Negative: no bound.
	Age time.Duration
	// Bytes: the oldest events are forgotten while the journal's events exceed
	// this. Default 0: no bound.
	Bytes auditrelay.ByteSize
}

// Limits bound one event and one call of Submit.
type Limits struct {
	EventBytes auditrelay.ByteSize // default 1 MiB
	Depth      int                 // of nesting; default 64
	IDBytes    int                 // default 256
	Events     int                 // of one call; default 10,000, at most auditrelay.MaxAtomic
}

// record are the limits of an emitted record: those of an event.
func (l Limits) record() document.Limits {
	return document.Limits{Bytes: cmp.Or(int(l.EventBytes), 1<<20), Depth: l.Depth}
}

// Callback is one destination and what stands before it.
type Callback struct {
	// Name identifies the callback for good: its cursor and accounts hang on it.
	// It matches [a-z0-9][a-z0-9_-]{0,63}.
	Name string
	// RenamedFrom is the name whose cursor, accounts and dead letters this
	// callback takes over at start.
	RenamedFrom string
	// Digest identifies the configuration of this callback, for Apply: a callback
	// whose digest did not change goes on undisturbed.
	Digest string

	// Receives says which events are assigned. Default: accepted ones.
	Receives auditrelay.Receives
	// When, where set, must match for the filters to see an event; others end
	// as filtered, cause "when".
	When *auditrelay.When
	// Steps are the filters, in order.
	Steps []Step
	// MustNotLeave is checked on what the filters and the sink made of an event,
	// whatever they claim. An event in which something is found becomes a dead
	// letter, cause "leak".
	MustNotLeave auditrelay.MustNotLeave
	// Detectors are those that MustNotLeave names. Nil: those that come with the relay.
	Detectors *detect.Catalogue
	// Sink delivers what is kept. Without one a kept event counts as delivered
	// once what its filters emitted is durable.
	Sink auditrelay.Sink
	// SinkType names what Sink is, for its status: "s3".
	SinkType string

	// From says where a callback that the journal does not know yet starts.
	From auditrelay.From
	// Chunk says when a chunk is closed.
	Chunk auditrelay.Chunking
	// InFlight is how many sealed chunks may be undelivered at a time.
	// Default 4.
	InFlight int
	// Backoff paces retries.
	Backoff auditrelay.Backoff
	// Timeout bounds one delivery attempt. Default 60 s.
	Timeout time.Duration
	// Retain says what the callback may hold while its sink is dead.
	Retain auditrelay.Retain
}

// Step is one filter of a callback.
type Step struct {
	Name   string
	Filter filter.Filter
	// OnError says what becomes of an event on which the filter fails; never
	// does it go on.
	OnError auditrelay.OnError
	// Role is what it may do to an event.
	Role auditrelay.Role
	// Emits names the callbacks to which the filter may emit.
	Emits []string
}

// Submission is one event on its way in.
type Submission struct {
	// Data is one JSON object in LiteLLM's schema. It is copied.
	Data       []byte
	Provenance auditrelay.Provenance
}

// Result is what became of one Submission.
type Result struct {
	ID       string
	Sequence uint64
	Received time.Time
	// Duplicate: an equal event was accepted before; Sequence is that one's.
	Duplicate bool
	// UnknownAction: accepted and kept as it is, but not one of the six.
	UnknownAction bool
	// Filtered: a filter before the journal dropped it; its data was not stored.
	Filtered bool
	// Err is why the event was not accepted: an *EventError for what is wrong
	// with it, ErrConflict when another event has its id, ErrIngestFilter when a
	// filter before the journal failed on it.
	Err error
}
