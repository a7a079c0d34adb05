package delivery_test

import (
	"context"
	"fmt"
	"testing"

	"auditrelay"
	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime/internal/journal"
	"auditrelay/runtime/internal/pgstore"
)

// TestHistoriesOnPostgres is TestHistories, with fewer runs, on a journal in a Postgres server.
func TestHistoriesOnPostgres(t *testing.T) {
	n := 4
	if testing.Short() {
		n = 1
	}
	server := pgtest.Start(t, "fsync = on", "wal_sync_method = fdatasync")
	for seed := uint64(1); seed <= uint64(n); seed++ {
		w := newWorld(seed, func(string, ...any) {}, false)
		o := pgstore.Options{URL: auditrelay.Secret(server.URL("owner", "postgres")), Schema: fmt.Sprint("history", seed), PartBytes: 4 << 10}
		w.server = func() (journal.Shared, error) {
			s, err := pgstore.Open(context.Background(), o)
			if err != nil {
				return nil, err
			}
			return s, nil
		}
		if err := w.play(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
