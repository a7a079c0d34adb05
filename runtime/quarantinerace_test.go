package runtime_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"auditrelay/runtime"
)

// TestQuarantineFromManyGoroutines: while others list, replay and delete, and then close,
// acknowledged input is in quarantine or was removed once.
func TestQuarantineFromManyGoroutines(t *testing.T) {
	o := runtime.Options{Dir: t.TempDir()}
	r := start(t, o)
	var producers, operators sync.WaitGroup
	var kept, gone atomic.Int64
	done := make(chan struct{})
	for g := range 8 {
		producers.Go(func() {
			for i := range 30 {
				mine := odd(event(fmt.Sprintf("%d-%d", g, i), "created"), "too_large")
				shared := odd(fmt.Sprint("the same from all, ", i), "syntax")
				if err := r.Quarantine(t.Context(), mine, shared); err != nil {
					t.Error(err)
					return
				}
				kept.Add(2)
			}
		})
	}
	for g := range 4 {
		operators.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				list, err := r.QuarantineItems(t.Context(), runtime.QuarantineQuery{Limit: 3, Reason: "too_large"})
				if err != nil {
					t.Error(err)
					return
				}
				for _, it := range list {
					if g%2 == 0 {
						_, err = r.ReplayQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, it.Number, nil)
					} else {
						err = r.DeleteQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, it.Number)
					}
					if err == nil {
						gone.Add(1)
					} else if !errors.Is(err, runtime.ErrNoQuarantineItem) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	producers.Wait()
	close(done)
	operators.Wait()

	// Once more, against a Close.
	var late sync.WaitGroup
	var acknowledged atomic.Int64
	begun := make(chan struct{}, 4)
	for g := range 4 {
		late.Go(func() {
			for i := 0; ; i++ {
				err := r.Quarantine(t.Context(), odd(fmt.Sprint("late ", g, " ", i), "syntax"))
				if errors.Is(err, runtime.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				acknowledged.Add(1)
				if i == 0 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range 4 {
		<-begun
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	late.Wait()

	r = start(t, o)
	times, items := int64(0), inQuarantine(t, r)
	for _, it := range items {
		times += int64(it.Times)
	}
	if want := kept.Load() + acknowledged.Load() - gone.Load(); times != want {
		t.Errorf("%d arrivals in quarantine, want %d: %d kept, %d late, %d taken away", times, want, kept.Load(), acknowledged.Load(), gone.Load())
	}
	if want := 30 + 8*30 - int(gone.Load()) + int(acknowledged.Load()); len(items) != want || r.QuarantineStats().Items != want {
		t.Errorf("%d items, %d in the stats, want %d", len(items), r.QuarantineStats().Items, want)
	}
}
