package socket

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"
)

// reasonConflict is why an event is in quarantine whose id is another's.
const reasonConflict = "conflict"

// The longest pause between two attempts while the relay does not accept, and the shortest.
const mostPause, leastPause = time.Second, 20 * time.Millisecond

// until repeats f until it has no error: the relay does not accept for now, and its producer
// waits. It reports false if the relay gave up.
func (c *connection) until(f func() error) bool {
	s, pause := c.door.source, leastPause
	err := f()
	if err == nil {
		return true
	}
	name := c.door.settings.Load().name
	c.door.waiting.Add(1)
	defer c.door.waiting.Add(-1)
	s.host.Logger.Warn("nothing more is read from a socket for now: the relay does not accept, and the producer waits", "socket", name, "error", err)
	for err != nil {
		if s.stopping() && (errors.Is(err, runtime.ErrClosed) || errors.Is(err, runtime.ErrFailed)) {
			return false
		}
		select {
		case <-time.After(pause):
		case <-s.patience.Done():
			return false
		}
		pause = min(2*pause, mostPause)
		err = f()
	}
	s.host.Logger.Info("a socket is read again", "socket", name)
	return true
}

// lose counts events that were read and are in no place.
func (c *connection) lose(n int) {
	if n == 0 {
		return
	}
	one := c.door.settings.Load()
	c.door.source.counts.add(one.name, lost, n)
	c.door.source.host.Logger.Error("events that a socket's producer wrote are lost: the relay ended before it could accept them", "socket", one.name, "events", n)
}

func (c *connection) provenance(sender string) auditrelay.Provenance {
	return auditrelay.Provenance{Source: kind, Principal: sender, Address: c.address}
}

func (c *connection) item(data []byte, reason, detail string) runtime.Quarantined {
	one := c.door.settings.Load()
	return runtime.Quarantined{Data: data, Provenance: c.provenance(one.sender), Namespace: one.namespace, Reason: reason, Detail: detail}
}

// digest is the item of a line that is too long to be kept.
func (c *connection) digest(bytes int64, sum []byte) runtime.Quarantined {
	return c.item(digestOf(bytes, sum), string(ingest.TooLarge), fmt.Sprintf("a line of %d bytes: its digest alone is kept", bytes))
}

// submit makes lines durable, as events or in quarantine. It reports false if the relay gave
// up: the lines are lost then, but for those that an earlier part of them took.
func (c *connection) submit(lines [][]byte) bool {
	one := c.door.settings.Load()
	s := c.door.source
	var batch []runtime.Submission
	var bad []runtime.Quarantined
	add := func(data []byte) {
		batch = append(batch, runtime.Submission{Data: data, Provenance: c.provenance(one.sender), Namespace: one.namespace, Schema: one.schema})
	}
	for _, line := range lines {
		if !one.schema.Unwraps() {
			add(line)
			continue
		}
		events, err := one.schema.Unwrap(line, s.host.Limits.Events)
		if err != nil {
			bad = append(bad, c.refused(line, err))
			continue
		}
		for _, data := range events {
			add(data)
		}
	}
	n := len(batch) + len(bad)
	one.rates.Count(n)
	s.senders.Seen(one.sender, n)
	for len(batch) > 0 {
		part := batch[:min(len(batch), batchLines)]
		batch = batch[len(part):]
		refused, ok := c.part(one, part)
		if bad = append(bad, refused...); !ok {
			c.lose(len(batch) + len(bad))
			return false
		}
	}
	return c.aside(bad...)
}

// part submits events and returns those that are to go into quarantine. It reports false if
// the relay gave up: the events that it neither took nor returned are lost, and counted.
func (c *connection) part(one *settings, events []runtime.Submission) (bad []runtime.Quarantined, ok bool) {
	s := c.door.source
	var results []runtime.Result
	tooLarge := false
	ok = c.until(func() (err error) {
		results, err = s.host.Runtime.Submit(context.WithoutCancel(s.patience), events...)
		if tooLarge = errors.Is(err, runtime.ErrTooLarge); tooLarge {
			return nil
		}
		return err
	})
	switch {
	case !ok:
		c.lose(len(events))
		return nil, false
	case tooLarge && len(events) == 1:
		sum := sha256.Sum256(events[0].Data)
		return []runtime.Quarantined{c.digest(int64(len(events[0].Data)), sum[:])}, true
	case tooLarge: // together, perhaps not each by itself
		for i := range events {
			more, ok := c.part(one, events[i:i+1])
			if bad = append(bad, more...); !ok {
				c.lose(len(events) - i - 1)
				return bad, false
			}
		}
		return bad, true
	}
	for i := range results {
		switch err := results[i].Err; {
		case err == nil && results[i].Duplicate:
			s.counts.add(one.name, duplicate, 1)
		case err == nil:
			s.counts.add(one.name, accepted, 1)
		case errors.Is(err, runtime.ErrIngestFilter):
			s.counts.add(one.name, discarded, 1) // its tombstone is durable, and nothing else is to be kept
		default:
			bad = append(bad, c.refused(events[i].Data, err))
		}
	}
	return bad, true
}

// refused is the item of an event that the relay does not take.
func (c *connection) refused(data []byte, err error) runtime.Quarantined {
	item := c.item(data, "internal", err.Error())
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

// aside puts items into quarantine, one by one if they do not fit together, and the digest of
// one that does not fit at all. It reports false if the relay gave up.
func (c *connection) aside(items ...runtime.Quarantined) bool {
	if len(items) == 0 {
		return true
	}
	s, name := c.door.source, c.door.settings.Load().name
	if len(items) > 1 && c.bury(items) != nil {
		for i := range items {
			if !c.aside(items[i]) {
				c.lose(len(items) - i - 1)
				return false
			}
		}
		return true
	}
	if len(items) == 1 && !c.until(func() error {
		err := c.bury(items)
		if errors.Is(err, runtime.ErrQuarantineItem) {
			sum := sha256.Sum256(items[0].Data)
			err = c.bury([]runtime.Quarantined{c.digest(int64(len(items[0].Data)), sum[:])})
		}
		return err
	}) {
		c.lose(1)
		return false
	}
	s.counts.add(name, quarantined, len(items))
	return true
}

// bury makes items durable, or none. With filters before the journal digests are.
func (c *connection) bury(items []runtime.Quarantined) error {
	s := c.door.source
	err := s.host.Runtime.Quarantine(context.WithoutCancel(s.patience), items...)
	if errors.Is(err, runtime.ErrNotKept) {
		return nil
	}
	return err
}
