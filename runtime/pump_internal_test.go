package runtime

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// lines is a sink that accepts everything.
type lines struct{}

func (lines) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	p := auditrelay.Payload{Key: "k"}
	for _, r := range c.Records {
		p.Sequences, p.Body = append(p.Sequences, r.Sequence), append(p.Body, r.Data...)
	}
	return []auditrelay.Payload{p}, nil
}

func (lines) Deliver(context.Context, auditrelay.Payload) (auditrelay.Receipt, error) {
	return auditrelay.Receipt{}, nil
}

// A failed commit drops the work in progress, which may be waiting for the memory of the very
// results to be committed.
func TestAFailedCommitHoldsNoMemory(t *testing.T) {
	r, err := Open(t.Context(), Options{Logger: slog.New(slog.DiscardHandler), Memory: 1 << 20,
		Callbacks: []Callback{{Name: "c", Sink: lines{}, Chunk: auditrelay.Chunking{Age: time.Millisecond}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := r.pumps["c"]
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	refused := errors.New("no room")
	done := make(chan error, 1)
	go func() {
		done <- p.do(ctx, func(*delivery.Lane, *journal.Tx, time.Time) error {
			// A sealed take has all the memory; another one waits for some.
			held, err := r.memory.all(ctx, p.callback.memory, r.memory.total)
			if err != nil {
				return err
			}
			p.held = append(p.held, held)
			p.out++
			go func() {
				res := result{taken: true}
				res.held, res.err = r.memory.all(r.ctx, p.callback.memory, 1<<10)
				p.results <- res
			}()
			for r.memory.stats().Waiting == 0 {
				time.Sleep(time.Millisecond) // poll: nothing signals a waiter
			}
			return refused
		})
	}()
	select {
	case err := <-done:
		if !errors.Is(err, refused) {
			t.Error(err)
		}
	case <-ctx.Done():
		r.cancel() // lets the waiter go
		t.Fatal("the callback waits for memory that it holds itself")
	}
	if s := r.memory.stats(); s.Used != 0 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
	if _, err := r.Submit(ctx, Submission{Provenance: auditrelay.Provenance{Source: "test"}, Data: []byte(`{"id":"1","action":"created","table_name":"t"}`)}); err != nil {
		t.Fatal(err)
	}
	if err := r.Settled(ctx); err != nil {
		t.Error(err)
	}
}
