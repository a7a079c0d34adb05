package s3

import (
	"sync"
	"time"
)

// told remembers which rejections were logged: each code once per producer, and again if it
// returns after an hour. Otherwise anyone who can reach the port could fill the log.
type told struct {
	mu         sync.Mutex
	last       map[refusal]time.Time
	full       bool // there was no room for another producer
	down       bool // the relay did not accept events
	discarding bool
}

// refusal identifies a logged rejection: the key's name, or the address if no key signed
// the request; and the code.
type refusal struct{ who, code string }

const (
	tellAgain = time.Hour
	// maxTold bounds the remembered rejections, since clients choose their addresses.
	maxTold = 1000
)

// tell logs a refusal.
func (h *Handler) tell(r *request, e *Error) {
	t := &h.told
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Code == codeSlowDown {
		if !t.down {
			h.log.Warn("S3 requests are answered with SlowDown: the relay is not accepting", "error", e.Err)
		}
		t.down = true
		return
	}
	if e.Code == "NoSuchKey" { // clients check this before they write
		return
	}
	what := refusal{"address " + peer(r.Request), e.Code}
	if r.signed != nil {
		what.who = "key " + r.signed.key.Name
	}
	if !h.due(what) {
		return
	}
	args := []any{"operation", r.operation, "code", e.Code, "why", e.Message, "address", peer(r.Request)}
	if r.signed != nil {
		args = append(args, "key", r.signed.key.Name)
	}
	if e.Err != nil {
		args = append(args, "error", e.Err)
	}
	args = append(args, "note", "older versions of LiteLLM keep nothing that is refused; the same refusal of the same producer is logged again after an hour at the earliest, and counted every time")
	if e.Status >= 500 {
		h.log.Error("an S3 request failed", args...)
		return
	}
	h.log.Warn("an S3 request was refused", args...)
}

// due reports whether a rejection must be logged, and remembers it. The caller must hold the
// lock.
func (h *Handler) due(what refusal) bool {
	t, now := &h.told, h.now()
	if last, ok := t.last[what]; ok && now.Sub(last) < tellAgain {
		return false
	}
	if t.last == nil {
		t.last = map[refusal]time.Time{}
	}
	if len(t.last) >= maxTold {
		for old, last := range t.last {
			if now.Sub(last) >= tellAgain {
				delete(t.last, old)
			}
		}
	}
	if len(t.last) >= maxTold {
		if !t.full {
			h.log.Warn("S3 requests of too many producers are refused to log each: see auditrelay_s3_requests_total", "remembered", maxTold)
		}
		t.full = true
		return false
	}
	t.last[what], t.full = now, false
	return true
}

// accepting is called when events were accepted.
func (h *Handler) accepting() {
	h.told.mu.Lock()
	defer h.told.mu.Unlock()
	if h.told.down {
		h.told.down = false
		h.log.Info("S3 requests are accepted again")
	}
}

// sayDiscarding is called when an object was acknowledged and dropped.
func (h *Handler) sayDiscarding() {
	h.told.mu.Lock()
	defer h.told.mu.Unlock()
	if !h.told.discarding {
		h.told.discarding = true
		h.log.Warn("objects that are no audit events are acknowledged and dropped: ingest.s3.discard_other_objects is true; auditrelay_s3_discarded_objects_total counts them")
	}
}
