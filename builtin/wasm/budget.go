package wasm

import (
	"errors"
	"fmt"
	"sync"

	"auditrelay"
)

// Budget bounds the memory that all instances drawing on it may come to take
// together. What an instance may take at the most is reserved when it starts, so
// that no guest's growth ever fails for what another one did. It is safe for
// concurrent use.
type Budget struct {
	size auditrelay.ByteSize

	mu   sync.Mutex
	left auditrelay.ByteSize
}

// NewBudget returns a budget of size bytes.
func NewBudget(size auditrelay.ByteSize) *Budget { return &Budget{size: size, left: size} }

// Resize makes the budget another one. What is taken stays taken, also where it is
// more.
func (b *Budget) Resize(size auditrelay.ByteSize) {
	b.mu.Lock()
	b.left += size - b.size
	b.size = size
	b.mu.Unlock()
}

// ErrBudget says that an instance would exceed the budget over all instances: the
// host's condition, not the guest's.
var ErrBudget = errors.New("the memory for guests is taken")

// reserve takes n bytes. A nil budget has no end.
func (b *Budget) reserve(n auditrelay.ByteSize) error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.left {
		return fmt.Errorf("%w: an instance may come to take %v, of %v for all there is %v left (guests.memory)", ErrBudget, n, b.size, b.left)
	}
	b.left -= n
	return nil
}

func (b *Budget) release(n auditrelay.ByteSize) {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.left += n
	b.mu.Unlock()
}
