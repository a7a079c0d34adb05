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

	// When is the condition. Events that do not match it end as filtered. Default: every event
	// matches.
	When *auditrelay.When `yaml:"when"`

	// Filters are the names of the filters to run, in order.
	Filters []string `yaml:"filters"`

	// Format is the format of an event for the destination: event (the filtered event), ocsf,
	// ecs, cloudevents, cef, leef or envelope; or a mapping of one of these to its options. The
	// relay formats an event after all filters and before must_not_leave. The store's sinks
	// (sqlite, postgres) accept only event. Default: event.
	Format auditrelay.Format `yaml:"format"`

	// MustNotLeave is the gate: a built-in check of the final document, of the sink's payloads,
	// and of everything that filters emit, log and give as reasons. An event with a finding
	// becomes a dead letter, cause leak, and the destination gets a tombstone. Default: no
	// check.
	MustNotLeave auditrelay.MustNotLeave `yaml:"must_not_leave"`

	// Sink is the destination. It may be missing if a filter emits.
	Sink Sink `yaml:"sink"`

	// From says where a new callback starts: now, beginning (the oldest event in the
	// journal) or a time such as 2026-01-31T00:00:00Z. Default: now.
	From auditrelay.From `yaml:"from"`

	// Chunk limits a chunk: it closes when it reaches the first limit.
	Chunk auditrelay.Chunking `yaml:"chunk"`

	// InFlight is the maximum number of undelivered chunks. Default: 4.
	InFlight int `yaml:"in_flight" range:"1..64"`

	// Timeout limits one delivery attempt. Default: 60s.
	Timeout time.Duration `yaml:"timeout" range:"1s..1h"`

	// Backoff sets the pauses between retries. Retries continue for ever, unless retain limits
	// them.
	Backoff auditrelay.Backoff `yaml:"backoff"`

	// Retain limits what the callback may hold while its sink fails. Default: only the disk
	// limits it.
	Retain auditrelay.Retain `yaml:"retain"`

	place Place
}

// Place returns the callback's place in the configuration.
func (c *Callback) Place() Place { return c.place }

// Sink is the sink's type, which is its only key, with the sink's options.
type Sink struct {
	// Type is the sink's name; empty if the callback has no sink.
	Type    string
	Options Section
}
