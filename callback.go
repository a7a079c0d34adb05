package auditrelay

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// A callback's options, as a configuration and a Go program write them alike. The
// zero value of each is its documented default. A range tag is what a configuration
// may say; the engine keeps every value within it, and refuses one beyond the
// maxima below.

// The greatest values that the engine keeps. What one event or one chunk becomes
// is written in one transaction of the journal, which these are measured by.
const (
	MaxChunkEvents          = 65_536
	MaxChunkBytes  ByteSize = 64 << 20
	MaxInFlight             = 64
	MaxTimeout              = time.Hour

	// What all filters of a callback together may emit for one event and hand over in
	// edits of it.
	MaxEmitCount          = 10_000
	MaxEmitBytes ByteSize = 64 << 20
	MaxEditBytes ByteSize = 64 << 20

	// MaxAtomic and MaxAtomicBytes are what one submission may hold, which becomes
	// durable whole or not at all.
	MaxAtomic               = 65_536
	MaxAtomicBytes ByteSize = 256 << 20
)

// Receives says which events are assigned to a callback.
type Receives uint8

const (
	ReceivesEvents  Receives = iota // accepted events; the default
	ReceivesEmitted                 // records that guests emitted to it
	ReceivesBoth
)

// Words are the values' names in a configuration, in the values' order.
func (Receives) Words() []string { return []string{"events", "emitted", "both"} }

func (r Receives) String() string { return word(r, r) }

// OnError says what becomes of an event on which a filter failed. It never goes on.
type OnError uint8

const (
	// OnErrorDeadLetter sets the event aside, replayable, and puts a tombstone in
	// its place. The default.
	OnErrorDeadLetter OnError = iota
	// OnErrorDiscard puts a tombstone in its place and keeps nothing.
	OnErrorDiscard
)

// Words are the values' names in a configuration, in the values' order.
func (OnError) Words() []string { return []string{"dead_letter", "discard"} }

func (o OnError) String() string { return word(o, o) }

// Role is what a filter may do to an event.
type Role uint8

const (
	// RoleJudge: it may edit and drop, and where it fails the event does not go on.
	// The default.
	RoleJudge Role = iota
	// RoleObserve: it may look and emit. It is given a document of its own, so that
	// its edits go nowhere; a drop is a failure. Where it fails, or cannot be
	// started, the event goes on as if it had not been there.
	RoleObserve
)

// Words are the values' names in a configuration, in the values' order.
func (Role) Words() []string { return []string{"judge", "observe"} }

func (r Role) String() string { return word(r, r) }

// Isolation says what of a guest's instance outlives an event.
type Isolation uint8

const (
	// IsolationInstance: memory and globals are as the last event left them, which
	// is quick, and lets a guest count or sample. A failure ends the instance.
	IsolationInstance Isolation = iota
	// IsolationEvent: memory, globals and clock are put back to what they were when
	// the instance had started, so that a verdict depends on module, configuration
	// and event alone, and the same event takes the same fuel everywhere. An
	// instance that cannot be put back (its memory grew, its module writes tables
	// or drops segments) is closed, and a new one started for the next event.
	IsolationEvent
)

// Words are the values' names in a configuration, in the values' order.
func (Isolation) Words() []string { return []string{"instance", "event"} }

func (i Isolation) String() string { return word(i, i) }

// RetainThen says what happens at the bound of a Retain.
type RetainThen uint8

const (
	// RetainBlock refuses new events at the door until the callback has caught up:
	// for a callback that is required. The default, since it loses nothing.
	RetainBlock RetainThen = iota
	// RetainDeadLetter sets the oldest events aside, with tombstones.
	RetainDeadLetter
	// RetainDetach skips what comes until an operator attaches the callback
	// again.
	RetainDetach
)

// Words are the values' names in a configuration, in the values' order.
func (RetainThen) Words() []string { return []string{"block", "dead_letter", "detach"} }

func (r RetainThen) String() string { return word(r, r) }

// word names a value of a closed set.
func word[T ~uint8](set interface{ Words() []string }, value T) string {
	words := set.Words()
	if int(value) < len(words) {
		return words[value]
	}
	return fmt.Sprintf("%T(%d)", set, uint8(value))
}

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

// MustNotLeave says what must not leave a callback. The zero value: nothing is
// checked.
type MustNotLeave struct {
	// Detectors by name, or groups of them, such as secrets. They look at every key,
	// string and number, through strings that hold JSON.
	Detectors []string `yaml:"detectors"`
	// Paths, such as **.~password, that may hold nothing but null, the empty
	// string, *** or a pseudonym (hmac:NAME: or hmac:NAME.VERSION:, and
	// 32 hexadecimal digits).
	Paths []string `yaml:"paths"`
}

// From says where a callback starts that the journal does not know yet.
type From struct {
	Kind FromKind
	// Time is set where Kind is FromTime: the first event received at or after it.
	Time time.Time
}

// FromKind is the kind of a From.
type FromKind uint8

const (
	FromDefault   FromKind = iota // what the user of the From documents; for a callback, FromNow
	FromNow                       // what is accepted from now on
	FromBeginning                 // the oldest event that the journal still has
	FromTime
)

func (k FromKind) String() string {
	switch k {
	case FromNow:
		return "now"
	case FromBeginning:
		return "beginning"
	case FromTime:
		return "time"
	}
	return ""
}

// Chunking says when a chunk is closed: at the first bound that is met.
type Chunking struct {
	// Events of one chunk. Default: 10000.
	Events int `yaml:"events" range:"1..65536"`
	// Bytes of one chunk's events. Default: 8MiB.
	Bytes ByteSize `yaml:"bytes" range:"1KiB..64MiB"`
	// Age since the chunk's oldest event was seen. Default: 1s.
	Age time.Duration `yaml:"age" range:"1ms..1h"`
}

// WithDefaults puts the defaults in the place of what is not set.
func (c Chunking) WithDefaults() Chunking {
	return Chunking{Events: cmp.Or(c.Events, 10_000), Bytes: cmp.Or(c.Bytes, 8<<20), Age: cmp.Or(c.Age, time.Second)}
}

// Check returns an *OptionError for each bound that the engine cannot keep.
func (c Chunking) Check() error {
	return errors.Join(within("chunk.events", c.Events, MaxChunkEvents), within("chunk.bytes", c.Bytes, MaxChunkBytes),
		within("chunk.age", c.Age, 0))
}

// Backoff paces the retries of one payload: after failure n the pause is drawn
// evenly between 0 and the lesser of max and initial times 2^n (full jitter), and
// is never shorter than what the destination asked for.
type Backoff struct {
	// Initial is the bound of the first pause. Default: 500ms.
	Initial time.Duration `yaml:"initial" range:"1ms..1h"`
	// Max is the bound of every pause. Default: 1m.
	Max time.Duration `yaml:"max" range:"1ms..24h"`
}

// WithDefaults puts the defaults in the place of what is not set.
func (b Backoff) WithDefaults() Backoff {
	return Backoff{Initial: cmp.Or(b.Initial, 500*time.Millisecond), Max: cmp.Or(b.Max, time.Minute)}
}

// Check returns an *OptionError for each value that is none.
func (b Backoff) Check() error {
	return errors.Join(within("backoff.initial", b.Initial, 0), within("backoff.max", b.Max, 0))
}

// Retain bounds what a callback may hold that is not delivered.
type Retain struct {
	// Age of the oldest event that is not delivered. Default: no bound.
	Age time.Duration `yaml:"age"`
	// Bytes of the events that are not delivered. Default: no bound.
	Bytes ByteSize `yaml:"bytes"`
	// Then is what happens at the bound: block (new events are refused with 503:
	// for a callback that is required), dead_letter (the oldest events are set
	// aside, replayable) or detach (what comes is skipped until an operator
	// attaches the callback again). Default: block, since it loses nothing.
	Then RetainThen `yaml:"then"`
}

// Check returns an *OptionError for each value that is none.
func (r Retain) Check() error {
	return errors.Join(within("retain.age", r.Age, 0), within("retain.bytes", r.Bytes, 0))
}

// within refuses what is negative or, where there is a maximum, above it.
func within[T interface {
	~int | ~int64
}](path string, value, most T) error {
	if value < 0 {
		return &OptionError{Path: path, Err: errors.New("it is negative")}
	}
	if most > 0 && value > most {
		return &OptionError{Path: path, Err: fmt.Errorf("%v is more than the engine keeps: at most %v", value, most)}
	}
	return nil
}
