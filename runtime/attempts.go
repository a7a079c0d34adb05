package runtime

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"auditrelay"
)

// Attempt is one attempt to deliver a payload. It is kept in memory: a reload keeps it, a
// restart forgets it.
type Attempt struct {
	Payload uint64
	Number  int // counts the payload's attempts since start, from 1
	At      time.Time
	Took    time.Duration // of the sink's Deliver
	Bytes   int           // of the payload's body
	Status  int           // the status code that the destination answered; 0 if none
	// Result is delivered, retried (transient), or replaced: refused, so that halves or
	// tombstones took the payload's place.
	Result AttemptResult
	// Kind says what the engine does about a failure; empty for a success.
	Kind   string
	Reason auditrelay.AttemptReason
	// NextTry is when the payload is tried again; zero if it is not.
	NextTry time.Time
	// Error is the sink's error, Answer what the destination wrote: at most 512 bytes
	// each, without control characters. Both are for the role comply alone.
	Error, Answer string
}

// AttemptResult is what an attempt led to.
type AttemptResult string

const (
	AttemptDelivered AttemptResult = "delivered"
	AttemptRetried   AttemptResult = "retried"
	AttemptReplaced  AttemptResult = "replaced"
)

// The history of one callback or replay: the last attempts, whatever their payload, and
// more of those of the payloads that fail now. At about 1.3 KB for a failed attempt that
// is at most 400 KB a callback.
const (
	recentAttempts = 64
	stuckPayloads  = 16
	stuckAttempts  = 16 // of each: the first one and the last ones
)

// attempts is the history of one lane. It is safe for concurrent use.
type attempts struct {
	mu     sync.Mutex
	recent []Attempt // a ring, once it is full
	next   int
	stuck  map[uint64][]Attempt // by payload, oldest first
}

// add notes an attempt. For a success it allocates nothing once the ring is full.
func (h *attempts) add(a Attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.recent) < recentAttempts {
		h.recent = append(h.recent, a)
	} else {
		h.recent[h.next] = a
	}
	h.next = (h.next + 1) % recentAttempts
	if a.Result != AttemptRetried {
		delete(h.stuck, a.Payload)
		return
	}
	list, known := h.stuck[a.Payload]
	if !known && len(h.stuck) >= stuckPayloads {
		return // it is among the recent ones, and gets its place once another is through
	}
	if h.stuck == nil {
		h.stuck = map[uint64][]Attempt{}
	}
	if len(list) == stuckAttempts {
		list = append(list[:1], list[2:]...)
	}
	h.stuck[a.Payload] = append(list, a)
}

// latest returns the last attempts, newest first.
func (h *attempts) latest() []Attempt {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Attempt, 0, len(h.recent))
	for i := range h.recent {
		list = append(list, h.recent[(h.next-1-i+2*recentAttempts)%recentAttempts])
	}
	return list
}

// of returns the attempts of one payload that are kept, oldest first.
func (h *attempts) of(payload uint64) []Attempt {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	list := append([]Attempt(nil), h.stuck[payload]...)
	last := 0
	if n := len(list); n > 0 {
		last = list[n-1].Number
	}
	first := len(list)
	for i := range h.recent { // newest first
		a := &h.recent[(h.next-1-i+2*recentAttempts)%recentAttempts]
		if a.Payload == payload && a.Number > last {
			list = append(list, *a)
		}
	}
	for i, k := first, len(list)-1; i < k; i, k = i+1, k-1 {
		list[i], list[k] = list[k], list[i]
	}
	return list
}

// forgetTexts drops what sinks and destinations wrote: they may have quoted an event of a
// period that is destroyed now.
func (h *attempts) forgetTexts() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.recent {
		h.recent[i].Error, h.recent[i].Answer = "", ""
	}
	for _, list := range h.stuck {
		for i := range list {
			list[i].Error, list[i].Answer = "", ""
		}
	}
}

// forgetTexts is attempts.forgetTexts of every lane.
func (r *Runtime) forgetTexts() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.histories {
		h.forgetTexts()
	}
}

// historyOf returns the history of a lane, and begins it if there is none.
func (r *Runtime) historyOf(laneID string) *attempts {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.histories[laneID]
	if h == nil {
		h = new(attempts)
		r.histories[laneID] = h
	}
	return h
}

// history returns the history of a lane, nil if there is none.
func (r *Runtime) history(laneID string) *attempts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.histories[laneID]
}

// failureReason says why an attempt failed: what the sink said, else what stands in its error.
func failureReason(err error) auditrelay.AttemptReason {
	if err == nil {
		return auditrelay.ReasonNone
	}
	if d, ok := errors.AsType[*auditrelay.DeliveryError](err); ok && d.Reason != auditrelay.ReasonNone {
		return d.Reason
	}
	if _, ok := errors.AsType[*auditrelay.RecordErrors](err); ok {
		return auditrelay.ReasonRecords
	}
	if _, ok := errors.AsType[*panicError](err); ok {
		return auditrelay.ReasonPanic
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return auditrelay.ReasonDNS
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return auditrelay.ReasonTLS
	}
	_, alert := errors.AsType[tls.AlertError](err)
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || alert || strings.Contains(err.Error(), "x509: ") {
		return auditrelay.ReasonTLS
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return auditrelay.ReasonTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return auditrelay.ReasonRefused
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return auditrelay.ReasonConnection
	}
	if e, ok := errors.AsType[net.Error](err); ok {
		if e.Timeout() {
			return auditrelay.ReasonTimeout
		}
		return auditrelay.ReasonConnection
	}
	return auditrelay.ReasonOther
}

// failedWith fills in what is known of a failure.
func (a *Attempt) failedWith(err error) {
	a.Kind, a.Reason, a.Error = auditrelay.KindOf(err).String(), failureReason(err), plainText(err.Error())
	if d, ok := errors.AsType[*auditrelay.DeliveryError](err); ok {
		a.Status, a.Answer = d.Status, plainText(d.Answer)
	}
}

// plainText makes a stranger's words harmless: valid UTF-8 on one line, without control
// and formatting characters, at most MaxAnswer bytes.
func plainText(text string) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) { // of spaces, ' ' alone
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text[:min(len(text), 2*auditrelay.MaxAnswer)], "?"))
	if len(clean) > auditrelay.MaxAnswer {
		clean = strings.ToValidUTF8(clean[:auditrelay.MaxAnswer-len(cutMark)], "") + cutMark
	}
	return clean
}

const cutMark = " ..."

// panicError says that a sink panicked; with the type of the value alone, since the value
// may hold event data.
type panicError struct{ text string }

func (e *panicError) Error() string { return e.text }
