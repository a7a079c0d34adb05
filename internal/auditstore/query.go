package auditstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"auditrelay"
)

// Query selects and orders records. The zero value selects every record, the newest
// first.
type Query struct {
	Namespace string           // empty: all
	Equal     map[Field]string // all must match exactly; keys from Filterable
	Contains  map[Field]string // all must match as a substring; keys from Inside
	From, To  time.Time        // bounds of updated_at, both inclusive; zero: none
	Sort      Field            // from Sortable; empty: FieldUpdatedAt
	Ascending bool
	// Through, if not 0, excludes records inserted after that position.
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

// Scattered reports whether what q selects lies scattered over the order that it asks for:
// no index gives it in that order.
func (q *Query) Scattered() bool {
	return q.sort() != FieldUpdatedAt && (q.Namespace != "" || len(q.Equal) > 0 || len(q.Contains) > 0 || !q.From.IsZero() || !q.To.IsZero())
}

// order is how a query's records are ordered, and where a page begins.
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

// by is the order as SQL says it.
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

// behind adds the condition that a record comes after the one where the page begins.
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
	// fewMatches are found and sorted at once: to walk along the order would cost more.
	fewMatches = 2000
	leastWalk  = 10_000
)

// walk looks for a page along the order asked for, at a bounded number of records, where
// very many records match: sorting all of them for each page would cost most. With
// matches spread evenly a page of l of n records is found within the square root of n
// times l. It reports whether it filled the page.
//
// Postgres decides so by its statistics.
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

// Positions calls fn with the position of each record that q selects, in order. It reads
// them in one go: where they are Scattered, page by page would sort them for each page.
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

// sort is the field to sort by. Where all have one value of it, time decides.
func (q *Query) sort() Field {
	if _, one := q.Equal[q.Sort]; one || q.Sort == "" {
		return FieldUpdatedAt
	}
	return q.Sort
}

// all reports whether every record is selected.
func (q *Query) all() bool {
	return q.Namespace == "" && len(q.Equal) == 0 && len(q.Contains) == 0 && q.From.IsZero() && q.To.IsZero() && q.Through == 0
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
	if q.Namespace != "" {
		name := "namespace"
		if driven {
			name = st.dialect.plain(name)
		}
		st.text(" AND " + name + " = ").arg(column(q.Namespace))
		if q.Namespace != usualNamespace && s.version >= versionConflict {
			st.text(" AND " + otherNamespace) // or its index is not looked at
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

// Found is what Find finds.
type Found struct {
	Row
	// Others with this id, as they were accepted, at most 100: those that came in the first
	// one's place later, and those of other namespaces.
	Others []Other
}

// Other is another record with the same id.
type Other struct {
	Namespace string
	Journal   string
	Sequence  uint64
	Received  time.Time
	Conflict  bool
}

const (
	usualNamespace = auditrelay.NamespaceLiteLLM
	maxOthers      = 100
)

// Find returns the record with this id, in a namespace unless that is empty: of several
// the one that was accepted first, LiteLLM's before those of other namespaces. A tombstone
// has no id. See Row.
func (s *Store) Find(ctx context.Context, namespace, id string) (found Found, ok bool, err error) {
	with := func(st *statement) *statement {
		st.text(" WHERE e.id = ").arg(column(id)).text(" AND e.tombstone = 0")
		if namespace != "" {
			st.text(" AND e.namespace = ").arg(column(namespace))
		}
		conflict := ""
		if s.version >= versionConflict {
			conflict = "e.conflict, "
		}
		return st.text(" ORDER BY CASE WHEN e.namespace = ").arg(usualNamespace).text(" THEN 0 ELSE 1 END, " + conflict + "e.received, e.position LIMIT ")
	}
	if found.Row, ok, err = s.row(ctx, with(s.rows()).text("1")); err != nil || !ok {
		return found, ok, err
	}
	st := with(s.statement("SELECT e.namespace, j.name, e.sequence, e.received, " + s.conflict() + " FROM " + s.tables.events + " e LEFT JOIN " + s.tables.journals + " j ON j.number = e.journal")).arg(int64(maxOthers + 1))
	rows, err := s.db.QueryContext(ctx, st.String(), st.args...)
	if err != nil {
		return found, false, fmt.Errorf("read the records of one id: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var o Other
		var journal sql.NullString
		var sequence, received, conflict int64
		if err := rows.Scan(&o.Namespace, &journal, &sequence, &received, &conflict); err != nil {
			return found, false, fmt.Errorf("read the records of one id: %w", err)
		}
		o.Journal, o.Sequence, o.Received, o.Conflict = journal.String, uint64(sequence), fromMicros(received), conflict != 0
		if o.Journal != found.Journal || o.Sequence != found.Sequence {
			found.Others = append(found.Others, o)
		}
	}
	return found, true, rows.Err()
}

// conflict is the column, in a table e that may lack it.
func (s *Store) conflict() string {
	if s.version < versionConflict {
		return "0"
	}
	return "e.conflict"
}

func (s *Store) rows() *statement {
	digest := "NULL"
	if s.version >= versionDigest {
		digest = "e.digest"
	}
	mapping := "''"
	if s.version >= versionMapping {
		mapping = "e.mapping"
	}
	return s.statement("SELECT e.position, j.name, e.sequence, e.tombstone, e.updated_at, e.received, e.namespace, e.id, e.data, " +
		"e.action, e.table_name, e.object_id, e.changed_by, e.changed_by_api_key, " + digest + ", " + s.conflict() + ", " + mapping + " FROM " + s.tables.events + " e LEFT JOIN " + s.tables.journals + " j ON j.number = e.journal")
}

func (s *Store) row(ctx context.Context, st *statement) (Row, bool, error) {
	r, err := scanRow(s.db.QueryRowContext(ctx, st.String(), st.args...).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Row{}, false, nil
	}
	if err != nil {
		return Row{}, false, fmt.Errorf("read a record: %w", err)
	}
	return r, true, nil
}

// scanRow reads what rows selects.
func scanRow(scan func(...any) error) (Row, error) {
	var w written
	var journal sql.NullString // null where the row is damaged
	var conflict int64
	c := &w.columns
	err := scan(&w.position, &journal, &w.sequence, &w.tombstone, &w.at, &w.received, &w.namespace, &w.id, &w.data,
		&c[0], &c[1], &c[2], &c[3], &c[4], &w.digest, &conflict, &w.mapping)
	if err != nil {
		return Row{}, err
	}
	return Row{Position: w.position, Journal: journal.String, Sequence: uint64(w.sequence), Namespace: w.namespace, ID: w.id, Time: fromMicros(w.at),
		Received: fromMicros(w.received), Tombstone: w.tombstone != 0, Conflict: conflict != 0, Mapping: parseMapping(w.mapping), Data: []byte(w.data), Integrity: integrity(journal.String, &w)}, nil
}
