package auditstore_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"auditrelay/internal/auditstore"

	"modernc.org/sqlite"
)

// touched returns the number of database pages that fn makes SQLite read, cached or not.
func touched(t *testing.T, db *sql.DB, fn func() error) (pages int) {
	t.Helper()
	count := func() {
		t.Helper()
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		err = conn.Raw(func(c any) error {
			pages = 0
			for _, op := range []sqlite.DBStatusOp{sqlite.DBStatusCacheHit, sqlite.DBStatusCacheMiss} {
				n, _, err := c.(sqlite.DBStatus).Status(op, true)
				if err != nil {
					return err
				}
				pages += n
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	count()
	if err := fn(); err != nil {
		t.Fatal(err)
	}
	count()
	return pages
}

// For a search filtered by one field and sorted by another, the first page, a page far behind,
// and a record by its id cost about the same for any size. An export of such a search costs
// about the same per record, and is not sorted again for every page.
func TestSearchesReadLittle(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "a.db")+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // the connection whose pages are counted
	s, err := auditstore.New(t.Context(), db, auditstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Put(t.Context(), "j.1", []auditstore.Record{record(1, "id-1", `{"changed_by":"user-0","action":"a0"}`)}, 0); err != nil {
		t.Fatal(err)
	}
	by := func(f auditstore.Field, value string) auditstore.Query {
		return auditstore.Query{Equal: map[auditstore.Field]string{f: value}, Sort: auditstore.FieldChangedBy}
	}
	rows := 1
	last := map[string]int{}
	for _, size := range []int{6_000, 24_000, 96_000} {
		// Rows as created by Put, without their text: they are only searched.
		_, err := db.ExecContext(t.Context(), `WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO auditrelay_events (journal, sequence, tombstone, updated_at, received, action, table_name, object_id, changed_by, changed_by_api_key, namespace, id, data, teams, team_names, tokens)
			SELECT 1, i, 0, i * 1000000, 0, 'a' || (i % 6), 't' || (i % 3), 'o' || (i % 5000), 'user-' || (i * 31 % 1000), '', 'litellm', 'id-' || i, '{}', '', '', '' FROM n`, rows+1, size)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE auditrelay_meta SET value = ? WHERE name = 'rows'", size); err != nil {
			t.Fatal(err)
		}
		rows = size
		var far auditstore.Place
		page, err := s.Skip(t.Context(), by(auditstore.FieldAction, "a1"), size/12, 1)
		if err != nil || len(page.Places) == 0 {
			t.Fatal(err)
		}
		far = page.Places[0]
		for name, fn := range map[string]func() error{
			"a page":         func() error { _, err := s.Skip(t.Context(), by(auditstore.FieldAction, "a1"), 0, 10); return err },
			"a page further": func() error { _, err := s.After(t.Context(), by(auditstore.FieldAction, "a1"), far, 10); return err },
			"by another":     func() error { _, err := s.Skip(t.Context(), by(auditstore.FieldTable, "t1"), 0, 10); return err },
			"an id":          func() error { _, _, err := s.Find(t.Context(), "", fmt.Sprint("id-", size/2)); return err },
		} {
			pages := touched(t, db, fn)
			if before, ok := last[name]; ok && pages > 2*before+20 {
				t.Errorf("%s of %d records looks at %d pages, of a quarter as many at %d", name, size, pages, before)
			}
			last[name] = pages
		}
		n := 0
		pages := touched(t, db, func() error {
			return s.Positions(t.Context(), by(auditstore.FieldAction, "a1"), func(int64) error { n++; return nil })
		})
		if n < size/6-1 || pages > 4*n {
			t.Errorf("an export of %d of %d records looks at %d pages", n, size, pages)
		}
		t.Logf("%d records: %v; an export of %d: %d", size, last, n, pages)
	}
}
