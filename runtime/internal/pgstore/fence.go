package pgstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"auditrelay/runtime/internal/journal"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// lockClass is the first half of the advisory lock's key. The other half depends on the schema.
const lockClass = 0x61726c79

// takeLock opens the session that holds the journal's lock, and waits for the lock.
func (s *Store) takeLock(ctx context.Context) (*pgx.Conn, error) {
	if m := s.options.Member; m != nil {
		return m.takeLock(ctx)
	}
	until := time.Now().Add(s.options.LockWait)
	var lock *pgx.Conn
	for {
		got, err := false, error(nil)
		if lock == nil {
			lock, err = s.lockSession(ctx)
		}
		if err == nil {
			got, err = s.tryLock(ctx, lock)
		}
		if got {
			return lock, nil
		}
		var why error
		if err == nil {
			why = fmt.Errorf("%w by another relay%s; stop it first", journal.ErrLocked, s.holder(ctx, lock))
		} else {
			why = fmt.Errorf("connect: %w", explain(err))
		}
		over := time.Now().After(until) || ctx.Err() != nil || err != nil && !passing(err)
		if lock != nil && (over || err != nil) {
			closeConn(lock)
			lock = nil
		}
		if over {
			return nil, why
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// lockSession opens a session that the server ends if it shows no sign of life.
func (s *Store) lockSession(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Attempt)
	defer cancel()
	lock, err := s.connect(ctx, "lock")
	if err != nil {
		return nil, err
	}
	if _, err = lock.Exec(ctx, fmt.Sprintf("SET idle_session_timeout = %d", s.options.Lock.Milliseconds())); err != nil {
		closeConn(lock)
		return nil, err
	}
	return lock, nil
}

// tryLock reports whether a session got the lock.
func (s *Store) tryLock(ctx context.Context, lock *pgx.Conn) (got bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Attempt)
	defer cancel()
	err = lock.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, hashtext($2))", int32(lockClass), s.options.Schema).Scan(&got)
	return got, err
}

// holder returns who has the journal, if that can be read.
func (s *Store) holder(ctx context.Context, c *pgx.Conn) string {
	var who string
	if err := c.QueryRow(ctx, "SELECT holder FROM "+s.names.journal).Scan(&who); err != nil || who == "" {
		return ""
	}
	return " (" + who + ")"
}

// whoAmI returns this relay's name for messages.
func (s *Store) whoAmI() string {
	host, _ := os.Hostname() // for messages only
	return fmt.Sprintf("process %d on %s, since %s", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
}

// endSessions ends the sessions that write and read this journal: the one with that process
// number, or all if it is 0.
func (s *Store) endSessions(ctx context.Context, c *pgx.Conn, pid uint32) error {
	_, err := c.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE application_name = $1 AND datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() AND ($2 = 0 OR pid = $2)`,
		s.sessionName("journal"), int64(pid))
	return err
}

// keepLock proves regularly that this relay is alive. If the session ends, keepLock takes the
// lock again unless another relay has it. Commits do not depend on it.
func (s *Store) keepLock(lock *pgx.Conn) {
	defer func() {
		if lock != nil {
			closeConn(lock)
		}
	}()
	for {
		s.sleep(s.options.Lock / 5)
		if s.ctx.Err() != nil {
			return
		}
		ctx, cancel := context.WithTimeout(s.ctx, s.options.Lock/3)
		if lock == nil {
			lock = s.lockAgain(ctx)
		} else if err := s.renew(ctx, lock); err != nil {
			closeConn(lock)
			lock = s.lockAgain(ctx)
		}
		cancel()
	}
}

// lockAgain takes the lock for a relay that still has the journal. It returns nil if that
// fails.
func (s *Store) lockAgain(ctx context.Context) *pgx.Conn {
	lock, err := s.lockSession(ctx)
	if err != nil {
		return nil
	}
	got, err := s.tryLock(ctx, lock)
	if err != nil {
		closeConn(lock)
		return nil
	}
	var epoch int64
	err = lock.QueryRow(ctx, "SELECT epoch FROM "+s.names.journal).Scan(&epoch)
	if err == nil && epoch != s.epoch && !s.options.UnsafeNoFence {
		s.options.Logger.Error("journal: another relay has taken it over", "server", s.place())
		_ = s.lose(ErrFenced)
	}
	if err == nil && epoch == s.epoch {
		err = s.renew(ctx, lock) // the lease does not depend on the lock
	}
	if err != nil || !got || epoch != s.epoch {
		closeConn(lock)
		return nil
	}
	return lock
}

// fence is the first statement of every transaction. It locks the journal's row. It fails if
// this relay no longer has the journal, since the column is NOT NULL.
func (s *Store) fence() (sql string, epoch int64) {
	if s.options.UnsafeNoFence {
		return "UPDATE " + s.names.journal + " SET epoch = CASE WHEN $1::bigint > 0 THEN epoch END", s.epoch
	}
	return "UPDATE " + s.names.journal + " SET epoch = CASE WHEN epoch = $1 THEN epoch END", s.epoch
}

// fenced reports whether a transaction failed in the fence.
func fenced(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "23502" && e.TableName == "journal"
}
