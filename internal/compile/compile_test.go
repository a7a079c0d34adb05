package compile_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"auditrelay/internal/compile"
)

// TestMain lets the test's own program be the helper.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "helper" {
		os.Exit(compile.Child(os.Stdin, os.Stderr, os.Args[2:]))
	}
	os.Exit(m.Run())
}

func options(t *testing.T) compile.Options {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "cache")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return compile.Options{Command: []string{program, "helper"}, CacheDir: dir}
}

func guest(t *testing.T) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join("..", "..", "testdata", "wasm", "reference-c", "reference-c.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// bomb is a module of one function with so many locals, set in so many loops:
// small, valid, and dear to compile.
func bomb(locals, loops int) []byte {
	unsigned := binary.AppendUvarint
	body := append(unsigned([]byte{1}, uint64(locals)), 0x7e) // i64
	for i := range loops {
		body = append(body, 0x03, 0x40) // loop
		body = append(unsigned(append(body, 0x20), uint64(i%locals)), 0x21)
		body = unsigned(body, uint64((i*7+1)%locals))
		body = append(body, 0x41, 0, 0x0d, 0, 0x0b) // br_if 0, end
	}
	body = append(body, 0x0b)
	section := func(id byte, content []byte) []byte {
		return append(unsigned([]byte{id}, uint64(len(content))), content...)
	}
	wasm := []byte("\x00asm\x01\x00\x00\x00")
	wasm = append(wasm, section(1, []byte{1, 0x60, 0, 0})...)
	wasm = append(wasm, section(3, []byte{1, 0})...)
	code := append(unsigned([]byte{1}, uint64(len(body))), body...)
	return append(wasm, section(10, code)...)
}

func entries(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What the helper left in the cache is what the parent then finds: it adds no
// entry of its own, and the helper is not needed again.
func TestTheCacheIsFilledOnce(t *testing.T) {
	o, wasm := options(t), guest(t)
	if ran, err := compile.Fill(t.Context(), wasm, o); !ran || err != nil {
		t.Fatalf("got %t, %v", ran, err)
	}
	before := entries(t, o.CacheDir)
	cache, err := wazero.NewCompilationCacheWithDir(o.CacheDir)
	if err != nil {
		t.Fatal(err)
	}
	runtime := wazero.NewRuntimeWithConfig(t.Context(), compile.Config(cache))
	defer runtime.Close(context.Background())
	if _, err := runtime.CompileModule(t.Context(), wasm); err != nil {
		t.Fatal(err)
	}
	if after := entries(t, o.CacheDir); len(before) != 2 || len(after) != 2 {
		t.Errorf("entry and record: %v, after the parent's compilation %v", before, after)
	}
	o.Command = []string{"/nonexistent"}
	if ran, err := compile.Fill(t.Context(), wasm, o); ran || err != nil {
		t.Errorf("the second time: got %t, %v", ran, err)
	}
}

func TestADamagedEntryIsMadeAnew(t *testing.T) {
	o, wasm := options(t), guest(t)
	for _, damage := range []func(path string, data []byte) error{
		func(path string, data []byte) error {
			data[len(data)/2] ^= 1
			return os.WriteFile(path, data, 0o600)
		},
		func(path string, data []byte) error { return os.WriteFile(path, data[:len(data)/2], 0o600) },
		func(path string, _ []byte) error { return os.Remove(path) },
	} {
		if _, err := compile.Fill(t.Context(), wasm, o); err != nil {
			t.Fatal(err)
		}
		for _, path := range entries(t, o.CacheDir) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(path, data); err != nil {
				t.Fatal(err)
			}
			if ran, err := compile.Fill(t.Context(), wasm, o); !ran || err != nil {
				t.Errorf("after %s was damaged: got %t, %v; want it made anew", path, ran, err)
			}
		}
	}
}

// A module that takes a compiler minutes and gigabytes takes this process
// nothing.
func TestABombIsStopped(t *testing.T) {
	for _, c := range []struct {
		limit  string
		change func(*compile.Options)
	}{
		{"CPU time", func(o *compile.Options) { o.CPU, o.Memory = time.Second, 4<<30 }},
		{"memory", func(o *compile.Options) { o.Memory = 200 << 20 }},
		{"time", func(o *compile.Options) { o.Wall, o.Memory = 500*time.Millisecond, 4<<30 }},
	} {
		t.Run(c.limit, func(t *testing.T) {
			o := options(t)
			c.change(&o)
			_, err := compile.Fill(t.Context(), bomb(20_000, 2_500), o)
			if limit, ok := errors.AsType[*compile.LimitError](err); !ok || limit.Limit != c.limit {
				t.Errorf("got %v, want a limit of %s", err, c.limit)
			}
			if left := entries(t, o.CacheDir); len(left) != 0 {
				t.Errorf("it left %v", left)
			}
		})
	}
}

func TestTheCompilersWordsAreTold(t *testing.T) {
	_, err := compile.Fill(t.Context(), []byte("\x00asm\x01\x00\x00\x00\x01"), options(t))
	if err == nil || !strings.Contains(err.Error(), "section") {
		t.Errorf("got %v", err)
	}
}

func TestAHelperThatIsMissing(t *testing.T) {
	o := options(t)
	o.Command = []string{filepath.Join(t.TempDir(), "none")}
	if _, err := compile.Fill(t.Context(), guest(t), o); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "helper") {
		t.Errorf("got %v", err)
	}
}

func TestItEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := compile.Fill(ctx, guest(t), options(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTheCacheKeepsWhatWasUsedLast(t *testing.T) {
	o, wasm := options(t), guest(t)
	if _, err := compile.Fill(t.Context(), wasm, o); err != nil {
		t.Fatal(err)
	}
	records := filepath.Join(o.CacheDir, "auditrelay")
	first, err := os.ReadDir(records)
	if err != nil || len(first) != 1 {
		t.Fatalf("%v, %v", first, err)
	}
	// As many more, each asked for later than the first, and what a killed relay left.
	past := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(filepath.Join(records, first[0].Name()), past, past); err != nil {
		t.Fatal(err)
	}
	for n := range compile.Entries {
		name := filepath.Join(records, fmt.Sprintf("%064x.json", n))
		if err := os.WriteFile(name, []byte(`{"entry":"none"}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := filepath.Join(records, "compiling-1")
	if err := errors.Join(os.Mkdir(left, 0o700), os.Chtimes(left, past, past)); err != nil {
		t.Fatal(err)
	}
	if _, err := compile.Fill(t.Context(), append(slices.Clone(wasm), 0, 4, 1, 'x', 0, 0), o); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadDir(records)
	if err != nil || len(after) != compile.Entries {
		t.Errorf("%d records are left, %v", len(after), err)
	}
	for _, f := range after {
		if f.Name() == first[0].Name() || f.IsDir() {
			t.Errorf("%s is still there", f.Name())
		}
	}
	if ran, err := compile.Fill(t.Context(), wasm, o); !ran || err != nil {
		t.Errorf("the one that was forgotten: got %t, %v", ran, err)
	}
}
