package pgstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime/internal/journal"
	"auditrelay/runtime/internal/journal/journaltest"
	"auditrelay/runtime/internal/pgstore"
)

// safe are the settings without which the store refuses the server; tests of others have
// fsync off.
var safe = []string{"fsync = on", "wal_sync_method = fdatasync"}

var schemas atomic.Int64

// options are those of a new schema on a server.
func options(s *pgtest.Server) pgstore.Options {
	return pgstore.Options{URL: auditrelay.Secret(s.URL("owner", "postgres")), Schema: fmt.Sprint("j", schemas.Add(1)), LockWait: 100 * time.Millisecond, Wait: 20 * time.Second}
}

func place(po pgstore.Options) journaltest.Place {
	return func(o journal.Options) (*journal.Journal, error) {
		s, err := pgstore.Open(context.Background(), po)
		if err != nil {
			return nil, err
		}
		return journal.OpenShared(s, "", o)
	}
}

// TestContract runs the journal's contract on Postgres.
func TestContract(t *testing.T) {
	server := pgtest.Start(t, safe...)
	journaltest.Run(t, func(t *testing.T) journaltest.Place {
		po := options(server)
		po.PartBytes = 1000 // each test has many partitions
		return place(po)
	})
}

func TestRefusedServers(t *testing.T) {
	for setting, want := range map[string]string{
		"fsync = off":              "fsync",
		"synchronous_commit = off": "synchronous_commit",
	} {
		t.Run(setting, func(t *testing.T) {
			server := pgtest.Start(t, append(safe, setting)...)
			_, err := pgstore.Open(t.Context(), options(server))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("open: %v", err)
			}
		})
	}
}
