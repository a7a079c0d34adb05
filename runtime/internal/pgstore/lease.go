package pgstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"auditrelay/runtime/internal/journal"

	"github.com/jackc/pgx/v5"
)

// holding is the lease as its holder measures it: with the monotonic clock of its own process,
// from before the last renewal was sent. A waiting relay measures with its own clock, from
// after it saw the last renewal. No two clocks are compared.
type holding struct {
	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
	timer  *time.Timer
}

// heldFor is the part of Options.Lock after which the holder stops by itself. The rest allows
// for clocks that run at different speeds.
func (o *Options) heldFor() time.Duration { return o.Lock * 4 / 5 }

// renewed records a renewal that was sent at that time.
func (h *holding) renewed(sent time.Time, held time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	left := held - time.Since(sent)
	if left <= 0 {
		return
	}
	if h.ctx == nil || h.ctx.Err() != nil || !h.timer.Stop() {
		if h.cancel != nil {
			h.cancel() // the timer has fired or is about to
		}
		h.ctx, h.cancel = context.WithCancel(context.Background())
	}
	h.timer = time.AfterFunc(left, h.cancel)
}

// end ends the lease.
func (h *holding) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cancel != nil {
		h.timer.Stop()
		h.cancel()
	}
}

func (h *holding) current() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx == nil {
		none, cancel := context.WithCancel(context.Background())
		cancel()
		return none
	}
	return h.ctx
}

// Lease implements journal.Shared.
func (s *Store) Lease() context.Context {
	if s.options.UnsafeNoFence {
		return context.Background()
	}
	return s.held.current()
}

// leaseState is the row of the lease as a relay read it.
type leaseState struct {
	Epoch, Beat int64
	Released    bool
}

// errRenewed: the holder renewed the lease after it seemed to be gone.
var errRenewed = fmt.Errorf("%w by another relay, which has just renewed its lease", journal.ErrLocked)

// takeOver raises the epoch, which prevents every other relay from committing. It takes the
// lease and ends running work of other relays. With Options.Member it fails if the lease has
// changed since the member saw it.
func (s *Store) takeOver(ctx context.Context, lock *pgx.Conn) error {
	if m := s.options.Member; m != nil { // do not end the sessions of a living relay
		seen := m.awaited()
		var same bool
		if err := lock.QueryRow(ctx, "SELECT epoch = $1 AND beat = $2 FROM "+s.names.lease, seen.Epoch, seen.Beat).Scan(&same); err != nil {
			return fmt.Errorf("take the journal over: %w", explain(err))
		}
		if !same {
			return errRenewed
		}
	}
	if err := s.endSessions(ctx, lock, 0); err != nil {
		return fmt.Errorf("end the sessions of the last relay: %w", explain(err))
	}
	sent := time.Now()
	tx, err := lock.Begin(ctx)
	if err != nil {
		return fmt.Errorf("take the journal over: %w", explain(err))
	}
	defer func() { _ = tx.Rollback(ctx) }() // no effect after a commit
	err = tx.QueryRow(ctx, "UPDATE "+s.names.journal+" SET epoch = epoch + 1, holder = $1 RETURNING epoch", s.whoAmI()).Scan(&s.epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return &journal.CorruptError{Err: errors.New("the table journal is empty")}
	}
	if err != nil {
		return fmt.Errorf("take the journal over: %w", explain(err))
	}
	instance, condition := "", "TRUE"
	args := []any{s.epoch, instance}
	if m := s.options.Member; m != nil {
		seen := m.awaited()
		args[1], condition = m.instance, "epoch = $3 AND beat = $4"
		args = append(args, seen.Epoch, seen.Beat)
	}
	tag, err := tx.Exec(ctx, "UPDATE "+s.names.lease+" SET epoch = $1, holder = $2, beat = beat + 1, released = false WHERE "+condition, args...)
	switch {
	case err != nil:
		return fmt.Errorf("take the journal over: %w", explain(err))
	case tag.RowsAffected() == 0:
		return errRenewed
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("take the journal over: %w", explain(err))
	}
	s.held.renewed(sent, s.options.heldFor())
	return nil
}

// renew proves that this relay is alive.
func (s *Store) renew(ctx context.Context, lock *pgx.Conn) error {
	sent := time.Now()
	tag, err := lock.Exec(ctx, "UPDATE "+s.names.lease+" SET beat = beat + 1 WHERE epoch = $1", s.epoch)
	switch {
	case err != nil:
		return err
	case tag.RowsAffected() == 0 && !s.options.UnsafeNoFence:
		return ErrFenced
	}
	s.held.renewed(sent, s.options.heldFor())
	return nil
}

// release gives the lease up at once, so that another relay need not wait for its end.
func (s *Store) release() {
	s.held.end()
	if s.epoch == 0 || s.lost.Load() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(s.options.Lock, 5*time.Second))
	defer cancel()
	conn, err := s.connect(ctx, "lock")
	if err == nil {
		_, err = conn.Exec(ctx, "UPDATE "+s.names.lease+" SET released = true, beat = beat + 1 WHERE epoch = $1", s.epoch)
		closeConn(conn)
	}
	if err != nil {
		s.options.Logger.Warn("journal: the lease cannot be given up; another relay has to wait until it expires", "server", s.place(), "after", s.options.Lock, "error", explain(err).Error())
	}
}
