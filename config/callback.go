package config

import (
	"time"

	"auditrelay"
)

// Callback is one destination and what stands before it.
type Callback struct {
	// Name identifies the callback for good: its position and accounts hang on
	// it. One to 64 of a-z, 0-9, _ and -, the first a letter or digit.
	Name string `yaml:"name"`

	// RenamedFrom is the name that the callback had before; it takes over that
	// one's position, accounts and dead letters.
	RenamedFrom string `yaml:"renamed_from"`

	// Receives says what is assigned to the callback: events (accepted ones),
	// emitted (records that guests emitted to it) or both. Default: events.
	Receives Receives `yaml:"receives"`

	// When must match for the filters to see an event; others end as filtered.
	// Default: every event.
	When *When `yaml:"when"`

	// Filters by name, in order.
	Filters []string `yaml:"filters"`

	// MustNotLeave is checked natively on the final document, on all that the sink
	// derives from it and on what filters emit, log and give as reasons, whatever
	// the filters did. An event in which something is found becomes a dead letter,
	// cause leak, with a tombstone in its place. Default: nothing is checked.
	MustNotLeave MustNotLeave `yaml:"must_not_leave"`

	// Sink delivers what is kept. It may be left out where a filter emits.
	Sink Sink `yaml:"sink"`

	// From says where a callback starts that the journal does not know yet: now,
	// beginning (the oldest event that the journal still has) or a time as in
	// 2026-01-31T00:00:00Z. Default: now.
	From From `yaml:"from"`

	// Chunk says when a chunk is closed: at the first bound that is met.
	Chunk Chunk `yaml:"chunk"`

	// InFlight is how many closed chunks may be undelivered at a time.
	// Default: 4.
	InFlight int `yaml:"in_flight" range:"1..64"`

	// Timeout bounds one attempt at a delivery. Default: 60s.
	Timeout time.Duration `yaml:"timeout" range:"1s..1h"`

	// Backoff paces retries, which go on for ever unless retain says otherwise.
	Backoff Backoff `yaml:"backoff"`

	// Retain says what the callback may hold while its sink is dead. Default: no
	// bound but the disk's.
	Retain Retain `yaml:"retain"`

	line int
}

// Line is where the callback stands in the file, 0 where it stands in none.
func (c *Callback) Line() int { return c.line }

// MustNotLeave says what must not leave a callback.
type MustNotLeave struct {
	// Detectors by name, or groups of them, such as secrets. They look at every key,
	// string and number, through strings that hold JSON.
	Detectors []string `yaml:"detectors"`
	// Paths, such as **.~password, that may hold nothing but null, the empty
	// string, *** or a pseudonym (hmac:NAME: or hmac:NAME.VERSION:, and
	// 32 hexadecimal digits).
	Paths []string `yaml:"paths"`
}

// Receives says which events are assigned to a callback.
type Receives string

// The values of Receives; the empty one means ReceivesEvents.
const (
	ReceivesEvents  Receives = "events"
	ReceivesEmitted Receives = "emitted"
	ReceivesBoth    Receives = "both"
)

func (Receives) allowed() []string { return []string{"events", "emitted", "both"} }

// When is a callback's condition; every part that is set must match. In YAML the
// fields stand beside the query: {action: [deleted, blocked], query: "..."}.
type When struct {
	// Fields by name: the event's top-level string of that name must be one of
	// the values.
	Fields map[string][]string `yaml:"*"`
	// Query is a gjson query. It matches when its result is something other than
	// false, null and the empty array.
	Query string `yaml:"query"`
}

// Sink is what delivers: one key, the sink's type, with its options.
type Sink struct {
	// Type is the sink's name, empty where a callback has none.
	Type    string
	Options Section
}

// From says where a new callback starts.
type From struct {
	// Kind is now, beginning or time; empty means now.
	Kind FromKind
	// Time is set where Kind is FromTime: the first event received at or after it.
	Time time.Time
}

// FromKind is the kind of a From.
type FromKind string

// The kinds of a From; the empty one means FromNow.
const (
	FromNow       FromKind = "now"
	FromBeginning FromKind = "beginning"
	FromTime      FromKind = "time"
)

// Chunk says when a chunk is closed.
type Chunk struct {
	// Events of one chunk. Default: 10000.
	Events int `yaml:"events" range:"1..1000000"`
	// Bytes of one chunk's events. Default: 8MiB.
	Bytes auditrelay.ByteSize `yaml:"bytes" range:"1KiB..256MiB"`
	// Age since the chunk's oldest event was seen. Default: 1s.
	Age time.Duration `yaml:"age" range:"1ms..1h"`
}

// Backoff paces the retries of one payload: after failure n the pause is drawn
// evenly between 0 and the lesser of max and initial times 2^n, and is never
// shorter than what the destination asked for.
type Backoff struct {
	// Initial is the bound of the first pause. Default: 500ms.
	Initial time.Duration `yaml:"initial" range:"1ms..1h"`
	// Max is the bound of every pause. Default: 1m.
	Max time.Duration `yaml:"max" range:"1ms..24h"`
}

// Retain bounds what a callback may hold that is not delivered.
type Retain struct {
	// Age of the oldest event that is not delivered. Default: no bound.
	Age time.Duration `yaml:"age"`
	// Bytes of the events that are not delivered. Default: no bound.
	Bytes auditrelay.ByteSize `yaml:"bytes"`
	// Then is what happens at the bound: block (new events are refused with 503:
	// for a callback that is required), dead_letter (the oldest events are set
	// aside, replayable) or detach (what comes is skipped until an operator
	// attaches the callback again). Default: block, since it loses nothing.
	Then RetainThen `yaml:"then"`
}

// RetainThen says what happens at the bound of a Retain.
type RetainThen string

// The values of RetainThen; the empty one means RetainBlock.
const (
	RetainBlock      RetainThen = "block"
	RetainDeadLetter RetainThen = "dead_letter"
	RetainDetach     RetainThen = "detach"
)

func (RetainThen) allowed() []string { return []string{"block", "dead_letter", "detach"} }
