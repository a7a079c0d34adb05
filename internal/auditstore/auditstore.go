// Package auditstore keeps delivered audit records in a SQL database and reads them
// back: one schema and one set of queries for SQLite and Postgres. The sinks of both
// write with it, the audit API reads with it.
//
// A record is one row. What names it is (journal, sequence), and (namespace, id)
// where that was stored before with the same contents; see Put. Positions are given
// in the order of insertion and never again, so that a page can go on from one
// whatever was inserted or deleted since.
package auditstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Store is one database. It is safe for concurrent use; how many statements run at a
// time is the database handle's limit.
type Store struct {
	db      *sql.DB
	dialect Dialect
}

// Record is one record on its way into a Store.
type Record struct {
	Sequence  uint64
	Namespace string
	ID        string // empty in a tombstone
	Time      time.Time
	Received  time.Time
	Tombstone bool
	Data      []byte // one JSON object, as delivered
}

// Row is one record as it is stored.
type Row struct {
	Position  int64
	Journal   string
	Sequence  uint64
	Namespace string
	ID        string
	Time      time.Time
	Received  time.Time
	Tombstone bool
	Data      []byte
}

// ErrVersion says that the database was made by another version of the program.
var ErrVersion = errors.New("the store has another format than this program's")

const schemaVersion = 1

// The names in the table of numbers.
const (
	metaVersion = "version"
	metaRows    = "rows"   // how many records there are
	metaPurged  = "purged" // how many were purged and not told of yet
)

// New returns a Store on db, which Close closes. It makes the tables where they are
// not there; with readOnly it only looks at their version.
//
// Errors: ErrVersion, and the database's own, which may quote nothing of a record.
func New(ctx context.Context, db *sql.DB, d Dialect, readOnly bool) (*Store, error) {
	s := &Store{db: db, dialect: d}
	// A role that may write to the tables need not be one that may make them.
	err := s.check(ctx)
	if err != nil && !readOnly && !errors.Is(err, ErrVersion) {
		if err = s.create(ctx); err == nil {
			err = s.check(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// Close waits for statements under way and closes the database.
func (s *Store) Close() error { return s.db.Close() }

func (s *Store) create(ctx context.Context) error {
	return s.transaction(ctx, func(tx *sql.Tx) error {
		for _, statement := range s.dialect.schema() {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("make the tables: %w", err)
			}
		}
		for name, value := range map[string]int64{metaVersion: schemaVersion, metaRows: 0, metaPurged: 0} {
			q := s.statement("INSERT INTO auditrelay_meta (name, value) VALUES (")
			q.arg(name).text(", ").arg(value).text(") ON CONFLICT (name) DO NOTHING")
			if _, err := tx.ExecContext(ctx, q.String(), q.args...); err != nil {
				return fmt.Errorf("make the tables: %w", err)
			}
		}
		return nil
	})
}

func (s *Store) check(ctx context.Context) error {
	version, err := s.number(ctx, s.db, metaVersion)
	if err != nil {
		return err
	}
	if version != schemaVersion {
		return fmt.Errorf("%w: it is %d, the program's is %d", ErrVersion, version, schemaVersion)
	}
	return nil
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (s *Store) number(ctx context.Context, from querier, name string) (n int64, err error) {
	q := s.statement("SELECT value FROM auditrelay_meta WHERE name = ").arg(name)
	if err = from.QueryRowContext(ctx, q.String(), q.args...).Scan(&n); err != nil {
		err = fmt.Errorf("read %s: %w", name, err)
	}
	return n, err
}

func (s *Store) add(ctx context.Context, tx *sql.Tx, name string, n int64) error {
	if n == 0 {
		return nil
	}
	q := s.statement("UPDATE auditrelay_meta SET value = value + ").arg(n).text(" WHERE name = ").arg(name)
	if _, err := tx.ExecContext(ctx, q.String(), q.args...); err != nil {
		return fmt.Errorf("count %s: %w", name, err)
	}
	return nil
}

// Rows is how many records there are. It is exact and costs nothing.
func (s *Store) Rows(ctx context.Context) (int64, error) { return s.number(ctx, s.db, metaRows) }

// transaction runs fn in a transaction that no other writer runs beside.
func (s *Store) transaction(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	if lock := s.dialect.lock(); lock != "" {
		_, err = tx.ExecContext(ctx, lock)
	}
	if err == nil {
		err = fn(tx)
	}
	if err != nil {
		_ = tx.Rollback() // what failed first is what is told
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// statement builds one statement with its arguments. Texts are constants of this
// package; whatever comes from elsewhere is an argument.
type statement struct {
	sql     []byte
	args    []any
	dialect Dialect
}

func (s *Store) statement(text string) *statement {
	return &statement{sql: []byte(text), dialect: s.dialect}
}

func (q *statement) text(text string) *statement {
	q.sql = append(q.sql, text...)
	return q
}

func (q *statement) arg(v any) *statement {
	q.args = append(q.args, v)
	if q.dialect == Postgres {
		q.sql = strconv.AppendInt(append(q.sql, '$'), int64(len(q.args)), 10)
	} else {
		q.sql = append(q.sql, '?')
	}
	return q
}

func (q *statement) String() string { return string(q.sql) }

func micros(t time.Time) int64     { return t.UnixMicro() }
func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }
