package wasm_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/filter"
)

// The reasons for refusing a module, and the operator's error texts.
func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*wasm.Options)
		want   []string
	}{
		{"hostile/no-event", nil, []string{"auditrelay_event", "expected a function () -> (i32)", "found none"}},
		{"hostile/no-memory", nil, []string{"memory", "found none"}},
		{"hostile/wrong-export", nil, []string{"auditrelay_event", "expected () -> (i32), found (i32) -> (i32)"}},
		{"hostile/wrong-import", nil, []string{"auditrelay_v1.find", "expected (i32) -> (i32), found (i32, i64) -> (i32)"}},
		{"hostile/unknown-import", nil, []string{"auditrelay_v1.open_socket", "no such function"}},
		{"hostile/foreign-import", nil, []string{"env.abort", "expected auditrelay_v1 or wasi_snapshot_preview1"}},
		{"hostile/imported-memory", nil, []string{"auditrelay_v1.memory", "found a memory"}},
		{"hostile/program", nil, []string{"_start", "reactor"}},
		{"hostile/reserved-export", nil, []string{"auditrelay_fuel", "reserved"}},
		{"isolation/table", func(o *wasm.Options) { o.Limits.Memory = 64 << 10 }, []string{"starts with 64KiB, limits.memory is 64KiB, of which tables and globals"}},
		{"hostile/memory-too-large", nil, []string{"memory of 512 pages", "the limit is 256"}},
		{"hostile/edit-without-manifest", nil, []string{"auditrelay_v1.mask", "not granted", "no manifest"}},
		{"hostile/emit-without-manifest", nil, []string{"auditrelay_v1.emit", "not granted", "no manifest"}},
		{"hostile/edit-ungranted", func(o *wasm.Options) { o.Grants.Write = nil }, []string{"auditrelay_v1.mask", "grants.write names no path"}},
		{"hostile/emit-flood", func(o *wasm.Options) { o.Grants.Emit = nil }, []string{"auditrelay_v1.emit", "grants.emit names no callback"}},
		{"redact-go/redact-go", func(o *wasm.Options) { o.Grants.Keys = nil }, []string{"auditrelay_v1.hmac_all", "grants.keys"}},
		{"redact-go/redact-go", func(o *wasm.Options) { o.Keys = nil }, []string{"grants.keys", `"pseudonyms"`}},
		{"hostile/init-returns", nil, []string{"init", "auditrelay_init returned 3"}},
		{"hostile/init-fails", nil, []string{"init", "no teams configured"}},
		{"hostile/init-bad-path", nil, []string{"init", "path", "a..b"}},
		{"hostile/start-traps", nil, []string{"start function: wasm error: unreachable", "$0()"}},
		{"hostile/init-loop", nil, []string{"out_of_fuel", "1000000000 units (limits.init_fuel)"}},
		{"hostile/init-loop", func(o *wasm.Options) { o.Limits.InitFuel, o.Limits.InitTime = 1<<50, 1 }, []string{"out_of_fuel", "on the processor (limits.init_time)"}},
		{"hostile/keep", func(o *wasm.Options) { o.SHA256 = strings.Repeat("0", 64) }, []string{"sha256", "not the pinned digest"}},
		{"hostile/keep", func(o *wasm.Options) { o.Config = []byte("[1]") }, []string{"config", "not a JSON object"}},
		{"hostile/keep", func(o *wasm.Options) { o.Grants.Write = []string{"a..b"} }, []string{"grants", "write[0]", "a..b"}},
		{"hostile/keep", func(o *wasm.Options) { o.Limits.Module = 10 }, []string{"limits.module"}},
		{"hostile/keep", func(o *wasm.Options) { o.Wasm, o.File, o.Limits.Module = nil, testdata+"/hostile/keep.wasm", 10 }, []string{"limits.module"}},
		{"hostile/keep", func(o *wasm.Options) { o.File = "keep.wasm" }, []string{"expected one of Wasm and File"}},
		{"hostile/keep", func(o *wasm.Options) { o.Wasm = nil }, []string{"expected one of Wasm and File"}},
		{"hostile/keep", func(o *wasm.Options) { o.Wasm, o.File = nil, "/nonexistent/keep.wasm" }, []string{"/nonexistent/keep.wasm"}},
		{"hostile/keep", func(o *wasm.Options) { o.Limits.Depth, o.Limits.Time = -1, -1 }, []string{"limits.depth", "limits.time"}},
		{"hostile/keep", func(o *wasm.Options) { o.Limits.Memory = 8 << 30 }, []string{"limits.memory", "at most 4GiB"}},
		{"hostile/keep", func(o *wasm.Options) { o.Wasm = o.Wasm[:20] }, []string{"unexpected end"}},
		{"hostile/keep", func(o *wasm.Options) { o.Wasm = []byte("(module)") }, []string{"not a WebAssembly binary"}},
		{"hostile/keep", func(o *wasm.Options) { o.Wasm = []byte("\x00asm\x0d\x00\x01\x00") }, []string{"component"}},
		{"hostile/keep", func(o *wasm.Options) { o.Wasm = []byte("\x00asm\x01\x00\x00\x00\x01\x05\xff\xff\xff\xff\x0f") }, []string{"4294967295 types, the limit is 10000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(t, c.name)
			if c.change != nil {
				c.change(&o)
			}
			m, err := wasm.Load(t.Context(), o)
			if err == nil {
				_ = m.Close()
				t.Fatal("it was loaded")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error lacks %q:\n%v", part, err)
				}
			}
		})
	}
}

func TestAllThatSpeaksAgainstAModuleIsToldAtOnce(t *testing.T) {
	o := options(t, "redact-go/redact-go")
	o.Grants = wasm.Grants{Write: []string{"a..b"}}
	o.Config = []byte("nonsense")
	_, err := wasm.Load(t.Context(), o)
	if err == nil {
		t.Fatal("it was loaded")
	}
	for _, part := range []string{"hmac_all", "a..b", "config"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %q:\n%v", part, err)
		}
	}
	if _, ok := errors.AsType[*auditrelay.OptionError](err); !ok {
		t.Error("no *auditrelay.OptionError in the chain")
	}
}

func TestInitFailuresHaveTheirCause(t *testing.T) {
	_, err := wasm.Load(t.Context(), options(t, "hostile/init-fails"))
	f, ok := errors.AsType[*filter.Error](err)
	if !ok || f.Cause != auditrelay.CauseInit {
		t.Errorf("got %v, want cause init", err)
	}
}

func TestAModuleIsPinnedByItsDigest(t *testing.T) {
	o := options(t, "hostile/keep")
	o.SHA256 = "F" + strings.Repeat("0", 63)
	_, err := wasm.Load(t.Context(), o)
	// The error contains the actual digest: with it the same module loads.
	_, after, _ := strings.Cut(err.Error(), "digest is ")
	o.SHA256, _, _ = strings.Cut(after, ",")
	load(t, o)
}

func TestTheDigestTellsModulesAndConfigurationsApart(t *testing.T) {
	digest := func(name, config string) string {
		o := options(t, name)
		o.Config = []byte(config)
		return load(t, o).Digest()
	}
	a := digest("hostile/keep", "")
	if a != digest("hostile/keep", "") || len(a) != 64 {
		t.Error("the same filter has the same digest, of 64 digits")
	}
	if a == digest("hostile/drop", "") || a == digest("hostile/keep", "{}") {
		t.Error("another module, or another configuration, has the same digest")
	}
}

func TestOptionalImportsAreStubbed(t *testing.T) {
	i := open(t, load(t, options(t, "hostile/optional-import")))
	if v, _, _ := apply(t, i, event); v != auditrelay.Keep {
		t.Errorf("got %v, want keep", v)
	}
}

func TestCompiledModulesAreCached(t *testing.T) {
	o := options(t, "hostile/keep")
	o.CacheDir = filepath.Join(t.TempDir(), "cache")
	load(t, o)
	load(t, o)
	files := 0
	err := filepath.WalkDir(o.CacheDir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files++
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("the cache holds %d files, %v", files, err)
	}
	if info, err := os.Stat(o.CacheDir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the cache's mode is %v, %v; want 0700", info.Mode(), err)
	}
	if err := os.Chmod(o.CacheDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := wasm.Load(t.Context(), o); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("a cache that others may enter: got %v, want a refusal", err)
	}
}

// A cached module is not compiled again, and behaves the same.
func TestAModuleIsFoundInTheCache(t *testing.T) {
	o := options(t, "reference-c/reference-c")
	o.CacheDir = filepath.Join(t.TempDir(), "compiled")
	first := verdictOf(t, o)
	o.Compiler = []string{"/nonexistent"}
	if again := verdictOf(t, o); again != first {
		t.Errorf("from the cache: %s, compiled: %s", again, first)
	}
	o.Limits.Memory = 12 << 20 // the limits of validation are part of its key
	if _, err := wasm.Load(t.Context(), o); err == nil || !strings.Contains(err.Error(), "helper") {
		t.Errorf("under another limit: %v, want it compiled again", err)
	}
}

// If the compiler rejects cached code that the cache considers complete, the code is compiled
// again. Neither the trapping outline nor the unmetered module ever runs.
func TestCodeThatTheCompilerDoesNotTake(t *testing.T) {
	o := options(t, "reference-c/reference-c")
	o.CacheDir = filepath.Join(t.TempDir(), "compiled")
	first := verdictOf(t, o)
	records, err := filepath.Glob(filepath.Join(o.CacheDir, "auditrelay", "*"))
	if err != nil || len(records) != 1 {
		t.Fatalf("%v, %v", records, err)
	}
	text, err := os.ReadFile(records[0])
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := bytes.Cut(text, []byte("\n"))
	head, outline, _ := bytes.Cut(body, []byte("\n"))
	var r map[string]any
	if err := json.Unmarshal(head, &r); err != nil {
		t.Fatal(err)
	}
	entry := filepath.Join(o.CacheDir, r["entry"].(string))
	code, err := os.ReadFile(entry)
	if err != nil {
		t.Fatal(err)
	}
	code[7] ^= 1 // the version of the compiler that created it
	r["sum"] = crc32.Checksum(code, crc32.MakeTable(crc32.Castagnoli))
	if head, err = json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	body = append(append(head, '\n'), outline...)
	sum := sha256.Sum256(body)
	text = append([]byte(hex.EncodeToString(sum[:])+"\n"), body...)
	if err := errors.Join(os.WriteFile(entry, code, 0o600), os.WriteFile(records[0], text, 0o600)); err != nil {
		t.Fatal(err)
	}
	if again := verdictOf(t, o); again != first {
		t.Errorf("got %s, want %s", again, first)
	}
	o.Compiler = []string{"/nonexistent"}
	if again := verdictOf(t, o); again != first {
		t.Errorf("the time after: got %s, want %s", again, first)
	}
}

// verdictOf loads a module and returns its result for one event.
func verdictOf(t *testing.T, o wasm.Options) string {
	t.Helper()
	verdict, out, call := apply(t, open(t, load(t, o)), `{"id":"1","updated_values":{"password":"hunter2","token":"t"}}`)
	return fmt.Sprint(verdict, out, call.Usage.Fuel)
}
