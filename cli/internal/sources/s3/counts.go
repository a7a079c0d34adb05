package s3

import "sync"

// Operations that requests are counted by.
const (
	opPut     = "put_events"
	opForward = "forward"
	opBucket  = "bucket"
	opObject  = "object"
	opOther   = "other" // also what was refused before it was looked at
)

// codeOK stands where there is no error.
const codeOK = "OK"

// Answer is what requests are counted by: both from closed sets.
type Answer struct{ Operation, Code string }

func (e *eventCounts) all() int {
	return int(e.accepted + e.duplicates + e.quarantined + e.discarded)
}

// Counts count since start. The zero value is ready; safe for concurrent use. One
// may serve several handlers, one after the other.
type Counts struct {
	mu      sync.Mutex
	answers map[Answer]uint64
	events  eventCounts
}

// eventCounts are events by what became of them.
type eventCounts struct{ accepted, duplicates, quarantined, discarded uint64 }

func (c *Counts) answer(a Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers == nil {
		c.answers = map[Answer]uint64{}
	}
	c.answers[a]++
}

func (c *Counts) took(e eventCounts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events.accepted += e.accepted
	c.events.duplicates += e.duplicates
	c.events.quarantined += e.quarantined
	c.events.discarded += e.discarded
}

// Answers calls f for each kind of answer.
func (c *Counts) Answers(f func(Answer, uint64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for a, n := range c.answers {
		f(a, n)
	}
}

// Events calls f for each result that an event may have: accepted, duplicate,
// quarantined, or discarded by a filter before the journal.
func (c *Counts) Events(f func(result string, n uint64)) {
	c.mu.Lock()
	e := c.events
	c.mu.Unlock()
	f("accepted", e.accepted)
	f("duplicate", e.duplicates)
	f("quarantined", e.quarantined)
	f("discarded", e.discarded)
}
