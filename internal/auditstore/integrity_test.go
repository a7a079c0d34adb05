package auditstore_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/builtin/postgres"
	"auditrelay/builtin/sqlite"
	"auditrelay/internal/auditstore"
	"auditrelay/internal/test/pgtest"

	_ "github.com/jackc/pgx/v5/stdlib"
)

// both runs a test on both kinds of stores. run executes statements on the database directly;
// its tables have the prefix.
func both(t *testing.T, test func(t *testing.T, open func() *auditstore.Store, run func(statement string), prefix string)) {
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a.db")
		test(t, func() *auditstore.Store {
			t.Helper()
			s, err := sqlite.Maintain(t.Context(), sqlite.Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}, func(statement string) {
			t.Helper()
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(statement); err != nil {
				t.Fatalf("%.80s: %v", statement, err)
			}
		}, "")
	})
	t.Run("postgres", func(t *testing.T) {
		server := pgtest.Start(t)
		admin := server.Connect(t, "owner", "postgres")
		o := postgres.Options{URL: auditrelay.Secret(server.URL("owner", "postgres"))}
		test(t, func() *auditstore.Store {
			t.Helper()
			s, err := postgres.Maintain(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}, func(statement string) { t.Helper(); admin.Exec(statement) }, "auditrelay.")
	})
}

func integrityOf(t *testing.T, s *auditstore.Store) map[uint64]auditstore.Integrity {
	t.Helper()
	page, err := s.Skip(t.Context(), auditstore.Query{}, 0, auditstore.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	all := map[uint64]auditstore.Integrity{}
	for _, at := range page.Places {
		r, ok, err := s.Row(t.Context(), at.Position)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		all[r.Sequence] = r.Integrity
	}
	return all
}

// A row with any change in its record is damaged. Storing the record again replaces it.
func TestARowThatWasChangedIsDamaged(t *testing.T) {
	both(t, func(t *testing.T, open func() *auditstore.Store, run func(string), prefix string) {
		s := open()
		defer s.Close()
		records := func() []auditstore.Record {
			var all []auditstore.Record
			for n := range uint64(12) {
				all = append(all, record(n+1, fmt.Sprint("id-", n+1), fmt.Sprintf(`{"n":%d,"action":"created","changed_by":"alice","object_id":"o","table_name":"t","changed_by_api_key":"k"}`, n+1)))
			}
			all = append(all, tombstone(13))
			for _, sequence := range []uint64{14, 15} {
				r := record(sequence, fmt.Sprint("id-", sequence), `{"n":1}`)
				r.Source, r.Principal = "http", "bob"
				all = append(all, r)
			}
			for sequence := range uint64(4) {
				all = append(all, record(sequence+16, fmt.Sprint("id-", sequence+16), `{"n":1,"object_team_id":"red","object_team_alias":"Red","updated_values":{"token":"t"}}`))
			}
			return all
		}
		if _, err := s.Put(t.Context(), "j.1", records(), 0); err != nil {
			t.Fatal(err)
		}
		for sequence, is := range integrityOf(t, s) {
			if is != auditstore.Verified {
				t.Fatalf("%d is %s", sequence, is)
			}
		}
		changes := []string{
			"data = replace(data, 'alice', 'alicf')", "data = 'garbage'", "data = ''", "data = '[]'", "updated_at = updated_at + 1", "received = received - 1",
			"tombstone = 1", "namespace = 'emitted'", "id = 'other'", "action = 'deleted'", "changed_by = 'bob'", "object_id = 'p'", "tombstone = 0", "source = 'relay'", "principal = 'alice'",
			"teams = 'blue'", "team_names = ''", "tokens = 'u'", "teams = NULL",
		}
		for i, change := range changes {
			run(fmt.Sprintf("UPDATE %sauditrelay_events SET %s WHERE sequence = %d", prefix, change, i+1))
		}
		for sequence, is := range integrityOf(t, s) {
			if is != auditstore.Damaged {
				t.Errorf("%s: %d is %s", changes[sequence-1], sequence, is)
			}
		}
		if got, err := s.Put(t.Context(), "j.1", records(), 0); err != nil || got.Replaced+got.Known != 19 || got.Inserted != 0 {
			t.Errorf("again: %+v, %v", got, err)
		}
		for sequence, is := range integrityOf(t, s) {
			if is != auditstore.Verified {
				t.Errorf("stored again, %s: %d is %s", changes[sequence-1], sequence, is)
			}
		}
	})
}

// first returns version 1 of the tables, as created by revision 1bd95dd, with two records.
func first(prefix string) []string {
	position, text := "INTEGER PRIMARY KEY AUTOINCREMENT", "TEXT NOT NULL"
	if prefix != "" {
		position, text = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", `TEXT COLLATE "C" NOT NULL`
	}
	all := []string{
		"BEGIN",
		"CREATE TABLE " + prefix + "auditrelay_meta (name " + text + " PRIMARY KEY, value BIGINT NOT NULL)",
		"CREATE TABLE " + prefix + "auditrelay_journals (number " + position + ", name " + text + " UNIQUE, identity " + text + ")",
		"CREATE TABLE " + prefix + "auditrelay_events (position " + position + ", journal BIGINT NOT NULL, sequence BIGINT NOT NULL, " +
			"tombstone BIGINT NOT NULL, updated_at BIGINT NOT NULL, received BIGINT NOT NULL, " +
			"action " + text + ", table_name " + text + ", object_id " + text + ", changed_by " + text + ", changed_by_api_key " + text + ", " +
			"namespace " + text + ", id " + text + ", data " + text + ")",
		"CREATE UNIQUE INDEX auditrelay_events_place ON " + prefix + "auditrelay_events (journal, sequence)",
		"CREATE INDEX auditrelay_events_received ON " + prefix + "auditrelay_events (received, position)",
		"CREATE INDEX auditrelay_events_updated_at ON " + prefix + "auditrelay_events (updated_at, position)",
		"INSERT INTO " + prefix + "auditrelay_meta VALUES ('version', 1), ('rows', 1201), ('purged', 0)",
		"INSERT INTO " + prefix + "auditrelay_journals (name, identity) VALUES ('j.1', 'j')",
	}
	for n := range 1201 {
		all = append(all, fmt.Sprintf(`INSERT INTO %sauditrelay_events (journal, sequence, tombstone, updated_at, received, action, table_name, object_id, changed_by, changed_by_api_key, namespace, id, data)
			VALUES (1, %d, 0, %d, 1767225600000000, '', '', '', 'alice', '', 'litellm', 'id-%d', '%s')`, prefix, n+1, noon.UnixMicro()+int64(n+1)*1e6, n+1, old(n+1)))
	}
	return []string{strings.Join(all, ";\n") + "; COMMIT"}
}

func old(n int) string {
	return fmt.Sprintf(`{"id":"id-%d","changed_by":"alice","before_value":"{\"team_id\": \"team-%d\", \"x\": NaN}","updated_values":{"token":"hash-%d"}}`, n, n%3, n)
}

// Tables of an earlier version are updated. Their rows are unverified until they are stored
// again, and searched inside values once all of them can be.
func TestTablesOfAnEarlierVersion(t *testing.T) {
	both(t, func(t *testing.T, open func() *auditstore.Store, run func(string), prefix string) {
		if prefix != "" {
			run("CREATE SCHEMA auditrelay")
		}
		for _, statement := range first(prefix) {
			run(statement)
		}
		s := open()
		defer s.Close()
		team := auditstore.Query{Contains: map[auditstore.Field]string{auditstore.FieldTeam: "eam-1"}}
		if _, err := s.Skip(t.Context(), team, 0, 10); err == nil || !strings.Contains(err.Error(), "1201 are left") {
			t.Errorf("before all can be searched: %v", err)
		}
		fills := 0
		for more := true; more; fills++ {
			var err error
			if more, err = s.Fill(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if fills != 3 {
			t.Errorf("filled in %d steps", fills)
		}
		if n, exact, err := s.Count(t.Context(), team, 0); n != 401 || !exact || err != nil {
			t.Errorf("of the team: %d, %v", n, err)
		}
		if n, _, err := s.Count(t.Context(), auditstore.Query{Contains: map[auditstore.Field]string{auditstore.FieldKey: "hash-1201"}}, 0); n != 1 || err != nil {
			t.Errorf("with the key: %d, %v", n, err)
		}
		r := record(7, "id-7", old(7))
		r.Received = noon
		run("UPDATE " + prefix + "auditrelay_events SET data = 'x' WHERE sequence = 9")
		if got, err := s.Put(t.Context(), "j.1", []auditstore.Record{r, record(2000, "new", "{}")}, 0); err != nil || got.Replaced != 1 || got.Inserted != 1 || got.Writes != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		for id, want := range map[string]auditstore.Integrity{"id-1": auditstore.Unverified, "id-7": auditstore.Verified, "id-9": auditstore.Damaged, "new": auditstore.Verified} {
			if r, _, err := s.Find(t.Context(), "", id); err != nil || r.Integrity != want {
				t.Errorf("%s is %s, want %s (%v)", id, r.Integrity, want, err)
			}
		}
		open().Close() // and again, as it is now
	})
}

// A role without permission to alter the tables continues with them unchanged.
func TestARoleThatMayNotAlterTheTables(t *testing.T) {
	server := pgtest.Start(t)
	admin := server.Connect(t, "owner", "postgres")
	admin.Exec("CREATE ROLE writer LOGIN; CREATE SCHEMA auditrelay; GRANT USAGE ON SCHEMA auditrelay TO writer")
	for _, statement := range first("auditrelay.") {
		admin.Exec(statement)
	}
	admin.Exec("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA auditrelay TO writer")
	s, err := postgres.Maintain(t.Context(), postgres.Options{URL: auditrelay.Secret(server.URL("writer", "postgres"))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := s.Put(t.Context(), "j.1", []auditstore.Record{record(1, "id-1", old(1)), record(3000, "new", "{}")}, 5); err != nil || got.Known != 1 || got.Inserted != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if r, _, err := s.Find(t.Context(), "", "new"); err != nil || r.Integrity != auditstore.Unverified {
		t.Errorf("%s, %v", r.Integrity, err)
	}
	if _, err := s.Skip(t.Context(), auditstore.Query{Contains: map[auditstore.Field]string{auditstore.FieldTeam: "x"}}, 0, 1); err != auditstore.ErrEarlier {
		t.Errorf("searched inside values: %v", err)
	}
}

// The rows are counted, whatever count the store had.
func TestCountsAfterSomebodyDeletedRows(t *testing.T) {
	both(t, func(t *testing.T, open func() *auditstore.Store, run func(string), prefix string) {
		s := open()
		defer s.Close()
		var records []auditstore.Record
		for n := range uint64(300) {
			records = append(records, record(n+1, fmt.Sprint(n), "{}"))
		}
		if _, err := s.Put(t.Context(), "j.1", records, 0); err != nil {
			t.Fatal(err)
		}
		run("DELETE FROM " + prefix + "auditrelay_events WHERE sequence <= 200")
		for most, want := range map[int64]string{0: "100 true", 1000: "100 true", 50: "300 false"} {
			n, exact, err := s.Count(t.Context(), auditstore.Query{}, most)
			if got := fmt.Sprint(n, " ", exact); got != want || err != nil {
				t.Errorf("counted up to %d: %s, %v; want %s", most, got, err, want)
			}
		}
		if err := s.Recount(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Purge(t.Context(), noon, auditstore.Keep{Rows: 100}); n != 0 || err != nil {
			t.Errorf("purged %d that were to stay, %v", n, err)
		}
	})
}
