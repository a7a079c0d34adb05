package pgstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"auditrelay/runtime/internal/journal"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Commit implements journal.Store. If the server is gone, Commit waits for it for Options.Wait.
// If the server's response to a commit was lost, Commit determines whether the commit
// succeeded.
func (s *Store) Commit(b journal.Batch) error {
	if err := s.lost.Load(); err != nil {
		return *err
	}
	w, err := b.(*batch).encode()
	if err != nil {
		return s.lose(err)
	}
	part := 0
	if w.events > 0 {
		if part, err = s.partFor(w.frame.first); err != nil {
			return s.lose(err)
		}
	}
	id := make([]byte, 16)
	rand.Read(id) // never fails
	unknown := false
	err = s.persist(func(ctx context.Context) error {
		if unknown {
			made, err := s.resolve(ctx, id)
			if made || err != nil {
				return err
			}
		}
		unknown = true
		return s.try(ctx, w, part, id)
	})
	if err != nil {
		return s.lose(err)
	}
	s.commits++
	s.partAt += w.bytes
	s.size.since.Add(int64(w.bytes))
	s.trim(w)
	return nil
}

// persist calls f until it succeeds, as long as its error may be temporary.
func (s *Store) persist(f func(ctx context.Context) error) error {
	until := time.Now().Add(s.options.Wait)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		ctx, cancel := context.WithTimeout(s.ctx, s.options.Attempt)
		err := f(ctx)
		cancel()
		if err == nil {
			s.there(nil)
			return nil
		}
		s.drop()
		switch {
		case fenced(err), errors.Is(err, ErrFenced):
			return ErrFenced
		case errors.As(err, new(*regressError)):
			return err
		case s.ctx.Err() != nil, !passing(err), time.Now().After(until):
			return fmt.Errorf("commit: %w", explain(err))
		}
		if lost := s.lost.Load(); lost != nil {
			return *lost
		}
		s.there(err)
		s.sleep(pause)
	}
}

// writer returns the session for writing. It first ends a lost session, whose running work must
// be over before anything else is written.
func (s *Store) writer(ctx context.Context) (*pgx.Conn, error) {
	if s.conn != nil {
		return s.conn, nil
	}
	conn, err := s.connect(ctx, "journal")
	if err == nil && s.pid != 0 {
		err = s.endSessions(ctx, conn, s.pid)
	}
	if err != nil {
		if conn != nil {
			closeConn(conn)
		}
		return nil, err
	}
	s.conn, s.pid = conn, conn.PgConn().PID()
	return conn, nil
}

// drop closes the session for writing.
func (s *Store) drop() {
	if s.conn != nil {
		closeConn(s.conn)
		s.conn = nil
	}
}

// try writes w in one transaction and one round trip: all statements come before one Sync,
// which commits.
func (s *Store) try(ctx context.Context, w *write, part int, id []byte) error {
	conn, err := s.writer(ctx)
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	condition := "epoch = $1 AND commits = $2"
	if s.options.UnsafeNoFence {
		condition = "$1::bigint > 0 AND $2::bigint >= 0"
	}
	b.Queue("UPDATE "+s.names.journal+" SET epoch = CASE WHEN "+condition+` THEN epoch END, commits = commits + 1, frame = $3, head = coalesce($4, head),
		events_from = greatest(events_from, $5), index_from = greatest(index_from, $6)`, s.epoch, s.commits, id, w.head, w.eventsFrom, w.indexFrom)
	if w.events > 0 {
		b.Queue("INSERT INTO "+s.names.frames+" (part, first, id, index, lengths, events) VALUES ($1, $2, $3, $4, $5, $6)",
			part, w.frame.first, id, w.frame.index, w.frame.lengths, w.frame.events)
	}
	for i := range w.state {
		switch c := &w.state[i]; c.kind {
		case opSet:
			b.Queue("INSERT INTO "+s.names.state+" SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT (key) DO UPDATE SET value = excluded.value", c.keys, c.values)
		case opDelete:
			b.Queue("DELETE FROM "+s.names.state+" WHERE key = ANY ($1::bytea[])", c.keys)
		case opDeleteRange:
			b.Queue("DELETE FROM "+s.names.state+" WHERE key >= $1 AND key < $2", c.keys[0], c.values[0])
		}
	}
	return conn.SendBatch(ctx, b).Close()
}

// regressError reports a server that has less data than it acknowledged.
type regressError struct{ has, had int64 }

func (e *regressError) Error() string {
	return fmt.Sprintf("the server has %d commits and had acknowledged %d: a standby was promoted, or a backup put in place, that does not have all of them", e.has, e.had)
}

// resolve determines whether the commit with this id succeeded. When it returns without an
// error, all earlier commits are durable, on the synchronous standbys too.
func (s *Store) resolve(ctx context.Context, id []byte) (made bool, err error) {
	conn, err := s.writer(ctx)
	if err != nil {
		return false, err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, err
	}
	var epoch, commits int64
	var frame []byte
	// This waits until a running transaction is over.
	if err := tx.QueryRow(ctx, "SELECT epoch, commits, frame FROM "+s.names.journal+" FOR UPDATE").Scan(&epoch, &commits, &frame); err != nil {
		return false, err
	}
	made = bytes.Equal(frame, id)
	if !s.options.UnsafeNoFence {
		switch {
		case epoch != s.epoch:
			return false, ErrFenced
		case made && commits == s.commits+1, !made && commits == s.commits:
		default:
			return false, &regressError{commits, s.commits}
		}
	}
	if _, err := tx.Exec(ctx, "UPDATE "+s.names.journal+" SET epoch = epoch"); err != nil {
		return false, err
	}
	return made, tx.Commit(ctx)
}

// Keyring implements journal.Shared.
func (s *Store) Keyring() (text []byte, err error) {
	err = s.reading(func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, "SELECT text FROM "+s.names.keyring).Scan(&text)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return text, err
}

// SetKeyring implements journal.Shared. The server's log, its archive and its backups may keep
// the old keyring longer.
func (s *Store) SetKeyring(text []byte, wipe bool) error {
	return s.beside("INSERT INTO "+s.names.keyring+" (text) VALUES ($1) ON CONFLICT (one) DO UPDATE SET text = excluded.text", []any{text}, func(ctx context.Context) error {
		if !wipe {
			return nil
		}
		return s.rewriteKeyring(ctx)
	})
}

// rewriteKeyring writes the table into new files, since a plain VACUUM leaves the bytes of a
// removed row in its page. It waits only briefly for a session that reads the table: meanwhile
// no period can begin.
func (s *Store) rewriteKeyring(ctx context.Context) error {
	conn, err := s.connect(ctx, "journal")
	if err != nil {
		return err
	}
	defer closeConn(conn)
	if _, err := conn.Exec(ctx, "SET lock_timeout = 2000"); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "VACUUM FULL "+s.names.keyring)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "55P03" {
		return refused("another session, such as a pg_dump, uses the table keyring, whose old content cannot be removed meanwhile; repeat it when that session has ended")
	}
	return err
}

// SetFile stores a small file durably. The file follows the journal from relay to relay.
func (s *Store) SetFile(name string, content []byte) error {
	return s.beside("INSERT INTO "+s.names.files+" VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET content = excluded.content", []any{name, content},
		func(context.Context) error { return nil })
}

// beside writes data outside the journal, unless another relay has the journal now. It may
// write twice.
func (s *Store) beside(sql string, args []any, then func(ctx context.Context) error) error {
	fence, epoch := s.fence()
	until := time.Now().Add(s.options.Wait)
	for {
		ctx, cancel := context.WithTimeout(s.ctx, s.options.Attempt)
		b := &pgx.Batch{}
		b.Queue(fence, epoch)
		b.Queue(sql, args...)
		err := s.pool.SendBatch(ctx, b).Close()
		if err == nil {
			err = then(ctx)
		}
		cancel()
		switch {
		case err == nil:
			return nil
		case fenced(err):
			return s.lose(ErrFenced)
		case s.ctx.Err() != nil, !passing(err), time.Now().After(until):
			return fmt.Errorf("journal on Postgres, %s: %w", s.place(), explain(err))
		}
		s.sleep(200 * time.Millisecond)
	}
}
