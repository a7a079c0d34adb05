package wasm

import (
	"bytes"

	"github.com/tetratelabs/wazero/experimental"
)

// memory is one instance's linear memory. It exists, rather than wazero's own, so
// that tables and globals count against the same limit, and so that what it held
// can be brought back.
type memory struct {
	buf   []byte
	limit uint64
	saved []byte // as save found it; nil without
}

// Allocate implements experimental.MemoryAllocator.
func (m *memory) Allocate(capacity, _ uint64) experimental.LinearMemory {
	m.buf = make([]byte, 0, min(capacity, m.limit))
	return m
}

// Reallocate implements experimental.LinearMemory.
func (m *memory) Reallocate(size uint64) []byte {
	if size > m.limit {
		return nil
	}
	if size > uint64(cap(m.buf)) {
		// Twice as much, so that a guest that grows page by page does not copy
		// its memory each time.
		grown := make([]byte, size, min(max(size, 2*uint64(cap(m.buf))), m.limit))
		copy(grown, m.buf)
		m.buf = grown
	}
	m.buf = m.buf[:size]
	return m.buf
}

// reserve takes n bytes of what the memory could still grow by, and reports whether they
// are there.
func (m *memory) reserve(n int) bool {
	if uint64(len(m.buf))+uint64(n) > m.limit {
		return false
	}
	m.limit -= uint64(n)
	return true
}

// Free implements experimental.LinearMemory. The collector frees it.
func (m *memory) Free() {}

// save keeps the content for restore.
func (m *memory) save() { m.saved = bytes.Clone(m.buf) }

// restore brings back what save kept, and reports whether it could: a memory that
// has grown stays grown.
func (m *memory) restore() bool {
	if len(m.buf) != len(m.saved) {
		return false
	}
	copy(m.buf, m.saved)
	return true
}
