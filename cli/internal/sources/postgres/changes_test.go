package postgres_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/sources/postgres"
	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime"
)

// stored returns each event's data by its id.
func (b *bed) stored() map[string]string {
	b.Helper()
	all := map[string]string{}
	b.each(func(e auditrelay.Event) { all[e.ID] = string(e.Data) })
	return all
}

// TestATableThatIsAlteredWhileItIsRead adds, changes and removes columns while the source stays
// connected, like an upgrade of LiteLLM. Each row is read with the columns that the table had.
func TestATableThatIsAlteredWhileItIsRead(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	s, _ := b.run(nil)
	put := func(id, columns, values string) {
		b.db.Exec(fmt.Sprintf(`INSERT INTO "LiteLLM_AuditLog" (id, updated_at, action, table_name, object_id%s) VALUES ('%s', '2026-03-01', 'updated', 't', 'o'%s)`, columns, id, values))
	}
	b.swept(s)
	backends := func() string {
		return strings.Join(b.db.Exec("SELECT pid FROM pg_stat_activity WHERE application_name = 'auditrelay'"), " ")
	}
	connected := backends()
	for _, step := range []struct{ alter, id, columns, values, want string }{
		{`ADD COLUMN changed_by_ip text`, "added", ", changed_by_ip", ", '10.0.0.9'", `"changed_by_ip":"10.0.0.9"`},
		{`ALTER COLUMN changed_by_ip TYPE jsonb USING to_jsonb(changed_by_ip)`, "retyped", ", changed_by_ip", `, '{"v": 4}'`, `"changed_by_ip":{"v": 4}`},
		{`RENAME COLUMN changed_by_ip TO ip`, "renamed", ", ip", `, '6'`, `"ip":6`},
		{`DROP COLUMN ip`, "dropped", "", "", `"object_id":"o"`},
		{`ADD COLUMN ip text DEFAULT 'x'`, "again", "", "", `"ip":"x"`},
	} {
		b.db.Exec(`ALTER TABLE "LiteLLM_AuditLog" ` + step.alter)
		put(step.id, step.columns, step.values)
		b.swept(s)
		if got := b.stored()[step.id]; !strings.Contains(got, step.want) {
			t.Errorf("%s: %s, want %s", step.alter, got, step.want)
		}
	}
	if now := backends(); now != connected {
		t.Errorf("the source connected anew: %s, before %s", now, connected)
	}
	if n := strings.Count(b.log.String(), "the table's columns changed"); n != 5 {
		t.Errorf("5 changes are told %d times:\n%s", n, b.log)
	}
	// A required column is removed and returns.
	b.db.Exec(`ALTER TABLE "LiteLLM_AuditLog" RENAME COLUMN action TO what`)
	b.eventually("the loss being told", func() bool {
		st := s.Status()
		return st.State == postgres.StateMisconfigured && strings.Contains(st.Error, "no column action")
	})
	b.db.Exec(`ALTER TABLE "LiteLLM_AuditLog" RENAME COLUMN what TO action; ` + insert("back"))
	b.swept(s)
	b.onceEach(b.ids())
}

// TestATableThatIsReplacedWhileItIsRead: rows are read from the table with the name.
func TestATableThatIsReplacedWhileItIsRead(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.fill("first", 10)
	s, _ := b.run(nil)
	b.swept(s)
	want := b.ids()
	b.db.Exec(`BEGIN; ALTER TABLE "LiteLLM_AuditLog" RENAME TO old; CREATE TABLE "LiteLLM_AuditLog" AS SELECT * FROM old; GRANT SELECT ON "LiteLLM_AuditLog" TO reader; COMMIT; ` + insert("new"))
	b.eventually("the new table being read", func() bool { return b.counts()["new"] == 1 })
	b.swept(s)
	b.onceEach(append(want, "new"))
}

// TestRowsThatTheServerCannotGive: each goes unchanged into quarantine, the others are
// accepted, and the status reports it.
func TestRowsThatTheServerCannotGive(t *testing.T) {
	t.Parallel()
	for encoding, bad := range map[string]string{
		"SQL_ASCII": `\351`, // é in Latin 1: not UTF-8
		"WIN1252":   `\201`, // a byte without a Unicode character
	} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.db.Exec("CREATE DATABASE odd ENCODING '" + encoding + "' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
			b.db = b.pg.Connect(t, "owner", "odd")
			b.db.Exec(pgtest.Table + `; GRANT SELECT ON "LiteLLM_AuditLog" TO reader`)
			for i := range 40 {
				object := "'good'"
				if i%13 == 5 {
					object = fmt.Sprintf("convert_from('caf%s'::bytea, '%s')", bad, encoding)
				}
				id := fmt.Sprintf("'r%d'", i)
				if i == 31 { // the id itself
					id = fmt.Sprintf("convert_from('caf%s'::bytea, '%s')", bad, encoding)
				}
				b.db.Exec(fmt.Sprintf(`INSERT INTO "LiteLLM_AuditLog" (id, updated_at, action, table_name, object_id) VALUES (%s, '2026-03-01', 'updated', 't', %s)`, id, object))
			}
			s, _ := b.run(func(o *postgres.Options) { o.URL = auditrelay.Secret(b.pg.URL("reader", "odd")) })
			b.swept(s)
			b.db.Exec(insert("late"))
			b.swept(s)
			if n := b.counts(); len(n) != 38 || n["late"] != 1 {
				t.Errorf("%d are stored: %v", len(n), n)
			}
			list, err := b.rt.QuarantineItems(t.Context(), runtime.QuarantineQuery{Source: "postgres", Reason: "unreadable"})
			if err != nil || len(list) != 3 {
				t.Fatalf("in quarantine: %+v, %v", list, err)
			}
			for _, it := range list {
				whole, err := b.rt.QuarantineItem(t.Context(), it.Number)
				if err != nil || !bytes.Contains(whole.Data, []byte("caf")) || bytes.Contains(whole.Data, []byte("\xef\xbf\xbd")) {
					t.Errorf("%q, %v", whole.Data, err)
				}
			}
			if st := s.Status(); st.Rows.Unreadable != 3 || st.State != postgres.StateFollowing || st.Error != "" {
				t.Errorf("the state: %+v", st)
			}
			if n := strings.Count(b.log.String(), "cannot give a row"); n != 1 {
				t.Errorf("told %d times:\n%s", n, b.log)
			}
			done, err := postgres.Reconcile(t.Context(), b.rt, postgres.Reconciliation{URL: auditrelay.Secret(b.pg.URL("reader", "odd")),
				From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Now().Add(time.Hour)}, func(postgres.Difference) error { return nil })
			if err != nil || done.Unreadable != 1 || done.Rows != 40 || done.MissingInJournal != 2 {
				t.Errorf("compared: %+v, %v", done, err)
			}
		})
	}
}

// TestTheTableAsItBecomes has the columns that LiteLLM plans. A row with them equals the event
// received in another way, with or without them, and their values are stored.
func TestTheTableAsItBecomes(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.db.Exec(`ALTER TABLE "LiteLLM_AuditLog" ADD COLUMN object_alias text, ADD COLUMN object_team_id text, ADD COLUMN object_team_alias text,
		ADD COLUMN changed_by_user_email text, ADD COLUMN changed_by_key_alias text`)
	b.db.Exec(`CREATE INDEX CONCURRENTLY soon ON "LiteLLM_AuditLog" (object_team_id)`)
	const row = `"updated_at":"2026-03-01T00:00:00.000000+00:00","changed_by":"","changed_by_api_key":"","action":"updated","table_name":"t","object_id":"o","updated_values":"{\"n\": 1.0}"`
	for _, e := range []string{
		`{"id":"with",` + row + `,"object_alias":"blue","object_team_id":null}`, `{"id":"without",` + row + `}`, `{"id":"other",` + row + `,"object_alias":"red"}`,
	} {
		if _, err := b.rt.Submit(t.Context(), runtime.Submission{Data: []byte(e)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"with", "without", "other", "new"} {
		b.db.Exec(`INSERT INTO "LiteLLM_AuditLog" (id, updated_at, action, table_name, object_id, updated_values, object_alias) VALUES ('` + id + `', '2026-03-01', 'updated', 't', 'o', '{"n": 1}', 'blue')`)
	}
	s, _ := b.run(nil)
	b.swept(s)
	if st := s.Status(); st.Rows.Duplicates != 2 || st.Rows.Accepted != 1 || st.Rows.Quarantined != 1 {
		t.Errorf("%+v", st.Rows)
	}
	if got := b.stored()["new"]; !strings.Contains(got, `"object_alias":"blue"`) || strings.Contains(got, "object_team_id") {
		t.Errorf("the row: %s", got)
	}
}
