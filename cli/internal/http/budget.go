package http

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// budget limits the total memory of requests' bodies, and shares it among principals. A
// principal may hold at most three times the free memory, so that some is always left for the
// next one. A request takes its part before it reads, and waits in line if there is none.
type budget struct {
	mu    sync.Mutex
	free  int64
	total int64
	held  map[string]int64 // by principal
	line  list.List        // of *waiter, in order of arrival
}

type waiter struct {
	who   string
	n     int64
	ready chan struct{}
}

func newBudget(total int64) *budget {
	return &budget{free: total, total: total, held: map[string]int64{}}
}

// share is the maximum ratio of a principal's memory to the free memory.
const share = 3

// most returns the maximum for one principal.
func (b *budget) most() int64 { return b.total - b.total/(share+1) }

// fits reports whether a principal may take n more bytes now.
func (b *budget) fits(who string, n int64) bool {
	return n <= b.free && (b.held[who] == 0 || b.held[who]+n <= share*(b.free-n))
}

func (b *budget) take(who string, n int64) {
	b.free -= n
	b.held[who] += n
}

// acquire takes n bytes for a principal, or its whole share if n is larger, and returns the
// function that releases them. It fails only if ctx ends.
func (b *budget) acquire(ctx context.Context, who string, n int64) (release func(), err error) {
	n = min(n, b.most())
	b.mu.Lock()
	if b.fits(who, n) && !b.waits(who) {
		b.take(who, n)
		b.mu.Unlock()
		return func() { b.release(who, n) }, nil
	}
	w := &waiter{who: who, n: n, ready: make(chan struct{})}
	place := b.line.PushBack(w)
	b.mu.Unlock()

	select {
	case <-w.ready:
		return func() { b.release(who, n) }, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // granted at the same moment
		b.give(who, n)
	default:
		b.line.Remove(place)
	}
	b.serve()
	return nil, ctx.Err()
}

// waits reports whether the principal, or one that holds nothing, waits in line.
func (b *budget) waits(who string) bool {
	for e := b.line.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*waiter); w.who == who || b.held[w.who] == 0 {
			return true
		}
	}
	return false
}

func (b *budget) give(who string, n int64) {
	b.free += n
	if b.held[who] -= n; b.held[who] == 0 {
		delete(b.held, who)
	}
}

func (b *budget) release(who string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.give(who, n)
	b.serve()
}

// serve grants memory to waiters while there is room. A principal that already has its share
// does not block others. One that has nothing does.
func (b *budget) serve() {
	for e := b.line.Front(); e != nil; {
		w, next := e.Value.(*waiter), e.Next()
		switch {
		case b.fits(w.who, w.n):
			b.take(w.who, w.n)
			b.line.Remove(e)
			close(w.ready)
		case b.held[w.who] == 0:
			return
		}
		e = next
	}
}

// holders adds each principal's memory to held.
func (b *budget) holders(held map[string]int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for who, n := range b.held {
		held[who] += n
	}
}

// inUse returns the memory in use.
func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total - b.free
}

var errBusy = errors.New("too many large requests are under way")

// Reserve waits, for a limited time, for memory for a body of a principal.
func (s *Server) Reserve(ctx context.Context, principal string, n int64) (release func(), err error) {
	if n <= smallRequest {
		return s.acquire(ctx, s.small, principal, n)
	}
	return s.acquire(ctx, s.large, principal, n)
}

// Inflate waits for memory for a decompressed body. Its caller holds memory from Reserve, so
// Inflate has a separate budget: a holder of its memory waits for nothing else.
func (s *Server) Inflate(ctx context.Context, principal string, n int64) (release func(), err error) {
	return s.acquire(ctx, s.inflated, principal, n)
}

func (s *Server) acquire(ctx context.Context, from *budget, principal string, n int64) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience.busy)
	defer cancel()
	if release, err = from.acquire(ctx, principal, n); err != nil {
		if from != s.unknown { // otherwise the names are addresses, which anyone can choose
			s.principals.count(principal, func(u *usage) { u.memory++ })
		}
		return nil, errBusy
	}
	return release, nil
}
