package wasm

import (
	"errors"
	"fmt"
	"sync"

	"auditrelay"
)

// Budget limits the total memory of all instances that share it. An instance reserves its
// maximum when it starts, so that its growth never fails because of another instance. It
// is safe for concurrent use.
type Budget struct {
	size auditrelay.ByteSize

	mu   sync.Mutex
	left auditrelay.ByteSize
}

// NewBudget returns a budget of size bytes.
func NewBudget(size auditrelay.ByteSize) *Budget { return &Budget{size: size, left: size} }

// Resize changes the size. Existing reservations stay, even if they exceed the new size.
func (b *Budget) Resize(size auditrelay.ByteSize) {
	b.mu.Lock()
	b.left += size - b.size
	b.size = size
	b.mu.Unlock()
}

// ErrBudget: a new instance would exceed the Budget. This is not the guest's fault.
var ErrBudget = errors.New("the memory for guests is in use")

// reserve reserves n bytes. A nil budget is unlimited.
func (b *Budget) reserve(n auditrelay.ByteSize) error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.left {
		return fmt.Errorf("%w: an instance may need %v, and %[4]v of %[3]v are left (guests.memory)", ErrBudget, n, b.size, b.left)
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
