package runtime

import (
	"crypto/sha256"
	"sync"

	"auditrelay"
)

// eventSums keeps the SHA-256 of the newest events, so that callbacks with filters of
// their own hash what they have in common once. An event never changes under its
// sequence.
type eventSums struct {
	slots [maxEventSums]eventSum
}

// maxEventSums is how many events are remembered; they take 0.8 MB.
const maxEventSums = 1 << 14

type eventSum struct {
	mu       sync.Mutex
	sequence uint64 // 0: nothing
	sum      [sha256.Size]byte
}

// of returns the SHA-256 of an event's bytes. On nil it remembers nothing.
func (s *eventSums) of(e *auditrelay.Event) [sha256.Size]byte {
	if s == nil || e.Sequence == 0 {
		return sha256.Sum256(e.Data)
	}
	slot := &s.slots[e.Sequence%maxEventSums]
	slot.mu.Lock()
	defer slot.mu.Unlock()
	if slot.sequence < e.Sequence {
		slot.sequence, slot.sum = e.Sequence, sha256.Sum256(e.Data)
	}
	if slot.sequence != e.Sequence { // a newer one's: who is far behind hashes for itself
		return sha256.Sum256(e.Data)
	}
	return slot.sum
}
