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
	waited  uint64 // requests that were held
	dropped struct{ objects, bytes uint64 }
	forward map[Forwarded]uint64
}

// Forwarded is what objects that were passed on are counted by: whose key asked for it,
// how, and the outcome: the class of the bucket's status, as 2xx, or the relay's code.
type Forwarded struct{ Key, Method, Result string }

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

func (e *eventCounts) add(n eventCounts) {
	e.accepted += n.accepted
	e.duplicates += n.duplicates
	e.quarantined += n.quarantined
	e.discarded += n.discarded
}

func (c *Counts) held() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waited++
}

// Held is how many requests waited for the relay to accept again.
func (c *Counts) Held() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waited
}

func (c *Counts) discarded(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped.objects++
	c.dropped.bytes += uint64(bytes)
}

// Discarded is how many objects that are no audit events were acknowledged and dropped,
// and their bytes.
func (c *Counts) Discarded() (objects, bytes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped.objects, c.dropped.bytes
}

func (c *Counts) forwarded(f Forwarded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forward == nil {
		c.forward = map[Forwarded]uint64{}
	}
	c.forward[f]++
}

// Forwards calls f for each kind of object that was passed on.
func (c *Counts) Forwards(f func(Forwarded, uint64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for x, n := range c.forward {
		f(x, n)
	}
}

func (c *Counts) took(e eventCounts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events.add(e)
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
