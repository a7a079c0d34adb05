package auditstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Query selects and orders records. The zero value selects all records, newest first.
type Query struct {
	Namespace string           // empty: all
	Source    string           // the same; see auditrelay.Provenance
	Principal string           // the same
	Equal     map[Field]string // all must match exactly; keys from Filterable
	Contains  map[Field]string // all must match as a substring; keys from Inside
	From, To  time.Time        // bounds of updated_at, both inclusive; zero: none
	Sort      Field            // from Sortable; empty: FieldUpdatedAt
	Ascending bool
	// Through, if not 0, excludes records inserted after that position.
	Through int64
}

// sort returns the field to sort by. Records with equal values are ordered by time.
func (q *Query) sort() Field {
	if _, one := q.Equal[q.Sort]; one || q.Sort == "" {
		return FieldUpdatedAt
	}
	return q.Sort
}

// all reports whether every record is selected.
func (q *Query) all() bool {
	return q.Namespace == "" && !q.hasOrigin() && len(q.Equal) == 0 && len(q.Contains) == 0 && q.From.IsZero() && q.To.IsZero() && q.Through == 0
}

func (q *Query) hasOrigin() bool { return q.Source != "" || q.Principal != "" }

// where adds the conditions. The query uses the index of the first field of indexed that it
// contains and checks the other fields for each row.
func (s *Store) where(ctx context.Context, q *Query, st *statement) error {
	st.text(" WHERE 1 = 1")
	driven, known := false, 0
	for _, f := range indexed {
		value, ok := q.Equal[f]
		if !ok {
			continue
		}
		known++
		name := string(f)
		if driven {
			name = st.dialect.plain(name)
		}
		driven = true
		st.text(" AND " + name + " = ").arg(column(value))
	}
	if known != len(q.Equal) {
		return errors.New("the records cannot be searched by another field than there is")
	}
	if q.Namespace != "" {
		name := "namespace"
		if driven {
			name = st.dialect.plain(name)
		}
		st.text(" AND " + name + " = ").arg(column(q.Namespace))
		if q.Namespace != usualNamespace && s.version >= versionConflict {
			st.text(" AND " + otherNamespace) // otherwise the index would not be used
		}
	}
	if q.hasOrigin() && s.version < versionOrigin {
		return ErrEarlier
	}
	for _, c := range []struct{ name, value string }{{"source", q.Source}, {"principal", q.Principal}} {
		if c.value != "" {
			st.text(" AND " + c.name + " = ").arg(column(c.value))
		}
	}
	if err := s.containing(ctx, q, st); err != nil {
		return err
	}
	if !q.From.IsZero() {
		st.text(" AND updated_at >= ").arg(micros(q.From))
	}
	if !q.To.IsZero() {
		st.text(" AND updated_at <= ").arg(micros(q.To))
	}
	if q.Through > 0 {
		st.text(" AND " + st.dialect.plain("position") + " <= ").arg(q.Through)
	}
	return nil
}

// FillingError means that rows of an earlier version cannot be searched inside values yet.
type FillingError struct{ Missing int64 }

func (e *FillingError) Error() string {
	return fmt.Sprintf("rows of an earlier version are being made ready to be searched inside values: some %d are left", e.Missing)
}

// containing adds the conditions on text inside values.
func (s *Store) containing(ctx context.Context, q *Query, st *statement) error {
	if len(q.Contains) == 0 {
		return nil
	}
	missing, err := s.Missing(ctx)
	if err != nil {
		return err
	}
	if missing > 0 {
		return &FillingError{missing}
	}
	known := 0
	for _, f := range Inside() {
		value, ok := q.Contains[f]
		if !ok {
			continue
		}
		known++
		columns := map[Field][]string{FieldTeam: {"teams"}, FieldTeamAny: {"teams", "team_names"}, FieldKey: {"tokens"}}[f]
		st.text(" AND (")
		for i, name := range columns {
			if i > 0 {
				st.text(" OR ")
			}
			before, after := st.dialect.contains(name)
			st.text(before).arg(clean(value)).text(after)
		}
		st.text(")")
	}
	if known != len(q.Contains) {
		return errors.New("the records cannot be searched inside another field than there is")
	}
	return nil
}

// value returns a record's value in a column.
func (s *Store) value(ctx context.Context, f Field, position int64) (value string, err error) {
	st := s.statement("SELECT " + string(f) + " FROM " + s.tables.events + " WHERE position = ").arg(position)
	err = s.db.QueryRowContext(ctx, st.String(), st.args...).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrGone
	}
	if err != nil {
		return "", fmt.Errorf("read where the page goes on: %w", err)
	}
	return value, nil
}

// Count returns the number of records that q selects, exact up to most. If there are more, it
// returns most and false. If q selects every record, it returns the store's own count, which
// other writers may have made wrong. If most is 0, Count counts all.
func (s *Store) Count(ctx context.Context, q Query, most int64) (n int64, exact bool, err error) {
	st := s.statement("SELECT count(*) FROM (SELECT 1 AS one FROM " + s.tables.events)
	if err := s.where(ctx, &q, st); err != nil {
		return 0, false, err
	}
	if most > 0 {
		st.text(" LIMIT ").arg(most + 1)
	}
	st.text(") AS counted")
	if err = s.db.QueryRowContext(ctx, st.String(), st.args...).Scan(&n); err != nil {
		return 0, false, fmt.Errorf("count: %w", err)
	}
	if most <= 0 || n <= most {
		return n, true, nil
	}
	if q.all() {
		n, err = s.Rows(ctx)
		return max(n, most), false, err
	}
	return most, false, nil
}

// Newest returns the last position assigned, or 0 in an empty store.
func (s *Store) Newest(ctx context.Context) (position int64, err error) { return s.newest(ctx, s.db) }

func (s *Store) newest(ctx context.Context, from querier) (position int64, err error) {
	err = from.QueryRowContext(ctx, "SELECT COALESCE(max(position), 0) FROM "+s.tables.events).Scan(&position)
	if err != nil {
		err = fmt.Errorf("read the newest position: %w", err)
	}
	return position, err
}
