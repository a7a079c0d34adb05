package runtime

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"auditrelay"
)

// Every caller gets the event's own sum, in any order. The first result is cached for the
// others.
func TestEventSums(t *testing.T) {
	var sums eventSums
	event := func(sequence uint64) *auditrelay.Event {
		return &auditrelay.Event{Sequence: sequence, Data: fmt.Appendf(nil, "event %d", sequence)}
	}
	for _, sequence := range []uint64{1, 2, 1 + maxEventSums, 1, 2, 0, 1 + 2*maxEventSums, 1 + maxEventSums} {
		e := event(sequence)
		if sums.of(e) != sha256.Sum256(e.Data) {
			t.Errorf("event %d has another's sum", sequence)
		}
	}
	forgotten := &auditrelay.Event{Sequence: 2} // its bytes are not read again
	if sums.of(forgotten) != sha256.Sum256(event(2).Data) {
		t.Error("event 2 was hashed again")
	}
	var none *eventSums
	if e := event(3); none.of(e) != sha256.Sum256(e.Data) {
		t.Error("without a memory the sum is wrong")
	}
}
