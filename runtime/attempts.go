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

// Attempt is one attempt to deliver a payload. Attempts are kept in memory: they survive a reload, but not
// a restart.
type Attempt struct {
	Payload uint64
	Number  int // number of the payload's attempt since start, from 1
	At      time.Time
	Took    time.Duration // duration of the sink's Deliver
	Bytes   int           // size of the payload's body
	Status  int           // status code of the destination's response; 0 if none
	// Result is delivered, retried (a transient failure), or replaced: the destination rejected the
	// payload, and halves or tombstones replaced it.
	Result AttemptResult
	// Kind names the auditrelay.ErrorKind of a failure; empty for a success.
	Kind   string
	Reason auditrelay.AttemptReason
	// NextTry is the time of the payload's next attempt; zero if there is none.
	NextTry time.Time
	// Error is the sink's error, and Answer the body of the destination's response. Each has at most 512
	// bytes and no control characters. Only the role comply may see them.
	Error, Answer string
}

// AttemptResult is the result of an attempt.
type AttemptResult string

const (
	AttemptDelivered AttemptResult = "delivered"
	AttemptRetried   AttemptResult = "retried"
	AttemptReplaced  AttemptResult = "replaced"
)

// Limits of the history of one callback or replay. It holds the last attempts of any payload, and more
// attempts of the payloads that currently fail. A failed attempt takes about 1.3 KB, so a callback takes at
// most 400 KB.
const (
	recentAttempts = 64
	stuckPayloads  = 16
	stuckAttempts  = 16 // per payload: the first attempt and the last ones
)

// attempts is the history of one lane. It is safe for concurrent use.
type attempts struct {
	mu     sync.Mutex
	recent []Attempt // a ring buffer once it is full
	next   int
	stuck  map[uint64][]Attempt // by payload, oldest first
}

// add stores an attempt. Once the ring is full, a success allocates nothing.
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
		return // the attempt is still in the ring; it moves to stuck when another payload succeeds
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

// of returns the stored attempts of one payload, oldest first.
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
	for i := range h.recent { // this loop goes from the newest to the oldest
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

// forgetTexts deletes the texts of sinks and destinations. They may quote an event of a period that is
// being destroyed.
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

// forgetTexts calls attempts.forgetTexts for every lane.
func (r *Runtime) forgetTexts() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.histories {
		h.forgetTexts()
	}
}

// historyOf returns the history of a lane, creating it if necessary.
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

// history returns the history of a lane, or nil if there is none.
func (r *Runtime) history(laneID string) *attempts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.histories[laneID]
}

// failureReason says why an attempt failed: the sink's reason, or else one derived from the error.
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

// failedWith sets the fields of a that describe a failure.
func (a *Attempt) failedWith(err error) {
	a.Kind, a.Reason, a.Error = auditrelay.KindOf(err).String(), failureReason(err), plainText(err.Error())
	if d, ok := errors.AsType[*auditrelay.DeliveryError](err); ok {
		a.Status, a.Answer = d.Status, plainText(d.Answer)
	}
}

// plainText makes foreign text safe to display: valid UTF-8 on one line, without control and formatting
// characters, at most MaxAnswer bytes.
func plainText(text string) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) { // of all spaces, IsPrint accepts only ' '
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

// panicError reports a panic of a sink. Its text names only the type of the panic value, since the value
// may contain event data.
type panicError struct{ text string }

func (e *panicError) Error() string { return e.text }
