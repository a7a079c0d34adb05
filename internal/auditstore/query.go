package auditstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Query selects records and orders them. Its zero value is every record, the newest
// first.
type Query struct {
	Equal     map[Field]string // all of which must hold, exactly; of Filterable
	Contains  map[Field]string // all of which must hold, as a part; of Inside
	From, To  time.Time        // bounds of updated_at, both inclusive; zero: none
	Sort      Field            // of Sortable; empty: FieldUpdatedAt
	Ascending bool
	// Through, where it is not 0, leaves out what was inserted after that position.
	Through int64
}

// MaxPage bounds the records of one page.
const MaxPage = 1000

// Place is where a record stands in an order.
type Place struct {
	Time     time.Time
	Position int64
}

// Page is a part of what a query selects.
type Page struct {
	Places []Place
	More   bool // there are others behind
}

// ErrGone says that the record from which a page was to go on is not there any more.
var ErrGone = errors.New("the record that the page goes on from is gone")

// Skip returns at most limit places after the first skip. Its cost grows with skip.
func (s *Store) Skip(ctx context.Context, q Query, skip, limit int) (Page, error) {
	return s.page(ctx, q, nil, skip, limit)
}

// After returns at most limit places behind one, wherever in the order that is, at
// the same cost.
func (s *Store) After(ctx context.Context, q Query, after Place, limit int) (Page, error) {
	return s.page(ctx, q, &after, 0, limit)
}

func (s *Store) page(ctx context.Context, q Query, after *Place, skip, limit int) (Page, error) {
	limit = min(max(limit, 1), MaxPage)
	sort := q.sort()
	if !slices.Contains(Sortable(), sort) {
		return Page{}, fmt.Errorf("the records cannot be sorted by %q", string(sort))
	}
	st := s.statement("SELECT updated_at, position FROM " + s.tables.events)
	if err := s.where(ctx, &q, st); err != nil {
		return Page{}, err
	}
	order, sign := " DESC", " < ("
	if q.Ascending {
		order, sign = " ASC", " > ("
	}
	if after != nil {
		st.text(" AND (")
		if sort != FieldUpdatedAt {
			value, err := s.value(ctx, sort, after.Position)
			if err != nil {
				return Page{}, err
			}
			st.text(string(sort) + ", updated_at, position)" + sign).arg(value).text(", ")
		} else {
			st.text("updated_at, position)" + sign)
		}
		st.arg(micros(after.Time)).text(", ").arg(after.Position).text(")")
	}
	st.text(" ORDER BY ")
	if sort != FieldUpdatedAt {
		st.text(string(sort) + order + ", ")
	}
	st.text("updated_at" + order + ", position" + order + " LIMIT ").arg(int64(limit) + 1)
	if skip > 0 {
		st.text(" OFFSET ").arg(int64(skip))
	}
	rows, err := s.db.QueryContext(ctx, st.String(), st.args...)
	if err != nil {
		return Page{}, fmt.Errorf("read a page: %w", err)
	}
	defer rows.Close()
	var page Page
	for rows.Next() {
		var at Place
		var n int64
		if err := rows.Scan(&n, &at.Position); err != nil {
			return Page{}, fmt.Errorf("read a page: %w", err)
		}
		at.Time = fromMicros(n)
		page.Places = append(page.Places, at)
	}
	if err := rows.Err(); err != nil {
		return Page{}, fmt.Errorf("read a page: %w", err)
	}
	if page.More = len(page.Places) > limit; page.More {
		page.Places = page.Places[:limit]
	}
	return page, nil
}

func (q *Query) sort() Field {
	if q.Sort == "" {
		return FieldUpdatedAt
	}
	return q.Sort
}

// all reports whether every record is selected.
func (q *Query) all() bool {
	return len(q.Equal) == 0 && len(q.Contains) == 0 && q.From.IsZero() && q.To.IsZero() && q.Through == 0
}

// where adds the conditions. The first field of indexed that is asked for drives the
// query, the others are looked at along its way.
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

// FillingError says that rows of an earlier version are not searched inside values yet.
type FillingError struct{ Missing int64 }

func (e *FillingError) Error() string {
	return fmt.Sprintf("rows of an earlier version are being made ready to be searched inside values: some %d are left", e.Missing)
}

// containing adds the conditions on what is inside values.
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

// value is a record's value in a column.
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

// Count counts what q selects, exactly up to most. Where there is more it returns most
// and false, and for every record together the store's own count, which others may have
// made wrong. most 0 counts all of it.
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

// Newest is the position that was given last, 0 in an empty store.
func (s *Store) Newest(ctx context.Context) (position int64, err error) { return s.newest(ctx, s.db) }

func (s *Store) newest(ctx context.Context, from querier) (position int64, err error) {
	err = from.QueryRowContext(ctx, "SELECT COALESCE(max(position), 0) FROM "+s.tables.events).Scan(&position)
	if err != nil {
		err = fmt.Errorf("read the newest position: %w", err)
	}
	return position, err
}

// Row returns the record at a position; false where there is none any more. Its Integrity
// says whether it is what was stored: where it is Damaged nothing of it can be relied on.
func (s *Store) Row(ctx context.Context, position int64) (Row, bool, error) {
	return s.row(ctx, s.rows().text(" WHERE e.position = ").arg(position))
}

// Find returns the record with this id, of those with equal ids the one that was
// inserted last. A tombstone has no id. See Row.
func (s *Store) Find(ctx context.Context, id string) (Row, bool, error) {
	return s.row(ctx, s.rows().text(" WHERE e.id = ").arg(column(id)).text(" AND e.tombstone = 0 ORDER BY e.position DESC LIMIT 1"))
}

func (s *Store) rows() *statement {
	digest := "NULL"
	if s.version >= versionDigest {
		digest = "e.digest"
	}
	return s.statement("SELECT e.position, j.name, e.sequence, e.tombstone, e.updated_at, e.received, e.namespace, e.id, e.data, " +
		"e.action, e.table_name, e.object_id, e.changed_by, e.changed_by_api_key, " + digest + " FROM " + s.tables.events + " e LEFT JOIN " + s.tables.journals + " j ON j.number = e.journal")
}

func (s *Store) row(ctx context.Context, st *statement) (Row, bool, error) {
	var w written
	var journal sql.NullString // null where the row is damaged
	c := &w.columns
	err := s.db.QueryRowContext(ctx, st.String(), st.args...).Scan(&w.position, &journal, &w.sequence, &w.tombstone, &w.at, &w.received, &w.namespace, &w.id, &w.data,
		&c[0], &c[1], &c[2], &c[3], &c[4], &w.digest)
	if errors.Is(err, sql.ErrNoRows) {
		return Row{}, false, nil
	}
	if err != nil {
		return Row{}, false, fmt.Errorf("read a record: %w", err)
	}
	r := Row{Position: w.position, Journal: journal.String, Sequence: uint64(w.sequence), Namespace: w.namespace, ID: w.id, Time: fromMicros(w.at),
		Received: fromMicros(w.received), Tombstone: w.tombstone != 0, Data: []byte(w.data), Integrity: integrity(journal.String, &w)}
	return r, true, nil
}
