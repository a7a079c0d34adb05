package http

import (
	"context"
	"io"
	"math/bits"
	"sync"
	"time"

	"auditrelay/internal/ingest"
)

// holding is the memory that one request's body has. It grows with what has come: who
// announces much and sends little holds little.
type holding struct {
	server *Server
	ctx    context.Context
	who    string
	full   int64 // what the request takes at most
	atomic bool  // the body stands in memory whole
	event  int64 // the largest event
	copies int64 // of the body beside the first, while it is read
	// from is where the memory comes from; nil: the server's for requests of its size.
	from *budget

	n        int64
	releases []func()
}

const (
	// firstMemory is what a reader takes at first. All connections that one address may
	// have take half of what a principal may: silent ones keep no request of it waiting.
	firstMemory = 2 * ingest.FirstBuffer
	fewMemory   = 36 << 10
	fewBytes    = 8 << 10
	someBytes   = 64 << 10
	// largeAtomic is from where on a principal's atomic requests come one at a time: two
	// that each hold a part of what both need would wait for each other.
	largeAtomic = 2 << 20
)

// want is how much a body takes after that many bytes.
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

// grow waits until the request holds n bytes.
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

// heldReader grows a holding as a body comes.
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
		r.start = r.start.Add(time.Since(start)) // it is not the client that was slow
	}
	return n, err
}

var _ io.Reader = (*heldReader)(nil)

// turns lets each principal do something one at a time.
type turns struct {
	mu sync.Mutex
	of map[string]chan struct{} // one for each principal that there is
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
