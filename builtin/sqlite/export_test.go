package sqlite

import (
	"database/sql"
	"fmt"
	"testing"
)

// Connections are one of each way in which the package opens a database.
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

// LimitPages has SQLite take the disk for full at so many pages, as long as the sink
// has its database open.
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
