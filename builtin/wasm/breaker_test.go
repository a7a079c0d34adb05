package wasm

import (
	"errors"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/filter"
)

func TestBreaker(t *testing.T) {
	now := time.Unix(0, 0)
	b := &breaker{failures: 3, rest: time.Second, now: func() time.Time { return now }}
	admitted := func(want bool) {
		t.Helper()
		err := b.admit()
		if (err == nil) != want {
			t.Fatalf("at %v: got %v, want admitted to be %t", now, err, want)
		}
		if f, ok := errors.AsType[*filter.Error](err); err != nil && (!ok || f.Cause != auditrelay.CauseBreaker) {
			t.Fatalf("got %v, want cause breaker", err)
		}
	}
	fail := func(opens bool) {
		t.Helper()
		if opened := b.fail(auditrelay.CauseTrap, 0); opened != opens {
			t.Fatalf("after %d failures: opened %t, want %t", b.row.Load(), opened, opens)
		}
	}

	// A success between failures restarts the count.
	fail(false)
	fail(false)
	b.succeed()
	fail(false)
	fail(false)
	admitted(true)
	fail(true)
	admitted(false)
	if s := b.state(); !s.Open || s.Failures != 3 || s.Cause != auditrelay.CauseTrap || !s.Until.Equal(now.Add(time.Second)) {
		t.Errorf("got %+v", s)
	}

	// One event at a time is tried, at growing intervals.
	pause := time.Second
	for range 10 {
		now = now.Add(pause)
		admitted(true)
		admitted(false)
		fail(false)
		pause = min(2*pause, time.Minute)
	}
	if pause != time.Minute {
		t.Fatalf("the rest is %v", pause)
	}

	// A success ends it, and so does an operator.
	now = now.Add(pause)
	admitted(true)
	b.succeed()
	admitted(true)
	for range 3 {
		b.fail(auditrelay.CauseFuel, 0)
	}
	admitted(false)
	b.reset()
	admitted(true)
	if s := b.state(); s != (Breaker{}) {
		t.Errorf("after a reset: %+v", s)
	}
}

func TestABreakerMayBeLeftOut(t *testing.T) {
	b := &breaker{now: time.Now}
	for range 1000 {
		if b.fail(auditrelay.CauseTrap, 0) || b.admit() != nil {
			t.Fatal("it opened")
		}
	}
}

// Events earn the cost of starts. So a module that fails every other event cannot make the host
// pay for a start on nearly every event.
func TestABreakerCountsStarts(t *testing.T) {
	now := time.Unix(0, 0)
	b := &breaker{failures: 50, fuel: 4e6, rest: time.Second, now: func() time.Time { return now }}
	if !b.fail(auditrelay.CauseTrap, 1e9) || b.admit() == nil {
		t.Fatal("a start of 250 events' fuel: want it to open")
	}
	if want := now.Add(10 * time.Second); !b.state().Until.Equal(want) {
		t.Errorf("until %v, want %v: ten times what the start took", b.state().Until, want)
	}
	now = now.Add(10 * time.Second)
	if b.admit() != nil {
		t.Fatal("after the rest one event is tried")
	}
	b.succeed()
	if !b.fail(auditrelay.CauseTrap, 1e9) {
		t.Error("a success does not pay for a dear start")
	}
	b.reset()
	for n := range 1000 { // one in ten fails, and a start costs as much as two events
		if opened := n%10 == 9 && b.fail(auditrelay.CauseTrap, 8e6); opened || b.admit() != nil {
			t.Fatalf("it opened at event %d", n)
		} else if n%10 != 9 {
			b.succeed()
		}
	}
}

// A reloaded module continues the pause.
func TestABreakerIsAdopted(t *testing.T) {
	now := time.Unix(0, 0)
	clock := func() time.Time { return now }
	old := &breaker{failures: 2, rest: time.Second, now: clock}
	old.fail(auditrelay.CauseTrap, 0)
	old.fail(auditrelay.CauseTrap, 0)
	b := &breaker{failures: 2, rest: time.Second, now: clock}
	b.adopt(old)
	if b.admit() == nil || b.state() != old.state() {
		t.Errorf("adopted %+v, from %+v", b.state(), old.state())
	}
	now = now.Add(time.Second)
	if err := b.admit(); err != nil {
		t.Errorf("after its rest: %v", err)
	}
}
