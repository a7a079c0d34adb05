package guest

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/hostfuncs"
)

// instance is one live memory.
type instance struct {
	module *Module
	state  *hostfuncs.State
	memory *memory
	live   api.Module
	entry  api.Module // closed to stop the guest
	event  api.Function
	guard  *time.Timer
	cancel context.CancelFunc
	stack  [1]uint64
	failed bool
}

var errSpent = errors.New("this instance failed before, or was closed; open a new one")

func (m *Module) newInstance(ctx context.Context) (*instance, error) {
	i := &instance{module: m, memory: &memory{limit: uint64(m.limits.Memory)}}
	// The start is stopped by its context, events by closing the entry: a context
	// for every event would cost more than most events do.
	shared, cancel := context.WithCancel(experimental.WithMemoryAllocator(context.WithoutCancel(ctx), i.memory))
	i.cancel = cancel
	i.state = hostfuncs.NewState(shared, m.policy)
	i.guard = time.AfterFunc(m.limits.InitTime, cancel)

	err := ctx.Err()
	if err == nil {
		err = i.start()
	}
	if !i.guard.Stop() && err == nil {
		err = context.Canceled
	}
	if err != nil {
		f := i.failure(err)
		if c := f.Cause; c != auditrelay.CauseWallTime && c != auditrelay.CauseMemory {
			f.Cause = auditrelay.CauseInit
		}
		_ = i.Close()
		return nil, f
	}
	i.state.End()
	entry := i.entry
	i.guard = time.AfterFunc(m.limits.Time, func() { _ = entry.CloseWithExitCode(context.Background(), 1) })
	i.guard.Stop() // Apply arms it
	return i, nil
}

func (i *instance) start() error {
	m := i.module
	live, err := m.runtime.InstantiateModule(i.state, m.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return err
	}
	i.live = live
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
	if i.entry, err = m.entry.open(i.state.Context, live); err != nil {
		return err
	}
	i.event = i.entry.ExportedFunction(exportEvent)
	return nil
}

// Apply implements filter.Instance. It ends by the filter's own limits, not with
// ctx. Its errors are *filter.Error; what a guest said with fail is in
// call.Reason, never in the error.
func (i *instance) Apply(ctx context.Context, call *filter.Call) (auditrelay.Verdict, error) {
	if i.failed {
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseInit, Err: errSpent}
	}
	if err := ctx.Err(); err != nil {
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseWallTime, Err: err}
	}
	i.memory.refused = false
	i.state.Begin(call)
	i.guard.Reset(i.module.limits.Time)
	err := i.event.CallWithStack(i.state, i.stack[:])
	if !i.guard.Stop() && err == nil {
		err = context.Canceled // too late to be trusted: the guard is closing it
	}
	verdict := auditrelay.NoVerdict
	if err == nil {
		verdict, err = decide(api.DecodeI32(i.stack[0]))
	}
	if err != nil {
		f := i.failure(err)
		call.Reason = i.state.Reason()
		i.state.End()
		_ = i.Close()
		return auditrelay.NoVerdict, f
	}
	i.state.Commit()
	i.state.End()
	return verdict, nil
}

func decide(answer int32) (auditrelay.Verdict, error) {
	switch answer {
	case 1:
		return auditrelay.Keep, nil
	case 2:
		return auditrelay.Drop, nil
	case 0:
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseProtocol, Err: fmt.Errorf("%s returned 0, which is no verdict: expected 1 (keep) or 2 (drop)", exportEvent)}
	}
	return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseProtocol, Err: fmt.Errorf("%s returned %d: expected 1 (keep) or 2 (drop)", exportEvent, answer)}
}

// failure tells what happened. The text may hold the names of the guest's
// functions, never what it worked on.
func (i *instance) failure(err error) *filter.Error {
	host, fromHost := errors.AsType[*filter.Error](err)
	_, broken := errors.AsType[goruntime.Error](err)
	_, closed := errors.AsType[*sys.ExitError](err)
	cause := auditrelay.CauseTrap
	switch {
	case i.memory.refused && (!fromHost || host.Cause == auditrelay.CauseTrap):
		cause = auditrelay.CauseMemory
		err = fmt.Errorf("a growth of its memory beyond %v was refused: %w", i.module.limits.Memory, err)
	case fromHost:
		cause, err = host.Cause, host.Err
	case closed || errors.Is(err, context.Canceled):
		cause, err = auditrelay.CauseWallTime, errors.New("it ran longer than its limit of time")
	case broken:
		cause = auditrelay.CausePanic
	case strings.HasSuffix(err.Error(), "stack overflow"): // wazero exports no error for it
		cause = auditrelay.CauseStack
	}
	return &filter.Error{Cause: cause, Err: bounded(err)}
}

// maxErrorText is what of a trap's text is told, in bytes.
const maxErrorText = 2 << 10

// bounded cuts a trap's text: its stack trace holds names that the module chose.
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
	i.guard.Stop()
	var err error
	if i.entry != nil {
		err = i.entry.Close(context.Background())
		i.entry = nil
	}
	if i.live != nil {
		err = errors.Join(err, i.live.Close(context.Background()))
		i.live = nil
	}
	i.cancel()
	return err
}
