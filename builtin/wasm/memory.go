package wasm

import (
	"bytes"

	"github.com/tetratelabs/wazero/experimental"
)

// memory is one instance's linear memory. It replaces wazero's own so that tables and globals
// count against the same limit, and so that its content can be restored.
type memory struct {
	buf   []byte
	limit uint64
	saved []byte // the content at the time of save; nil if there is none
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
		// Grow by a factor of two, so that a guest that grows page by page does not copy its
		// memory each time.
		grown := make([]byte, size, min(max(size, 2*uint64(cap(m.buf))), m.limit))
		copy(grown, m.buf)
		m.buf = grown
	}
	m.buf = m.buf[:size]
	return m.buf
}

// reserve takes n bytes of the space by which the memory could still grow, and reports whether
// they are available.
func (m *memory) reserve(n int) bool {
	if uint64(len(m.buf))+uint64(n) > m.limit {
		return false
	}
	m.limit -= uint64(n)
	return true
}

// Free implements experimental.LinearMemory. The garbage collector frees the memory.
func (m *memory) Free() {}

// save stores the content for restore.
func (m *memory) save() { m.saved = bytes.Clone(m.buf) }

// restore restores the content of save, and reports whether it could. A memory that has grown
// cannot shrink.
func (m *memory) restore() bool {
	if len(m.buf) != len(m.saved) {
		return false
	}
	copy(m.buf, m.saved)
	return true
}
