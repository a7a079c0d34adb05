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
	Receives auditrelay.Receives `yaml:"receives"`

	// When must match for the filters to see an event; others end as filtered.
	// Default: every event.
	When *auditrelay.When `yaml:"when"`

	// Filters by name, in order.
	Filters []string `yaml:"filters"`

	// MustNotLeave is checked natively on the final document, on all that the sink
	// derives from it and on what filters emit, log and give as reasons, whatever
	// the filters did. An event in which something is found becomes a dead letter,
	// cause leak, with a tombstone in its place. Default: nothing is checked.
	MustNotLeave auditrelay.MustNotLeave `yaml:"must_not_leave"`

	// Sink delivers what is kept. It may be left out where a filter emits.
	Sink Sink `yaml:"sink"`

	// From says where a callback starts that the journal does not know yet: now,
	// beginning (the oldest event that the journal still has) or a time as in
	// 2026-01-31T00:00:00Z. Default: now.
	From auditrelay.From `yaml:"from"`

	// Chunk says when a chunk is closed: at the first bound that is met.
	Chunk auditrelay.Chunking `yaml:"chunk"`

	// InFlight is how many closed chunks may be undelivered at a time.
	// Default: 4.
	InFlight int `yaml:"in_flight" range:"1..64"`

	// Timeout bounds one attempt at a delivery. Default: 60s.
	Timeout time.Duration `yaml:"timeout" range:"1s..1h"`

	// Backoff paces retries, which go on for ever unless retain says otherwise.
	Backoff auditrelay.Backoff `yaml:"backoff"`

	// Retain says what the callback may hold while its sink is dead. Default: no
	// bound but the disk's.
	Retain auditrelay.Retain `yaml:"retain"`

	line int
}

// Line is where the callback stands in the file, 0 where it stands in none.
func (c *Callback) Line() int { return c.line }

// Sink is what delivers: one key, the sink's type, with its options.
type Sink struct {
	// Type is the sink's name, empty where a callback has none.
	Type    string
	Options Section
}
