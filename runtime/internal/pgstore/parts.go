package pgstore

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"
)

// part is a partition: the frames of one day, or of a shorter time if there are many. Retention
// drops it when all its events are past retention.
type part struct {
	number int
	first  int64 // first sequence
	began  time.Time
}

// parts are the partitions, oldest first.
type parts struct {
	mu   sync.RWMutex
	list []part
}

// of returns the partition with a sequence, and where the next partition starts, or 0 if there
// is none. ok is false if the sequence is before all partitions.
func (p *parts) of(sequence int64) (number int, next int64, ok bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	i := sort.Search(len(p.list), func(i int) bool { return p.list[i].first > sequence })
	if i < len(p.list) {
		next = p.list[i].first
	}
	if i == 0 {
		return 0, next, false
	}
	return p.list[i-1].number, next, true
}

func (p *parts) newest() (part, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if len(p.list) == 0 {
		return part{}, false
	}
	return p.list[len(p.list)-1], true
}

func (s *Store) loadParts(ctx context.Context) error {
	rows, err := s.pool.Query(ctx, "SELECT part, first, began FROM "+s.names.parts+" ORDER BY part")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var p part
		if err := rows.Scan(&p.number, &p.first, &p.began); err != nil {
			return err
		}
		s.parts.list = append(s.parts.list, p)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if p, ok := s.parts.newest(); ok {
		return s.pool.QueryRow(ctx, "SELECT pg_total_relation_size($1::text::regclass)", s.partName(p.number)).Scan(&s.partAt)
	}
	return nil
}

// partFor returns the partition for a frame that starts with a sequence. It creates a new
// partition if one is due.
func (s *Store) partFor(first int64) (int, error) {
	now := time.Now().UTC()
	newest, ok := s.parts.newest()
	if ok && (newest.first == first || s.partAt < s.options.PartBytes && newest.began.UTC().Format(time.DateOnly) == now.Format(time.DateOnly)) {
		return newest.number, nil
	}
	made := part{newest.number + 1, first, now}
	fence, epoch := s.fence()
	err := s.persist(func(ctx context.Context) error {
		conn, err := s.writer(ctx)
		if err != nil {
			return err
		}
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, fence, epoch); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO "+s.names.parts+" VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", made.number, made.first, made.began); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s PARTITION OF %s FOR VALUES IN (%d)", s.partName(made.number), s.names.frames, made.number)); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
	if err != nil {
		return 0, err
	}
	s.partAt = 0
	s.parts.mu.Lock()
	s.parts.list = append(s.parts.list, made)
	s.parts.mu.Unlock()
	return made.number, nil
}

// trim records what a commit trimmed. It drops the partitions that the previous trim emptied,
// since earlier readers may still use those that this one empties.
func (s *Store) trim(w *write) {
	if w.indexFrom > 0 {
		s.frames.setIndexFrom(w.indexFrom)
	}
	if w.eventsFrom == 0 {
		return
	}
	before := s.trimmed
	s.trimmed = w.eventsFrom
	s.frames.setEventsFrom(w.eventsFrom)
	for {
		s.parts.mu.RLock()
		past := len(s.parts.list) > 1 && s.parts.list[1].first <= before
		var oldest part
		if past {
			oldest = s.parts.list[0]
		}
		s.parts.mu.RUnlock()
		if !past {
			return
		}
		if err := s.dropPart(oldest); err != nil {
			s.drop()
			s.options.Logger.Warn("journal: a partition past retention cannot be dropped; the next trim tries again", "partition", oldest.number, "error", explain(err).Error())
			return
		}
		s.parts.mu.Lock()
		s.parts.list = s.parts.list[1:]
		s.parts.mu.Unlock()
	}
}

func (s *Store) dropPart(p part) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.options.Attempt)
	defer cancel()
	conn, err := s.writer(ctx)
	if err != nil {
		return err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	fence, epoch := s.fence()
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{"SET LOCAL lock_timeout = 2000", nil}, // a pg_dump may be running
		{fence, []any{epoch}},
		{"DELETE FROM " + s.names.parts + " WHERE part = $1", []any{p.number}},
		{"DROP TABLE IF EXISTS " + s.partName(p.number), nil},
	} {
		if _, err := tx.Exec(ctx, step.sql, step.args...); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}
