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
//
// A failure also costs the start of another instance, which may be as dear as hundreds
// of events. Starts are paid from what events earn: where they come to more than as many
// events as open the breaker may use, it opens too, for as long as that is worth.
type breaker struct {
	failures int   // in a row that open it; 0: never
	fuel     int64 // of one event: what it earns
	rest     time.Duration
	now      func() time.Time

	row  atomic.Int64 // failures since the last success
	owed atomic.Int64 // fuel of starts that events have not earned

	mu    sync.Mutex
	open  bool
	until time.Time     // when the next event may be tried
	pause time.Duration // of the current rest
	cause auditrelay.Cause
}

// mostRest is what rests grow to, startRest how long a unit of a start's fuel is rested
// for: some ten times as long as it took.
const (
	mostRest  = time.Minute
	startRest = 10 * time.Nanosecond
)

// admit reports whether an event may be judged now.
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
		b.until = now.Add(b.pause) // for the one after
		return nil
	}
	return b.resting()
}

// resting is why nothing is judged. b is locked and open.
func (b *breaker) resting() error {
	return &filter.Error{Cause: auditrelay.CauseBreaker, Err: fmt.Errorf("it failed on %d events in a row, at last by %s, and rests; one event is tried every %v (switch the module, or reset its breaker)", b.row.Load(), b.cause, b.pause)}
}

// adopt goes on where the breaker of another instance of the same module stands.
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

// earn takes an event's fuel from what starts are owed.
func (b *breaker) earn() { b.owed.Store(max(0, b.owed.Load()-b.fuel)) }

func (b *breaker) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.row.Store(0)
	b.owed.Store(0)
	b.open, b.pause = false, 0
}

// fail counts a failure of an instance whose start took so much fuel, and reports
// whether the breaker has just opened.
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
	b.owed.Store(0) // the rest pays for it
	b.open, b.until = true, b.now().Add(b.pause)
	return opened
}

// Breaker is the state of a module's breaker. While it is open, the module rests and its
// events wait.
type Breaker struct {
	Open     bool
	Failures int64            // in a row
	Cause    auditrelay.Cause // of the last failure
	Until    time.Time        // if open: when the next event is tried
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
