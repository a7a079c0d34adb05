package runtime

import (
	"context"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"time"
)

// turns leaves processors to Submit. While several calls of Submit run, takes use half of the processors,
// in order of arrival. Otherwise no take waits. A take waits at most longestTurn, since an earlier one may
// be slow for other reasons.
type turns struct {
	submitting atomic.Int64 // number of running calls of Submit

	mu      sync.Mutex
	working int
	line    []chan struct{}
}

const longestTurn = 250 * time.Millisecond

// busy reports whether there are more running calls than processors.
func (t *turns) busy() bool { return t.submitting.Load() > int64(goruntime.GOMAXPROCS(0)) }

// begin waits for a turn; the caller must call end afterwards. It stops waiting when ctx ends, and the turn
// is then void.
func (t *turns) begin(ctx context.Context) (end func()) {
	t.mu.Lock()
	if !t.busy() || len(t.line) == 0 && t.working < max(goruntime.GOMAXPROCS(0)/2, 1) {
		t.working++
		t.mu.Unlock()
		return t.end
	}
	ready := make(chan struct{})
	t.line = append(t.line, ready)
	t.mu.Unlock()
	timer := time.NewTimer(longestTurn)
	defer timer.Stop()
	select {
	case <-ready:
		return t.end
	case <-timer.C:
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.line {
		if t.line[i] == ready {
			t.line = append(t.line[:i], t.line[i+1:]...)
			t.working++
			break
		}
	}
	return t.end // ends the turn just taken, or one granted at the same moment
}

// end passes the turn to the first waiter, or to all waiters if few calls of Submit run.
func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.working--
	for len(t.line) > 0 && (!t.busy() || t.working < max(goruntime.GOMAXPROCS(0)/2, 1)) {
		t.working++
		close(t.line[0])
		t.line = t.line[1:]
	}
}
