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

// The fuel that host functions charge, in the meter's units. One unit is one instruction that
// an ordinary guest would have run in the same time, about half a nanosecond.
const (
	unitsCall    = 64  // entering and leaving the host
	unitsEdit    = 96  // the record of one edit in the document
	unitsCover   = 64  // one comparison of a granted path with a node
	unitsHMAC    = 800 // one pseudonym of a short value
	unitsLog     = 512 // one line, logged or not
	unitsCompile = 256 // one byte of a path, or one instruction of a regular expression
	unitsSearch  = 512 // starting a search for one more match
	unitsFinding = 32  // redacting one match
	bytesPerUnit = 4   // bytes copied, compared or decoded per unit
	bytesPerEdit = 2   // bytes checked, escaped and stored twice per unit
)

// slice is how much fuel a guest gets at a time: about ten microseconds of ordinary
// instructions. Go cannot interrupt a guest, so the guest calls the host between slices. The
// slowest known code (dependent loads across a large memory) takes 0.5 ms of processor time for
// a slice, and up to 2 ms of wall time on a busy machine.
const slice = 12 << 10

// turnTime is how long a guest runs in one event before it yields the processor. Go would take
// the processor away from a guest that calls the host only every ten milliseconds. A callback
// with little work, which changes goroutines about ten times a chunk, would wait that long each
// time for busy ones.
const turnTime = 500 * time.Microsecond

// perTurn is how much fuel consecutive short calls may burn without a check of the clock before
// the next one yields. Yielding costs as much as a hundred thousand units.
const perTurn = 2 << 20

// settleAt is how much host functions may charge before it is subtracted from the guest's fuel.
// Reading and writing the counter at every call would cost more than most functions.
const settleAt = 4096

// tank is the fuel of one call into a guest.
type tank struct {
	count   api.MutableGlobal // the instance's counter of its current fuel; nil before the instance exists
	depth   api.Global
	refused api.MutableGlobal
	alone   bool // used by a Replay, without a guest

	budget int64 // of this call
	left   int64 // the part of budget that the guest has not got yet
	debt   int64 // the cost of host functions since it was last settled
	turn   int64 // fuel left until the guest must yield
	limit  time.Duration
	start  bool          // the call is the start of an instance
	began  time.Time     // when the first slice was used up; zero before
	stood  time.Time     // when it last yielded
	bound  bool          // bound to its thread, so that its processor time can be measured
	cpu    time.Duration // the thread's processor time when it was bound
}

// Fill sets the fuel of the next call. It also limits the call's wall time, measured from when
// its first slice is used up.
func (s *State) Fill(budget int64, limit time.Duration) {
	t := &s.tank
	if t.turn <= 0 {
		t.standBack()
	}
	t.budget, t.left, t.debt, t.limit, t.began, t.start = budget, budget, 0, limit, time.Time{}, false
	if t.count != nil {
		first := min(slice, budget)
		t.count.Set(uint64(first))
		t.left -= first
		t.refused.Set(0)
	}
}

// FillStart is Fill for the start of an instance, whose limits have other names.
func (s *State) FillStart(budget int64, limit time.Duration) {
	s.Fill(budget, limit)
	s.tank.start = true
}

// settings returns the names of the limits of fuel and time that apply to the call.
func (t *tank) settings() (fuel, time string) {
	if t.start {
		return "limits.init_fuel", "limits.init_time"
	}
	return "limits.fuel, limits.fuel_per_byte", "limits.time"
}

// Burnt returns the fuel that the call has used so far.
func (s *State) Burnt() int64 {
	t := &s.tank
	used := t.budget - t.left + t.debt
	if t.count != nil {
		used -= int64(t.count.Get())
	}
	return used
}

// Spent returns the fuel that the last call used.
func (s *State) Spent() int64 {
	n := s.Burnt()
	s.tank.turn -= n
	return n
}

// pay charges the guest for work of the host.
func (s *State) pay(units int) {
	if s.tank.debt += int64(units); s.tank.debt >= settleAt {
		s.settle()
	}
}

// prepay charges for work before it starts, since it may be large. If there is not enough fuel,
// the call ends, and the work is neither done nor charged.
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

// Exhausted is called by a metered module when its fuel or depth falls below zero. It grants
// the next slice of fuel or ends the call.
func Exhausted(ctx context.Context, m api.Module, _ []uint64) {
	s := ctx.(*State)
	s.tank.attach(m)
	s.function = "guest"
	if depth := int64(s.tank.depth.Get()); depth < 0 {
		panic(&filter.Error{Cause: auditrelay.CauseStack, Err: errors.New("its calls took more of the stack than limits.stack")})
	}
	s.settle()
}

// attach finds the meter's counters. In a start function the guest calls the host before Attach
// can be called.
func (t *tank) attach(m api.Module) {
	if t.count == nil {
		t.count = m.ExportedGlobal(meter.ExportFuel).(api.MutableGlobal)
		t.depth = m.ExportedGlobal(meter.ExportDepth)
		t.refused = m.ExportedGlobal(meter.ExportRefused).(api.MutableGlobal)
	}
}

// Attach connects the state with its instance once that exists.
func (s *State) Attach(m api.Module) { s.tank.attach(m) }

// GrowthRefused reports whether the guest asked for more memory than allowed since the last
// Fill.
func (s *State) GrowthRefused() bool { return s.tank.refused != nil && s.tank.refused.Get() != 0 }

// settle subtracts the debt from the guest's fuel, and grants more fuel if that is used up.
func (s *State) settle() {
	t := &s.tank
	if t.alone {
		if t.left, t.debt = t.left-t.debt, 0; t.left < 0 {
			s.outOfFuel()
		}
		return
	}
	if t.count == nil {
		return // no guest runs yet
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
		// The instructions that the meter charged last will not run. The host's earlier work
		// was done.
		t.count.Set(uint64(max(have, -debt)))
		s.outOfFuel()
	}
	t.count.Set(uint64(have))
}

// outOfFuel ends the call.
func (s *State) outOfFuel() {
	setting, _ := s.tank.settings()
	panic(&filter.Error{Cause: auditrelay.CauseFuel, Err: fmt.Errorf("it used up its fuel of %d units (%s)", s.tank.budget, setting)})
}

// standBack yields the processor.
func (t *tank) standBack() {
	runtime.Gosched()
	t.turn = perTurn
}

// glance checks the clock during the work of one payment.
func (s *State) glance() {
	if !s.tank.alone {
		s.look()
	}
}

// look is called between two slices. It yields if it is time to, and ends the call if it has
// run for too long or its instance must end.
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

// patience is the factor of the time limit for a call whose thread does not get the processor.
const patience = 4

// checkTime ends a call that reached its time limit. It is the module's fault if the module had
// the processor for half of that time, otherwise the host's.
func (t *tank) checkTime(ran time.Duration) {
	if !t.bound {
		runtime.LockOSThread()
		t.bound = true
		t.cpu, _ = threadTime()
	}
	if ran <= t.limit {
		return
	}
	_, setting := t.settings()
	used, known := threadTime()
	switch used -= t.cpu; {
	case known && used >= t.limit/2:
		panic(&filter.Error{Cause: auditrelay.CauseFuel, Err: fmt.Errorf("it ran longer than %v, on the processor (%s): what it does is slow for its fuel", t.limit, setting)})
	case !known || ran > patience*t.limit:
		panic(&filter.Error{Cause: auditrelay.CauseWallTime, Err: fmt.Errorf("it ran longer than %v (%s) without getting the processor for half of that: the host is too busy", t.limit, setting)})
	}
}

// unbind lets the goroutine run on any thread again.
func (t *tank) unbind() {
	if t.bound {
		t.bound = false
		runtime.UnlockOSThread()
	}
}
