package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/builtin/postgres"
	"auditrelay/internal/test/pgtest"
	"auditrelay/sinktest"
)

func newSink(t testing.TB, o postgres.Options) *postgres.Sink {
	t.Helper()
	s, err := postgres.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	server := pgtest.Start(t)
	admin := server.Connect(t, "owner", "postgres")
	schemas := 0
	sinktest.Run(t, func(*testing.T) sinktest.Kit {
		schemas++
		o := postgres.Options{URL: auditrelay.Secret(server.URL("owner", "postgres")), Schema: fmt.Sprint("kit_", schemas)}
		return sinktest.Kit{
			New: func(t *testing.T) auditrelay.Sink { return newSink(t, o) },
			Read: func(*testing.T) [][]byte {
				if admin.Exec("SELECT to_regclass('" + o.Schema + ".auditrelay_events') IS NULL")[0] == "t" {
					return nil
				}
				var docs [][]byte
				for _, row := range admin.Exec("SELECT data FROM " + o.Schema + ".auditrelay_events ORDER BY position") {
					docs = append(docs, []byte(row))
				}
				return docs
			},
		}
	})
}

func payload(t testing.TB, sink auditrelay.Sink, from uint64, data ...string) auditrelay.Payload {
	t.Helper()
	chunk := auditrelay.Chunk{Callback: "store", Journal: "j.1", From: from, To: from + uint64(len(data))}
	for i, text := range data {
		sequence := from + uint64(i)
		chunk.Records = append(chunk.Records, auditrelay.Record{Sequence: sequence, Namespace: "litellm", ID: fmt.Sprint(sequence), Data: []byte(text)})
	}
	payloads, err := sink.Render(chunk)
	if err != nil || len(payloads) != 1 {
		t.Fatalf("Render: %d payloads, %v", len(payloads), err)
	}
	return payloads[0]
}

func kindOf(t *testing.T, sink auditrelay.Sink, p auditrelay.Payload) auditrelay.ErrorKind {
	t.Helper()
	_, err := sink.Deliver(t.Context(), p)
	if err == nil {
		t.Fatal("it was delivered")
	}
	if strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error tells too much: %v", err)
	}
	return auditrelay.KindOf(err)
}

// A server that is away is tried again, and what was acknowledged before is not doubled.
func TestAServerThatIsAway(t *testing.T) {
	server := pgtest.Start(t)
	sink := newSink(t, postgres.Options{URL: auditrelay.Secret(server.URL("owner", "postgres"))})
	first := payload(t, sink, 1, `{"n":"planted"}`)
	if _, err := sink.Deliver(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	server.Stop(t, "immediate")
	second := payload(t, sink, 1, `{"n":"planted"}`, `{"n":2}`)
	for range 2 { // on the old connection, and without one
		if kind := kindOf(t, sink, second); kind != auditrelay.Transient {
			t.Errorf("a server that is away is %v", kind)
		}
	}
	server.Restart(t)
	if _, err := sink.Deliver(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if got := server.Connect(t, "owner", "postgres").Exec("SELECT count(*) FROM auditrelay.auditrelay_events"); got[0] != "2" {
		t.Errorf("stored: %v", got)
	}
}

func TestErrorsAreClassified(t *testing.T) {
	server := pgtest.Start(t)
	admin := server.Connect(t, "owner", "postgres")
	admin.Exec("CREATE ROLE writer LOGIN; CREATE ROLE nobody_here LOGIN")
	url := func(role, database string) postgres.Options {
		return postgres.Options{URL: auditrelay.Secret(server.URL(role, database) + " password=hunter2")}
	}
	one := func(sink auditrelay.Sink) auditrelay.Payload { return payload(t, sink, 1, `{"n":"planted"}`) }
	for name, tt := range map[string]struct {
		o    postgres.Options
		kind auditrelay.ErrorKind
	}{
		"no such role":     {url("stranger", "postgres"), auditrelay.Unauthorized},
		"no such database": {url("owner", "nowhere"), auditrelay.Misconfigured},
		"no right":         {url("writer", "postgres"), auditrelay.Unauthorized},
	} {
		sink := newSink(t, tt.o)
		if kind := kindOf(t, sink, one(sink)); kind != tt.kind {
			t.Errorf("%s is %v, want %v", name, kind, tt.kind)
		}
	}
	// With tables that somebody else made, and the rights on them alone.
	owner := newSink(t, url("owner", "postgres"))
	if err := owner.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	admin.Exec("GRANT USAGE ON SCHEMA auditrelay TO writer; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA auditrelay TO writer")
	sink := newSink(t, url("writer", "postgres"))
	if _, err := sink.Deliver(t.Context(), one(sink)); err != nil {
		t.Errorf("with the rights on the tables alone: %v", err)
	}
	// What the server says of a record stays with it.
	admin.Exec(`CREATE FUNCTION fussy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'bad: %', NEW.data USING ERRCODE = '22023'; END $$;
		CREATE TRIGGER fussy BEFORE INSERT ON auditrelay.auditrelay_events FOR EACH ROW EXECUTE FUNCTION public.fussy()`)
	if kind := kindOf(t, owner, payload(t, owner, 7, `{"n":"planted"}`)); kind != auditrelay.Refused {
		t.Errorf("a value that the server does not take is %v", kind)
	}
	admin.Exec("UPDATE auditrelay.auditrelay_meta SET value = 99 WHERE name = 'version'")
	sink = newSink(t, url("owner", "postgres"))
	if kind := kindOf(t, sink, one(sink)); kind != auditrelay.Misconfigured {
		t.Errorf("another format is %v", kind)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sink.Deliver(ctx, one(sink)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// What a commit is worth is not the server's default.
func TestEveryCommitIsSynced(t *testing.T) {
	server := pgtest.Start(t, "synchronous_commit = off", "log_statement = all")
	o := postgres.Options{URL: auditrelay.Secret(server.URL("owner", "postgres"))}
	for name, want := range map[string]map[string]string{
		"writing": {"synchronous_commit": "on", "search_path": "auditrelay", "default_transaction_read_only": "off"},
		"reading": {"synchronous_commit": "on", "search_path": "auditrelay", "default_transaction_read_only": "on"},
	} {
		for setting, value := range want {
			if got := postgres.Setting(t, o, name == "reading", setting); got != value {
				t.Errorf("%s: %s is %s, want %s", name, setting, got, value)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]postgres.Options{
		"url: it is required":                        {},
		"url: it is no address of a Postgres":        {URL: "postgres://u:hunter2@h:port/db"},
		"schema: expected a name of its own":         {URL: "postgres://h/db", Schema: "Public;--"},
		"schema: expected a name of its own, of a-z": {URL: "postgres://h/db", Schema: "public"},
		"keep.age: it is negative":                   {URL: "postgres://h/db", Keep: postgres.Keep{Age: -1}},
		"keep.rows: it is negative":                  {URL: "postgres://h/db", Keep: postgres.Keep{Rows: -1}},
	} {
		_, err := postgres.New(o)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if params := postgres.Params(t, postgres.Options{URL: "postgres://h/db?schema=public&connection_limit=5&pool_timeout=3&pgbouncer=true&options=-c%20work_mem%3D1MB"}); fmt.Sprint(params) != "[options]" {
		t.Errorf("what the server is told beside: %v", params)
	}
	if got := (postgres.Options{URL: "postgres://u:hunter2@db.example/audit"}).Place(); got != "db.example:5432/audit/auditrelay" {
		t.Errorf("the place: %s", got)
	}
}
