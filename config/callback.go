package config

import (
	"time"

	"auditrelay"
)

// Callback is one destination with its condition and filters.
type Callback struct {
	// Name identifies the callback permanently: position, account and dead letters
	// belong to it. 1 to 64 of a-z, 0-9, _ and -; the first is a letter or digit.
	Name string `yaml:"name"`

	// RenamedFrom is the callback's former name. The callback takes over that name's
	// position, account and dead letters.
	RenamedFrom string `yaml:"renamed_from"`

	// Receives says what the callback gets: events (accepted events), emitted (records
	// that guests emit to it) or both. Default: events.
	Receives auditrelay.Receives `yaml:"receives"`

	// When is the condition. Events that do not match end as filtered. Default: every
	// event matches.
	When *auditrelay.When `yaml:"when"`

	// Filters are the names of the filters to run, in order.
	Filters []string `yaml:"filters"`

	// Format says how an event is written for the destination: event (as the filters left
	// it), ocsf, ecs, cloudevents, cef, leef or envelope; or a mapping of one of these to its options.
	// It applies after all filters and before must_not_leave. The store's sinks (sqlite,
	// postgres) take events only. Default: event.
	Format auditrelay.Format `yaml:"format"`

	// MustNotLeave is the gate: a built-in check of the final document, of everything
	// that the sink makes of it, and of what filters emit, log and give as reasons. An
	// event with a hit becomes a dead letter, cause leak, and a tombstone takes its
	// place. Default: no check.
	MustNotLeave auditrelay.MustNotLeave `yaml:"must_not_leave"`

	// Sink is the destination. It may be missing if a filter emits.
	Sink Sink `yaml:"sink"`

	// From says where a new callback starts: now, beginning (the oldest event in the
	// journal) or a time such as 2026-01-31T00:00:00Z. Default: now.
	From auditrelay.From `yaml:"from"`

	// Chunk limits a chunk: it is closed when it reaches the first limit.
	Chunk auditrelay.Chunking `yaml:"chunk"`

	// InFlight is the maximum number of undelivered chunks. Default: 4.
	InFlight int `yaml:"in_flight" range:"1..64"`

	// Timeout limits one delivery attempt. Default: 60s.
	Timeout time.Duration `yaml:"timeout" range:"1s..1h"`

	// Backoff sets the pauses between retries. Retries go on without end, unless retain
	// says otherwise.
	Backoff auditrelay.Backoff `yaml:"backoff"`

	// Retain limits what the callback may hold while its sink is dead. Default: only the
	// disk limits it.
	Retain auditrelay.Retain `yaml:"retain"`

	place Place
}

// Place is where the callback stands.
func (c *Callback) Place() Place { return c.place }

// Sink is one key, the sink's type, with its options.
type Sink struct {
	// Type is the sink's name; empty if the callback has no sink.
	Type    string
	Options Section
}
