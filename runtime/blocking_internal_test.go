package runtime

import (
	"sync"
	"testing"
	"time"

	"auditrelay/runtime/internal/delivery"
)

// TestNobodyIsBlockedBehind: the check whether a callback is at its limit and its publication
// use the same lock. Otherwise an older result could be published last, and refuse events for
// ever.
func TestNobodyIsBlockedBehind(t *testing.T) {
	p := &pump{callback: &callback{Callback: Callback{Name: "a"}}}
	r := &Runtime{pumps: map[string]*pump{"a": p}}
	for i := range 20 {
		p.seen.Store(&delivery.Snapshot{Blocked: i%2 == 0})
		var wg sync.WaitGroup
		r.mu.Lock()
		wg.Go(r.blocking)
		time.Sleep(2 * time.Millisecond) // it waits for the lock
		wg.Go(func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			before := r.counters.blockedBy.Load()
			time.Sleep(time.Millisecond)
			if r.counters.blockedBy.Load() != before {
				t.Error("it is said outside the lock")
			}
		})
		time.Sleep(2 * time.Millisecond) // and this one behind it
		// A mutex whose waiters wait that long passes directly from one waiter to the next.
		r.mu.Unlock()
		r.mu.Lock()
		time.Sleep(2 * time.Millisecond)
		r.mu.Unlock()
		wg.Wait()
		if by := r.counters.blockedBy.Load(); (by != nil) != (i%2 == 0) {
			t.Errorf("round %d: blocked by %v", i, by)
		}
	}
}
