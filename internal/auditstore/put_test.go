package auditstore_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/postgres"
	"auditrelay/internal/auditstore"
	"auditrelay/internal/test/pgtest"

	_ "modernc.org/sqlite"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// opener creates an empty store.
type opener func(t *testing.T) *auditstore.Store

// everywhere runs a test on both databases. It starts one Postgres, with a schema for each
// store.
func everywhere(t *testing.T, test func(t *testing.T, open opener)) {
	t.Run("sqlite", func(t *testing.T) { test(t, inSQLite) })
	t.Run("postgres", func(t *testing.T) {
		server := pgtest.Start(t)
		schemas := 0
		test(t, func(t *testing.T) *auditstore.Store {
			t.Helper()
			schemas++
			o := postgres.Options{URL: auditrelay.Secret(server.URL("owner", "postgres")), Schema: fmt.Sprint("store_", schemas)}
			s, err := postgres.Maintain(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		})
	})
}

func inSQLite(t *testing.T) *auditstore.Store {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "a.db")+"?_txlock=immediate&_pragma=busy_timeout(2000)")
	if err != nil {
		t.Fatal(err)
	}
	s, err := auditstore.New(t.Context(), db, auditstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func record(sequence uint64, id, data string) auditstore.Record {
	return auditstore.Record{Sequence: sequence, Namespace: "litellm", ID: id, Time: noon.Add(time.Duration(sequence) * time.Second), Received: noon, Data: []byte(data)}
}

func tombstone(sequence uint64) auditstore.Record {
	r := record(sequence, "", fmt.Sprintf(`{"auditrelay_tombstone":true,"sequence":%d}`, sequence))
	r.Tombstone = true
	return r
}

// everything returns the contents of a store in the order of insertion.
func everything(t *testing.T, s *auditstore.Store) (all []string) {
	t.Helper()
	page, err := s.Skip(t.Context(), auditstore.Query{}, 0, auditstore.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(page.Places, func(a, b auditstore.Place) int { return int(a.Position - b.Position) })
	for _, at := range page.Places {
		r, ok, err := s.Row(t.Context(), at.Position)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		all = append(all, fmt.Sprintf("%s/%d %s %s", r.Journal, r.Sequence, r.ID, r.Data))
	}
	if n, err := s.Rows(t.Context()); err != nil || int(n) != len(all) {
		t.Errorf("it counts %d records, %v; there are %d", n, err, len(all))
	}
	return all
}

func TestPut(t *testing.T) {
	everywhere(t, testPut)
}

func testPut(t *testing.T, open opener) {
	type step struct {
		journal string
		records []auditstore.Record
		want    auditstore.Stored
	}
	one, two := record(1, "a", `{"n":1}`), record(2, "b", `{"n":2}`)
	for name, tt := range map[string]struct {
		steps []step
		want  []string
	}{
		"again": {[]step{
			{"j.1", []auditstore.Record{one, two}, auditstore.Stored{Inserted: 2}},
			{"j.1", []auditstore.Record{one, two}, auditstore.Stored{Known: 2}},
			{"j.1", []auditstore.Record{two, record(3, "c", `{}`)}, auditstore.Stored{Known: 1, Inserted: 1}},
		}, []string{`j.1/1 a {"n":1}`, `j.1/2 b {"n":2}`, `j.1/3 c {}`}},
		"a replay through other filters": {[]step{
			{"j.1", []auditstore.Record{one, two}, auditstore.Stored{Inserted: 2}},
			{"j.1", []auditstore.Record{record(1, "a", `{"n":"***"}`), two}, auditstore.Stored{Replaced: 1, Known: 1}},
		}, []string{`j.1/1 a {"n":"***"}`, `j.1/2 b {"n":2}`}},
		"a tombstone and its event": {[]step{
			{"j.1", []auditstore.Record{tombstone(1), two}, auditstore.Stored{Inserted: 2}},
			{"j.1", []auditstore.Record{one}, auditstore.Stored{Replaced: 1}},
			{"j.1", []auditstore.Record{tombstone(1)}, auditstore.Stored{Known: 1}},
		}, []string{`j.1/1 a {"n":1}`, `j.1/2 b {"n":2}`}},
		"a restored journal": {[]step{
			{"j.1", []auditstore.Record{one, two}, auditstore.Stored{Inserted: 2}},
			// Repeated events get new numbers; another event has the number.
			{"j.2", []auditstore.Record{record(2, "c", `{"n":3}`), record(3, "b", `{"n":2}`)}, auditstore.Stored{Inserted: 1, Known: 1}},
			// A repeated delivery stays the same, even through other filters.
			{"j.2", []auditstore.Record{one}, auditstore.Stored{Known: 1}},
			{"j.2", []auditstore.Record{record(1, "a", `{"n":"***"}`)}, auditstore.Stored{Replaced: 1}},
		}, []string{`j.2/1 a {"n":"***"}`, `j.1/2 b {"n":2}`, `j.2/2 c {"n":3}`}},
		"an id that comes again with other contents": {[]step{
			{"j.1", []auditstore.Record{one}, auditstore.Stored{Inserted: 1}},
			{"j.1", []auditstore.Record{record(9, "a", `{"n":9}`)}, auditstore.Stored{Inserted: 1}},
			{"j.1", []auditstore.Record{record(9, "a", `{"n":9}`), one}, auditstore.Stored{Known: 2}},
		}, []string{`j.1/1 a {"n":1}`, `j.1/9 a {"n":9}`}},
		"the same id in another namespace": {[]step{
			{"j.1", []auditstore.Record{one}, auditstore.Stored{Inserted: 1}},
			{"j.1", []auditstore.Record{{Sequence: 2, Namespace: "emitted", ID: "a", Data: []byte(`{"n":1}`)}}, auditstore.Stored{Inserted: 1}},
		}, []string{`j.1/1 a {"n":1}`, `j.1/2 a {"n":1}`}},
		"two relays": {[]step{
			{"j.1", []auditstore.Record{one}, auditstore.Stored{Inserted: 1}},
			{"k.1", []auditstore.Record{record(1, "z", `{"n":1}`), tombstone(2)}, auditstore.Stored{Inserted: 2}},
		}, []string{`j.1/1 a {"n":1}`, `k.1/1 z {"n":1}`, `k.1/2  {"auditrelay_tombstone":true,"sequence":2}`}},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			for i, step := range tt.steps {
				got, err := s.Put(t.Context(), step.journal, step.records, 0)
				got.Writes = 0
				if err != nil || got != step.want {
					t.Fatalf("step %d: %+v, %v; want %+v", i, got, err, step.want)
				}
			}
			if got := everything(t, s); !slices.Equal(got, tt.want) {
				t.Errorf("stored:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// Values that no column or index accepts are found nevertheless, and distinguished.
func TestOddValuesAreFound(t *testing.T) {
	everywhere(t, testOddValuesAreFound)
}

func testOddValuesAreFound(t *testing.T, open opener) {
	long := strings.Repeat("x", 5000)
	for name, pair := range map[string][2]string{
		"long": {long, long + "y"}, "a null character": {"a\x00b", "a?b"}, "half a character": {strings.Repeat("é", 300), strings.Repeat("é", 299) + "e"},
		"quotes": {`'"; DROP TABLE auditrelay_events; --`, `'`}, "wildcards": {"a%b_c", "axbyc"}, "case": {"Alice", "alice"}, "space": {"a ", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			var records []auditstore.Record
			for i, value := range pair {
				text := fmt.Sprintf(`{"object_id":%s}`, quoted(value))
				records = append(records, record(uint64(i+1), value, text))
			}
			if _, err := s.Put(t.Context(), "j.1", records, 0); err != nil {
				t.Fatal(err)
			}
			for i, value := range pair {
				q := auditstore.Query{Equal: map[auditstore.Field]string{auditstore.FieldObject: value, auditstore.FieldID: value}}
				page, err := s.Skip(t.Context(), q, 0, 10)
				if err != nil || len(page.Places) != 1 {
					t.Fatalf("%.20q: %d found, %v", value, len(page.Places), err)
				}
				r, ok, err := s.Find(t.Context(), "", value)
				if err != nil || !ok || r.Sequence != uint64(i+1) {
					t.Errorf("%.20q by id: %v, %v, %v", value, r.Sequence, ok, err)
				}
			}
		})
	}
}

func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		if c < ' ' || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\u%04x`, c)
			continue
		}
		b.WriteRune(c)
	}
	b.WriteByte('"')
	return b.String()
}

// Purging goes by time of receipt, in small steps, and counts the deletions until they are
// reported.
func TestPurge(t *testing.T) {
	everywhere(t, testPurge)
}

func testPurge(t *testing.T, open opener) {
	s := open(t)
	var records []auditstore.Record
	for n := range 1200 {
		r := record(uint64(n+1), fmt.Sprint("id-", n), "{}")
		r.Time = noon.AddDate(100, 0, 0) // a producer that wants its event kept
		r.Received = noon.Add(time.Duration(n) * time.Minute)
		records = append(records, r)
	}
	if _, err := s.Put(t.Context(), "j.1", records, 0); err != nil {
		t.Fatal(err)
	}
	keep := auditstore.Keep{Age: time.Hour, Rows: 1000}
	var steps []int64
	for {
		n, err := s.Purge(t.Context(), noon.Add(61*time.Minute+600*time.Minute), keep)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		steps = append(steps, n)
	}
	if !slices.Equal(steps, []int64{500, 101}) {
		t.Errorf("deleted %v", steps)
	}
	left := everything(t, s)
	if len(left) != 599 || !strings.HasPrefix(left[0], "j.1/602 ") {
		t.Errorf("%d are left, the first %s", len(left), left[0])
	}
	if n, err := s.Untold(t.Context()); err != nil || n != 601 {
		t.Errorf("to tell: %d, %v", n, err)
	}
	if err := s.Told(t.Context(), 601); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Untold(t.Context()); err != nil || n != 0 {
		t.Errorf("told: %d, %v", n, err)
	}
}

// A search filtered by one field and sorted by another returns the same pages for either plan:
// along the order, or by sorting all matches. The positions of the matches decide the plan.
func TestScatteredPages(t *testing.T) {
	everywhere(t, testScatteredPages)
}

func testScatteredPages(t *testing.T, open opener) {
	s := open(t)
	const rows = 12_000
	var all []auditstore.Record
	for n := range rows {
		action, table := "created", "a"
		if n%5 != 0 { // most: spread evenly
			action = "updated"
		}
		if n < 2500 { // the last in the order of users, and more than a few
			table = "b"
		}
		all = append(all, record(uint64(n+1), fmt.Sprintf("id-%05d", n), fmt.Sprintf(`{"changed_by":"user-%05d","action":%q,"table_name":%q,"updated_values":{"team_id":"t%d"}}`, rows-n*7%1000-n/1000, action, table, n%2)))
	}
	for part := range slices.Chunk(all, 1000) {
		if _, err := s.Put(t.Context(), "j.1", part, 0); err != nil {
			t.Fatal(err)
		}
	}
	for name, q := range map[string]auditstore.Query{
		"even": {Equal: map[auditstore.Field]string{auditstore.FieldAction: "updated"}}, "at one end": {Equal: map[auditstore.Field]string{auditstore.FieldTable: "b"}},
		"both": {Equal: map[auditstore.Field]string{auditstore.FieldTable: "b", auditstore.FieldAction: "updated"}}, "few": {Equal: map[auditstore.Field]string{auditstore.FieldID: "id-00007"}},
		"times": {From: noon.Add(time.Hour)}, "inside": {Equal: map[auditstore.Field]string{auditstore.FieldAction: "updated"}, Contains: map[auditstore.Field]string{auditstore.FieldTeam: "t1"}},
		"by itself": {Equal: map[auditstore.Field]string{auditstore.FieldChangedBy: "user-11993"}},
	} {
		for _, ascending := range []bool{false, true} {
			q.Sort, q.Ascending = auditstore.FieldChangedBy, ascending
			var whole, byPage []int64
			if err := s.Positions(t.Context(), q, func(position int64) error { whole = append(whole, position); return nil }); err != nil {
				t.Fatal(err)
			}
			page, err := s.Skip(t.Context(), q, 0, 700)
			for err == nil {
				for _, at := range page.Places {
					byPage = append(byPage, at.Position)
				}
				if !page.More {
					break
				}
				page, err = s.After(t.Context(), q, page.Places[len(page.Places)-1], 700)
			}
			if err != nil || len(whole) == 0 || !slices.Equal(byPage, whole) {
				t.Errorf("%s, ascending %v: %d at once, %d by pages, %v", name, ascending, len(whole), len(byPage), err)
			}
			if page, err := s.Skip(t.Context(), q, len(whole)/2, 5); err != nil || page.Places[0].Position != whole[len(whole)/2] {
				t.Errorf("%s: in the middle, %v", name, err)
			}
		}
	}
}

// A page costs the same at any position, and every field sorts by its bytes.
func TestPages(t *testing.T) {
	everywhere(t, testPages)
}

func testPages(t *testing.T, open opener) {
	s := open(t)
	var records []auditstore.Record
	for n := range 90 {
		r := record(uint64(n+1), fmt.Sprintf("id-%02d", n), fmt.Sprintf(`{"changed_by":%q,"action":"created"}`, []string{"b", "B", "é", "a", ""}[n%5]))
		r.Time = noon.Add(time.Duration(n/3) * time.Second) // several at a time
		records = append(records, r)
	}
	if _, err := s.Put(t.Context(), "j.1", records, 0); err != nil {
		t.Fatal(err)
	}
	for _, q := range []auditstore.Query{
		{}, {Ascending: true}, {Sort: auditstore.FieldChangedBy}, {Sort: auditstore.FieldChangedBy, Ascending: true}, {Sort: auditstore.FieldAction},
		{Equal: map[auditstore.Field]string{auditstore.FieldAction: "created", auditstore.FieldChangedBy: "é"}},
		{Equal: map[auditstore.Field]string{auditstore.FieldChangedBy: "B"}, Sort: auditstore.FieldID, Ascending: true},
		{From: noon.Add(5 * time.Second), To: noon.Add(9 * time.Second)}, {Through: 33},
	} {
		whole, err := s.Skip(t.Context(), q, 0, 1000)
		if err != nil || whole.More {
			t.Fatal(err, whole.More)
		}
		var byCursor, byPage []auditstore.Place
		page, err := s.Skip(t.Context(), q, 0, 7)
		for err == nil {
			byCursor = append(byCursor, page.Places...)
			if !page.More {
				break
			}
			page, err = s.After(t.Context(), q, page.Places[len(page.Places)-1], 7)
		}
		for skip := 0; err == nil; skip += 7 {
			if page, err = s.Skip(t.Context(), q, skip, 7); err == nil {
				byPage = append(byPage, page.Places...)
			}
			if !page.More {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(byCursor, whole.Places) || !slices.Equal(byPage, whole.Places) {
			t.Errorf("%+v: %d at once, %d by cursor, %d by page", q, len(whole.Places), len(byCursor), len(byPage))
		}
		n, exact, err := s.Count(t.Context(), q, 0)
		if err != nil || !exact || int(n) != len(whole.Places) {
			t.Errorf("%+v: %d counted, %v, %v; there are %d", q, n, exact, err, len(whole.Places))
		}
	}
	sorted, err := s.Skip(t.Context(), auditstore.Query{Sort: auditstore.FieldChangedBy, Ascending: true}, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, at := range sorted.Places {
		r, _, err := s.Row(t.Context(), at.Position)
		if err != nil {
			t.Fatal(err)
		}
		order = append(order, string(r.Data))
	}
	if order = slices.Compact(order); strings.Join(order, "") != `{"changed_by":"","action":"created"}{"changed_by":"B","action":"created"}{"changed_by":"a","action":"created"}{"changed_by":"b","action":"created"}{"changed_by":"é","action":"created"}` {
		t.Errorf("sorted: %v", order)
	}
	if n, exact, err := s.Count(t.Context(), auditstore.Query{Sort: "x", Equal: map[auditstore.Field]string{auditstore.FieldAction: "created"}}, 50); err != nil || exact || n != 50 {
		t.Errorf("counted up to 50: %d, %v, %v", n, exact, err)
	}
	for _, q := range []auditstore.Query{{Sort: "data; DROP TABLE x"}, {Equal: map[auditstore.Field]string{"data": "x"}}} {
		if _, err := s.Skip(t.Context(), q, 0, 1); err == nil {
			t.Errorf("%+v was taken", q)
		}
	}
	if _, err := s.After(t.Context(), auditstore.Query{Sort: auditstore.FieldID}, auditstore.Place{Position: 999}, 1); err != auditstore.ErrGone {
		t.Errorf("behind what is gone: %v", err)
	}
}
