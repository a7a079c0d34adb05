package auditstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// MaxPage limits the number of records in one page.
const MaxPage = 1000

// Place is a record's position in an order.
type Place struct {
	Time     time.Time
	Position int64
}

// Page is part of a query's result.
type Page struct {
	Places []Place
	More   bool // there are more records after it
}

// ErrGone means that the record after which a page should continue no longer exists.
var ErrGone = errors.New("the record that the page goes on from is gone")

// Skip returns at most limit places after the first skip ones. Its cost grows with skip.
func (s *Store) Skip(ctx context.Context, q Query, skip, limit int) (Page, error) {
	return s.page(ctx, q, nil, skip, limit)
}

// After returns at most limit places after a given one. The cost does not depend on the
// position in the order.
func (s *Store) After(ctx context.Context, q Query, after Place, limit int) (Page, error) {
	return s.page(ctx, q, &after, 0, limit)
}

func (s *Store) page(ctx context.Context, q Query, after *Place, skip, limit int) (Page, error) {
	limit = min(max(limit, 1), MaxPage)
	o, err := s.order(ctx, &q, after)
	if err != nil {
		return Page{}, err
	}
	if s.options.Dialect == SQLite && q.Scattered() {
		page, filled, err := s.walk(ctx, &q, o, skip, limit)
		if err != nil || filled {
			return page, err
		}
	}
	st := s.statement("SELECT updated_at, position FROM " + s.tables.events)
	if err := s.where(ctx, &q, st); err != nil {
		return Page{}, err
	}
	o.behind(st)
	st.text(" ORDER BY "+o.by()).limit(skip, limit)
	places, err := s.places(ctx, st)
	if err != nil {
		return Page{}, err
	}
	return pageOf(places, limit), nil
}

// Scattered reports whether no index returns q's result in the requested order.
func (q *Query) Scattered() bool {
	return q.sort() != FieldUpdatedAt && (q.Namespace != "" || q.hasOrigin() || len(q.Equal) > 0 || len(q.Contains) > 0 || !q.From.IsZero() || !q.To.IsZero())
}

// order is the order of a query's records and the start of a page.
type order struct {
	field     Field
	ascending bool
	after     *Place
	value     string // of field, at after
}

func (s *Store) order(ctx context.Context, q *Query, after *Place) (order, error) {
	o := order{field: q.sort(), ascending: q.Ascending, after: after}
	if !slices.Contains(Sortable(), o.field) {
		return o, fmt.Errorf("the records cannot be sorted by %q", string(o.field))
	}
	if after == nil || o.field == FieldUpdatedAt {
		return o, nil
	}
	var err error
	o.value, err = s.value(ctx, o.field, after.Position)
	return o, err
}

// by returns the order as SQL.
func (o *order) by() string {
	way := " DESC"
	if o.ascending {
		way = " ASC"
	}
	by := "updated_at" + way + ", position" + way
	if o.field != FieldUpdatedAt {
		by = string(o.field) + way + ", " + by
	}
	return by
}

// behind adds the condition that a record comes after the start of the page.
func (o *order) behind(st *statement) {
	if o.after == nil {
		return
	}
	sign := " < ("
	if o.ascending {
		sign = " > ("
	}
	st.text(" AND (")
	if o.field != FieldUpdatedAt {
		st.text(string(o.field) + ", updated_at, position)" + sign).arg(o.value).text(", ")
	} else {
		st.text("updated_at, position)" + sign)
	}
	st.arg(micros(o.after.Time)).text(", ").arg(o.after.Position).text(")")
}

func (q *statement) limit(skip, limit int) {
	q.text(" LIMIT ").arg(int64(limit) + 1)
	if skip > 0 {
		q.text(" OFFSET ").arg(int64(skip))
	}
}

func pageOf(places []Place, limit int) Page {
	page := Page{Places: places, More: len(places) > limit}
	if page.More {
		page.Places = places[:limit]
	}
	return page
}

func (s *Store) places(ctx context.Context, st *statement) (places []Place, err error) {
	rows, err := s.db.QueryContext(ctx, st.String(), st.args...)
	if err != nil {
		return nil, fmt.Errorf("read a page: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var at Place
		var n int64
		if err := rows.Scan(&n, &at.Position); err != nil {
			return nil, fmt.Errorf("read a page: %w", err)
		}
		at.Time = fromMicros(n)
		places = append(places, at)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read a page: %w", err)
	}
	return places, nil
}

const (
	// Up to fewMatches matches are collected and sorted at once, which costs less than walking
	// along the order.
	fewMatches = 2000
	leastWalk  = 10_000
)

// walk looks for a page along the requested order and reads a limited number of records. It is
// for queries with very many matches, where sorting all of them for each page would cost most.
// If matches are spread evenly, it finds a page of l out of n records within sqrt(n)*l records.
// filled reports whether it filled the page.
//
// Postgres makes this decision itself from its statistics.
func (s *Store) walk(ctx context.Context, q *Query, o order, skip, limit int) (page Page, filled bool, err error) {
	driving := Query{Namespace: q.Namespace, From: q.From, To: q.To}
	for _, f := range indexed {
		if value, ok := q.Equal[f]; ok {
			driving = Query{Equal: map[Field]string{f: value}}
			break
		}
	}
	matches, exact, err := s.Count(ctx, driving, fewMatches)
	if err != nil || exact && matches <= fewMatches {
		return page, false, err
	}
	total, err := s.Rows(ctx)
	if err != nil {
		return page, false, err
	}
	most := max(leastWalk, 8*int64(math.Sqrt(float64(max(total, 0))*float64(skip+limit+1))))
	inner := "position, updated_at, action, table_name"
	for _, f := range append([]Field{o.field}, indexed...) {
		if _, asked := q.Equal[f]; (asked || f == o.field) && f != FieldAction && f != FieldTable {
			inner += ", " + string(f)
		}
	}
	if q.Namespace != "" {
		inner += ", namespace"
	}
	if q.hasOrigin() {
		inner += ", source, principal"
	}
	if len(q.Contains) > 0 {
		inner += ", teams, team_names, tokens"
	}
	st := s.statement("SELECT updated_at, position FROM (SELECT " + inner + " FROM " + s.tables.events + " WHERE 1 = 1")
	o.behind(st)
	st.text(" ORDER BY " + o.by() + " LIMIT ").arg(most).text(")")
	if err := s.where(ctx, q, st); err != nil {
		return page, false, err
	}
	st.text(" ORDER BY "+o.by()).limit(skip, limit)
	places, err := s.places(ctx, st)
	return pageOf(places, limit), len(places) > limit, err
}

// Positions calls fn with the position of each record that q selects, in order. It runs one
// query. If the records are Scattered, reading page by page would sort them again for each
// page.
func (s *Store) Positions(ctx context.Context, q Query, fn func(position int64) error) error {
	o, err := s.order(ctx, &q, nil)
	if err != nil {
		return err
	}
	st := s.statement("SELECT position FROM " + s.tables.events)
	if err := s.where(ctx, &q, st); err != nil {
		return err
	}
	st.text(" ORDER BY " + o.by())
	rows, err := s.db.QueryContext(ctx, st.String(), st.args...)
	if err != nil {
		return fmt.Errorf("read positions: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var position int64
		if err := rows.Scan(&position); err != nil {
			return fmt.Errorf("read positions: %w", err)
		}
		if err := fn(position); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read positions: %w", err)
	}
	return nil
}
