package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/internal/pgdial"
	"auditrelay/runtime"
)

// Tail reads one table. Call Run once. All other methods are safe to call during Run.
type Tail struct {
	o      Options
	log    *slog.Logger
	intake intake

	// The fields below belong to Run.
	pos       *position
	seen      map[tid]uint64 // rows taken, from Done on, with the transaction that inserted each
	seenFile  uint64         // the file to which seen applies
	unsaved   uint64         // number of rows taken since the position was stored
	savedAt   time.Time
	nextRow   time.Time // when the rate allows the next row
	nextSweep time.Time
	tail      int64         // the first block that is checked between sweeps
	span      int64         // number of blocks in a range
	scanned   time.Duration // the server's time for lists since it was last reset

	mu     sync.Mutex
	status Status
}

// NewTail returns a Tail. It does no I/O; call Run to start reading.
func NewTail(o Options) (*Tail, error) {
	o = o.withDefaults()
	if err := CheckURL(o.URL); err != nil {
		return nil, fmt.Errorf("postgres: url: %w", err)
	}
	s := &Tail{o: o, log: o.Logger.With("source", sourceName), seen: map[tid]uint64{}, span: firstSpan,
		intake: intake{relay: o.Relay, provenance: auditrelay.Provenance{Source: sourceName, Principal: o.Table}, namespace: o.Namespace}}
	s.status = Status{Source: sourceName, Table: qualified(o.Schema, o.Table), State: StateConnecting, Since: time.Now().UTC()}
	return s, nil
}

const (
	firstSpan = 128 // in blocks
	mostSpan  = 1 << 14
	leastSpan = 1

	// maxSeen limits the remembered rows beyond the position. If it is reached, only sweeps
	// take rows, below their horizon: later, but none is skipped.
	maxSeen = 500_000

	// A sweep takes at most one part in this many of the time.
	share = 20

	batchBytes = 4 << 20
)

// Run reads the table until ctx ends or the relay shuts down. It reconnects without limit.
func (s *Tail) Run(ctx context.Context) {
	pause := firstPause
	for {
		worked, err := s.session(ctx)
		if ctx.Err() != nil || errors.Is(err, runtime.ErrClosed) {
			return
		}
		if worked {
			pause = firstPause
		}
		wait := rand.N(min(pause, s.o.MostPause))
		if unavailable, ok := errors.AsType[*runtime.UnavailableError](err); ok {
			s.set(StateWaiting, err)
			wait = max(unavailable.RetryAfter/2, wait)
		} else if _, ok := errors.AsType[*ConfigError](err); ok {
			s.set(StateMisconfigured, err)
			wait = s.o.MostPause
		} else {
			s.set(StateDisconnected, err)
		}
		pause = min(2*pause, s.o.MostPause)
		if !sleep(ctx, wait) {
			return
		}
	}
}

const (
	firstPause       = 500 * time.Millisecond
	defaultMostPause = 15 * time.Second
)

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// session works on one connection until the connection fails.
func (s *Tail) session(ctx context.Context) (worked bool, err error) {
	c, err := connect(ctx, s.o.URL, s.o.Schema, s.o.Table)
	if err != nil {
		return false, err
	}
	defer c.close()
	c.altered = func(before, now []string) {
		s.log.Info("the table's columns changed: rows are read with those that it has now", "table", c.name, "before", before, "now", now)
	}
	if s.o.Notify != "" {
		if err := c.run(ctx, "LISTEN "+quoted(s.o.Notify)); err != nil {
			return false, fmt.Errorf("listen on %s: %w", s.o.Notify, err)
		}
	}
	if err := s.resume(ctx, c); err != nil {
		return false, err
	}
	nextPoll := time.Now()
	for {
		if err := ctx.Err(); err != nil {
			return true, err
		}
		now := time.Now()
		switch {
		case !now.Before(nextPoll):
			took, err := s.lookAtTail(ctx, c)
			if err != nil {
				return true, err
			}
			nextPoll = now.Add(max(s.o.Poll, share*took))
		case s.pos.Sweep != nil:
			if err := s.step(ctx, c); err != nil {
				return true, err
			}
		case !now.Before(s.nextSweep):
			if err := s.beginSweep(ctx, c); err != nil {
				return true, err
			}
		default:
			told, err := s.wait(ctx, c, min(time.Until(nextPoll), time.Until(s.nextSweep)))
			if err != nil {
				return true, err
			}
			if told {
				nextPoll = now
			}
		}
	}
}

// wait waits for d. It returns true if a notification came before.
func (s *Tail) wait(ctx context.Context, c *connection, d time.Duration) (told bool, err error) {
	if c.told.Swap(false) {
		return true, nil
	}
	bounded, cancel := context.WithTimeout(ctx, max(d, time.Millisecond))
	defer cancel()
	err = c.WaitForNotification(bounded)
	switch {
	case err == nil:
		c.told.Store(false)
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case bounded.Err() != nil && !c.IsClosed():
		return false, nil
	}
	return false, fmt.Errorf("the connection ended: %w", pgdial.Explain(err))
}

// resume determines where to continue in the current table.
func (s *Tail) resume(ctx context.Context, c *connection) error {
	h, err := s.look(ctx, c)
	if err != nil {
		return err
	}
	if s.pos == nil {
		if s.pos, err = s.load(); err != nil {
			return err
		}
	}
	p := s.pos
	switch {
	case p == nil:
		p = &position{Version: positionVersion, Place: c.place}
		if s.o.FromNow {
			p.Done, p.At = h.xmin, time.Now().UTC()
		} else {
			p.Sweep = newSweep(h, true)
		}
	case p.Place == c.place && h.xmax >= p.Done:
		if s.seenFile != h.file {
			s.forget(h)
		}
		s.tail = max(0, min(s.tail, h.blocks-1))
		s.progress()
		return nil
	case p.Place.System == c.place.System && p.Place.Database == c.place.Database && p.Place.Table == c.place.Table:
		// The same table on a server that took over or was restored. It may have reused
		// transaction numbers.
		since := p.At.Add(-s.o.Overlap)
		if p.Sweep != nil && p.Sweep.Backfill && p.Sweep.Since.IsZero() && p.Done == 0 {
			since = time.Time{} // existing rows are not read yet
		} else if p.Sweep != nil && !p.Sweep.Since.IsZero() && p.Sweep.Since.Before(since) {
			since = p.Sweep.Since
		}
		s.log.Warn("the server failed over or was restored: rows updated lately are read once more; auditrelay reconcile compares all",
			"since", since, "timeline_before", p.Place.Timeline, "timeline", c.place.Timeline)
		p = &position{Version: positionVersion, Place: c.place, Done: min(p.Done, h.xmin), At: p.At, Sweep: newSweep(h, true)}
		p.Sweep.Since = since
	default:
		s.log.Warn("this is another table than the one that was read before: it is read from the beginning; what the journal still has is stored once",
			"table", c.name)
		p = &position{Version: positionVersion, Place: c.place, Sweep: newSweep(h, true)}
	}
	if err := s.keep(ctx, p); err != nil {
		return err
	}
	s.forget(h)
	s.progress()
	return nil
}

func newSweep(h head, backfill bool) *sweep {
	return &sweep{Below: h.xmin, File: h.file, End: h.blocks, Begun: h.at, Backfill: backfill}
}

// forget drops the remembered places in the table, and starts a new sweep.
func (s *Tail) forget(h head) {
	clear(s.seen)
	s.seenFile = h.file
	s.tail = max(0, h.blocks-1)
	s.nextSweep = time.Now()
}

// look is one short transaction that reads nothing.
func (s *Tail) look(ctx context.Context, c *connection) (head, error) {
	h, err := c.begin(ctx)
	if err != nil {
		return h, err
	}
	return h, c.commit(ctx)
}

// keep stores p as the position, durably.
func (s *Tail) keep(ctx context.Context, p *position) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := s.o.Relay.SetPosition(ctx, sourceName, text); err != nil {
		return err
	}
	s.pos, s.unsaved, s.savedAt = p, 0, time.Now()
	return nil
}

// behind returns an error if a server has less than an earlier one, for example because a load
// balancer selected another replica.
func (s *Tail) behind(h head, of uint64) error {
	if h.xmin >= of {
		return nil
	}
	return fmt.Errorf("the server lags behind an earlier read: it has finished transactions below %d, and %d are needed; waiting until it catches up", h.xmin, of)
}
