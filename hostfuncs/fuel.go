package hostfuncs

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/tetratelabs/wazero/api"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/internal/meter"
)

// What host functions charge, in the meter's units: one for each instruction that
// an ordinary guest would have run in the same time, roughly half a nanosecond.
const (
	unitsCall    = 64  // to enter and leave the host
	unitsEdit    = 96  // one edit's record in the document
	unitsCover   = 64  // one granted path looked at for one node
	unitsHMAC    = 800 // one pseudonym, short values
	unitsLog     = 512 // one line, logged or not
	unitsCompile = 256 // one byte of a path or an instruction of a regular expression
	unitsSearch  = 512 // to begin to look for one more match
	unitsFinding = 32  // one match that is redacted
	bytesPerUnit = 4   // copied, compared or decoded
	bytesPerEdit = 2   // checked, escaped and kept twice
)

// slice is how much fuel a guest gets at a time, some ten microseconds' worth of ordinary
// instructions. Go cannot interrupt a guest, so it looks in at the host in between. The
// slowest code that is known (loads that wait for each other all over a large memory)
// takes 0.5 ms of processor time for a slice, on a busy machine up to 2 ms by the clock.
const slice = 12 << 10

// turnTime is how long a guest runs, in one event, before it stands back for everything
// else that wants the processor. Go would take one that looks in at the host away only
// every ten milliseconds: a callback with little to do, which changes hands some ten
// times a chunk, would wait as often for those with much.
const turnTime = 500 * time.Microsecond

// perTurn is what calls that are short may burn one after the other, without looking in
// at the host, before the next stands back. To do so costs as much as a hundred
// thousand units.
const perTurn = 2 << 20

// settleAt is how much host functions may owe before it is taken from the guest's
// fuel. Reading and writing the count at every call would cost more than most
// functions do.
const settleAt = 4096

// tank is the fuel of one call into a guest.
type tank struct {
	count   api.MutableGlobal // the instance's own, of what it was given; nil before it exists
	depth   api.Global
	refused api.MutableGlobal
	alone   bool // no guest burns it: a Replay

	budget int64 // of this call
	left   int64 // of the budget, not given yet
	debt   int64 // what host functions did since it was last settled
	turn   int64 // what may be burnt before others have their turn
	limit  time.Duration
	began  time.Time     // when the first slice was spent, zero before
	stood  time.Time     // when it stood back last
	bound  bool          // to its thread, so that its processor time can be told
	cpu    time.Duration // of the thread, when it was bound
}

// Fill gives the call that is about to begin its budget of fuel, and bounds its
// time by the wall clock, from when the first slice of it is spent.
func (s *State) Fill(budget int64, limit time.Duration) {
	t := &s.tank
	if t.turn <= 0 {
		t.standBack()
	}
	t.budget, t.left, t.debt, t.limit, t.began = budget, budget, 0, limit, time.Time{}
	if t.count != nil {
		first := min(slice, budget)
		t.count.Set(uint64(first))
		t.left -= first
		t.refused.Set(0)
	}
}

// Burnt returns how much of its fuel the call has used so far.
func (s *State) Burnt() int64 {
	t := &s.tank
	used := t.budget - t.left + t.debt
	if t.count != nil {
		used -= int64(t.count.Get())
	}
	return used
}

// Spent returns what the call that has ended burnt.
func (s *State) Spent() int64 {
	n := s.Burnt()
	s.tank.turn -= n
	return n
}

// pay charges the guest for work that the host does on its behalf.
func (s *State) pay(units int) {
	if s.tank.debt += int64(units); s.tank.debt >= settleAt {
		s.settle()
	}
}

// prepay charges for work that may be large and has not begun. Where there is not enough
// fuel for it the call ends, and the work is neither done nor counted.
func (s *State) prepay(units int) {
	t := &s.tank
	if t.count != nil && int64(units) > settleAt {
		s.settle()
		if int64(units) > int64(t.count.Get())+t.left {
			s.outOfFuel()
		}
	}
	s.pay(units)
}

// payBytes charges for bytes that are copied, compared or decoded.
func (s *State) payBytes(n int) { s.prepay(n / bytesPerUnit) }

// Exhausted is called by a metered module when its fuel or depth falls below zero. It
// grants the next slice of fuel, or ends the call.
func Exhausted(ctx context.Context, m api.Module, _ []uint64) {
	s := ctx.(*State)
	s.tank.attach(m)
	s.function = "guest"
	if depth := int64(s.tank.depth.Get()); depth < 0 {
		panic(&filter.Error{Cause: auditrelay.CauseStack, Err: errors.New("its calls took more of the stack than limits.stack")})
	}
	s.settle()
}

// attach finds the meter's counts. In a start function the guest calls the host
// before anybody else could have done so.
func (t *tank) attach(m api.Module) {
	if t.count == nil {
		t.count = m.ExportedGlobal(meter.ExportFuel).(api.MutableGlobal)
		t.depth = m.ExportedGlobal(meter.ExportDepth)
		t.refused = m.ExportedGlobal(meter.ExportRefused).(api.MutableGlobal)
	}
}

// Attach ties the state to its instance, once that exists.
func (s *State) Attach(m api.Module) { s.tank.attach(m) }

// GrowthRefused reports whether the guest asked for more memory than it may have
// since the last Fill.
func (s *State) GrowthRefused() bool { return s.tank.refused != nil && s.tank.refused.Get() != 0 }

// settle takes the debt from the guest's fuel, and gives more where that is spent.
func (s *State) settle() {
	t := &s.tank
	if t.alone {
		if t.left, t.debt = t.left-t.debt, 0; t.left < 0 {
			s.outOfFuel()
		}
		return
	}
	if t.count == nil {
		return // nothing runs yet that could owe anything
	}
	debt := t.debt
	have := int64(t.count.Get()) - debt
	t.debt = 0
	if have < 0 && t.left > 0 {
		s.look()
		give := min(slice-have, t.left)
		t.left -= give
		have += give
	}
	if have < 0 {
		// What the meter charged last has not been done and will not be; what the host
		// did before it was charged has.
		t.count.Set(uint64(max(have, -debt)))
		s.outOfFuel()
	}
	t.count.Set(uint64(have))
}

// outOfFuel ends the call.
func (s *State) outOfFuel() {
	panic(&filter.Error{Cause: auditrelay.CauseFuel, Err: fmt.Errorf("it used up its fuel of %d units (limits.fuel, limits.fuel_per_byte)", s.tank.budget)})
}

// standBack lets others have the processor.
func (t *tank) standBack() {
	runtime.Gosched()
	t.turn = perTurn
}

// glance looks at the clock in the middle of what one payment was for.
func (s *State) glance() {
	if !s.tank.alone {
		s.look()
	}
}

// look is done between two slices: it stands back where it is time to, and ends the call
// where it has run for too long or its instance is to end.
func (s *State) look() {
	t := &s.tank
	now := time.Now()
	if t.began.IsZero() {
		t.began = now
	}
	if now.Sub(t.stood) >= turnTime {
		t.standBack()
		t.stood = time.Now()
	}
	if ran := now.Sub(t.began); ran > t.limit/8 {
		t.checkTime(ran)
	}
	if err := s.Err(); err != nil {
		panic(&filter.Error{Cause: auditrelay.CauseWallTime, Err: fmt.Errorf("its call was ended: %w", err)})
	}
}

// patience is how many times its limit a call may last whose thread does not get the
// processor.
const patience = 4

// checkTime ends a call that has run for its limit: as the module's fault where it had
// the processor for half of that, as the host's condition where it did not get it.
func (t *tank) checkTime(ran time.Duration) {
	if !t.bound {
		runtime.LockOSThread()
		t.bound = true
		t.cpu, _ = threadTime()
	}
	if ran <= t.limit {
		return
	}
	used, known := threadTime()
	switch used -= t.cpu; {
	case known && used >= t.limit/2:
		panic(&filter.Error{Cause: auditrelay.CauseFuel, Err: fmt.Errorf("it ran longer than %v, on the processor (limits.time): what it does is slow for its fuel", t.limit)})
	case !known || ran > patience*t.limit:
		panic(&filter.Error{Cause: auditrelay.CauseWallTime, Err: fmt.Errorf("it ran longer than %v (limits.time) without getting the processor for half of that: the host is too busy", t.limit)})
	}
}

// unbind lets the goroutine run on any thread again.
func (t *tank) unbind() {
	if t.bound {
		t.bound = false
		runtime.UnlockOSThread()
	}
}
