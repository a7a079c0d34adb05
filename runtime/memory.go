package runtime

import (
	"context"
	"sync"

	"auditrelay"
)

// defaultMemory is the minimum of the default of Options.Memory.
const defaultMemory = 32 << 20

// memoryFor returns the default of Options.Memory for these callbacks. It grows if chunks are configured
// above their default size.
func memoryFor(callbacks []Callback) int64 {
	n := int64(defaultMemory)
	for i := range callbacks {
		if bytes := callbacks[i].Chunk.WithDefaults().Bytes; bytes > (auditrelay.Chunking{}).WithDefaults().Bytes {
			n = max(n, 2*copiesOfChunk*int64(bytes))
		}
	}
	return n
}

// Number of copies in memory. A chunk exists as events, as the filters' documents, as payloads, and in the
// transaction that seals it. A payload being sent exists as stored and as read.
const (
	copiesOfChunk   = 4
	copiesOfPayload = 2
)

// memory is the budget for the takes and deliveries of all callbacks.
//
// Half of the budget is divided into guarantees, one for each callback. The other half is common. A
// callback may hold its guarantee and half of the free common memory, so that many callbacks get similar
// amounts. A single callback has everything. A guarantee is never lent: a callback that has used its own
// waits only for itself.
//
// A request that is larger than a guarantee and does not fit runs alone: one at a time for healthy
// callbacks, and one for failing callbacks. So a large event or an older payload is processed eventually.
// It may exceed the budget by its own size.
//
// No goroutine waits for memory while it holds some, so there is no deadlock.
type memory struct {
	mu       sync.Mutex
	total    int64
	used     int64
	accounts map[*memoryAccount]struct{}
	line     []*memoryWaiter // in order of arrival
	large    [2]bool         // whether one runs alone: of a healthy callback, of a failing one
}

// memoryAccount is the memory that one callback holds, including its replays.
type memoryAccount struct {
	held    int64
	failing bool // set with memory.mark
}

// grant is allocated memory. Release it once.
type grant struct {
	m     *memory
	a     *memoryAccount
	bytes int64
	alone *bool // the entry of large that it occupies, or nil
}

type memoryWaiter struct {
	a           *memoryAccount
	want, least int64
	ready       chan *grant // has room for one grant
}

func newMemory(total int64) *memory {
	return &memory{total: total, accounts: map[*memoryAccount]struct{}{}}
}

// open adds a callback. The guarantees of all callbacks shrink accordingly.
func (m *memory) open() *memoryAccount {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := &memoryAccount{}
	m.accounts[a] = struct{}{}
	return a
}

// resize changes the budget.
func (m *memory) resize(total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total = total
	m.serve()
}

// close removes a callback that holds no memory and will request none.
func (m *memory) close(a *memoryAccount) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.accounts, a)
	m.serve()
}

// mark sets whether the callback fails.
func (m *memory) mark(a *memoryAccount, failing bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a.failing = failing
}

// guarantee returns the memory that each callback can always get.
func (m *memory) guarantee() int64 { return m.total / (2*int64(max(len(m.accounts), 1)) - 1) }

// common returns the free memory that belongs to no guarantee.
func (m *memory) common() int64 {
	free, g := m.total-m.used, m.guarantee()
	for a := range m.accounts {
		free -= max(g-a.held, 0)
	}
	return max(free, 0)
}

// take waits for memory for a chunk that needs up to want bytes. Under pressure the grant may be smaller,
// but not smaller than half a guarantee. It returns ctx's error if ctx ends first.
func (m *memory) take(ctx context.Context, a *memoryAccount, want int64) (*grant, error) {
	m.mu.Lock()
	return m.wait(ctx, &memoryWaiter{a: a, want: want, least: min(want, m.guarantee()/2), ready: make(chan *grant, 1)})
}

// all waits for exactly n bytes. It returns ctx's error if ctx ends first.
func (m *memory) all(ctx context.Context, a *memoryAccount, n int64) (*grant, error) {
	m.mu.Lock()
	return m.wait(ctx, &memoryWaiter{a: a, want: n, least: n, ready: make(chan *grant, 1)})
}

// wait waits for a grant. The caller must hold mu; wait unlocks it.
func (m *memory) wait(ctx context.Context, w *memoryWaiter) (*grant, error) {
	m.line = append(m.line, w)
	m.serve()
	m.mu.Unlock()
	select {
	case g := <-w.ready:
		return g, nil
	case <-ctx.Done():
	}
	m.mu.Lock()
	for i := range m.line {
		if m.line[i] == w {
			m.line = append(m.line[:i], m.line[i+1:]...)
			break
		}
	}
	m.mu.Unlock()
	select {
	case g := <-w.ready: // the grant arrived at the same moment
		g.release()
	default:
	}
	return nil, ctx.Err()
}

// serve grants memory to all waiters that can get some. The waiters of one callback are served in order; a
// callback does not wait for another's turn.
func (m *memory) serve() {
	var waits map[*memoryAccount]bool
	rest := m.line[:0]
	for _, w := range m.line {
		g := (*grant)(nil)
		if !waits[w.a] {
			g = m.give(w)
		}
		if g != nil {
			w.ready <- g
			continue
		}
		if waits == nil {
			waits = map[*memoryAccount]bool{}
		}
		waits[w.a] = true
		rest = append(rest, w)
	}
	clear(m.line[len(rest):])
	m.line = rest
}

func (m *memory) give(w *memoryWaiter) *grant {
	g := m.guarantee()
	room := max(g-w.a.held, 0) + m.common()/2
	switch {
	case room >= w.least:
		return m.grant(w.a, min(w.want, room), nil)
	case w.least > g && w.a.held == 0:
		alone := &m.large[0]
		if w.a.failing {
			alone = &m.large[1]
		}
		if !*alone {
			*alone = true
			return m.grant(w.a, w.least, alone)
		}
	}
	return nil
}

func (m *memory) grant(a *memoryAccount, bytes int64, alone *bool) *grant {
	m.used += bytes
	a.held += bytes
	return &grant{m: m, a: a, bytes: bytes, alone: alone}
}

// split separates n bytes of this grant into a new one. It returns nil if the grant has fewer bytes or runs
// alone.
func (g *grant) split(n int64) *grant {
	if g == nil {
		return nil
	}
	g.m.mu.Lock()
	defer g.m.mu.Unlock()
	if g.alone != nil || g.bytes < n {
		return nil
	}
	g.bytes -= n
	return &grant{m: g.m, a: g.a, bytes: n}
}

// release returns the memory to the budget. It does nothing on nil.
func (g *grant) release() {
	if g == nil {
		return
	}
	g.m.mu.Lock()
	defer g.m.mu.Unlock()
	g.m.used -= g.bytes
	g.a.held -= g.bytes
	g.bytes = 0
	if g.alone != nil {
		*g.alone, g.alone = false, nil
	}
	g.m.serve()
}

// MemoryStats is the memory of takes and deliveries; see Options.Memory. Sizes are in
// bytes.
type MemoryStats struct {
	Limit   int64
	Used    int64 // may exceed Limit by one large event or payload
	Waiting int   // takes and deliveries that wait for memory
}

func (m *memory) stats() MemoryStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return MemoryStats{Limit: m.total, Used: m.used, Waiting: len(m.line)}
}
