package guest

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// entryWasm is a module that imports auditrelay_event and exports a function
// that calls it:
//
//	(module
//	  (import "guest" "auditrelay_event" (func (result i32)))
//	  (func (export "auditrelay_event") (result i32) call 0))
const entryWasm = "\x00asm\x01\x00\x00\x00" +
	"\x01\x05\x01\x60\x00\x01\x7f" +
	"\x02\x1a\x01\x05guest\x10auditrelay_event\x00\x00" +
	"\x03\x02\x01\x00" +
	"\x07\x14\x01\x10auditrelay_event\x00\x01" +
	"\x0a\x06\x01\x04\x00\x10\x00\x0b"

// entry is the way into instances of one module without what wazero does for
// every call of a module that can be terminated: a goroutine and a channel, which
// cost more than most events. The entry's own module is compiled without that
// flag, in a runtime of its own, and calls the guest, whose loops check whether
// the module that was called first has been closed. So closing the entry stops
// the guest. The meter makes both flag and entry needless.
type entry struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
}

// newEntry must be given guests' runtime before anything else is compiled in it:
// function types are numbered by each runtime in the order in which they come,
// and the two must agree on the one type that crosses between them. Were they
// not to, opening an instance would fail.
func newEntry(ctx context.Context, cache wazero.CompilationCache, guests wazero.Runtime) (*entry, error) {
	if _, err := guests.CompileModule(ctx, []byte(entryWasm)); err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	e := &entry{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(cache))}
	var err error
	if e.compiled, err = e.runtime.CompileModule(ctx, []byte(entryWasm)); err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	return e, nil
}

// open returns a module whose auditrelay_event calls live's.
func (e *entry) open(ctx context.Context, live api.Module) (api.Module, error) {
	ctx = experimental.WithImportResolver(ctx, func(string) api.Module { return live })
	m, err := e.runtime.InstantiateModule(ctx, e.compiled, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	return m, nil
}
