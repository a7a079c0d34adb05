// Package slot switches the module of a guest filter while events pass.
package slot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/filter"
)

// Slot is a filter whose module can be switched while it runs, between two events. One module
// processes an event from start to end, and the same worker's next event goes to the new
// module. A slot without a module processes nothing: the events of its callbacks stay pending.
// It is safe for concurrent use.
type Slot struct {
	name    string
	current atomic.Pointer[tenure]

	mu        sync.Mutex
	closed    bool
	instances map[*slotInstance]struct{}
}

// tenure is one module's time in a slot. The module is closed when the slot has another one and
// the last instance is closed.
type tenure struct {
	module *wasm.Module
	users  atomic.Int64 // instances, and the slot while the tenure is current
}

func (t *tenure) release() error {
	if t == nil || t.users.Add(-1) > 0 {
		return nil
	}
	return t.module.Close()
}

// enter adds a user, unless the last one has left.
func (t *tenure) enter() bool {
	for {
		n := t.users.Load()
		if n == 0 {
			return false
		}
		if t.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

var (
	_ filter.Filter  = (*Slot)(nil)
	_ filter.Grouped = (*Slot)(nil)
	_ filter.Wide    = (*Slot)(nil)
)

// New returns a slot for a filter's name, without a module.
func New(name string) *Slot {
	return &Slot{name: name, instances: map[*slotInstance]struct{}{}}
}

// Switch switches the slot to another module, which the slot then owns. Idle instances of the
// old module are closed at once, the others after their current event.
func (s *Slot) Switch(m *wasm.Module) error {
	next := &tenure{module: m}
	next.users.Store(1)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errors.Join(errors.New("the filter is closed"), m.Close())
	}
	old := s.current.Swap(next)
	var idle []*slotInstance
	for i := range s.instances {
		if i.mu.TryLock() {
			idle = append(idle, i)
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, i := range idle {
		errs = append(errs, i.leave())
		i.mu.Unlock()
	}
	return errors.Join(append(errs, old.release())...)
}

// Module returns the current module, or nil if there is none. A Switch may close it at any
// time, so the caller must use only methods that do not need an open module.
func (s *Slot) Module() *wasm.Module {
	if t := s.current.Load(); t != nil {
		return t.module
	}
	return nil
}

// Describe implements filter.Described. It describes the current module.
func (s *Slot) Describe() filter.Description {
	if m := s.Module(); m != nil {
		return m.Describe()
	}
	return filter.Description{Kind: "wasm"}
}

// Resting implements filter.Rester.
func (s *Slot) Resting() error {
	if m := s.Module(); m != nil {
		return m.Resting()
	}
	return nil
}

// Open implements filter.Filter.
func (s *Slot) Open(ctx context.Context) (filter.Instance, error) { return s.OpenFor(ctx, "") }

// Width implements filter.Wide. It returns the current module's width.
func (s *Slot) Width() int {
	if m := s.Module(); m != nil {
		return m.Width()
	}
	return 1
}

// OpenFor implements filter.Grouped.
func (s *Slot) OpenFor(ctx context.Context, callback string) (filter.Instance, error) {
	i := &slotInstance{slot: s, callback: callback}
	if err := i.enter(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instances[i] = struct{}{}
	return i, nil
}

// Close implements filter.Filter.
func (s *Slot) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.current.Swap(nil).release()
}

// slotInstance is an instance of the slot's current module.
type slotInstance struct {
	slot     *Slot
	callback string

	mu       sync.Mutex // held while an event is processed
	tenure   *tenure
	instance filter.Instance // instance of the tenure's module; nil after leave
}

// enter opens an instance of the current module.
func (i *slotInstance) enter(ctx context.Context) error {
	for {
		t := i.slot.current.Load()
		if t == nil {
			return &filter.Error{Cause: auditrelay.CauseWallTime, Err: fmt.Errorf("no module is in use: push one and select it (auditrelay module push FILE --name NAME; auditrelay module use %s DIGEST)", i.slot.name)}
		}
		if !t.enter() {
			continue // switched meanwhile
		}
		instance, err := t.module.OpenFor(ctx, i.callback)
		if err != nil {
			return errors.Join(err, t.release())
		}
		i.tenure, i.instance = t, instance
		return nil
	}
}

// leave closes the instance, so that it no longer uses the module.
func (i *slotInstance) leave() error {
	if i.instance == nil {
		return nil
	}
	err := i.instance.Close()
	i.instance = nil
	return errors.Join(err, i.tenure.release())
}

// Apply implements filter.Instance.
func (i *slotInstance) Apply(ctx context.Context, call *filter.Call) (auditrelay.Verdict, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.current(ctx); err != nil {
		return auditrelay.NoVerdict, err
	}
	return i.instance.Apply(ctx, call)
}

// ApplyAll implements filter.Batcher. One module processes all calls.
func (i *slotInstance) ApplyAll(ctx context.Context, calls []filter.Call, verdicts []auditrelay.Verdict) (decided int, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.current(ctx); err != nil {
		return 0, err
	}
	if batcher, ok := i.instance.(filter.Batcher); ok {
		return batcher.ApplyAll(ctx, calls, verdicts)
	}
	for ; decided < len(calls); decided++ {
		if verdicts[decided], err = i.instance.Apply(ctx, &calls[decided]); err != nil {
			return decided, err
		}
	}
	return decided, nil
}

// current ensures that i has an instance of the slot's module. The caller must hold i.mu.
func (i *slotInstance) current(ctx context.Context) error {
	if i.instance != nil && i.tenure == i.slot.current.Load() {
		return nil
	}
	// A failure to close the old instance does not matter to this event.
	_ = i.leave()
	return i.enter(ctx)
}

// Describe implements filter.Described. It describes the module that processed the last event,
// even if the slot has another one now.
func (i *slotInstance) Describe() filter.Description {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.tenure == nil {
		return filter.Description{Kind: "wasm"}
	}
	return i.tenure.module.Describe()
}

// Close implements filter.Instance.
func (i *slotInstance) Close() error {
	i.slot.mu.Lock()
	delete(i.slot.instances, i)
	i.slot.mu.Unlock()
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.leave()
}
