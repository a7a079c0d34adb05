package pgstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"auditrelay/internal/pgdial"
	"auditrelay/runtime/internal/journal"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// names are the quoted names of the tables.
type names struct {
	schema, journal, state, frames, parts, keyring, lease, relays, files string
}

func (s *Store) configure() error {
	c, _, err := pgdial.Parse(s.options.URL)
	if err != nil {
		return err
	}
	if len(s.options.Schema) > 40 || strings.ContainsRune(s.options.Schema, 0) {
		return errors.New("a schema's name has at most 40 bytes")
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	s.config = c
	table := func(name string) string { return pgx.Identifier{s.options.Schema, name}.Sanitize() }
	s.names = names{pgx.Identifier{s.options.Schema}.Sanitize(), table("journal"), table("state"), table("frames"), table("parts"), table("keyring"),
		table("lease"), table("relays"), table("files")}
	return nil
}

// partName returns the quoted name of a partition.
func (s *Store) partName(n int) string {
	return pgx.Identifier{s.options.Schema, "frames_" + strconv.Itoa(n)}.Sanitize()
}

// place returns the server and the schema, for messages.
func (s *Store) place() string {
	return pgdial.Place(s.config) + ", schema " + s.options.Schema
}

// The name of a relay's session says what the session does. The next owner ends the sessions
// that write and read, but not those that wait for the lock.
func (s *Store) sessionName(what string) string {
	schema := s.options.Schema
	if strings.ContainsFunc(schema, func(r rune) bool { return r < ' ' || r > '~' }) {
		sum := sha256.Sum256([]byte(schema)) // the server replaces what is not printable ASCII
		schema = hex.EncodeToString(sum[:8])
	}
	return "auditrelay " + what + " " + schema
}

// connect opens a session.
func (s *Store) connect(ctx context.Context, what string) (*pgx.Conn, error) {
	c := s.config.Copy()
	c.RuntimeParams["application_name"] = s.sessionName(what)
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := s.settle(ctx, conn); err != nil {
		closeConn(conn)
		return nil, err
	}
	return conn, nil
}

// settle configures a session. It rejects a server that may lose acknowledged data.
func (s *Store) settle(ctx context.Context, conn *pgx.Conn) error {
	set := "SET statement_timeout = 60000; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 60000; SET client_min_messages = warning; " +
		"SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; SET search_path = pg_catalog; SET jit = off"
	if s.options.UnsafeNoSync {
		set += "; SET synchronous_commit = off"
	}
	if _, err := conn.Exec(ctx, set); err != nil {
		return err
	}
	var pid int64
	var standby bool
	var fsync, sync string
	err := conn.QueryRow(ctx, "SELECT pg_backend_pid(), pg_is_in_recovery(), current_setting('fsync'), current_setting('synchronous_commit')").Scan(&pid, &standby, &fsync, &sync)
	switch {
	case err != nil:
		return err
	case uint32(pid) != conn.PgConn().PID():
		return refused("a pooler (PgBouncer?) stands before the server: it cannot keep the lock of the journal; connect to the server itself")
	case standby:
		return &standbyError{}
	case fsync == "off":
		return refused("the server has fsync = off, and would lose acknowledged events in a crash of its machine; set it to on")
	case sync == "off" && !s.options.UnsafeNoSync:
		return refused("the server has synchronous_commit = off for this role or database, and would lose acknowledged events; set it to on")
	}
	return nil
}

// refused reports a server that cannot be used as it is configured.
type refused string

func (r refused) Error() string { return string(r) }

// standbyError reports a standby, which may become the primary soon.
type standbyError struct{}

func (*standbyError) Error() string {
	return "it is a standby; with several hosts in the URL add target_session_attrs=read-write"
}

// explain returns the relay's own errors unchanged and explains all others.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[refused](err); ok {
		return err
	}
	if _, ok := errors.AsType[*standbyError](err); ok {
		return err
	}
	return &connectionError{pgdial.Explain(err)}
}

// connectionError is an explained failure of the connection to the journal's server.
type connectionError struct{ err error }

func (e *connectionError) Error() string { return e.err.Error() }
func (e *connectionError) Unwrap() error { return e.err }

// passing reports whether an error may be temporary: the server restarts, fails over, or has no
// room for a moment.
func passing(err error) bool {
	if _, ok := errors.AsType[refused](err); ok {
		return false
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return true // the connection failed
	}
	return passingCode(e.Code)
}

func passingCode(code string) bool {
	if len(code) != 5 {
		return false
	}
	switch code[:2] {
	case "08", "53", "57", "40", "25", "58":
		return true
	}
	return code == "55P03"
}

// Passing reports whether Open failed for a temporary reason on the server or the connection,
// which would occur with any configuration of the relay. It is false for errors outside the
// journal.
func Passing(err error) bool {
	if errors.Is(err, ErrFenced) || errors.Is(err, journal.ErrFailed) {
		return true
	}
	if _, ok := errors.AsType[*standbyError](err); ok {
		return true
	}
	own, ok := errors.AsType[*connectionError](err)
	if !ok {
		return false
	}
	if e, ok := errors.AsType[*pgdial.ServerError](own.err); ok {
		return passingCode(e.Code)
	}
	if _, ok := errors.AsType[*net.OpError](own.err); ok {
		return true
	}
	return errors.Is(own.err, io.EOF) || errors.Is(own.err, context.DeadlineExceeded)
}

func (s *Store) openPool() (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, explain(err)
	}
	c.ConnConfig = s.config.Copy()
	c.ConnConfig.RuntimeParams["application_name"] = s.sessionName("journal")
	c.MaxConns, c.MinConns = 8, 0
	c.AfterConnect = s.settle
	pool, err := pgxpool.NewWithConfig(s.ctx, c)
	return pool, explain(err)
}

// reading runs a read, and repeats it if the connection fails. f must not publish results
// before it returns nil.
func (s *Store) reading(f func(ctx context.Context) error) error {
	until := time.Now().Add(s.options.Wait)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		ctx, cancel := context.WithTimeout(s.ctx, s.options.Attempt)
		err := f(ctx)
		cancel()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, pgx.ErrNoRows):
			return err
		case s.ctx.Err() != nil || !passing(err) || time.Now().After(until):
			return fmt.Errorf("read from Postgres: %w", explain(err))
		}
		s.sleep(pause)
	}
}

func (s *Store) sleep(d time.Duration) {
	select {
	case <-s.ctx.Done():
	case <-time.After(d):
	}
}

func closeConn(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx) // the session may already be gone
}
