package httpsink

import (
	"context"
	"sync"
)

// Limiter limits the number of simultaneous requests. The limit is halved when the destination
// asks for less. It grows by one after as many successes as the current limit.
type Limiter struct {
	most int

	mu        sync.Mutex
	bound     int
	running   int
	successes int
	era       uint64        // number of halvings
	changed   chan struct{} // closed and replaced when a place may be free
}

// NewLimiter returns a limiter of at most most simultaneous requests.
func NewLimiter(most int) *Limiter {
	return &Limiter{most: most, bound: most, changed: make(chan struct{})}
}

// Acquire waits for a place. Pass the era to Release.
func (l *Limiter) Acquire(ctx context.Context) (era uint64, err error) {
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

// Release returns the place. Requests that began before the last halving do not halve again:
// they all hit the same limit.
func (l *Limiter) Release(era uint64, throttled, ok bool) {
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
