package s3

import (
	"sync"
	"time"
)

// told is what the log was told of: each code once, and once more when it comes
// back after an hour. Whoever can reach the port could fill the log otherwise.
type told struct {
	mu   sync.Mutex
	last map[string]time.Time // by code
	down bool                 // the relay was not accepting
}

const tellAgain = time.Hour

// tell logs a refusal.
func (h *Handler) tell(r *request, e *Error) {
	t := &h.told
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Code == "SlowDown" {
		if !t.down {
			h.log.Warn("S3 requests are answered with SlowDown: the relay is not accepting", "error", e.Err)
		}
		t.down = true
		return
	}
	if e.Code == "NoSuchKey" { // what a client asks before it writes
		return
	}
	now := time.Now()
	if last, ok := t.last[e.Code]; ok && now.Sub(last) < tellAgain {
		return
	}
	if t.last == nil {
		t.last = map[string]time.Time{}
	}
	t.last[e.Code] = now
	args := []any{"operation", r.operation, "code", e.Code, "why", e.Message, "address", peer(r.Request)}
	if r.signed != nil {
		args = append(args, "key", r.signed.key.Name)
	}
	if e.Err != nil {
		args = append(args, "error", e.Err)
	}
	args = append(args, "note", "the producer keeps nothing that is refused; the same is logged again after an hour at the earliest, and counted every time")
	if e.Status >= 500 {
		h.log.Error("an S3 request failed", args...)
		return
	}
	h.log.Warn("an S3 request was refused", args...)
}

// accepting is called when events were taken.
func (h *Handler) accepting() {
	h.told.mu.Lock()
	defer h.told.mu.Unlock()
	if h.told.down {
		h.told.down = false
		h.log.Info("S3 requests are taken again")
	}
}
