package wasm

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/filter"
)

// breaker pauses a module version that fails on many events in a row. During a pause no event
// is processed, so none is lost. When a pause ends, the breaker tries one event, whose result
// counts whatever it is. So even a series of bad events does not block the callback for ever.
//
// A failure also costs the start of another instance, which may cost as much as hundreds of
// events. Events earn fuel for starts. If starts cost more than the fuel of as many events as
// open the breaker, it opens too, for a time in proportion to that cost.
type breaker struct {
	failures int   // number in a row that opens it; 0: never
	fuel     int64 // fuel of one event, which the event earns
	rest     time.Duration
	now      func() time.Time

	row  atomic.Int64 // failures since the last success
	owed atomic.Int64 // fuel of starts that events have not earned yet

	mu    sync.Mutex
	open  bool
	until time.Time     // when the next event may be tried
	pause time.Duration // length of the current pause
	cause auditrelay.Cause
}

// mostRest is the maximum pause. startRest is the pause for each unit of a start's fuel: about
// ten times as long as the unit took.
const (
	mostRest  = time.Minute
	startRest = 10 * time.Nanosecond
)

// admit returns an error if no event may be processed now.
func (b *breaker) admit() error {
	if b.failures == 0 || b.row.Load() == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return nil
	}
	if now := b.now(); !now.Before(b.until) {
		b.until = now.Add(b.pause) // for the event after this one
		return nil
	}
	return b.resting()
}

// resting returns why no event is processed. b must be locked and open.
func (b *breaker) resting() error {
	return &filter.Error{Cause: auditrelay.CauseBreaker, Err: fmt.Errorf("the breaker is open: it failed on %d events in a row, the last time by %s; one event is tried every %v (switch the module, or reset its breaker)", b.row.Load(), b.cause, b.pause.Round(100*time.Millisecond))}
}

// adopt copies the state of the breaker of another instance of the same module.
func (b *breaker) adopt(from *breaker) {
	from.mu.Lock()
	row, owed, open, until, pause, cause := from.row.Load(), from.owed.Load(), from.open, from.until, from.pause, from.cause
	from.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.row.Store(row)
	b.owed.Store(owed)
	b.open, b.until, b.pause, b.cause = open, until, pause, cause
}

// succeed closes the breaker.
func (b *breaker) succeed() {
	if b.row.Load() == 0 && b.owed.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.earn()
	b.row.Store(0)
	b.open, b.pause = false, 0
}

// earn pays for starts with an event's fuel.
func (b *breaker) earn() { b.owed.Store(max(0, b.owed.Load()-b.fuel)) }

func (b *breaker) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.row.Store(0)
	b.owed.Store(0)
	b.open, b.pause = false, 0
}

// fail counts a failure of an instance and the fuel of its start, and reports whether the
// breaker just opened.
func (b *breaker) fail(cause auditrelay.Cause, start int64) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cause = cause
	b.earn()
	owed := b.owed.Add(start)
	n := b.row.Add(1)
	if b.failures == 0 || n < int64(b.failures) && owed <= int64(b.failures)*b.fuel {
		return false
	}
	opened = !b.open
	b.pause = min(max(b.rest, 2*b.pause, startRest*time.Duration(owed)), mostRest)
	b.owed.Store(0) // the pause pays for it
	b.open, b.until = true, b.now().Add(b.pause)
	return opened
}

// Breaker is the state of a module's breaker. While it is open, the module pauses and its
// events wait.
type Breaker struct {
	Open     bool
	Failures int64            // number in a row
	Cause    auditrelay.Cause // cause of the last failure
	Until    time.Time        // when the next event is tried, if it is open
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
