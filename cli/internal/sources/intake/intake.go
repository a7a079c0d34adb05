// Package intake makes durable what a producer sent that reads no answer: as events, or in
// quarantine.
package intake

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"sync"

	"auditrelay"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"
)

// reasonConflict is why an event is in quarantine whose id is another's.
const reasonConflict = "conflict"

// Batch is the most items that are submitted together.
const Batch = 1000

// Result is what became of an item.
type Result string

// The results.
const (
	Accepted    Result = "accepted"
	Duplicate   Result = "duplicate"
	Quarantined Result = "quarantined"
	Discarded   Result = "discarded" // a filter before the journal failed on it
	Lost        Result = "lost"      // the relay gave up, and its producer does not have it any more
)

// Intake takes the items of one sender. Its fields are required but for Schema; it is safe
// for concurrent use as far as its functions are.
type Intake struct {
	Runtime *runtime.Runtime
	// Events is the most events that one item may hold.
	Events     int
	Provenance auditrelay.Provenance
	Namespace  string
	Schema     *runtime.Schema // nil: LiteLLM's
	// Until repeats a function until it has no error: the relay does not accept for now,
	// and the producer waits. It returns false if the relay gives up.
	Until func(func() error) bool
	// Count counts n items, or events within them, as they become durable.
	Count func(r Result, n int)
	// Digested is the detail of an item that is too large to be kept, of which only a
	// digest is.
	Digested func(bytes int64) string
}

// Take makes items durable, as events or in quarantine, and returns how many events they
// hold. left are those of them that are not durable: none, unless Until gave up. Taking
// them again is harmless but for second copies in quarantine. It keeps no item.
func (in *Intake) Take(ctx context.Context, items [][]byte) (events, left int) {
	var batch []runtime.Submission
	var bad []runtime.Quarantined
	add := func(data []byte) {
		batch = append(batch, runtime.Submission{Data: data, Provenance: in.Provenance, Namespace: in.Namespace, Schema: in.Schema})
	}
	for _, item := range items {
		if !in.Schema.Unwraps() {
			add(item)
			continue
		}
		wrapped, err := in.Schema.Unwrap(item, in.Events)
		if err != nil {
			bad = append(bad, in.refused(item, err))
			continue
		}
		for _, data := range wrapped {
			add(data)
		}
	}
	events = len(batch) + len(bad)
	for len(batch) > 0 {
		part := batch[:min(len(batch), Batch)]
		batch = batch[len(part):]
		refused, lost := in.part(ctx, part)
		if bad = append(bad, refused...); lost > 0 {
			return events, lost + len(batch) + len(bad)
		}
	}
	return events, in.Aside(ctx, bad...)
}

// Item is an item for quarantine.
func (in *Intake) Item(data []byte, reason, detail string) runtime.Quarantined {
	return runtime.Quarantined{Data: data, Provenance: in.Provenance, Namespace: in.Namespace, Reason: reason, Detail: detail}
}

// Digest is the item for quarantine of what is too large to be kept.
func (in *Intake) Digest(bytes int64, sum []byte) runtime.Quarantined {
	return in.Item(fmt.Appendf(nil, `{"bytes":%d,"sha256":"%x"}`, bytes, sum), string(ingest.TooLarge), in.Digested(bytes))
}

// part submits events. It returns those that are to go into quarantine, and how many are
// neither durable nor among them.
func (in *Intake) part(ctx context.Context, events []runtime.Submission) (bad []runtime.Quarantined, lost int) {
	var results []runtime.Result
	tooLarge := false
	ok := in.Until(func() (err error) {
		results, err = in.Runtime.Submit(ctx, events...)
		if tooLarge = errors.Is(err, runtime.ErrTooLarge); tooLarge {
			return nil
		}
		return err
	})
	switch {
	case !ok:
		return nil, len(events)
	case tooLarge && len(events) == 1:
		sum := sha256.Sum256(events[0].Data)
		return []runtime.Quarantined{in.Digest(int64(len(events[0].Data)), sum[:])}, 0
	case tooLarge: // together, perhaps not each by itself
		for i := range events {
			more, lost := in.part(ctx, events[i:i+1])
			if bad = append(bad, more...); lost > 0 {
				return bad, len(events) - i
			}
		}
		return bad, 0
	}
	for i := range results {
		switch err := results[i].Err; {
		case err == nil && results[i].Duplicate:
			in.Count(Duplicate, 1)
		case err == nil:
			in.Count(Accepted, 1)
		case errors.Is(err, runtime.ErrIngestFilter):
			in.Count(Discarded, 1) // its tombstone is durable, and nothing else is to be kept
		default:
			bad = append(bad, in.refused(events[i].Data, err))
		}
	}
	return bad, 0
}

// refused is the item of an event that the relay does not take.
func (in *Intake) refused(data []byte, err error) runtime.Quarantined {
	item := in.Item(data, "internal", err.Error())
	if fault, ok := errors.AsType[*ingest.EventError](err); ok {
		item.Reason, item.Detail = string(fault.Reason), fault.Message
		if fault.Field != "" {
			item.Detail = fmt.Sprintf("field %q: %s", fault.Field, fault.Message)
		}
	} else if errors.Is(err, runtime.ErrConflict) {
		item.Reason = reasonConflict
	}
	return item
}

// Aside puts items into quarantine, one by one if they do not fit together, and the digest
// of one that does not fit at all. It returns how many are not there: none, unless Until
// gave up.
func (in *Intake) Aside(ctx context.Context, items ...runtime.Quarantined) (left int) {
	if len(items) == 0 {
		return 0
	}
	if len(items) > 1 && in.bury(ctx, items) != nil {
		for i := range items {
			if in.Aside(ctx, items[i]) > 0 {
				return len(items) - i
			}
		}
		return 0
	}
	if len(items) == 1 && !in.Until(func() error {
		err := in.bury(ctx, items)
		if errors.Is(err, runtime.ErrQuarantineItem) {
			sum := sha256.Sum256(items[0].Data)
			err = in.bury(ctx, []runtime.Quarantined{in.Digest(int64(len(items[0].Data)), sum[:])})
		}
		return err
	}) {
		return 1
	}
	in.Count(Quarantined, len(items))
	return 0
}

// bury makes items durable, or none. With filters before the journal digests are.
func (in *Intake) bury(ctx context.Context, items []runtime.Quarantined) error {
	err := in.Runtime.Quarantine(ctx, items...)
	if errors.Is(err, runtime.ErrNotKept) {
		return nil
	}
	return err
}

// Of names a count: a producer's, or what it writes to, and a result.
type Of struct {
	Name   string
	Result Result
}

// Counts are since start. The zero value is ready. It is safe for concurrent use.
type Counts struct {
	mu  sync.Mutex
	all map[Of]uint64
}

// Add counts n more.
func (c *Counts) Add(name string, r Result, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[Of]uint64{}
	}
	c.all[Of{name, r}] += uint64(n)
}

// All returns the counts.
func (c *Counts) All() map[Of]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.all)
}
