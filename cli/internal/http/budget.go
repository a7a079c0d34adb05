package http

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// budget bounds the memory that requests' bodies take together: a request takes
// its share before it reads, and waits in line where none is left.
type budget struct {
	mu    sync.Mutex
	free  int64
	total int64
	line  list.List // of *waiter, first come first served
}

type waiter struct {
	n     int64
	ready chan struct{}
}

func newBudget(total int64) *budget { return &budget{free: total, total: total} }

// acquire takes n bytes, or all there are where n is more, and returns the
// function that gives them back. It fails only when ctx ends.
func (b *budget) acquire(ctx context.Context, n int64) (release func(), err error) {
	n = min(n, b.total)
	b.mu.Lock()
	if b.line.Len() == 0 && b.free >= n {
		b.free -= n
		b.mu.Unlock()
		return func() { b.release(n) }, nil
	}
	w := &waiter{n: n, ready: make(chan struct{})}
	place := b.line.PushBack(w)
	b.mu.Unlock()

	select {
	case <-w.ready:
		return func() { b.release(n) }, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // served at the same moment
		b.free += n
	default:
		b.line.Remove(place)
	}
	b.serve()
	return nil, ctx.Err()
}

func (b *budget) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	b.serve()
}

// serve lets those at the front of the line in while there is room.
func (b *budget) serve() {
	for e := b.line.Front(); e != nil; e = b.line.Front() {
		w := e.Value.(*waiter)
		if w.n > b.free {
			return
		}
		b.free -= w.n
		b.line.Remove(e)
		close(w.ready)
	}
}

// inUse is how many bytes are taken.
func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total - b.free
}

var errBusy = errors.New("too many large requests are under way")

// Reserve waits for memory for a body, for a while.
func (s *Server) Reserve(ctx context.Context, n int64) (release func(), err error) {
	if n <= smallRequest {
		return s.acquire(ctx, s.small, n)
	}
	return s.acquire(ctx, s.large, n)
}

// Inflate waits for memory for a decompressed body. Its caller holds memory
// that Reserve gave, so it has a budget of its own: whoever holds some of that waits
// for nothing else.
func (s *Server) Inflate(ctx context.Context, n int64) (release func(), err error) {
	return s.acquire(ctx, s.inflated, n)
}

func (s *Server) acquire(ctx context.Context, from *budget, n int64) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience.busy)
	defer cancel()
	if release, err = from.acquire(ctx, n); err != nil {
		return nil, errBusy
	}
	return release, nil
}
