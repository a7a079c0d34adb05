package s3

import (
	"context"
	"sync"
)

// limiter bounds how many requests run at a time: halved when the store says
// SlowDown, one more again after as many successes as the bound is.
type limiter struct {
	most int

	mu        sync.Mutex
	bound     int
	running   int
	successes int
	era       uint64        // counts halvings
	changed   chan struct{} // closed and replaced when a place may be free
}

func newLimiter(most int) *limiter {
	return &limiter{most: most, bound: most, changed: make(chan struct{})}
}

// acquire waits for a place. The era goes back to release.
func (l *limiter) acquire(ctx context.Context) (era uint64, err error) {
	for {
		l.mu.Lock()
		if l.running < l.bound {
			l.running++
			era := l.era
			l.mu.Unlock()
			return era, nil
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// release gives the place back. Of requests that began before the last halving
// none halves again: they all ran into the same limit.
func (l *limiter) release(era uint64, throttled, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	switch {
	case throttled && era == l.era:
		l.bound = max(1, l.bound/2)
		l.era++
		l.successes = 0
	case ok && l.bound < l.most:
		if l.successes++; l.successes >= l.bound {
			l.bound++
			l.successes = 0
		}
	}
	close(l.changed)
	l.changed = make(chan struct{})
}
