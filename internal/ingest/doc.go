// Package ingest turns bytes into checked events. Check checks one event; Reader reads
// the events of a body, one at a time, in bounded memory.
//
// The table in docs/reference/events.md says what is valid, odd or unframeable. Each of
// its lines is a test.
package ingest

// Limits bound what is taken from outside. A zero field means its default.
type Limits struct {
	// EventBytes is the most that one event may have; default 1 MiB, a thousand
	// times what LiteLLM writes as a rule.
	EventBytes int64
	// Depth is how deep objects and arrays of an event may be nested, the event
	// being 1; default 64.
	Depth int
	// IDBytes is the most that an event's id may have, decoded; default 256, so
	// that an id fits in any destination's keys.
	IDBytes int
	// Reserved allows table names of the relay's own records (auditrelay_*).
	Reserved bool
	// BodyBytes is the most that a body may have, as it is sent and again
	// decompressed; default 16 MiB. Negative: no bound, for local files.
	BodyBytes int64
	// Events is the most that a body may hold; default 10,000. Negative: no
	// bound, for local files.
	Events int
	// Ratio is how many times larger than as sent a compressed body may become,
	// counted once it is over 1 MiB; default 100. Audit events compress to
	// between a fifth and a thirtieth. Negative: no bound.
	Ratio int
}

// MaxID is the most bytes that an event's id may have.
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
