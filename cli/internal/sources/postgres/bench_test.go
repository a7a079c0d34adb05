package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/sources/postgres"
	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime"
)

// BenchmarkBackfill reads b.N rows of some 1 KB into a journal on disk.
func BenchmarkBackfill(b *testing.B) {
	pg := pgtest.Start(b)
	db := pg.Connect(b, "owner", "postgres")
	db.Exec(pgtest.Table)
	db.Exec(fmt.Sprintf(`INSERT INTO "LiteLLM_AuditLog" SELECT gen_random_uuid(), '2026-01-01'::timestamp + i * interval '1 s', 'user', md5(i::text), 'updated',
		'LiteLLM_TeamTable', 'team', jsonb_build_object('n', i, 'note', repeat(md5(i::text), 8)), jsonb_build_object('n', i + 1, 'note', repeat(md5(i::text), 8))
		FROM generate_series(1, %d) i`, b.N))
	rt, err := runtime.Open(context.Background(), runtime.Options{Dir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer rt.Close()
	s, err := postgres.NewTail(postgres.Options{Relay: rt, URL: auditrelay.Secret(pg.URL("owner", "postgres")), Rate: 1_000_000, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	b.ResetTimer()
	go func() { s.Run(ctx); close(done) }()
	for s.Status().State != postgres.StateFollowing {
		<-time.After(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	cancel()
	<-done
	if n := s.Status().Rows.Accepted; n != uint64(b.N) {
		b.Fatalf("%d accepted of %d", n, b.N)
	}
}
