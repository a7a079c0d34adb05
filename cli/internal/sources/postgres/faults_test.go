package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/sources/postgres"
	"auditrelay/runtime"
)

func TestAServerThatStopsAndComesBack(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.fill("past", 2000)
	s, _ := b.run(func(o *postgres.Options) { o.Rate = 4000 })
	for i, mode := range []string{"immediate", "fast", "immediate"} {
		b.eventually("rows", func() bool {
			return len(b.counts()) > 200*i && s.Status().State != postgres.StateDisconnected
		})
		b.db.Exec(insert(fmt.Sprint("before-", i)))
		b.pg.Stop(t, mode)
		b.eventually("the loss being told", func() bool { return s.Status().State == postgres.StateDisconnected })
		b.pg.Restart(t)
		b.db = b.pg.Connect(t, "owner", "postgres")
		b.db.Exec(insert(fmt.Sprint("after-", i)))
	}
	b.swept(s)
	b.onceEach(b.ids())
	if n := strings.Count(b.log.String(), "cannot be read; the relay retries"); n != 3 {
		t.Errorf("3 losses are told %d times:\n%s", n, b.log)
	}
}

func TestNoConnectionLeft(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.db.Exec("ALTER ROLE reader CONNECTION LIMIT 1; " + insert("a"))
	other := b.pg.Connect(t, "reader", "postgres")
	s, _ := b.run(nil)
	b.eventually("being refused", func() bool {
		st := s.Status()
		return st.State == postgres.StateDisconnected && strings.Contains(st.Error, "53300")
	})
	other.Close()
	b.swept(s)
	b.onceEach(b.ids())
}

func TestWhatIsSetUpWronglyIsToldAndMended(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.db.Exec(`REVOKE SELECT ON "LiteLLM_AuditLog" FROM reader; ` + insert("a"))
	s, _ := b.run(nil)
	b.eventually("being refused", func() bool {
		st := s.Status()
		return st.State == postgres.StateMisconfigured && strings.Contains(st.Error, `GRANT SELECT ON "LiteLLM_AuditLog"`)
	})
	b.db.Exec(`GRANT SELECT ON "LiteLLM_AuditLog" TO reader`)
	b.swept(s)
	b.onceEach([]string{"a"})
	// Rows hidden by a policy would be skipped: this is an error.
	b.db.Exec(`CREATE POLICY some_only ON "LiteLLM_AuditLog" USING (id <> 'b'); ALTER TABLE "LiteLLM_AuditLog" ENABLE ROW LEVEL SECURITY; ` + insert("b"))
	b.eventually("row security being told", func() bool {
		st := s.Status()
		return st.State == postgres.StateMisconfigured && strings.Contains(st.Error, "row-level security") && strings.Contains(st.Error, "some_only")
	})
	b.db.Exec(`ALTER TABLE "LiteLLM_AuditLog" DISABLE ROW LEVEL SECURITY`)
	b.swept(s)
	b.onceEach([]string{"a", "b"})
}

func TestATableThatIsNoneOfLiteLLMs(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.db.Exec(`CREATE TABLE other (id text); GRANT SELECT ON other TO reader; CREATE VIEW seen AS SELECT * FROM "LiteLLM_AuditLog"; GRANT SELECT ON seen TO reader`)
	for table, want := range map[string]string{"other": "has no column action", "seen": "no plain table", "absent": "there is no table"} {
		s, stop := b.run(func(o *postgres.Options) { o.Table = table })
		b.eventually("table "+table+" being refused", func() bool {
			st := s.Status()
			return st.State == postgres.StateMisconfigured && strings.Contains(st.Error, want)
		})
		stop()
	}
}

// faulty is a relay that accepts nothing at some calls, counted from 1.
type faulty struct {
	postgres.Relay
	calls  atomic.Int64
	refuse func(call int64) bool
}

func (f *faulty) fault() error {
	if f.refuse(f.calls.Add(1)) {
		return &runtime.UnavailableError{RetryAfter: time.Millisecond, Err: errors.New("the disk is short")}
	}
	return nil
}

func (f *faulty) Submit(ctx context.Context, events ...runtime.Submission) ([]runtime.Result, error) {
	if err := f.fault(); err != nil {
		return nil, err
	}
	results, err := f.Relay.Submit(ctx, events...)
	if late := f.fault(); err == nil && late != nil {
		return nil, late // accepted, but the caller does not know
	}
	return results, err
}

func (f *faulty) SetPosition(ctx context.Context, source string, position []byte) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.Relay.SetPosition(ctx, source, position)
}

func TestARelayThatAcceptsNothingHasNothingSkipped(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.fill("past", 1500)
	f := &faulty{Relay: b.rt, refuse: func(n int64) bool { return n%3 == 0 }}
	s, _ := b.run(func(o *postgres.Options) { o.Relay, o.Batch = f, 100 })
	b.eventually("waiting being told", func() bool { return strings.Contains(b.log.String(), "the relay accepts nothing now") })
	b.swept(s)
	b.db.Exec(insert("late"))
	b.swept(s)
	b.onceEach(b.ids())
}

func TestARelayThatStaysFullIsToldOnce(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.fill("past", 10)
	var full atomic.Bool
	full.Store(true)
	f := &faulty{Relay: b.rt, refuse: func(int64) bool { return full.Load() }}
	s, _ := b.run(func(o *postgres.Options) { o.Relay = f })
	b.eventually("being tried again and again", func() bool { return f.calls.Load() > 8 })
	if st := s.Status(); st.State != postgres.StateWaiting || !strings.Contains(st.Error, "the disk is short") {
		t.Errorf("%+v", st)
	}
	full.Store(false)
	b.swept(s)
	b.onceEach(b.ids())
	if n := strings.Count(b.log.String(), "the relay accepts nothing now"); n != 1 {
		t.Errorf("told %d times:\n%s", n, b.log)
	}
}

func TestRowsThatAreNoEventsAreKeptInQuarantine(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for _, e := range []string{`{"id":"taken","action":"deleted"}`, `{"id":"fine","action":"created"}`} {
		if _, err := b.rt.Submit(t.Context(), runtime.Submission{Data: []byte(e)}); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("i", 300)
	b.db.Exec(insert("taken") + "; " + insert("") + "; " + insert(long) + "; " + insert("good"))
	b.db.Exec(`INSERT INTO "LiteLLM_AuditLog" (id, action, table_name, object_id, before_value) VALUES
		('large', 'created', 't', 'o', jsonb_build_object('x', repeat('y', 2000000))),
		('huge', 'created', 't', 'o', jsonb_build_object('x', repeat('y', 20000000))),
		('forged', 'created', 'auditrelay_callback', 'o', null),
		('deep', 'created', 't', 'o', (repeat('[', 80) || repeat(']', 80))::jsonb)`)
	s, stop := b.run(nil)
	b.swept(s)
	n := b.counts()
	if len(n) != 3 || n["good"] != 1 {
		t.Errorf("stored: %v", n)
	}
	items := func() map[string]int64 {
		list, err := b.rt.QuarantineItems(t.Context(), runtime.QuarantineQuery{Source: "postgres"})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, it := range list {
			full, err := b.rt.QuarantineItem(t.Context(), it.Number)
			if err != nil || it.Times != 1 || it.Provenance.Principal != "LiteLLM_AuditLog" {
				t.Errorf("%+v, %v", it, err)
			}
			data := string(full.Data)
			id := data[strings.Index(data, `:"`)+2:]
			id = id[:strings.Index(id, `"`)]
			got[it.Reason+" "+id[:min(len(id), 10)]] = it.Bytes
		}
		return got
	}
	got := items()
	for _, want := range []string{"conflict taken", "empty ", "too_long iiiiiiiiii", "too_large large", "too_large huge", "too_deep deep", "reserved forged"} {
		if got[want] == 0 {
			t.Errorf("%q is not in quarantine: %v", want, got)
		}
	}
	if len(got) != 7 || got["too_large large"] < 2_000_000 || got["too_large huge"] > 100 {
		t.Errorf("in quarantine: %v", got)
	}
	if st := s.Status(); st.Rows.Quarantined != 7 || st.Rows.Accepted != 1 {
		t.Errorf("%+v", st.Rows)
	}
	// A changed row is another event with the same id.
	b.db.Exec(`UPDATE "LiteLLM_AuditLog" SET object_id = 'changed' WHERE id = 'good'`)
	b.swept(s)
	if got := items(); got["conflict good"] == 0 || len(got) != 8 {
		t.Errorf("in quarantine: %v", got)
	}
	stop()
}

// TestATableThatIsRewritten moves every row, and then another transaction inserts them again,
// while most ids have left the window.
func TestATableThatIsRewritten(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	if err := b.rt.Close(); err != nil {
		t.Fatal(err)
	}
	b.openRelayWith(runtime.JournalOptions{Window: 100})
	b.fill("past", 3000)
	s, stop := b.run(nil)
	b.swept(s)
	b.db.Exec(`DELETE FROM "LiteLLM_AuditLog" WHERE id IN ('past-1', 'past-2')`)
	for i, rewrite := range []string{`VACUUM FULL "LiteLLM_AuditLog"`, `ALTER TABLE "LiteLLM_AuditLog" ALTER COLUMN changed_by TYPE varchar(100) USING changed_by || ''`, `CLUSTER "LiteLLM_AuditLog" USING "LiteLLM_AuditLog_pkey"`} {
		b.db.Exec(insert(fmt.Sprint("before-", i)))
		b.db.Exec(rewrite)
		b.db.Exec(insert(fmt.Sprint("after-", i)))
		if i == 1 { // also if nobody watched while it happened
			stop()
			s, stop = b.run(nil)
		}
		b.swept(s)
	}
	b.onceEach(append(b.ids(), "past-1", "past-2"))
}

// TestARestoredServer returns to an earlier state, and repeats transaction numbers.
func TestARestoredServer(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.fill("past", 100)
	s, _ := b.run(nil)
	b.swept(s)
	b.db.Close()
	b.pg.Stop(t, "fast")
	b.pg.Copy(t)
	b.pg.Restart(t)
	b.db = b.pg.Connect(t, "owner", "postgres")
	for i := range 50 {
		b.db.Exec(insert(fmt.Sprint("lost-", i)))
	}
	b.swept(s)
	b.db.Close()
	b.pg.Stop(t, "fast")
	b.pg.Swap(t)
	b.pg.Restart(t)
	b.db = b.pg.Connect(t, "owner", "postgres")
	for i := range 10 {
		b.db.Exec(insert(fmt.Sprint("again-", i)))
	}
	b.swept(s)
	want := b.ids()
	for i := range 50 {
		want = append(want, fmt.Sprint("lost-", i))
	}
	b.onceEach(want)
	if !strings.Contains(b.log.String(), "failed over or was restored") {
		t.Errorf("the restore is not told:\n%s", b.log)
	}
}

func TestAnotherTableIsReadFromItsBeginning(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.fill("first", 10)
	s, stop := b.run(nil)
	b.swept(s)
	stop()
	want := b.ids()
	b.db.Exec(`ALTER TABLE "LiteLLM_AuditLog" RENAME TO old; CREATE TABLE "LiteLLM_AuditLog" AS SELECT * FROM old; GRANT SELECT ON "LiteLLM_AuditLog" TO reader; ` + insert("new"))
	s, _ = b.run(nil)
	b.swept(s)
	b.onceEach(append(want, "new"))
}

// slow forwards a socket's bytes slowly.
func slow(t *testing.T, to string) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "slow")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
		os.RemoveAll(dir)
	})
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", filepath.Join(to, ".s.PGSQL.5432"))
			if err != nil {
				in.Close()
				continue
			}
			pass := func(dst, src net.Conn) {
				defer dst.Close()
				defer src.Close()
				for buf := make([]byte, 256); ; {
					n, err := src.Read(buf)
					if _, werr := dst.Write(buf[:n]); werr != nil || err != nil {
						return
					}
					<-time.After(200 * time.Microsecond)
				}
			}
			wg.Go(func() { pass(in, out) })
			wg.Go(func() { pass(out, in) })
		}
	})
	return dir
}

func TestASlowServer(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.fill("past", 300)
	through := slow(t, strings.Fields(strings.TrimPrefix(b.pg.URL("reader", "postgres"), "host="))[0])
	s, _ := b.run(func(o *postgres.Options) {
		o.URL = auditrelay.Secret(fmt.Sprintf("host=%s user=reader dbname=postgres", through))
	})
	b.swept(s)
	b.db.Exec(insert("late"))
	b.swept(s)
	b.onceEach(b.ids())
}

func TestTheRateIsKept(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.fill("past", 6000)
	begun := time.Now()
	s, _ := b.run(func(o *postgres.Options) { o.Rate = 4000 })
	b.swept(s)
	if took := time.Since(begun); took < time.Second {
		t.Errorf("6000 rows at 4000 a second took %s", took)
	}
	b.onceEach(b.ids())
}

// TestATableThatIsRewrittenWhileItIsRead moves unread rows to a part that was already read.
func TestATableThatIsRewrittenWhileItIsRead(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.fill("past", 20_000)
	s, _ := b.run(func(o *postgres.Options) { o.Rate = 8000 })
	b.eventually("some of the past", func() bool { return s.Status().Rows.Accepted > 3000 })
	gone := b.db.Exec(`DELETE FROM "LiteLLM_AuditLog" WHERE split_part(id, '-', 2)::int <= 2500 RETURNING id`)
	b.db.Exec(`VACUUM FULL "LiteLLM_AuditLog"`)
	if st := s.Status(); st.State != postgres.StateBackfilling {
		t.Errorf("the past was read too soon: %+v", st)
	}
	b.swept(s)
	b.onceEach(append(b.ids(), gone...))
}
