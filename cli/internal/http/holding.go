package http

import (
	"context"
	"io"
	"math/bits"
	"sync"
	"time"

	"auditrelay/internal/ingest"
)

// holding is the memory that is reserved for the body of one request. The reservation grows
// with the bytes received, so a client that announces a large body and sends little reserves
// little.
type holding struct {
	server *Server
	ctx    context.Context
	who    string
	full   int64 // maximum for this request
	atomic bool  // the whole body is kept in memory
	event  int64 // size of the largest event
	copies int64 // copies of the body besides the first while it is read
	// from is the budget that the memory is taken from. If it is nil, the server's budget for
	// requests of this size is used.
	from *budget

	n        int64
	releases []func()
}

const (
	// firstMemory is what a reader reserves at first. All connections from one address can
	// reserve at most half of what one principal can, so idle connections cannot block a
	// principal's requests.
	firstMemory = 2 * ingest.FirstBuffer
	fewMemory   = 36 << 10
	fewBytes    = 8 << 10
	someBytes   = 64 << 10
	// largeAtomic is the size above which atomic requests of one principal run one at a time.
	// Two such requests could each hold part of the memory that both need and wait for each
	// other forever.
	largeAtomic = 2 << 20
)

// want returns how much memory a body needs after come bytes were received.
func (h *holding) want(come int64) int64 {
	switch {
	case come < ingest.FirstBuffer:
		return min(h.full, firstMemory)
	case come <= fewBytes:
		return min(h.full, fewMemory)
	case come <= someBytes:
		return min(h.full, 3*someBytes+32<<10)
	case !h.atomic:
		return h.full
	}
	step := int64(1) << bits.Len64(uint64(max(come, 256<<10)-1))
	return min(h.full, (1+h.copies)*step+step/4+min(h.event, step))
}

// grow waits until n bytes are reserved for the request.
func (h *holding) grow(n int64) error {
	if n <= h.n {
		return nil
	}
	if h.atomic && n > largeAtomic && h.n <= largeAtomic {
		release, err := h.server.atomics.enter(h.ctx, h.who, h.server.patience.busy)
		if err != nil {
			return err
		}
		h.releases = append(h.releases, release)
	}
	from := h.from
	switch {
	case from != nil:
	case n <= smallRequest:
		from = h.server.small
	default:
		from = h.server.large
	}
	release, err := h.server.acquire(h.ctx, from, h.who, n-h.n)
	if err != nil {
		return err
	}
	h.releases, h.n = append(h.releases, release), n
	return nil
}

func (h *holding) release() {
	for _, release := range h.releases {
		release()
	}
	h.releases, h.n = nil, 0
}

// heldReader enlarges a holding while a body is received.
type heldReader struct {
	*pacedReader
	h    *holding
	come int64
	err  error
}

func (r *heldReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.pacedReader.Read(p)
	r.come += int64(n)
	if n > 0 {
		start := time.Now()
		if held := r.h.grow(r.h.want(r.come)); held != nil {
			r.err = held
			return 0, held
		}
		r.start = r.start.Add(time.Since(start)) // the wait was not the client's fault
	}
	return n, err
}

var _ io.Reader = (*heldReader)(nil)

// turns lets each principal do something one at a time.
type turns struct {
	mu sync.Mutex
	of map[string]chan struct{} // by principal
}

func (t *turns) enter(ctx context.Context, who string, patience time.Duration) (leave func(), err error) {
	t.mu.Lock()
	if t.of == nil {
		t.of = map[string]chan struct{}{}
	}
	turn := t.of[who]
	if turn == nil {
		turn = make(chan struct{}, 1)
		t.of[who] = turn
	}
	t.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil, errBusy
}
