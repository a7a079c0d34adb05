package pgstore

import (
	"bytes"
	"context"
	"errors"
	"io"

	"auditrelay/runtime/internal/journal"

	"github.com/jackc/pgx/v5"
)

// Get implements journal.Store.
func (s *Store) Get(key []byte) ([]byte, io.Closer, error) {
	var value []byte
	var err error
	switch space, sequence := journal.SpaceOf(key); space {
	case journal.SpaceEvents:
		value, err = s.event(int64(sequence))
	case journal.SpaceIndex:
		value, err = s.one("SELECT index FROM "+s.names.frames+" WHERE first = $1 AND first >= $2", int64(sequence), s.frames.indexStart())
	case journal.SpaceHead:
		value, err = s.one("SELECT head FROM " + s.names.journal + " WHERE head IS NOT NULL")
	default:
		value, err = s.one("SELECT value FROM "+s.names.state+" WHERE key = $1", key)
	}
	if err != nil {
		return nil, nil, err
	}
	return value, noCloser{}, nil
}

type noCloser struct{}

func (noCloser) Close() error { return nil }

func (s *Store) one(sql string, args ...any) (value []byte, err error) {
	err = s.reading(func(ctx context.Context) error { return s.pool.QueryRow(ctx, sql, args...).Scan(&value) })
	if errors.Is(err, pgx.ErrNoRows) {
		err = journal.ErrAbsent
	}
	return value, err
}

// The limits of one read: the number of pairs, and the bytes after the first pair.
const (
	firstPairs = 64
	pagePairs  = 1024
	pageBytes  = 1 << 20
)

type pair struct{ key, value []byte }

// source is a range of pairs that is read page by page, so that no session is in use while the
// caller processes a pair.
type source interface {
	// page returns at most some pairs from key on, in order, or none if there are none.
	page(key []byte, some int) ([]pair, error)
	// below returns the greatest pair below key.
	below(key []byte) (pair, bool, error)
}

// iterator implements journal.Iterator for a source.
type iterator struct {
	source   source
	from, to []byte
	pairs    []pair // the current page
	at       int
	some     int
	err      error
	valid    bool
}

// Iterate implements journal.Store.
func (s *Store) Iterate(from, to []byte) (journal.Iterator, error) {
	it := &iterator{from: bytes.Clone(from), to: bytes.Clone(to), some: firstPairs}
	switch space, first := journal.SpaceOf(from); space {
	case journal.SpaceEvents:
		_, end := journal.SpaceOf(to)
		it.source = &eventRows{s, max(int64(first), s.frames.eventsStart()), int64(end)}
	case journal.SpaceIndex:
		_, end := journal.SpaceOf(to)
		it.source = &indexRows{s, max(int64(first), s.frames.indexStart()), int64(end)}
	default:
		it.source = &stateRows{s, it.from, it.to}
	}
	return it, nil
}

func (it *iterator) load(key []byte) bool {
	it.valid = false
	if it.err != nil {
		return false
	}
	it.pairs, it.err = it.source.page(key, it.some)
	it.at, it.some = 0, min(4*it.some, pagePairs)
	it.valid = it.err == nil && len(it.pairs) > 0
	return it.valid
}

func (it *iterator) First() bool { return it.load(it.from) }

func (it *iterator) Last() bool { return it.SeekLT(it.to) }

func (it *iterator) SeekLT(key []byte) bool {
	it.valid = false
	if it.err != nil {
		return false
	}
	if bytes.Compare(key, it.to) > 0 {
		key = it.to
	}
	p, ok, err := it.source.below(key)
	it.err = err
	if !ok || err != nil {
		return false
	}
	it.pairs, it.at, it.valid = append(it.pairs[:0], p), 0, true
	return true
}

func (it *iterator) Next() bool {
	if !it.valid {
		return false
	}
	if it.at+1 < len(it.pairs) {
		it.at++
		return true
	}
	return it.load(append(bytes.Clone(it.Key()), 0))
}

func (it *iterator) Valid() bool                  { return it.valid }
func (it *iterator) Key() []byte                  { return it.pairs[it.at].key }
func (it *iterator) ValueAndErr() ([]byte, error) { return it.pairs[it.at].value, nil }
func (it *iterator) Error() error                 { return it.err }
func (it *iterator) Close() error                 { it.pairs, it.valid = nil, false; return nil }

// query reads all rows of a page.
func query[T any](s *Store, scan func(pgx.Rows) (T, error), sql string, args ...any) (list []T, err error) {
	err = s.reading(func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(pgx.CollectableRow) (T, error) { return scan(rows) })
		return err
	})
	return list, err
}

// stateRows has the rows of state with keys in [from, to).
type stateRows struct {
	s        *Store
	from, to []byte
}

func scanState(rows pgx.Rows) (p pair, err error) {
	err = rows.Scan(&p.key, &p.value)
	return p, err
}

func (r *stateRows) page(key []byte, some int) ([]pair, error) {
	// Postgres knows the size of a value without reading it.
	return query(r.s, scanState, `SELECT key, value FROM (
		SELECT key, value, sum(octet_length(value)) OVER (ORDER BY key ROWS UNBOUNDED PRECEDING) - octet_length(value) AS before
		FROM (SELECT key, value FROM `+r.s.names.state+` WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3) AS few) AS page
		WHERE before < $4 ORDER BY key`, key, r.to, some, pageBytes)
}

func (r *stateRows) below(key []byte) (pair, bool, error) {
	list, err := query(r.s, scanState, "SELECT key, value FROM "+r.s.names.state+" WHERE key >= $1 AND key < $2 ORDER BY key DESC LIMIT 1", r.from, key)
	if err != nil || len(list) == 0 {
		return pair{}, false, err
	}
	return list[0], true, nil
}
