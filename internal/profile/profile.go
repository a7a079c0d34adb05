// Package profile reports a guest's use of fuel by function.
package profile

import (
	"cmp"
	"context"
	"slices"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// Profile counts fuel by function. It is filled while instances of a module that was loaded
// with it run. They run many times slower than normal, so measure the time of an event without
// it. Only one goroutine at a time may use it.
type Profile struct {
	functions map[string]*Function
	open      []*visit
}

// Function is one function of a profile. The meter may charge the cost of small functions to
// their callers.
type Function struct {
	Name  string `json:"name"`
	Calls int64  `json:"calls"`
	// Units of fuel without and with the called functions. Recursive calls are counted again in
	// Total.
	Self  int64 `json:"self"`
	Total int64 `json:"total"`
}

// visit is one active call.
type visit struct {
	function *Function
	began    int64 // fuel used when the call began
	inner    int64 // fuel used by called functions
}

// burner is the context of a metered guest. It knows the fuel used so far.
type burner interface{ Burnt() int64 }

type key struct{}

// With returns a context for loading a module with profile p. The module is compiled in this
// process and not cached, and it reports every function call to p.
func With(ctx context.Context, p *Profile) context.Context {
	return context.WithValue(experimental.WithFunctionListenerFactory(ctx, p), key{}, true)
}

// In reports whether ctx was created by With.
func In(ctx context.Context) bool { return ctx.Value(key{}) != nil }

// Functions returns the recorded functions, largest Self first.
func (p *Profile) Functions() []Function {
	out := make([]Function, 0, len(p.functions))
	for _, f := range p.functions {
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b Function) int {
		return cmp.Or(cmp.Compare(b.Self, a.Self), cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// Reset removes all counts, for example those of the start.
func (p *Profile) Reset() { p.functions, p.open = nil, nil }

var (
	_ experimental.FunctionListenerFactory = (*Profile)(nil)
	_ experimental.FunctionListener        = (*Profile)(nil)
)

// NewFunctionListener implements experimental.FunctionListenerFactory.
func (p *Profile) NewFunctionListener(api.FunctionDefinition) experimental.FunctionListener { return p }

// Before implements experimental.FunctionListener.
func (p *Profile) Before(ctx context.Context, _ api.Module, def api.FunctionDefinition, _ []uint64, _ experimental.StackIterator) {
	s, ok := ctx.(burner)
	if !ok {
		return
	}
	name := def.DebugName()
	f := p.functions[name]
	if f == nil {
		if p.functions == nil {
			p.functions = map[string]*Function{}
		}
		f = &Function{Name: name}
		p.functions[name] = f
	}
	f.Calls++
	p.open = append(p.open, &visit{function: f, began: s.Burnt()})
}

// After implements experimental.FunctionListener.
func (p *Profile) After(ctx context.Context, _ api.Module, _ api.FunctionDefinition, _ []uint64) {
	p.leave(ctx)
}

// Abort implements experimental.FunctionListener.
func (p *Profile) Abort(ctx context.Context, _ api.Module, _ api.FunctionDefinition, _ error) {
	p.leave(ctx)
}

func (p *Profile) leave(ctx context.Context) {
	s, ok := ctx.(burner)
	if !ok || len(p.open) == 0 {
		return
	}
	v := p.open[len(p.open)-1]
	p.open = p.open[:len(p.open)-1]
	took := s.Burnt() - v.began
	v.function.Total += took
	v.function.Self += took - v.inner
	if len(p.open) > 0 {
		p.open[len(p.open)-1].inner += took
	}
}
