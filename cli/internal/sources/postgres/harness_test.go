package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/sources/postgres"
	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime"
)

// bed is a server with LiteLLM's table and a role that may only read it, and a relay.
type bed struct {
	*testing.T
	pg  *pgtest.Server
	db  *pgtest.Conn // the owner's
	dir string
	rt  *runtime.Runtime
	log *logBuffer
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{T: t, pg: pgtest.Start(t), dir: t.TempDir(), log: new(logBuffer)}
	b.db = b.pg.Connect(t, "owner", "postgres")
	b.db.Exec(pgtest.Table + `; CREATE ROLE reader LOGIN; GRANT SELECT ON "LiteLLM_AuditLog" TO reader`)
	b.openRelay()
	return b
}

func (b *bed) openRelay() { b.openRelayWith(runtime.JournalOptions{}) }

func (b *bed) openRelayWith(o runtime.JournalOptions) {
	b.Helper()
	rt, err := runtime.Open(context.Background(), runtime.Options{Dir: b.dir, Journal: o, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.rt = rt
	b.Cleanup(func() {
		if err := rt.Close(); err != nil {
			b.Error(err)
		}
	})
}

// run starts a source, which ends with the test or when stop is called.
func (b *bed) run(change func(*postgres.Options)) (s *postgres.Tail, stop func()) {
	b.Helper()
	o := postgres.Options{Relay: b.rt, URL: auditrelay.Secret(b.pg.URL("reader", "postgres")), Poll: 5 * time.Millisecond, MostPause: 50 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(b.log, nil))}
	if change != nil {
		change(&o)
	}
	s, err := postgres.NewTail(o)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	stop = func() { cancel(); wg.Wait() }
	b.Cleanup(stop)
	return s, stop
}

func (b *bed) eventually(what string, is func() bool) {
	b.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			b.Fatalf("not in time: %s\n%s", what, b.log)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// swept waits until the whole table has been read once more.
func (b *bed) swept(s *postgres.Tail) {
	b.Helper()
	now := time.Now()
	b.eventually("a sweep", func() bool {
		st := s.Status()
		return st.Complete.After(now) && st.State == postgres.StateFollowing
	})
}

// counts returns how often each id is stored.
func (b *bed) counts() map[string]int {
	b.Helper()
	n := map[string]int{}
	b.each(func(e auditrelay.Event) { n[e.ID]++ })
	return n
}

func (b *bed) each(fn func(auditrelay.Event)) {
	b.Helper()
	for at := uint64(1); ; {
		events, next, err := b.rt.Stored(at, 1000)
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range events {
			fn(e)
		}
		if next == at || len(events) == 0 {
			return
		}
		at = next
	}
}

// onceEach checks that exactly these ids are stored, each once.
func (b *bed) onceEach(ids []string) {
	b.Helper()
	n := b.counts()
	for _, id := range ids {
		if n[id] != 1 {
			b.Errorf("%s is stored %d times", id, n[id])
		}
		delete(n, id)
	}
	for id, times := range n {
		b.Errorf("%s, which is not in the table, is stored %d times", id, times)
	}
	if b.Failed() {
		b.Fatalf("the log:\n%s", b.log)
	}
}

// ids returns the ids in the table.
func (b *bed) ids() []string { return b.db.Exec(`SELECT id FROM "LiteLLM_AuditLog"`) }

// fill inserts rows prefix-1 to prefix-n.
func (b *bed) fill(prefix string, n int) {
	b.db.Exec(fmt.Sprintf(`INSERT INTO "LiteLLM_AuditLog" (id, updated_at, action, table_name, object_id, before_value, updated_values)
		SELECT '%s-' || i, '2026-03-01'::timestamp + i * interval '1 s', 'updated', 'LiteLLM_TeamTable', 'o' || i, jsonb_build_object('n', i), '{"team_alias": "blue", "models": ["a", "b"]}'
		FROM generate_series(1, %d) i`, prefix, n))
}

func insert(id string) string {
	return fmt.Sprintf(`INSERT INTO "LiteLLM_AuditLog" (id, action, table_name, object_id) VALUES ('%s', 'created', 't', 'o')`, id)
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
