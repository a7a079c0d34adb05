package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/sources/postgres"
	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime"
)

func TestThePastAndThenWhatComesByARoleThatMayOnlyRead(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.fill("past", 3000)
	s, _ := b.run(nil)
	b.swept(s)
	b.onceEach(b.ids())
	b.fill("new", 10)
	b.swept(s)
	b.onceEach(b.ids())
	st := s.Status()
	if st.Rows.Accepted != 3010 || st.Rows.Duplicates != 0 || st.Rows.Quarantined != 0 || st.Backfill != nil {
		t.Errorf("%+v", st)
	}
	b.each(func(e auditrelay.Event) {
		if e.Provenance.Source != "postgres" || e.TimeFrom != auditrelay.TimeOfEvent {
			t.Fatalf("%s: %+v, time from %s", e.ID, e.Provenance, e.TimeFrom)
		}
	})
}

func TestARowIsTheEventThatLiteLLMSends(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	// As its S3 callback writes them, with fields that the table lacks.
	events := []string{
		`{"id":"1","updated_at":"2026-03-01T10:00:00.123456+00:00","changed_by":"u","changed_by_api_key":"88dc","action":"updated","table_name":"LiteLLM_TeamTable","object_id":"t\"1","before_value":"{\"b\": 1.0, \"a\": [true, null], \"\\u00e9\": \"x\"}","updated_values":"{\"n\": 12345678901234567890.10}","object_alias":"blue"}`,
		`{"id":"2","updated_at":"2026-03-01T10:00:00+00:00","changed_by":"","changed_by_api_key":"","action":"created","table_name":"T","object_id":"o","before_value":null,"updated_values":"[]"}`,
		`{"id":"3","updated_at":"0044-03-15T10:00:00.5Z","changed_by":"","changed_by_api_key":"","action":"odd","table_name":"T","object_id":"o","updated_values":"\"text\""}`,
	}
	b.db.Exec(`INSERT INTO "LiteLLM_AuditLog" VALUES
		('1', '2026-03-01T10:00:00.123456', 'u', '88dc', 'updated', 'LiteLLM_TeamTable', 't"1', '{"b": 1.0, "a": [true, null], "é": "x"}', '{"n": 12345678901234567890.10}'),
		('2', '2026-03-01T10:00:00', '', '', 'created', 'T', 'o', null, '[]'),
		('3', '0044-03-15T10:00:00.5', '', '', 'odd', 'T', 'o', null, '"text"')`)
	first := runtime.Submission{Data: []byte(events[0]), Provenance: auditrelay.Provenance{Source: "s3"}}
	if _, err := b.rt.Submit(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	s, _ := b.run(nil)
	b.swept(s)
	b.onceEach(b.ids())
	for _, e := range events[1:] {
		r, err := b.rt.Submit(t.Context(), runtime.Submission{Data: []byte(e), Provenance: auditrelay.Provenance{Source: "s3"}})
		if err != nil || r[0].Err != nil || !r[0].Duplicate {
			t.Errorf("%s: %+v, %v", e, r, err)
		}
	}
	for _, id := range []string{"1", "2", "3"} {
		x, err := b.rt.Explain(t.Context(), "", id)
		if err != nil || len(x.AlsoFrom) != 1 {
			t.Errorf("%s: also from %v, %v", id, x.AlsoFrom, err)
		}
	}
	if st := s.Status(); st.Rows.Accepted != 2 || st.Rows.Duplicates != 1 {
		t.Errorf("%+v", st.Rows)
	}
}

func TestALateCommitIsNeverPassedOver(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	early := b.pg.Connect(t, "owner", "postgres")
	early.Exec("BEGIN; " + insert("open-since-before"))
	s, _ := b.run(nil)
	b.eventually("the past", func() bool { return s.Status().State == postgres.StateFollowing })
	// Their order: begun 0 to 4, committed 4 to 0, and the clock goes back meanwhile.
	var open []*pgtest.Conn
	for i := range 5 {
		c := b.pg.Connect(t, "owner", "postgres")
		c.Exec(fmt.Sprintf(`BEGIN; %s; UPDATE "LiteLLM_AuditLog" SET updated_at = now() - interval '%d days' WHERE id = 'tx-%d'`, insert(fmt.Sprint("tx-", i)), 10*i, i))
		// One more row, in a subtransaction whose number is in no snapshot.
		c.Exec("SAVEPOINT a; " + insert(fmt.Sprint("sub-", i)) + "; RELEASE a")
		open = append(open, c)
		b.db.Exec(insert(fmt.Sprint("meanwhile-", i)))
	}
	b.eventually("rows beside open transactions", func() bool { return len(b.counts()) == 5 })
	for i := range open {
		open[len(open)-1-i].Exec("COMMIT")
		b.db.Exec(insert(fmt.Sprint("between-", i)))
		b.swept(s)
	}
	b.db.Exec("BEGIN; " + insert("rolled-back") + "; ROLLBACK")
	b.swept(s)
	if n := b.counts()["open-since-before"]; n != 0 {
		t.Errorf("what is not committed is stored")
	}
	early.Exec("COMMIT")
	b.swept(s)
	b.onceEach(b.ids())
	if got := len(b.counts()); got != 5*4+1 {
		t.Errorf("%d events", got)
	}
	if s.Status().Rows.Duplicates != 0 {
		t.Errorf("rows were submitted more than once: %+v", s.Status().Rows)
	}
}

// TestHistories commits, rolls back, deletes and vacuums at random, while a source reads and is
// sometimes restarted.
func TestHistories(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	b.fill("past", 500)
	_, stop := b.run(nil)
	type session struct {
		c    *pgtest.Conn
		open bool
	}
	sessions := make([]session, 6)
	for i := range sessions {
		sessions[i].c = b.pg.Connect(t, "owner", "postgres")
	}
	deleted := map[string]bool{}
	for n := range 600 {
		x := &sessions[rng.IntN(len(sessions))]
		id := fmt.Sprint("h-", n)
		row := fmt.Sprintf(`INSERT INTO "LiteLLM_AuditLog" (id, updated_at, action, table_name, object_id, updated_values) VALUES ('%s', now() + interval '%d hours', 'created', 't', '%s', '{}')`,
			id, rng.IntN(400)-200, strings.Repeat("x", rng.IntN(2000)))
		switch r := rng.IntN(20); {
		case r < 6:
			b.db.Exec(row)
		case r < 12:
			if !x.open {
				x.c.Exec("BEGIN")
				x.open = true
			}
			x.c.Exec(row)
		case r < 14 && x.open:
			x.c.Exec("SAVEPOINT s; " + row)
			if rng.IntN(2) == 0 {
				x.c.Exec("ROLLBACK TO s")
			}
		case r < 17 && x.open:
			x.c.Exec([]string{"COMMIT", "COMMIT", "ROLLBACK"}[rng.IntN(3)])
			x.open = false
		case r == 17:
			// Space in the middle is freed.
			for _, id := range b.db.Exec(`DELETE FROM "LiteLLM_AuditLog" WHERE id IN (SELECT id FROM "LiteLLM_AuditLog" WHERE id LIKE 'past-%' ORDER BY random() LIMIT 20) RETURNING id`) {
				deleted[id] = true
			}
		case r == 18:
			b.db.Exec(`VACUUM "LiteLLM_AuditLog"`)
		case r == 19 && rng.IntN(4) == 0:
			stop()
			_, stop = b.run(nil)
		}
	}
	for i := range sessions {
		if sessions[i].open {
			sessions[i].c.Exec("COMMIT")
		}
	}
	stop()
	s, _ := b.run(nil)
	b.swept(s)
	n := b.counts()
	for _, id := range b.ids() {
		if n[id] != 1 {
			t.Errorf("%s is stored %d times", id, n[id])
		}
		delete(n, id)
	}
	for id, times := range n { // read before it was deleted
		if !deleted[id] || times != 1 {
			t.Errorf("%s is stored %d times", id, times)
		}
	}
}

func TestANotificationIsHeard(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	s, _ := b.run(func(o *postgres.Options) { o.Poll, o.Notify = time.Hour, "audit" })
	b.eventually("the past", func() bool { return s.Status().State == postgres.StateFollowing })
	b.db.Exec(insert("a") + "; NOTIFY audit")
	b.eventually("the row", func() bool { return b.counts()["a"] == 1 })
}

func TestFromSaysWhatIsTaken(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		now  bool
		from time.Time
		want []string
	}{
		"beginning": {false, time.Time{}, []string{"old", "later", "new"}},
		"now":       {true, time.Time{}, []string{"new"}},
		"a time":    {false, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), []string{"later", "new"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.db.Exec(insert("old") + `; UPDATE "LiteLLM_AuditLog" SET updated_at = '2026-02-28T23:59:59.999'; ` + insert("later") + `; UPDATE "LiteLLM_AuditLog" SET updated_at = '2026-03-01' WHERE id = 'later'`)
			change := func(o *postgres.Options) { o.FromNow, o.FromTime = test.now, test.from }
			s, stop := b.run(change)
			b.swept(s)
			stop()
			s, _ = b.run(change)
			b.db.Exec(insert("new"))
			b.swept(s)
			b.onceEach(test.want)
		})
	}
}
