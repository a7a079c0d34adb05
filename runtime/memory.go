package runtime

import (
	"context"
	"sync"

	"auditrelay"
)

// defaultMemory is the least that Options.Memory is by default.
const defaultMemory = 32 << 20

// memoryFor is the default of Options.Memory for these callbacks: where chunks are
// configured to be larger than by default, it has room for them beside others.
func memoryFor(callbacks []Callback) int64 {
	n := int64(defaultMemory)
	for i := range callbacks {
		if bytes := callbacks[i].Chunk.WithDefaults().Bytes; bytes > (auditrelay.Chunking{}).WithDefaults().Bytes {
			n = max(n, 2*copiesOfChunk*int64(bytes))
		}
	}
	return n
}

// A chunk takes memory several times: as events, as the filters' documents, as
// payloads, and in the transaction that seals it. A payload being sent takes it as
// stored and as read.
const (
	copiesOfChunk   = 4
	copiesOfPayload = 2
)

// memory is the budget for what takes and deliveries of all callbacks hold at a time.
//
// Half of it is divided into guarantees, one for each callback; the other half is
// common. A callback may hold its guarantee and half of what is free of the common half,
// so that many have about the same. One callback alone has all. A guarantee is
// never lent: a callback that has it under way waits for itself, and for no other.
//
// What is larger than a guarantee and finds no room passes alone, one at a time for
// callbacks that work and one for those that fail, so that a large event or a payload
// of before passes in the end. It may exceed the budget by its own size.
//
// Nobody waits for memory while holding some, so there is no deadlock.
type memory struct {
	mu       sync.Mutex
	total    int64
	used     int64
	accounts map[*memoryAccount]struct{}
	line     []*memoryWaiter // in order of arrival
	large    [2]bool         // whether one passes alone: of a callback that works, that fails
}

// memoryAccount is what one callback holds, its replays included.
type memoryAccount struct {
	held    int64
	failing bool // set with memory.mark
}

// grant is memory that was given. Release it once.
type grant struct {
	m     *memory
	a     *memoryAccount
	bytes int64
	alone *bool // the mark in large that it holds, or nil
}

type memoryWaiter struct {
	a           *memoryAccount
	want, least int64
	ready       chan *grant // of one place
}

func newMemory(total int64) *memory {
	return &memory{total: total, accounts: map[*memoryAccount]struct{}{}}
}

// open adds a callback. Guarantees shrink accordingly.
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

// close removes a callback that holds nothing and never will.
func (m *memory) close(a *memoryAccount) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.accounts, a)
	m.serve()
}

// mark says whether the callback fails.
func (m *memory) mark(a *memoryAccount, failing bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a.failing = failing
}

// guarantee is what each callback can have at any time.
func (m *memory) guarantee() int64 { return m.total / (2*int64(max(len(m.accounts), 1)) - 1) }

// common is how much is free and in nobody's guarantee.
func (m *memory) common() int64 {
	free, g := m.total-m.used, m.guarantee()
	for a := range m.accounts {
		free -= max(g-a.held, 0)
	}
	return max(free, 0)
}

// take waits for memory for a chunk that needs up to want bytes. The grant may be
// smaller, under pressure, but not smaller than half a guarantee. The error is ctx's.
func (m *memory) take(ctx context.Context, a *memoryAccount, want int64) (*grant, error) {
	m.mu.Lock()
	return m.wait(ctx, &memoryWaiter{a: a, want: want, least: min(want, m.guarantee()/2), ready: make(chan *grant, 1)})
}

// all waits for n bytes. The error is ctx's.
func (m *memory) all(ctx context.Context, a *memoryAccount, n int64) (*grant, error) {
	m.mu.Lock()
	return m.wait(ctx, &memoryWaiter{a: a, want: n, least: n, ready: make(chan *grant, 1)})
}

// wait takes over mu.
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
	case g := <-w.ready: // at the same moment
		g.release()
	default:
	}
	return nil, ctx.Err()
}

// serve gives to everybody in the line who can have something. Those of one callback
// are served in their order; no callback waits for another's turn.
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

// split makes a grant of its own of n bytes of this one, or nil where it has fewer, or
// passes alone.
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

// release gives the memory back. It does nothing on nil.
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
	Used    int64 // may exceed Limit for one large event or payload
	Waiting int   // takes and deliveries that wait for memory
}

func (m *memory) stats() MemoryStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return MemoryStats{Limit: m.total, Used: m.used, Waiting: len(m.line)}
}
