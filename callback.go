package auditrelay

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// The options of a callback, for configurations and Go programs alike. The zero value of each option means
// its documented default. A range tag limits the value in a configuration. The engine supports every value
// in that range and rejects a value above the maxima below.

// The largest values that the engine supports. The results of one event or one chunk must fit in one
// journal transaction; these limits follow from its size.
const (
	MaxChunkEvents          = 65_536
	MaxChunkBytes  ByteSize = 64 << 20
	MaxInFlight             = 64
	MaxTimeout              = time.Hour

	// Limits for one event: what all filters of a callback together may emit, and the size of their edits.
	MaxEmitCount          = 10_000
	MaxEmitBytes ByteSize = 64 << 20
	MaxEditBytes ByteSize = 64 << 20

	// MaxAtomic and MaxAtomicBytes limit one submission: its number of events and their size in bytes. A
	// submission becomes durable as a whole or not at all.
	MaxAtomic               = 65_536
	MaxAtomicBytes ByteSize = 256 << 20
)

// Receives selects the events that are assigned to a callback.
type Receives uint8

const (
	ReceivesEvents  Receives = iota // accepted events; the default
	ReceivesEmitted                 // records that guests emitted to it
	ReceivesBoth
)

// Words returns the configuration's names of the values, in the order of the values.
func (Receives) Words() []string { return []string{"events", "emitted", "both"} }

func (r Receives) String() string { return word(r, r) }

// OnError selects what happens to an event if a filter fails. The event itself never reaches the sink.
type OnError uint8

const (
	// OnErrorDeadLetter makes the event a dead letter, which an operator can replay. The destination gets a
	// tombstone. This is the default.
	OnErrorDeadLetter OnError = iota
	// OnErrorDiscard sends a tombstone and keeps no copy of the event for the callback.
	OnErrorDiscard
)

// Words returns the configuration's names of the values, in the order of the values.
func (OnError) Words() []string { return []string{"dead_letter", "discard"} }

func (o OnError) String() string { return word(o, o) }

// Role limits what a filter may do to an event.
type Role uint8

const (
	// RoleJudge lets the filter edit and drop events. If the filter fails, OnError applies. This is the
	// default.
	RoleJudge Role = iota
	// RoleObserve lets the filter read events and emit records. The filter gets its own copy of the
	// document, so its edits have no effect. A drop is a failure. If the filter fails or cannot start, the
	// event continues as if the filter were absent.
	RoleObserve
)

// Words returns the configuration's names of the values, in the order of the values.
func (Role) Words() []string { return []string{"judge", "observe"} }

func (r Role) String() string { return word(r, r) }

// Isolation selects how much state a guest's instance keeps between events.
type Isolation uint8

const (
	// IsolationInstance keeps memory and globals from one event to the next. This is fast, and lets a guest
	// count or sample. After a failure the engine closes the instance.
	IsolationInstance Isolation = iota
	// IsolationEvent restores memory, globals and clock to the state after the instance's start. The
	// verdict then depends only on module, configuration and event, and an event needs the same fuel
	// everywhere. Some instances cannot be restored: their memory grew, or their module writes tables or
	// drops segments. The engine closes such an instance, and the next event gets a new one.
	IsolationEvent
)

// Words returns the configuration's names of the values, in the order of the values.
func (Isolation) Words() []string { return []string{"instance", "event"} }

func (i Isolation) String() string { return word(i, i) }

// RetainThen selects what happens at the limit of a Retain.
type RetainThen uint8

const (
	// RetainBlock rejects new events until the callback has caught up. Use it for a required callback. It
	// is the default, since it loses nothing.
	RetainBlock RetainThen = iota
	// RetainDeadLetter makes the oldest events dead letters and sends tombstones in their place.
	RetainDeadLetter
	// RetainDetach skips events until an operator attaches the callback again.
	RetainDetach
)

// Words returns the configuration's names of the values, in the order of the values.
func (RetainThen) Words() []string { return []string{"block", "dead_letter", "detach"} }

func (r RetainThen) String() string { return word(r, r) }

// word returns the configuration's name of a value.
func word[T ~uint8](set interface{ Words() []string }, value T) string {
	words := set.Words()
	if int(value) < len(words) {
		return words[value]
	}
	return fmt.Sprintf("%T(%d)", set, uint8(value))
}

// When is a callback's condition. All its parts must match. In YAML fields and query are
// in one mapping: {action: [deleted, blocked], query: "..."}.
type When struct {
	// Fields holds values by the name of a top-level string of the event: the string must
	// be one of the values.
	Fields map[string][]string `yaml:"*"`
	// Query is a gjson query of at most 1 KiB, without modifiers (@), constants (!), multipaths ([, {) and
	// more than two * in one step. It matches if its result is not false, null or an empty
	// array.
	Query string `yaml:"query"`
}

// MustNotLeave lists the values that a callback must not send. The zero value checks nothing.
type MustNotLeave struct {
	// Detectors are names of detectors, or of groups such as secrets. They check every
	// key, string and number, also inside strings that hold JSON.
	Detectors []string `yaml:"detectors"`
	// Paths are paths, such as **.~password, that may hold only null, the empty string,
	// *** or a pseudonym (hmac:NAME: or hmac:NAME.VERSION:, and 32 hexadecimal digits).
	Paths []string `yaml:"paths"`
}

// From says where a new callback starts.
type From struct {
	Kind FromKind
	// Time is set if Kind is FromTime: start with the first event received at or after it.
	Time time.Time
}

// FromKind is the kind of a start position.
type FromKind uint8

const (
	FromDefault   FromKind = iota // the default of the option that uses From; for a callback, FromNow
	FromNow                       // events accepted from now on
	FromBeginning                 // from the oldest event that the journal still has
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

// Chunking limits a chunk. A chunk is closed when it reaches the first limit.
type Chunking struct {
	// Events is the number of events. Default: 10000.
	Events int `yaml:"events" range:"1..65536"`
	// Bytes is the size of the events. Default: 8MiB.
	Bytes ByteSize `yaml:"bytes" range:"1KiB..64MiB"`
	// Age is the time since the chunk's oldest event was seen. Default: 1s.
	Age time.Duration `yaml:"age" range:"1ms..1h"`
}

// WithDefaults returns c with the defaults filled in.
func (c Chunking) WithDefaults() Chunking {
	return Chunking{Events: cmp.Or(c.Events, 10_000), Bytes: cmp.Or(c.Bytes, 8<<20), Age: cmp.Or(c.Age, time.Second)}
}

// Check returns an *OptionError for each value that the engine does not support, joined.
func (c Chunking) Check() error {
	return errors.Join(within("chunk.events", c.Events, MaxChunkEvents), within("chunk.bytes", c.Bytes, MaxChunkBytes),
		within("chunk.age", c.Age, 0))
}

// Backoff sets the pauses between the retries of one payload. The pause after failure n is
// random, from 0 to the smaller of max and initial times 2^n (full jitter). It is never
// shorter than the destination asks for.
type Backoff struct {
	// Initial is the maximum of the first pause. Default: 500ms.
	Initial time.Duration `yaml:"initial" range:"1ms..1h"`
	// Max is the maximum of every pause. Default: 1m.
	Max time.Duration `yaml:"max" range:"1ms..24h"`
}

// WithDefaults returns b with the defaults filled in.
func (b Backoff) WithDefaults() Backoff {
	return Backoff{Initial: cmp.Or(b.Initial, 500*time.Millisecond), Max: cmp.Or(b.Max, time.Minute)}
}

// Check returns an *OptionError for each invalid value, joined.
func (b Backoff) Check() error {
	return errors.Join(within("backoff.initial", b.Initial, 0), within("backoff.max", b.Max, 0))
}

// Retain limits the undelivered events of a callback.
type Retain struct {
	// Age is the age of the oldest undelivered event. Default: no limit.
	Age time.Duration `yaml:"age"`
	// Bytes is the size of the undelivered events. Default: no limit.
	Bytes ByteSize `yaml:"bytes"`
	// Then says what happens at the limit: block (senders get 503; for a required
	// callback), dead_letter (the oldest events are set aside, replayable) or detach
	// (events are skipped until an operator attaches the callback again). Default: block,
	// since it loses nothing.
	Then RetainThen `yaml:"then"`
}

// Check returns an *OptionError for each invalid value, joined.
func (r Retain) Check() error {
	return errors.Join(within("retain.age", r.Age, 0), within("retain.bytes", r.Bytes, 0))
}

// within rejects a negative value, and a value above the maximum if there is one.
func within[T interface {
	~int | ~int64
}](path string, value, most T) error {
	if value < 0 {
		return &OptionError{Path: path, Err: errors.New("it is negative")}
	}
	if most > 0 && value > most {
		return &OptionError{Path: path, Err: fmt.Errorf("%v, at most %v: the engine stores no more", value, most)}
	}
	return nil
}
