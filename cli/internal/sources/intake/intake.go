// Package intake makes the data of producers durable that read no response: as events, or in
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

// reasonConflict is the reason of a quarantined event whose id belongs to a different event.
const reasonConflict = "conflict"

// Batch is the maximum number of items in one submission.
const Batch = 1000

// Result is the result of one item.
type Result string

// The results.
const (
	Accepted    Result = "accepted"
	Duplicate   Result = "duplicate"
	Quarantined Result = "quarantined"
	Discarded   Result = "discarded" // a filter before the journal failed on it
	Lost        Result = "lost"      // the relay gave up, and the producer no longer has it
)

// Intake accepts the items of one sender. All fields but Schema are required. It is safe for
// concurrent use if its functions are.
type Intake struct {
	Runtime *runtime.Runtime
	// Events is the maximum number of events in one item.
	Events     int
	Provenance auditrelay.Provenance
	Namespace  string
	Schema     *runtime.Schema // nil means LiteLLM's
	// Until repeats a function until it succeeds, since the relay currently does not accept and
	// the producer waits. It returns false if the relay gives up.
	Until func(func() error) bool
	// Count counts n items, or events in them, when they become durable.
	Count func(r Result, n int)
	// Digested returns the detail of an item that is too large, of which only a digest is
	// stored.
	Digested func(bytes int64) string
}

// Take makes items durable, as events or in quarantine, and returns the number of their events.
// left is the number of events that are not durable: 0 unless Until gave up. Taking items again
// is harmless except for second copies in quarantine. Take does not keep the items.
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

// Item returns an item for quarantine.
func (in *Intake) Item(data []byte, reason, detail string) runtime.Quarantined {
	return runtime.Quarantined{Data: data, Provenance: in.Provenance, Namespace: in.Namespace, Reason: reason, Detail: detail}
}

// Digest returns the quarantine item for data that is too large to store.
func (in *Intake) Digest(bytes int64, sum []byte) runtime.Quarantined {
	return in.Item(fmt.Appendf(nil, `{"bytes":%d,"sha256":"%x"}`, bytes, sum), string(ingest.TooLarge), in.Digested(bytes))
}

// part submits events. It returns those for quarantine, and the number of events that are
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
	case tooLarge: // together, but perhaps not individually
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
			in.Count(Discarded, 1) // its tombstone is durable, and nothing else may be stored
		default:
			bad = append(bad, in.refused(events[i].Data, err))
		}
	}
	return bad, 0
}

// refused returns the quarantine item of an event that the relay rejects.
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

// Aside puts items into quarantine, one by one if they do not fit together. If an item does not
// fit at all, its digest is stored. It returns the number of items that are not stored: 0
// unless Until gave up.
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

// bury makes all items durable or none. With filters before the journal only digests are
// stored.
func (in *Intake) bury(ctx context.Context, items []runtime.Quarantined) error {
	err := in.Runtime.Quarantine(ctx, items...)
	if errors.Is(err, runtime.ErrNotKept) {
		return nil
	}
	return err
}

// Of is the key of a count: a producer or what it writes to, and a result.
type Of struct {
	Name   string
	Result Result
}

// Counts counts results since the start. The zero value is ready. It is safe for concurrent
// use.
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
