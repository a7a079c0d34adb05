package runtime

import (
	"context"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"time"
)

// turns leaves processors to the door: while calls of Submit are under way, takes work
// on half of the processors at a time, in the order in which they came. Otherwise nobody
// waits. A take waits longestTurn at most, since one before it may be slow for reasons of
// its own.
type turns struct {
	submitting atomic.Int64 // calls of Submit under way

	mu      sync.Mutex
	working int
	line    []chan struct{}
}

const longestTurn = 250 * time.Millisecond

// busy reports whether more calls are under way than there are processors.
func (t *turns) busy() bool { return t.submitting.Load() > int64(goruntime.GOMAXPROCS(0)) }

// begin waits for a turn, which end ends. It waits no longer than ctx, after which the
// turn is none that is worth waiting for.
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
	return t.end // of the turn just taken, or of one given at the same moment
}

// end gives the turn to the first in the line, or to all of them when it is quiet.
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
