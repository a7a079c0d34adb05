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

// TestRefusedAtTheDoor: each refusal says what to do, and none shows the password.
func TestRefusedAtTheDoor(t *testing.T) {
	server := pgtest.Start(t, safe...)
	db := server.Connect(t, "owner", "postgres")
	db.Exec("CREATE ROLE poor LOGIN; CREATE ROLE careless LOGIN; ALTER ROLE careless SET synchronous_commit = off; CREATE SCHEMA given AUTHORIZATION poor")
	newer := options(server)
	if err := open(t, newer).Close(); err != nil {
		t.Fatal(err)
	}
	db.Exec("UPDATE " + newer.Schema + ".journal SET format = 99")
	for _, test := range []struct {
		name string
		with func(*pgstore.Options)
		want string // in the error; empty: it opens
	}{
		{"a role that may not make the schema", func(o *pgstore.Options) { o.URL = auditrelay.Secret(server.URL("poor", "postgres")) }, "CREATE SCHEMA"},
		{"a role that has the schema", func(o *pgstore.Options) {
			o.URL, o.Schema = auditrelay.Secret(server.URL("poor", "postgres")), "given"
		}, ""},
		{"another's schema", func(o *pgstore.Options) {
			o.URL, o.Schema = auditrelay.Secret(server.URL("careless", "postgres")), newer.Schema
			o.UnsafeNoSync = true
		}, "permission denied"},
		{"a role without synchronous_commit", func(o *pgstore.Options) { o.URL = auditrelay.Secret(server.URL("careless", "postgres")) }, "synchronous_commit = off for this role"},
		{"a newer program's tables", func(o *pgstore.Options) { o.Schema = newer.Schema }, "format version 99"},
		{"no such database", func(o *pgstore.Options) { o.URL = auditrelay.Secret(server.URL("owner", "nowhere")) }, "does not exist"},
		{"a pooler", func(o *pgstore.Options) {
			o.URL = auditrelay.Secret(server.Bouncer(t, "owner", "postgres", "pool_mode=session"))
		}, "connect to the server itself"},
		{"a string that is none", func(o *pgstore.Options) { o.URL = "postgres://u:s3cr3t@l@h/d" }, "journal.postgres.url:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			po := options(server)
			test.with(&po)
			s, err := pgstore.Open(t.Context(), po)
			switch {
			case err == nil && test.want == "":
				s.Close()
			case err == nil || test.want == "" || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "s3cr3t"):
				t.Errorf("open: %v", err)
			}
		})
	}
}
