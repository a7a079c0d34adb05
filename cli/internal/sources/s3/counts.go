package s3

import "sync"

// The values of Answer.Operation.
const (
	opPut     = "put_events"
	opForward = "forward"
	opBucket  = "bucket"
	opObject  = "object"
	opOther   = "other" // includes requests rejected before their kind was known
)

// codeOK is the code of a successful request.
const codeOK = "OK"

// Answer is the key of a count of requests. Both fields are from closed sets.
type Answer struct{ Operation, Code string }

func (e *eventCounts) all() int {
	return int(e.accepted + e.duplicates + e.quarantined + e.discarded)
}

// Counts are counts since start. The zero value is ready. It is safe for concurrent use.
// Successive handlers may share one.
type Counts struct {
	mu      sync.Mutex
	answers map[Answer]uint64
	events  eventCounts
	waited  uint64 // number of requests that waited
	dropped struct{ objects, bytes uint64 }
	forward map[Forwarded]uint64
}

// Forwarded is the key of a count of forwarded requests: the name of the key, the method,
// and the result: the class of the bucket's status, such as 2xx, or the relay's error
// code.
type Forwarded struct{ Key, Method, Result string }

// eventCounts counts events by outcome.
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

// Held returns the number of requests that waited for the relay to accept events.
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

// Discarded returns the number and size in bytes of dropped objects that were not audit
// events.
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

// Forwards calls f with each count of forwarded requests.
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

// Answers calls f with each count of answers.
func (c *Counts) Answers(f func(Answer, uint64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for a, n := range c.answers {
		f(a, n)
	}
}

// Events calls f with the count of each result of an event: accepted, duplicate,
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
