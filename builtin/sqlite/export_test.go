package sqlite

import (
	"database/sql"
	"fmt"
	"testing"
)

// Connections returns one connection of each kind that the package opens.
func Connections(t *testing.T, path string) map[string]*sql.DB {
	t.Helper()
	if err := create(path); err != nil {
		t.Fatal(err)
	}
	all := map[string]*sql.DB{}
	for name, how := range map[string]access{"writing": writing, "reading": reading} {
		db, err := sql.Open("sqlite", dsn(path, how))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		all[name] = db
	}
	return all
}

// LimitPages makes SQLite treat the disk as full at this number of pages, while the sink has its
// database open.
func LimitPages(t *testing.T, s *Sink, pages int) {
	t.Helper()
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.store, err = open(t.Context(), s.path, writing, fmt.Sprintf("max_page_count(%d)", pages)); err != nil {
		t.Fatal(err)
	}
}
