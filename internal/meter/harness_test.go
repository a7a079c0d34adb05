package meter

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

var (
	errFuel  = errors.New("out of fuel")
	errStack = errors.New("out of stack")
)

// A host runs metered modules like builtin/wasm: budget is the remaining fuel, given in slices.
type host struct {
	runtime wazero.Runtime
	budget  int64
	slice   int64
	calls   int
	below   int64 // the lowest fuel seen
}

func newHost(tb testing.TB) *host { return newHostWith(tb, wazero.NewRuntimeConfigCompiler()) }

func newHostWith(tb testing.TB, config wazero.RuntimeConfig) *host {
	tb.Helper()
	ctx := context.Background()
	h := &host{runtime: wazero.NewRuntimeWithConfig(ctx, config), budget: 1 << 40, slice: 1 << 20}
	tb.Cleanup(func() { h.runtime.Close(ctx) })
	_, err := h.runtime.NewHostModuleBuilder(ImportModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(h.exhausted), nil, nil).Export(ImportExhausted).Instantiate(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

func (h *host) exhausted(_ context.Context, m api.Module, _ []uint64) {
	h.calls++
	if int64(m.ExportedGlobal(ExportDepth).Get()) < 0 {
		panic(errStack)
	}
	fuel := m.ExportedGlobal(ExportFuel).(api.MutableGlobal)
	have := int64(fuel.Get())
	h.below = min(h.below, have)
	for have < 0 {
		give := min(h.slice, h.budget)
		if give == 0 {
			panic(errFuel)
		}
		h.budget -= give
		have += give
	}
	fuel.Set(uint64(have))
}

func rewrite(tb testing.TB, wasm []byte, o Options) *Metered {
	tb.Helper()
	m, err := Rewrite(wasm, o)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// testdata returns every module of the project by name.
func testdata(tb testing.TB) map[string][]byte {
	tb.Helper()
	found := map[string][]byte{}
	root := filepath.Join("..", "..", "testdata", "wasm")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".wasm") {
			return err
		}
		b, err := os.ReadFile(path)
		found[strings.TrimSuffix(filepath.Base(path), ".wasm")] = b
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

// missing skips a test if a tool is missing, or fails it if CI=true.
func missing(t testing.TB, tool string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", tool)
	}
	t.Skipf("SKIPPED, NOT PASSED: %s is not installed", tool)
}
