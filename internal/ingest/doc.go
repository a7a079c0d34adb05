// Package ingest turns bytes into checked events. Check checks one event. Reader reads the
// events of a body one at a time in bounded memory.
//
// The table in docs/reference/events.md says what is valid, odd or unframeable. Each of its
// lines has a test.
package ingest

// Limits restrict external input. A zero field means its default.
type Limits struct {
	// EventBytes is the maximum size of an event. The default of 1 MiB is a thousand times the
	// usual size of LiteLLM's events.
	EventBytes int64
	// Depth is the maximum nesting of objects and arrays in an event. The event itself is level
	// 1. Default 64.
	Depth int
	// IDBytes is the maximum decoded length of an event's id. Default 256, so that an id fits
	// in any destination's keys.
	IDBytes int
	// Reserved allows table names of the relay's own records (auditrelay_*).
	Reserved bool
	// BodyBytes is the maximum size of a body, both as received and decompressed. Default 16
	// MiB. Negative means unlimited, for local files.
	BodyBytes int64
	// Events is the maximum number of events in a body. Default 10,000. Negative means
	// unlimited, for local files.
	Events int
	// Ratio is the maximum ratio of decompressed to received size of a body. It applies above 1
	// MiB. Default 100. Audit events compress to between a fifth and a thirtieth. Negative
	// means unlimited.
	Ratio int
}

// MaxID returns the maximum length of an event's id in bytes.
func (l Limits) MaxID() int { return l.orDefaults().IDBytes }

func (l Limits) orDefaults() Limits {
	if l.EventBytes <= 0 {
		l.EventBytes = 1 << 20
	}
	if l.Depth <= 0 {
		l.Depth = 64
	}
	if l.IDBytes <= 0 {
		l.IDBytes = 256
	}
	if l.BodyBytes == 0 {
		l.BodyBytes = 16 << 20
	}
	if l.Events == 0 {
		l.Events = 10_000
	}
	if l.Ratio == 0 {
		l.Ratio = 100
	}
	return l
}
