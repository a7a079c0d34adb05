package wasm

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/filter"
)

// breaker rests a module version that fails on one event after the other. While
// it rests nothing is judged and so nothing lost; one event at a time is tried
// when a rest ends, and counts whatever comes of it, so that not even a row of
// events that are all bad stands still for ever.
type breaker struct {
	failures int // in a row that open it; 0: never
	rest     time.Duration
	now      func() time.Time

	row atomic.Int64 // failures since the last success

	mu    sync.Mutex
	open  bool
	until time.Time     // when the next event may be tried
	pause time.Duration // of the current rest
	cause auditrelay.Cause
}

// mostRest is what rests grow to.
const mostRest = time.Minute

// admit reports whether an event may be judged now.
func (b *breaker) admit() error {
	if b.row.Load() < int64(b.failures) || b.failures == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return nil
	}
	if now := b.now(); !now.Before(b.until) {
		b.until = now.Add(b.pause) // for the one after
		return nil
	}
	return &filter.Error{Cause: auditrelay.CauseBreaker, Err: fmt.Errorf("it failed on %d events in a row, at last by %s, and rests; one event is tried every %v (switch the module, or reset its breaker)", b.row.Load(), b.cause, b.pause)}
}

// succeed closes the breaker.
func (b *breaker) succeed() {
	if b.row.Load() == 0 {
		return
	}
	b.reset()
}

func (b *breaker) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.row.Store(0)
	b.open, b.pause = false, 0
}

// fail counts a failure, and reports whether the breaker has just opened.
func (b *breaker) fail(cause auditrelay.Cause) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cause = cause
	if n := b.row.Add(1); b.failures == 0 || n < int64(b.failures) {
		return false
	}
	opened = !b.open
	b.pause = min(max(b.rest, 2*b.pause), mostRest)
	b.open, b.until = true, b.now().Add(b.pause)
	return opened
}

// Breaker is what an operator sees of a module's breaker.
type Breaker struct {
	Open     bool
	Failures int64            // in a row
	Cause    auditrelay.Cause // of the last failure
	Until    time.Time        // when the next event is tried, where it is open
}

func (b *breaker) state() Breaker {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Breaker{Open: b.open, Failures: b.row.Load()}
	if s.Failures > 0 {
		s.Cause = b.cause
	}
	if b.open {
		s.Until = b.until
	}
	return s
}
