package wasm

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/hostfuncs"
	"auditrelay/internal/meter"
)

// instance is one instance in this process.
type instance struct {
	module *Module
	state  *hostfuncs.State
	memory *memory
	cancel context.CancelFunc
	stack  [1]uint64
	failed bool
	began  int64 // fuel of its start
	size   int   // size of the accepted event; 0: Event.Data is the accepted event

	live    api.Module
	event   api.Function
	restore api.Function // restores the globals; nil if nothing is restored
}

var errSpent = errors.New("this instance has failed or is closed; open a new one")

func (m *Module) newInstance(ctx context.Context) (*instance, error) {
	if err := m.budget.reserve(m.limits.Footprint()); err != nil {
		return nil, &filter.Error{Cause: auditrelay.CauseWallTime, Err: err}
	}
	i := &instance{module: m, memory: &memory{limit: uint64(linear(&m.facts, m.limits))}}
	shared, cancel := context.WithCancel(experimental.WithMemoryAllocator(context.WithoutCancel(ctx), i.memory))
	i.cancel = cancel
	// The end of the start's context ends the start.
	defer context.AfterFunc(ctx, cancel)()
	i.state = hostfuncs.NewState(shared, m.policy)
	if l := laneOf(ctx); l != nil {
		l.attach(i.state)
	}
	i.state.Reserve = i.memory.reserve
	i.state.FillStart(m.limits.InitFuel, m.limits.InitTime)
	err := ctx.Err()
	if err == nil {
		err = i.start()
	}
	if err != nil {
		f := i.failure(err)
		if c := f.Cause; c != auditrelay.CauseWallTime && c != auditrelay.CauseMemory && c != auditrelay.CauseFuel {
			f.Cause = auditrelay.CauseInit
		}
		i.state.End()
		_ = i.Close()
		return nil, f
	}
	i.began = i.state.Spent()
	i.state.End()
	return i, nil
}

// start creates the instance and runs it up to the point where it can process events. All of
// this is metered, including the start function.
func (i *instance) start() error {
	m := i.module
	live, err := m.runtime.InstantiateModule(i.state, m.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err == nil && !m.proven { // this function cannot trap, and its saved state is overwritten later
		err = live.ExportedFunction(meter.ExportSave).CallWithStack(i.state, i.stack[:])
	}
	switch {
	case err != nil && !m.proven && i.state.Err() == nil:
		return errNoCode
	case err != nil:
		// The engine names the start function by its index in the rewritten module.
		if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), "start function[") {
			err = fmt.Errorf("start function: %w", inner)
		}
		return err
	}
	m.proven = true
	i.live = live
	i.state.Attach(live)
	if m.start {
		if err := live.ExportedFunction(exportInitialize).CallWithStack(i.state, i.stack[:]); err != nil {
			return err
		}
	}
	if m.init {
		if err := live.ExportedFunction(exportInit).CallWithStack(i.state, i.stack[:]); err != nil {
			return err
		}
		if code := api.DecodeI32(i.stack[0]); code != 0 {
			return &filter.Error{Cause: auditrelay.CauseInit, Err: fmt.Errorf("%s returned %d", exportInit, code)}
		}
	}
	i.event = live.ExportedFunction(exportEvent)
	if m.isolation == auditrelay.IsolationEvent {
		return i.save()
	}
	return nil
}

// save stores the state that every event must find.
func (i *instance) save() error {
	if err := i.live.ExportedFunction(meter.ExportSave).CallWithStack(i.state, i.stack[:]); err != nil {
		return err
	}
	i.restore = i.live.ExportedFunction(meter.ExportRestore)
	i.memory.save()
	i.state.Mark()
	return nil
}

// Apply implements filter.Instance. The filter's own limits end it, not ctx. Its errors are
// *filter.Error. The text of the guest's fail is in call.Reason, never in the error.
func (i *instance) Apply(ctx context.Context, call *filter.Call) (auditrelay.Verdict, error) {
	m := i.module
	if err := ctx.Err(); err != nil {
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseWallTime, Err: err}
	}
	if i.failed {
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseInit, Err: errSpent}
	}
	if err := m.breaker.admit(); err != nil {
		return auditrelay.NoVerdict, err
	}
	renewed, size := int64(0), i.size
	if size == 0 {
		size = len(call.Event.Data)
	}
	if i.live == nil { // the last event left it in a state that a new one would not have
		if err := i.renew(ctx); err != nil {
			return auditrelay.NoVerdict, err
		}
		renewed = i.began
	}
	i.state.Begin(call)
	i.state.Fill(m.limits.Fuel+m.limits.FuelPerByte*int64(size), m.limits.Time)
	err := i.event.CallWithStack(i.state, i.stack[:])
	verdict := auditrelay.NoVerdict
	if err == nil {
		verdict, err = decide(api.DecodeI32(i.stack[0]))
	}
	call.Usage = filter.Usage{Fuel: renewed + i.state.Spent(), Memory: int64(len(i.memory.buf))}
	if err != nil {
		f := i.failure(err)
		call.Reason = i.state.Reason()
		i.state.End()
		_ = i.Close()
		m.failed(f, i.began)
		return auditrelay.NoVerdict, f
	}
	i.state.Commit()
	i.state.End()
	m.breaker.succeed()
	if i.restore != nil {
		i.reset()
	}
	return verdict, nil
}

// failed counts a failure of the module, and the fuel of the failed instance's start.
func (m *Module) failed(f *filter.Error, start int64) {
	if !f.Final && (f.Cause == auditrelay.CauseWallTime || f.Cause == auditrelay.CausePanic) {
		return // the host's fault
	}
	if m.breaker.fail(f.Cause, start) {
		m.log.Error("a guest failed repeatedly, so its breaker is open: its callbacks' events stay pending",
			"filter", m.name, "failures", m.breaker.row.Load(), "cause", f.Cause, "error", f.Err)
	}
}

// reset restores the state of save, or closes the instance.
func (i *instance) reset() {
	facts := &i.module.facts
	if !facts.WritesTables && !facts.DropsSegments && i.memory.restore() &&
		i.restore.CallWithStack(i.state, i.stack[:]) == nil {
		i.state.Rewind()
		return
	}
	_ = i.release()
}

// renew starts a new instance after reset closed the old one.
func (i *instance) renew(ctx context.Context) error {
	fresh, err := i.module.newInstance(ctx)
	if err != nil {
		return err
	}
	*i = *fresh
	return nil
}

func decide(answer int32) (auditrelay.Verdict, error) {
	switch answer {
	case 1:
		return auditrelay.Keep, nil
	case 2:
		return auditrelay.Drop, nil
	case 0:
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseProtocol, Err: fmt.Errorf("%s returned 0, which is not a verdict: expected 1 (keep) or 2 (drop)", exportEvent)}
	}
	return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseProtocol, Err: fmt.Errorf("%s returned %d: expected 1 (keep) or 2 (drop)", exportEvent, answer)}
}

// failure converts an error of the guest. The text may contain names of the guest's functions,
// but no event data.
func (i *instance) failure(err error) *filter.Error {
	host, fromHost := errors.AsType[*filter.Error](err)
	_, broken := errors.AsType[goruntime.Error](err)
	cause := auditrelay.CauseTrap
	switch {
	case i.state.GrowthRefused() && (!fromHost || host.Cause == auditrelay.CauseTrap):
		cause = auditrelay.CauseMemory
		err = fmt.Errorf("it could not grow its memory beyond %v: %w", i.module.limits.Memory, err)
	case fromHost:
		cause, err = host.Cause, host.Err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		cause = auditrelay.CauseWallTime
	case broken:
		cause = auditrelay.CausePanic
	case strings.HasSuffix(err.Error(), "stack overflow"): // wazero exports no error for this
		cause = auditrelay.CauseStack
	}
	return &filter.Error{Cause: cause, Err: bounded(err)}
}

// maxErrorText limits the reported text of a trap, in bytes.
const maxErrorText = 2 << 10

// bounded cuts a trap's text, since its stack trace contains names that the module chose.
func bounded(err error) error {
	text := err.Error()
	if len(text) <= maxErrorText {
		return err
	}
	return errors.New(strings.ToValidUTF8(text[:maxErrorText], "") + " ...")
}

// Close implements filter.Instance. It may be called again.
func (i *instance) Close() error {
	i.failed = true
	return i.release()
}

// release releases the instance's resources.
func (i *instance) release() error {
	if i.cancel == nil {
		return nil
	}
	i.cancel()
	i.cancel = nil
	i.module.budget.release(i.module.limits.Footprint())
	if i.live == nil {
		return nil
	}
	live := i.live
	i.live, i.event, i.restore = nil, nil, nil
	return live.Close(context.Background())
}
