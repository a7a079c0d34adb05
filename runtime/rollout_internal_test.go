package runtime

import (
	"context"
	"errors"
	"log/slog"
	goruntime "runtime"
	"testing"

	"auditrelay"
	"auditrelay/filter"
)

type noSink struct{}

func (noSink) Render(auditrelay.Chunk) ([]auditrelay.Payload, error) { return nil, nil }
func (noSink) Deliver(context.Context, auditrelay.Payload) (auditrelay.Receipt, error) {
	return auditrelay.Receipt{}, nil
}

// TestTakenBackWithoutTheJournal: a rollout rolled back while the journal cannot write judges
// no more events, and the user learns that nothing was recorded.
func TestTakenBackWithoutTheJournal(t *testing.T) {
	r, err := Open(t.Context(), Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Callbacks: []Callback{
		{Name: "one", Sink: noSink{}, Steps: []Step{{Name: "f", Filter: noFilter{}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	started, err := r.StartRollout(t.Context(), Rollout{Filter: "f", Digest: "b"}, noFilter{}, By{Principal: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.journal.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = r.RollBack(t.Context(), "f", By{Principal: "ann"})
	if taken, ok := errors.AsType[*TakenBackError](err); !ok || taken.ID != started.ID || taken.By != "ann" || taken.Err == nil {
		t.Errorf("got %v", err)
	}
	if o := r.rollout.Load(); o == nil || !o.off.Load() {
		t.Error("it goes on judging")
	}
	// Repeated attempts do not start one more goroutine each.
	before := goruntime.NumGoroutine()
	for range 50 {
		if _, err := r.RollBack(t.Context(), "f", By{Principal: "ann"}); err == nil {
			t.Fatal("it was recorded")
		}
	}
	if more := goruntime.NumGoroutine() - before; more > 10 {
		t.Errorf("50 times taken back started %d goroutines", more)
	}
	_ = r.Close() // the journal is closed
}

var _ filter.Filter = noFilter{}
