package compile_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"auditrelay/internal/compile"
)

// TestMain lets the test's own program act as the helper.
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

var key = [32]byte{1}

// returns creates a module whose function f returns n, below 64.
func returns(n byte) []byte {
	return []byte("\x00asm\x01\x00\x00\x00" +
		"\x01\x05\x01\x60\x00\x01\x7f" + // type () -> (i32)
		"\x03\x02\x01\x00" +
		"\x07\x05\x01\x01f\x00\x00" +
		"\x0a\x06\x01\x04\x00\x41" + string(n) + "\x0b")
}

func guest(*testing.T) []byte { return returns(42) }

// bomb creates a module of one function with many locals that are set in many loops. It is small
// and valid, and expensive to compile.
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

// The parent finds what the helper wrote to the cache. It adds no entry of its own, and does not
// need the helper again.
func TestTheCacheIsFilledOnce(t *testing.T) {
	o, wasm := options(t), guest(t)
	if _, found := compile.Find(o.CacheDir, key); found {
		t.Fatal("an empty cache has it")
	}
	filled, err := compile.Fill(t.Context(), key, wasm, []byte("note"), o)
	if err != nil {
		t.Fatal(err)
	}
	before := entries(t, o.CacheDir)
	cache, err := wazero.NewCompilationCacheWithDir(o.CacheDir)
	if err != nil {
		t.Fatal(err)
	}
	runtime := wazero.NewRuntimeWithConfig(t.Context(), compile.Config(cache))
	defer runtime.Close(context.Background())
	compiled, err := runtime.CompileModule(t.Context(), filled.Outline)
	if err != nil {
		t.Fatal(err)
	}
	if after := entries(t, o.CacheDir); len(before) != 2 || len(after) != 2 {
		t.Errorf("entry and record: %v, after the parent's compilation %v", before, after)
	}
	found, ok := compile.Find(o.CacheDir, key)
	if !ok || !bytes.Equal(found.Outline, filled.Outline) || string(found.Note) != "note" {
		t.Errorf("the second time: got %t and %d bytes with %q", ok, len(found.Outline), found.Note)
	}
	if _, ok := compile.Find(o.CacheDir, [32]byte{2}); ok {
		t.Error("another key finds it too")
	}
	// The outline runs the module's own code.
	live, err := runtime.InstantiateModule(t.Context(), compiled, wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := live.ExportedFunction("f").Call(t.Context()); err != nil || len(got) != 1 || got[0] != 42 {
		t.Errorf("got %v, %v", got, err)
	}
}

// An outline without its code traps and does nothing else.
func TestAnOutlineAloneTraps(t *testing.T) {
	outline, err := compile.Outline(guest(t))
	if err != nil {
		t.Fatal(err)
	}
	runtime := wazero.NewRuntime(t.Context())
	defer runtime.Close(context.Background())
	live, err := runtime.Instantiate(t.Context(), outline)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := live.ExportedFunction("f").Call(t.Context()); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("got %v", err)
	}
}

// Two modules that differ only in their bodies have different outlines. Otherwise one would run the
// other's code.
func TestOutlinesTellModulesApart(t *testing.T) {
	a, err := compile.Outline(returns(1))
	b, err2 := compile.Outline(returns(2))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a, b) {
		t.Error("the outlines are the same")
	}
	for _, cut := range []int{0, 4, 8, 9, 11, 20, 30} {
		_, _ = compile.Outline(a[:cut]) // no panic
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
		if _, err := compile.Fill(t.Context(), key, wasm, nil, o); err != nil {
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
			if _, found := compile.Find(o.CacheDir, key); found {
				t.Errorf("after %s was damaged it is found", path)
			}
			if _, err := compile.Fill(t.Context(), key, wasm, nil, o); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A module whose compilation takes minutes and gigabytes takes none of this process's time and
// memory.
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
			_, err := compile.Fill(t.Context(), key, bomb(20_000, 2_500), nil, o)
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
	_, err := compile.Fill(t.Context(), key, []byte("\x00asm\x01\x00\x00\x00\x01\x01\x05"), nil, options(t))
	if err == nil || !strings.Contains(err.Error(), "section") {
		t.Errorf("got %v", err)
	}
}

func TestAHelperThatIsMissing(t *testing.T) {
	o := options(t)
	o.Command = []string{filepath.Join(t.TempDir(), "none")}
	if _, err := compile.Fill(t.Context(), key, guest(t), nil, o); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "helper") {
		t.Errorf("got %v", err)
	}
}

func TestItEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := compile.Fill(ctx, key, guest(t), nil, options(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTheCacheKeepsWhatWasUsedLast(t *testing.T) {
	o, wasm := options(t), guest(t)
	if _, err := compile.Fill(t.Context(), key, wasm, nil, o); err != nil {
		t.Fatal(err)
	}
	records := filepath.Join(o.CacheDir, "auditrelay")
	first, err := os.ReadDir(records)
	if err != nil || len(first) != 1 {
		t.Fatalf("%v, %v", first, err)
	}
	// Fill the cache with newer records, and with the remains of a killed relay.
	past := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(filepath.Join(records, first[0].Name()), past, past); err != nil {
		t.Fatal(err)
	}
	for n := range compile.Entries {
		name := filepath.Join(records, fmt.Sprintf("%064x", n))
		if err := os.WriteFile(name, []byte("none"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := filepath.Join(records, "compiling-1")
	if err := errors.Join(os.Mkdir(left, 0o700), os.Chtimes(left, past, past)); err != nil {
		t.Fatal(err)
	}
	if _, err := compile.Fill(t.Context(), [32]byte{2}, returns(43), nil, o); err != nil {
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
	if _, found := compile.Find(o.CacheDir, key); found {
		t.Error("the one that was forgotten is found")
	}
	if _, found := compile.Find(o.CacheDir, [32]byte{2}); !found {
		t.Error("the new one is not found")
	}
}
