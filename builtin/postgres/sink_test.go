package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/postgres"
	"auditrelay/internal/auditstore"
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

// The sink retries while the server is away, and does not double acknowledged records.
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
	// Another role created the tables; writer only has rights on them.
	owner := newSink(t, url("owner", "postgres"))
	if err := owner.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	admin.Exec("GRANT USAGE ON SCHEMA auditrelay TO writer; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA auditrelay TO writer")
	sink := newSink(t, url("writer", "postgres"))
	if _, err := sink.Deliver(t.Context(), one(sink)); err != nil {
		t.Errorf("with the rights on the tables alone: %v", err)
	}
	// The server's message quotes the record, so it must not be in the error.
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

// settings makes the server record the setting that is in force when a row is written.
const settings = `CREATE TABLE noted (synchronous_commit text); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO public.noted VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
	CREATE TRIGGER note BEFORE INSERT ON auditrelay.auditrelay_events FOR EACH ROW EXECUTE FUNCTION public.note()`

// Every commit is synced, whatever the server's default. A stronger default stays in force. The
// setting affects no other transaction.
func TestEveryCommitIsSynced(t *testing.T) {
	for theirs, want := range map[string]string{"off": "on", "local": "on", "remote_write": "on", "on": "on", "remote_apply": "remote_apply"} {
		server := pgtest.Start(t, "synchronous_commit = "+theirs)
		sink := newSink(t, postgres.Options{URL: auditrelay.Secret(server.URL("owner", "postgres"))})
		if err := sink.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		admin := server.Connect(t, "owner", "postgres")
		admin.Exec(settings)
		if _, err := sink.Deliver(t.Context(), payload(t, sink, 1, `{"n":1}`)); err != nil {
			t.Fatal(err)
		}
		if got := admin.Exec("SELECT * FROM noted"); fmt.Sprint(got) != "["+want+"]" {
			t.Errorf("with %s a record is written with %v, want %s", theirs, got, want)
		}
	}
}

// Through a pooler in any mode, even if it drops startup parameters, all tables are in the
// store's schema, and commits are synced.
func TestThroughAPooler(t *testing.T) {
	server := pgtest.Start(t, "synchronous_commit = off")
	admin := server.Connect(t, "owner", "postgres")
	for _, how := range [][]string{
		{"pool_mode=transaction"}, {"pool_mode=session"}, {"pool_mode=transaction", "default_pool_size=1"},
		{"pool_mode=session", "ignore_startup_parameters=search_path,synchronous_commit"},
		{"pool_mode=transaction", "ignore_startup_parameters=search_path,synchronous_commit,default_transaction_read_only,extra_float_digits"},
	} {
		t.Run(fmt.Sprint(how), func(t *testing.T) {
			url := server.Bouncer(t, "owner", "postgres", how...)
			admin.Exec("DROP SCHEMA IF EXISTS auditrelay CASCADE; DROP TABLE IF EXISTS noted; DROP FUNCTION IF EXISTS note")
			o := postgres.Options{URL: auditrelay.Secret(url)}
			sink, other := newSink(t, o), newSink(t, o)
			if err := sink.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			admin.Exec(settings)
			for n := range 20 {
				for _, s := range []auditrelay.Sink{sink, other} {
					if _, err := s.Deliver(t.Context(), payload(t, s, uint64(10*n+1), `{"n":1}`, fmt.Sprintf(`{"n":"%d"}`, n), `{}`)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if got := admin.Exec("SELECT schemaname FROM pg_tables WHERE tablename LIKE 'auditrelay%' GROUP BY 1"); fmt.Sprint(got) != "[auditrelay]" {
				t.Errorf("the tables are in %v", got)
			}
			if got := admin.Exec("SELECT count(*), min(synchronous_commit), max(synchronous_commit) FROM noted"); got[0] != "60|on|on" {
				t.Errorf("written with: %v", got)
			}
			store, err := postgres.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			if n, exact, err := store.Count(t.Context(), auditstore.Query{}, 0); n != 60 || !exact || err != nil {
				t.Errorf("%d are read, %v, %v", n, exact, err)
			}
		})
	}
}

// A database that cannot hold a store stalls the callback, and the error says why.
func TestADatabaseThatIsNoPlaceForAStore(t *testing.T) {
	server := pgtest.Start(t)
	admin := server.Connect(t, "owner", "postgres")
	admin.Exec("CREATE ROLE writer LOGIN")
	admin.Exec("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
	admin.Exec("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
	admin.Exec("CREATE DATABASE stray")
	admin.Exec("CREATE DATABASE hidden")
	server.Connect(t, "owner", "stray").Exec("CREATE TABLE auditrelay_meta (name text)")
	owner := newSink(t, postgres.Options{URL: auditrelay.Secret(server.URL("owner", "hidden"))})
	if err := owner.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.Connect(t, "owner", "hidden").Exec(`GRANT USAGE ON SCHEMA auditrelay TO writer; GRANT ALL ON ALL TABLES IN SCHEMA auditrelay TO writer;
		CREATE POLICY narrow ON auditrelay.auditrelay_events USING (action = 'x'); ALTER TABLE auditrelay.auditrelay_events ENABLE ROW LEVEL SECURITY`)
	for database, want := range map[string]string{"latin": "encoding is LATIN1", "stray": "schema public", "hidden": "policies: narrow"} {
		sink := newSink(t, postgres.Options{URL: auditrelay.Secret(server.URL("writer", database))})
		_, err := sink.Deliver(t.Context(), payload(t, sink, 1, `{"n":"planted"}`))
		if err == nil || !strings.Contains(err.Error(), want) || auditrelay.KindOf(err) != auditrelay.Misconfigured {
			t.Errorf("%s: %v, want %s", database, err, want)
		}
		if probed := sink.Probe(t.Context()); probed == nil || probed.Error() != err.Error() {
			t.Errorf("%s: the probe says %v", database, probed)
		}
	}
	// SQL reads what the sink wrote.
	const text = `{"changed_by":"Müller 日本 😀"}`
	sink := newSink(t, postgres.Options{URL: auditrelay.Secret(server.URL("owner", "ascii"))})
	if _, err := sink.Deliver(t.Context(), payload(t, sink, 1, text)); err != nil {
		t.Fatal(err)
	}
	if got := server.Connect(t, "owner", "ascii").Exec("SELECT changed_by, data FROM auditrelay.auditrelay_events"); got[0] != "Müller 日本 😀|"+text {
		t.Errorf("by SQL: %v", got)
	}
}

// Altered tables stall the callback; no record is rejected for them.
func TestTablesThatWereAltered(t *testing.T) {
	server := pgtest.Start(t)
	admin := server.Connect(t, "owner", "postgres")
	for alter, want := range map[string]string{
		"ALTER COLUMN received TYPE timestamptz USING to_timestamp(received / 1e6)": "column received of auditrelay_events is of type timestamptz",
		"ALTER COLUMN data TYPE jsonb USING data::jsonb":                            "column data of auditrelay_events is of type jsonb",
		"DROP COLUMN changed_by":                                                    `column "changed_by" does not exist`,
		"RENAME TO other":                                                           "does not exist",
	} {
		admin.Exec("DROP SCHEMA IF EXISTS auditrelay CASCADE")
		sink := newSink(t, postgres.Options{URL: auditrelay.Secret(server.URL("owner", "postgres"))})
		if _, err := sink.Deliver(t.Context(), payload(t, sink, 1, `{"n":1}`)); err != nil {
			t.Fatal(err)
		}
		admin.Exec("ALTER TABLE auditrelay.auditrelay_events " + alter)
		_, err := sink.Deliver(t.Context(), payload(t, sink, 2, `{"n":"planted\u0000"}`))
		if err == nil || !strings.Contains(err.Error(), want) || auditrelay.KindOf(err) != auditrelay.Misconfigured {
			t.Errorf("%s: %v (%v), want %s", alter, err, auditrelay.KindOf(err), want)
		}
	}
	admin.Exec("DROP SCHEMA IF EXISTS auditrelay CASCADE")
	sink := newSink(t, postgres.Options{URL: auditrelay.Secret(server.URL("owner", "postgres"))})
	if err := sink.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	admin.Exec("ALTER TABLE auditrelay.auditrelay_events SET UNLOGGED")
	if err := sink.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "unlogged") {
		t.Errorf("unlogged: %v", err)
	}
}

// The error of a hanging server or locked tables differs from that of a lost server.
func TestALockedTable(t *testing.T) {
	server := pgtest.Start(t)
	sink := newSink(t, postgres.Options{URL: auditrelay.Secret(server.URL("owner", "postgres"))})
	if err := sink.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.Connect(t, "owner", "postgres").Exec("BEGIN; LOCK TABLE auditrelay.auditrelay_events")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := sink.Deliver(ctx, payload(t, sink, 1, `{"n":1}`))
	if err == nil || !strings.Contains(err.Error(), "waits for a lock") || auditrelay.KindOf(err) != auditrelay.Transient {
		t.Errorf("a locked table: %v", err)
	}
}

// A server that is a standby at present is tried again.
func TestAServerThatTakesNoWrites(t *testing.T) {
	server := pgtest.Start(t)
	o := postgres.Options{URL: auditrelay.Secret(server.URL("owner", "postgres"))}
	sink := newSink(t, o)
	if err := sink.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	admin := server.Connect(t, "owner", "postgres")
	admin.Exec("ALTER ROLE owner SET default_transaction_read_only = on")
	_, err := sink.Deliver(t.Context(), payload(t, sink, 1, `{"n":1}`))
	if auditrelay.KindOf(err) != auditrelay.Transient || !strings.Contains(fmt.Sprint(err), "standby") || !strings.Contains(fmt.Sprint(err), "25006") {
		t.Errorf("%v (%v)", err, auditrelay.KindOf(err))
	}
	if s, err := postgres.Open(t.Context(), o); err != nil {
		t.Errorf("it cannot be read: %v", err)
	} else {
		s.Close()
	}
	admin.Exec("ALTER ROLE owner RESET default_transaction_read_only")
	for range 2 { // the connection may be the old one
		_, err = sink.Deliver(t.Context(), payload(t, sink, 1, `{"n":1}`))
	}
	if err != nil {
		t.Error(err)
	}
}

// If the server comes back without acknowledged transactions, the sink reports it once, even if the
// relay was restarted meanwhile. Then deliveries continue.
func TestAServerThatLostTransactions(t *testing.T) {
	for name, restart := range map[string]bool{"while it runs": false, "over a restart": true} {
		t.Run(name, func(t *testing.T) {
			server := pgtest.Start(t)
			o := postgres.Options{URL: auditrelay.Secret(server.URL("owner", "postgres")), Mark: filepath.Join(t.TempDir(), "store.mark")}
			sink := newSink(t, o)
			deliver := func(n uint64) error {
				_, err := sink.Deliver(t.Context(), payload(t, sink, n, `{"n":1}`))
				return err
			}
			for n := range uint64(3) {
				if err := deliver(n + 1); err != nil {
					t.Fatal(err)
				}
			}
			server.Stop(t, "fast")
			server.Copy(t)
			server.Restart(t)
			for n := range uint64(2) {
				for deliver(n+4) != nil { // the connection ended
				}
			}
			server.Stop(t, "fast")
			server.Swap(t)
			server.Restart(t)
			if restart {
				sink.Close()
				sink = newSink(t, o)
			}
			var lost error
			for range 5 {
				if err := deliver(6); err == nil {
					break
				} else if auditrelay.KindOf(err) == auditrelay.Misconfigured {
					lost = errors.Join(lost, err)
				}
			}
			if lost == nil || strings.Count(lost.Error(), "it has 3 of 5 transactions") != 1 || !strings.Contains(lost.Error(), "store rebuild") {
				t.Errorf("told: %v", lost)
			}
			if err := deliver(7); err != nil {
				t.Error(err)
			}
			if got := server.Connect(t, "owner", "postgres").Exec("SELECT value FROM auditrelay.auditrelay_meta WHERE name = 'lost'"); fmt.Sprint(got) != "[2]" {
				t.Errorf("counted: %v", got)
			}
		})
	}
}

// A standby takes over. If it has all transactions, the sink reports nothing. If it lacks the last
// ones, the sink reports it once. Until the promotion, deliveries are tried again.
func TestAStandbyIsPromoted(t *testing.T) {
	for name, lost := range map[string]int{"that has all": 0, "without the last transactions": 2} {
		t.Run(name, func(t *testing.T) {
			server := pgtest.Start(t)
			standby := server.Standby(t)
			sink := newSink(t, postgres.Options{URL: auditrelay.Secret(server.Hosts("owner", "postgres", standby)), Mark: filepath.Join(t.TempDir(), "store.mark")})
			deliver := func(n uint64) error {
				_, err := sink.Deliver(t.Context(), payload(t, sink, n, `{"n":1}`))
				return err
			}
			for n := range uint64(5) {
				if n == 3 && lost > 0 {
					server.Catch(t, standby)
					standby.Cut(t)
				}
				if err := deliver(n + 1); err != nil {
					t.Fatal(err)
				}
			}
			if lost == 0 {
				server.Catch(t, standby)
			}
			server.Stop(t, "immediate")
			for range 2 { // the connection that broke, and a new one
				if err := deliver(6); auditrelay.KindOf(err) != auditrelay.Transient {
					t.Errorf("before it is promoted: %v (%v)", err, auditrelay.KindOf(err))
				}
			}
			standby.Promote(t)
			var told []string
			delivered := false
			for range 5 {
				err := deliver(6)
				if delivered = err == nil; delivered {
					break
				}
				if auditrelay.KindOf(err) == auditrelay.Misconfigured {
					told = append(told, err.Error())
				}
			}
			if !delivered {
				t.Error("nothing is delivered to the new server")
			}
			if lost == 0 && len(told) != 0 {
				t.Errorf("told: %v", told)
			}
			if lost > 0 && (len(told) != 1 || !strings.Contains(told[0], "it has 3 of 5 transactions") || !strings.Contains(told[0], "store rebuild")) {
				t.Errorf("told: %v", told)
			}
			if got := standby.Connect(t, "owner", "postgres").Exec("SELECT count(*) FROM auditrelay.auditrelay_events"); fmt.Sprint(got) != fmt.Sprintf("[%d]", 6-lost) {
				t.Errorf("rows: %v", got)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]postgres.Options{
		"url: it is required":                        {},
		"url: one of its parameters":                 {URL: "postgres://u:hunter2@h:port/db"},
		"url: it is not a connection string":         {URL: "postgres://u:p@hunter2@h/db"},
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
