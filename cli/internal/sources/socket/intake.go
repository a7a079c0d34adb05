package socket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/sources/intake"
	"auditrelay/runtime"
)

// The maximum and the minimum pause between two attempts while the relay does not accept.
const mostPause, leastPause = time.Second, 20 * time.Millisecond

// until repeats f until it succeeds, since the relay currently does not accept and the producer
// waits. It returns false if the relay gave up.
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

// lose counts events that were read but are not durable, and reports whether there are none.
func (c *connection) lose(n int) bool {
	if n == 0 {
		return true
	}
	one := c.door.settings.Load()
	c.door.source.counts.Add(one.name, intake.Lost, n)
	c.door.source.host.Logger.Error("events of a socket's producer are lost: the relay ended before it could accept them", "socket", one.name, "events", n)
	return false
}

// intake returns the intake of lines with the current settings.
func (c *connection) intake() *intake.Intake {
	one, s := c.door.settings.Load(), c.door.source
	return &intake.Intake{
		Runtime: s.host.Runtime, Events: s.host.Limits.Events,
		Provenance: auditrelay.Provenance{Source: kind, Principal: one.sender, Address: c.address},
		Namespace:  one.namespace, Schema: one.schema,
		Until: c.until,
		Count: func(r intake.Result, n int) { s.counts.Add(one.name, r, n) },
		Digested: func(bytes int64) string {
			return fmt.Sprintf("a line of %d bytes: its digest alone is kept", bytes)
		},
	}
}

// submit makes lines durable, as events or in quarantine. It returns false if the relay gave
// up. The lines are then lost, except those already durable.
func (c *connection) submit(lines [][]byte) bool {
	one, s := c.door.settings.Load(), c.door.source
	n, left := c.intake().Take(context.WithoutCancel(s.patience), lines)
	one.rates.Count(n)
	s.senders.Seen(one.sender, n)
	return c.lose(left)
}

// aside puts an item into quarantine. It returns false if the relay gave up.
func (c *connection) aside(item runtime.Quarantined) bool {
	return c.lose(c.intake().Aside(context.WithoutCancel(c.door.source.patience), item))
}
