package pgstore

import (
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/internal/test/pgtest"
)

// TestProbe: the probe reports what Open would refuse, and changes nothing.
func TestProbe(t *testing.T) {
	server := pgtest.Start(t, "fsync = on", "wal_sync_method = fdatasync")
	standby := server.Standby(t)
	server.Synchronous(t)
	db := server.Connect(t, "owner", "postgres")
	db.Exec("CREATE ROLE poor LOGIN")
	db.Exec("CREATE SCHEMA others")
	db.Exec("CREATE SCHEMA newer")
	db.Exec("CREATE TABLE newer.journal AS SELECT 99 AS format")
	of := func(s *pgtest.Server, role, schema string) Options {
		return Options{URL: auditrelay.Secret(s.URL(role, "postgres")), Schema: schema}
	}
	old := of(server, "owner", "new")
	old.leastVersion = 990000
	for _, test := range []struct {
		name string
		o    Options
		want string // in the error; empty: none
	}{
		{"all is well", of(server, "owner", "new"), ""},
		{"an old version", old, "99 or later is needed"},
		{"a standby", of(standby, "owner", "new"), "it is a standby"},
		{"a schema that the role may not make", of(server, "poor", "new"), "CREATE SCHEMA"},
		{"another's schema", of(server, "poor", "others"), "GRANT USAGE"},
		{"a newer program's tables", of(server, "owner", "newer"), "format version 99"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Probe(t.Context(), test.o)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("probe: %v", err)
			}
			if test.want == "" {
				return
			}
			test.o.LockWait = 1
			if s, err := Open(t.Context(), test.o); err == nil {
				s.Close()
				t.Error("what the probe refuses can be opened")
			}
		})
	}
	if n := db.Exec("SELECT count(*) FROM pg_namespace WHERE nspname = 'new'")[0]; n != "0" {
		t.Error("the probe made a schema")
	}
	warnings, err := Probe(t.Context(), of(server, "owner", "new"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		if strings.Contains(w.What, "standby") {
			t.Errorf("there is a standby: %s", w.What)
		}
	}
}
