// Package auditstore stores delivered audit records in a SQL database and reads them back. It
// has one schema and one set of queries for SQLite and Postgres. The sinks of both write with
// it, and the audit API reads with it.
//
// A record is one row. Its identity is (journal, sequence), and also (namespace, id) if an
// equal record was stored before; see Put. Positions follow the order of insertion and are
// never reused. A page can therefore continue after a position, whatever was inserted or
// deleted since.
//
// A row has a digest of its whole content. Reading checks it; see Row.
package auditstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"auditrelay"
)

// Options configure a Store. The zero value is for writing to SQLite.
type Options struct {
	Dialect Dialect
	// Schema contains the tables; for Postgres only. It must not contain a character that needs
	// quotes.
	Schema string
	// ReadOnly creates and alters nothing.
	ReadOnly bool
	// Denied reports whether err means that the database role lacks a right. If tables of an
	// earlier version may not be altered, the Store uses them as they are. Default: no error
	// means that.
	Denied func(error) bool
}

// Store is one database. It is safe for concurrent use. The database handle limits how many
// statements run at a time.
type Store struct {
	db      *sql.DB
	options Options
	tables  tables
	version int64 // of the tables
	proofs  bool  // the table for proofs exists
}

// tables are the table names as statements contain them. They are qualified, because a
// connection through a pooler may have another search path.
type tables struct{ events, journals, meta, proofs string }

// Record is a record to be stored.
type Record struct {
	Sequence  uint64
	Namespace string
	ID        string // empty for a tombstone
	Time      time.Time
	Received  time.Time
	// Source and Principal state where the event came from; see auditrelay.Provenance.
	Source, Principal string
	Tombstone         bool
	Mapping           *auditrelay.Mapping // nil: Data is in LiteLLM's schema
	Data              []byte              // one JSON object, as delivered
}

// Row is a stored record.
type Row struct {
	Position  int64
	Journal   string
	Sequence  uint64
	Namespace string
	ID        string
	Time      time.Time
	Received  time.Time
	// Source and Principal state where the event came from; see auditrelay.Provenance. Both are
	// empty in a record that an earlier version without them stored.
	Source, Principal string
	Tombstone         bool
	// Conflict means that another event with the same identity and other contents was accepted
	// before. The mark is permanent: it stays even after the other event is deleted.
	Conflict bool
	// Mapping is nil for a record in LiteLLM's schema. It states how to read the fields.
	Mapping   *auditrelay.Mapping
	Data      []byte // for a damaged row, the data as found
	Integrity Integrity
}

// Integrity states whether a row still is what was stored.
type Integrity string

const (
	// Verified means that the row matches the digest it was stored with.
	Verified Integrity = "verified"
	// Unverified means that the row was stored by a version that kept no digest.
	Unverified Integrity = "unverified"
	// Damaged means that the row is not what was stored: somebody or the disk changed it.
	Damaged Integrity = "damaged"
)

// ErrVersion means that another version of the program created the database.
var ErrVersion = errors.New("the store has another format than this program's")

// ErrEarlier means that the request needs columns that the tables of an earlier version lack
// and that this role may not add.
var ErrEarlier = errors.New("the store's tables are those of an earlier version, and its role may not alter them: have their owner run the relay once, or make it their owner")

// The versions of the tables.
const (
	versionFirst  = 1
	versionDigest = 2 // digests, searchable values, and transaction counts
	// versionConflict marks conflicts and has an index for events outside the default
	// namespace.
	versionConflict = 3
	// versionMapping adds records in schemas other than LiteLLM's, with the places of their
	// fields.
	versionMapping = 4
	// versionOrigin adds where records came from, besides what they say themselves.
	versionOrigin = 5
	versionNewest = versionOrigin
)

// Names in the table of numbers.
const (
	metaVersion = "version"
	metaRows    = "rows"    // number of records, unless somebody else deletes some
	metaPurged  = "purged"  // number of purged records not reported yet
	metaLost    = "lost"    // number of transactions found lost and not reported yet
	metaFilled  = "filled"  // rows up to this position have their searchable values
	metaFillTo  = "fill_to" // rows after this position had them from the beginning
)

// New returns a Store on db. Close closes db. New creates missing tables and migrates those of
// an earlier version. With ReadOnly it only checks their version.
//
// Errors: ErrVersion and errors of the database, which do not quote records.
func New(ctx context.Context, db *sql.DB, o Options) (*Store, error) {
	s := &Store{db: db, options: o, tables: tables{"auditrelay_events", "auditrelay_journals", "auditrelay_meta", "auditrelay_proofs"}}
	if o.Schema != "" {
		s.tables = tables{o.Schema + "." + s.tables.events, o.Schema + "." + s.tables.journals, o.Schema + "." + s.tables.meta, o.Schema + "." + s.tables.proofs}
	}
	// A role that may write to the tables does not need the right to create them.
	err := s.check(ctx)
	if err != nil && !o.ReadOnly && !errors.Is(err, ErrVersion) {
		if err = s.create(ctx); err == nil {
			err = s.check(ctx)
		}
	}
	if err == nil && !o.ReadOnly && s.version < versionNewest {
		err = s.migrate(ctx)
		if err != nil && o.Denied != nil && o.Denied(err) {
			err = nil
		}
	}
	if err == nil {
		err = s.prepareProofs(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// Close waits for running statements and closes the database.
func (s *Store) Close() error { return s.db.Close() }

func (s *Store) create(ctx context.Context) error {
	return s.transaction(ctx, func(tx *sql.Tx) error {
		for _, statement := range s.schema() {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("make the tables: %w", err)
			}
		}
		for name, value := range map[string]int64{metaVersion: versionNewest, metaRows: 0, metaPurged: 0, metaFilled: 0, metaFillTo: 0} {
			if err := s.setNew(ctx, tx, name, value); err != nil {
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
	if version < versionFirst || version > versionNewest {
		return fmt.Errorf("%w: it is %d, the program's is %d", ErrVersion, version, versionNewest)
	}
	s.version = version
	return nil
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (s *Store) number(ctx context.Context, from querier, name string) (n int64, err error) {
	q := s.statement("SELECT value FROM " + s.tables.meta + " WHERE name = ").arg(name)
	if err = from.QueryRowContext(ctx, q.String(), q.args...).Scan(&n); err != nil {
		err = fmt.Errorf("read %s: %w", name, err)
	}
	return n, err
}

func (s *Store) add(ctx context.Context, tx *sql.Tx, name string, n int64) error {
	if n == 0 {
		return nil
	}
	q := s.statement("UPDATE " + s.tables.meta + " SET value = value + ").arg(n).text(" WHERE name = ").arg(name)
	if _, err := tx.ExecContext(ctx, q.String(), q.args...); err != nil {
		return fmt.Errorf("count %s: %w", name, err)
	}
	return nil
}

func (s *Store) set(ctx context.Context, tx *sql.Tx, name string, n int64) error {
	q := s.statement("UPDATE " + s.tables.meta + " SET value = ").arg(n).text(" WHERE name = ").arg(name)
	if _, err := tx.ExecContext(ctx, q.String(), q.args...); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}

// setNew sets a number that does not exist yet.
func (s *Store) setNew(ctx context.Context, tx *sql.Tx, name string, n int64) error {
	q := s.statement("INSERT INTO " + s.tables.meta + " (name, value) VALUES (").arg(name).text(", ").arg(n).text(") ON CONFLICT (name) DO NOTHING")
	_, err := tx.ExecContext(ctx, q.String(), q.args...)
	return err
}

// Rows returns the number of records by the store's own count. It is cheap, but wrong after
// somebody else deleted rows, until Recount.
func (s *Store) Rows(ctx context.Context) (int64, error) { return s.number(ctx, s.db, metaRows) }

// Recount counts all records and updates the number that Rows returns.
func (s *Store) Recount(ctx context.Context) error {
	return s.transaction(ctx, func(tx *sql.Tx) error {
		var n int64
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+s.tables.events).Scan(&n); err != nil {
			return fmt.Errorf("count the records: %w", err)
		}
		return s.set(ctx, tx, metaRows, n)
	})
}

// Lost stores that the database lost n transactions, until ToldLost.
func (s *Store) Lost(ctx context.Context, n int64) error {
	return s.transaction(ctx, func(tx *sql.Tx) error {
		if err := s.setNew(ctx, tx, metaLost, 0); err != nil {
			return fmt.Errorf("note a loss: %w", err)
		}
		return s.add(ctx, tx, metaLost, n)
	})
}

// UntoldLost returns the number of lost transactions that were not reported yet.
func (s *Store) UntoldLost(ctx context.Context) (int64, error) {
	n, err := s.number(ctx, s.db, metaLost)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

// ToldLost notes that n lost transactions were reported.
func (s *Store) ToldLost(ctx context.Context, n int64) error {
	return s.transaction(ctx, func(tx *sql.Tx) error { return s.add(ctx, tx, metaLost, -n) })
}

// errProbe rolls back a transaction that must leave no change.
var errProbe = errors.New("probe")

// Probe runs a transaction in the way Put does and rolls it back.
func (s *Store) Probe(ctx context.Context) error {
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		p, err := s.newPutter(ctx, tx, "probe.0")
		if err != nil {
			return err
		}
		defer p.close()
		r := Record{Namespace: "probe", ID: "probe", Data: []byte("{}")}
		if err := p.put(ctx, &r, &Stored{}); err != nil {
			return fmt.Errorf("store a record: %w", err)
		}
		return errProbe
	})
	if errors.Is(err, errProbe) {
		return nil
	}
	return err
}

// transaction runs fn in a transaction. No other writer runs at the same time, and the
// transaction is on disk when it is committed.
func (s *Store) transaction(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	if begin := s.options.Dialect.begin(); begin != "" {
		_, err = tx.ExecContext(ctx, begin)
	}
	if err == nil {
		err = fn(tx)
	}
	if err != nil {
		_ = tx.Rollback() // the first error is returned
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// statement builds one statement with its arguments. Texts are constants of this package.
// Everything else is an argument.
type statement struct {
	sql     []byte
	args    []any
	dialect Dialect
}

func (s *Store) statement(text string) *statement {
	return &statement{sql: []byte(text), dialect: s.options.Dialect}
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
