package runtime_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime"
)

// leaseSink reports its payloads, and can wait in the middle of a delivery.
type leaseSink struct {
	memorySink
	hang  chan struct{} // not nil: Deliver waits until its context ends
	ended chan error    // the reason
}

func (s *leaseSink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	if s.hang != nil {
		select {
		case <-s.hang: // once
			<-ctx.Done()
			s.ended <- ctx.Err()
			return auditrelay.Receipt{}, ctx.Err()
		default:
		}
	}
	return s.memorySink.Deliver(ctx, p)
}

// TestNothingLeavesWithoutTheLease: a relay that cannot renew its lease of the journal aborts a
// delivery and begins none until it can renew again.
func TestNothingLeavesWithoutTheLease(t *testing.T) {
	server := pgtest.Start(t, "fsync = on", "wal_sync_method = fdatasync")
	sink := &leaseSink{hang: make(chan struct{}, 1), ended: make(chan error, 1)}
	sink.hang <- struct{}{}
	r, err := runtime.Open(t.Context(), runtime.Options{
		Journal: runtime.JournalOptions{Postgres: runtime.PostgresJournal{URL: auditrelay.Secret(server.URL("owner", "postgres")), Takeover: time.Second}},
		Callbacks: []runtime.Callback{{Name: "one", Sink: sink, Chunk: auditrelay.Chunking{Age: time.Millisecond},
			Backoff: auditrelay.Backoff{Initial: time.Millisecond, Max: 10 * time.Millisecond}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	submit := func(id string) {
		t.Helper()
		if _, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(`{"id":"` + id + `","action":"created"}`)}); err != nil {
			t.Fatal(err)
		}
	}
	submit("a")
	db := server.Connect(t, "owner", "postgres")
	db.Exec("BEGIN; SELECT FROM auditrelay.lease FOR UPDATE") // renewal is blocked
	select {
	case <-sink.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the delivery goes on without a lease")
	}
	submit("b")
	time.Sleep(300 * time.Millisecond) // longer than a delivery takes
	if writes, _ := sink.count(); writes > 0 {
		t.Errorf("%d payloads left without a lease", writes)
	}
	if s, err := r.Callback("one"); err != nil || s.Account.Pending != 2 || !strings.Contains(s.Reason, "lease") {
		t.Errorf("meanwhile: %+v %v", s, err)
	}
	db.Exec("ROLLBACK")
	await(t, r, "one", "done", func(s runtime.CallbackStatus) bool { return s.Account.Delivered == 2 })
}
