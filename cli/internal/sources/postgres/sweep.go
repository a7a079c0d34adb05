package postgres

import (
	"context"
	"slices"
	"sync"
	"time"
)

func (s *Tail) beginSweep(ctx context.Context, c *connection) error {
	h, err := s.look(ctx, c)
	if err != nil {
		return err
	}
	if err := s.behind(h, s.pos.Done); err != nil {
		return err
	}
	if h.file != s.seenFile {
		s.forget(h)
	}
	if h.xmax == s.pos.Done {
		// No transaction has begun since the last sweep, so nothing can have changed.
		s.nextSweep = time.Now().Add(s.o.Poll)
		s.pos.At = h.at
		s.complete(s.pos.At)
		return s.keepRarely(ctx)
	}
	s.pos.Sweep = newSweep(h, false)
	s.scanned = 0
	return nil
}

// step advances the sweep by one range.
func (s *Tail) step(ctx context.Context, c *connection) error {
	w := s.pos.Sweep
	rows := uint64(0)
	next := w.Block
	err := s.within(ctx, c, func(ctx context.Context, h head) error {
		if err := s.behind(h, w.Below); err != nil {
			return err
		}
		if h.file != w.File || h.file != s.seenFile {
			// The table was rewritten, so rows have other places. All rows below the horizon
			// are still there.
			s.forget(h)
			w.File, w.Block, w.End, w.Rows = h.file, 0, h.blocks, 0
			next = 0
			return nil
		}
		if w.Block >= w.End {
			return nil
		}
		want := wanted{lower: s.pos.Done, since: w.Since}
		list, to, err := s.list(ctx, c, h, want, w.Block, min(w.Block+s.span, w.End))
		if err != nil {
			return err
		}
		next = to
		fresh := list[:0]
		for _, l := range list {
			if s.seen[l.tid] == l.xid {
				continue
			}
			if l.xid >= w.Below && (len(s.seen)+len(fresh) >= maxSeen || w.Backfill) {
				continue // left for the next sweep
			}
			fresh = append(fresh, l)
		}
		switch {
		case len(list) > s.most()/2:
			s.span = max(leastSpan, s.span/2)
		case len(list) < s.most()/8:
			s.span = min(mostSpan, 2*s.span)
		}
		rows = uint64(len(fresh))
		return s.takeAll(ctx, c, fresh)
	})
	if err != nil {
		s.span = max(leastSpan, s.span/4)
		return err
	}
	w.Block = next
	w.Rows += rows
	s.progress()
	if w.Block >= w.End {
		if err := s.endSweep(ctx); err != nil {
			return err
		}
	} else if rows > 0 && (w.Backfill || rows >= 100) {
		if err := s.keep(ctx, s.pos); err != nil {
			return err
		}
		s.goesOn(w.Backfill)
	}
	return s.pace(ctx, rows)
}

func (s *Tail) endSweep(ctx context.Context) error {
	w := s.pos.Sweep
	p := *s.pos
	p.Done, p.At, p.Sweep = w.Below, w.Begun, nil
	if s.unsaved > 0 || w.Backfill {
		if err := s.keep(ctx, &p); err != nil {
			return err
		}
	} else {
		s.pos = &p
		if err := s.keepRarely(ctx); err != nil {
			return err
		}
	}
	for t, xid := range s.seen {
		if xid < p.Done {
			delete(s.seen, t)
		}
	}
	s.tail = max(0, w.End-1)
	s.nextSweep = time.Now().Add(max(s.o.Poll, share*s.scanned))
	if w.Backfill {
		s.nextSweep = time.Now() // for rows that arrived meanwhile
		s.log.Info("the past is read", "rows", w.Rows, "took", time.Since(w.Begun).Round(time.Millisecond))
	}
	s.complete(w.Begun)
	s.progress()
	s.goesOn(true)
	return nil
}

// keepRarely stores a position for which no row was taken. Continuing from the previous one
// would read no row again.
func (s *Tail) keepRarely(ctx context.Context) error {
	const rarely = 10 * time.Minute
	if time.Since(s.savedAt) < rarely {
		return nil
	}
	return s.keep(ctx, s.pos)
}

// lookAtTail takes the rows at the table's end, and returns the server's time for finding them.
func (s *Tail) lookAtTail(ctx context.Context, c *connection) (took time.Duration, err error) {
	before := s.scanned
	at := int64(-1)
	for more := true; more; {
		rows := uint64(0)
		err := s.within(ctx, c, func(ctx context.Context, h head) error {
			more = false
			if err := s.behind(h, s.pos.Done); err != nil {
				return err
			}
			if h.file != s.seenFile {
				s.forget(h)
				return nil
			}
			s.tail = max(0, min(s.tail, h.blocks-1))
			for at = max(at, s.tail); at < h.blocks; {
				list, next, err := s.list(ctx, c, h, wanted{lower: s.pos.Done}, at, min(at+mostSpan, h.blocks))
				if err != nil {
					return err
				}
				fresh := list[:0]
				for _, l := range list {
					if s.seen[l.tid] != l.xid && len(s.seen)+len(fresh) < maxSeen {
						fresh = append(fresh, l)
					}
				}
				if err := s.takeAll(ctx, c, fresh); err != nil {
					return err
				}
				rows = uint64(len(fresh))
				if at = next; len(fresh) > 0 && at < h.blocks {
					more = true // in a separate transaction, since none may be long
					return nil
				}
			}
			return nil
		})
		if err == nil {
			err = s.pace(ctx, rows)
		}
		if err != nil {
			return 0, err
		}
	}
	took = s.scanned - before
	s.scanned = before
	s.looked()
	s.goesOn(false)
	return took, nil
}

// list finds rows, and records the server's time for it.
func (s *Tail) list(ctx context.Context, c *connection, h head, w wanted, from, to int64) ([]listed, int64, error) {
	w.from = s.o.FromTime
	begun := time.Now()
	rows, next, err := c.list(ctx, h, w, from, to, s.most())
	s.scanned += time.Since(begun)
	return rows, next, err
}

// most limits one list, so that the rate is kept from second to second. No block has as many
// rows.
func (s *Tail) most() int { return min(max(s.o.Rate, 2_000), 10_000) }

// within runs fn in one transaction. An error makes the connection unusable.
func (s *Tail) within(ctx context.Context, c *connection, fn func(context.Context, head) error) error {
	h, err := c.begin(ctx)
	if err != nil {
		return err
	}
	if err := fn(ctx, h); err != nil {
		return err
	}
	return c.commit(ctx)
}

// takeAll submits rows to the relay in batches. It reads the next batch while one becomes
// durable.
func (s *Tail) takeAll(ctx context.Context, c *connection, list []listed) (err error) {
	if len(list) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan []row)
	var read error
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(batches)
		read = s.readAll(ctx, c, list, batches)
	})
	defer reading.Wait() // the connection is in use until then
	defer cancel()
	for rows := range batches {
		done, err := s.intake.take(ctx, rows)
		if err != nil {
			return err
		}
		s.unsaved += done.Read
		s.count(done)
		for i := range rows {
			s.remember(rows[i].listed)
		}
	}
	return read
}

// readAll sends rows, at most Batch and about batchBytes at a time.
func (s *Tail) readAll(ctx context.Context, c *connection, list []listed, to chan<- []row) error {
	var rows []row
	size := 0
	send := func() error {
		select {
		case to <- rows:
			rows, size = nil, 0
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for part := range slices.Chunk(list, s.o.Batch) {
		err := func() error {
			bounded, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return c.fetch(bounded, part, func(r row) error {
				rows = append(rows, r)
				if size += len(r.data); size < batchBytes && len(rows) < s.o.Batch {
					return nil
				}
				return send()
			})
		}()
		if err != nil {
			return err
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return send()
}

// remember stores a row that would be listed again.
func (s *Tail) remember(l listed) {
	if w := s.pos.Sweep; w == nil || l.xid >= w.Below || l.tid.block() >= s.tail {
		s.seen[l.tid] = l.xid
	}
}

// pace waits until the rate allows more rows.
func (s *Tail) pace(ctx context.Context, n uint64) error {
	now := time.Now()
	if s.nextRow.Before(now) {
		s.nextRow = now
	}
	s.nextRow = s.nextRow.Add(time.Duration(n) * time.Second / time.Duration(s.o.Rate))
	sleep(ctx, time.Until(s.nextRow))
	return ctx.Err()
}
