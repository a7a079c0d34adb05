package meter

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// Every module of the project is accepted, and wazero and wabt accept the result.
func TestTestdata(t *testing.T) {
	for name, wasm := range testdata(t) {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			o := Options{Limits: Limits{MemoryPages: 256}} // the default for guests
			m, err := Rewrite(wasm, o)
			if name == "memory-too-large" {
				if err == nil {
					t.Error("not refused")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d -> %d bytes in %v: %+v", len(wasm), len(m.Wasm), time.Since(start), m.Facts)
			if _, err := newHost(t).runtime.CompileModule(t.Context(), m.Wasm); err != nil {
				t.Error(err)
			}
			wabt(t, m.Wasm, true)
			if again := rewrite(t, wasm, o); !bytes.Equal(again.Wasm, m.Wasm) {
				t.Error("another result the second time")
			}
		})
	}
}

// wabt asks wasm-validate, if it is installed, for a second opinion.
func wabt(t *testing.T, wasm []byte, valid bool) {
	t.Helper()
	path, err := exec.LookPath("wasm-validate")
	if err != nil {
		return
	}
	cmd := exec.CommandContext(t.Context(), path, "--ignore-custom-section-errors", "-")
	cmd.Stdin = bytes.NewReader(wasm)
	if out, err := cmd.CombinedOutput(); (err == nil) != valid {
		t.Errorf("wasm-validate: %v\n%s", err, out)
	}
}

// Every module except Go's behaves the same with and without the meter, with host functions
// that answer small numbers. Endless ones are stopped.
func TestTestdataBehaves(t *testing.T) {
	endless := map[string]bool{"infinite-loop": true, "init-loop": true, "recursion": true}
	for name, wasm := range testdata(t) {
		if len(wasm) > 1<<20 || name == "memory-too-large" || name == "memory-growth" {
			continue // Go waits endlessly for a clock that does not move; the others reach a limit of the meter
		}
		t.Run(name, func(t *testing.T) {
			metered := act(t, rewrite(t, wasm, Options{}).Wasm)
			if strings.Contains(strings.Join(metered.calls, ""), "out of ") {
				t.Log("stopped by the meter: it would not end")
				return
			}
			if endless[name] {
				t.Errorf("not stopped: %v", metered.calls)
			}
			if difference := act(t, wasm).compare(metered); difference != "" {
				t.Error(difference)
			}
		})
	}
}

// act starts a guest like the host, and passes three events to it.
func act(t *testing.T, wasm []byte) (o observation) {
	h := newHost(t)
	h.budget = 1 << 24
	ctx := t.Context()
	compiled, err := h.runtime.CompileModule(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	builders := map[string]wazero.HostModuleBuilder{}
	seen := map[string]bool{}
	for _, f := range compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if module == ImportModule || seen[module+name] {
			continue
		}
		seen[module+name] = true
		if builders[module] == nil {
			builders[module] = h.runtime.NewHostModuleBuilder(module)
		}
		builders[module].NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
			arguments := slices.Clone(stack[:len(f.ParamTypes())])
			for i, t := range f.ParamTypes() {
				if t == api.ValueTypeI32 { // the upper half is undefined
					arguments[i] = uint64(uint32(arguments[i]))
				}
			}
			o.calls = append(o.calls, fmt.Sprint(name, arguments))
			if len(f.ResultTypes()) > 0 && module != "wasi_snapshot_preview1" {
				stack[0] = uint64(len(o.calls) % 3)
			} else if len(stack) > 0 {
				stack[0] = 0
			}
		}), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	for _, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	live, err := h.runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		o.calls = append(o.calls, "not instantiated")
		return o
	}
	for _, name := range []string{"_initialize", "auditrelay_init", "auditrelay_event", "auditrelay_event", "auditrelay_event"} {
		f := live.ExportedFunction(name)
		if f == nil || len(f.Definition().ParamTypes()) > 0 {
			continue
		}
		results, err := f.Call(ctx)
		o.calls = append(o.calls, fmt.Sprint(name, results, err))
		if err != nil {
			break
		}
	}
	if mem := live.ExportedMemory("memory"); mem != nil {
		all, _ := mem.Read(0, mem.Size())
		o.memory = bytes.Clone(all)
	}
	return o
}
