package wasm_test

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/compile"
)

const testdata = "../../testdata/wasm"

const event = `{"id":"e-1","updated_at":"2026-01-02T03:04:05+00:00","changed_by":"ada","changed_by_api_key":"sk-planted-1234",` +
	`"action":"updated","table_name":"LiteLLM_TeamTable","object_id":"team-7","before_value":null,` +
	`"updated_values":{"alias":"blue","password":"hunter2","n":1.50}}`

var received = time.Date(2026, 1, 2, 3, 4, 6, 7, time.UTC)

func moduleBytes(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testdata, name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compiled is the directory of compiled modules, since compiling Go's takes long.
var compiled string

// apart is set while guests run in worker processes of this program.
var (
	apart   bool
	program = "/proc/self/exe"
)

// raceBuild is set in a build with the race detector.
var raceBuild bool

// apartToo reports whether to run the tests in worker processes too.
func apartToo() bool {
	given := func(name string) bool { f := flag.Lookup(name); return f != nil && f.Value.String() != "" }
	return runtime.GOOS == "linux" && !given("test.bench") && !given("test.fuzz") && !given("test.list")
}

// otherWorker runs a fake worker. It is nil on unsupported systems.
var otherWorker func(args []string) (code int, ok bool)

// TestMain also makes the test binary the compilation helper.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "internal-compile" {
		os.Exit(compile.Child(os.Stdin, os.Stderr, os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "internal-guest" {
		os.Exit(wasm.RunWorker(os.Args[2:]))
	}
	if len(os.Args) > 1 && otherWorker != nil {
		if code, ok := otherWorker(os.Args[1:]); ok {
			os.Exit(code)
		}
	}
	dir, err := os.MkdirTemp("", "auditrelay-guest-")
	if err != nil {
		panic(err)
	}
	compiled = dir
	if raceBuild && runtime.GOOS == "linux" {
		// A worker with the race detector exceeds its memory limit.
		program = filepath.Join(dir, "worker")
		if out, err := exec.Command("go", "test", "-c", "-o", program, ".").CombinedOutput(); err != nil {
			panic(fmt.Sprintf("build a worker: %v: %s", err, out))
		}
	}
	code := m.Run()
	if code == 0 && apartToo() {
		apart = true // run everything again in worker processes
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// options returns the options of a filter with all requested grants.
func options(t testing.TB, name string) wasm.Options {
	var worker []string
	if apart {
		worker = []string{program, "internal-guest"}
	}
	return wasm.Options{
		Worker: worker,
		Name:   filepath.Base(name),
		Wasm:   moduleBytes(t, name),
		Grants: wasm.Grants{Write: []string{"**"}, Emit: []string{"alerts"}, Keys: []string{"pseudonyms"}},
		Keys:   map[string]auditrelay.Key{"pseudonyms": {Secret: "a key of the test's own"}},
		Limits: wasm.Limits{Time: 20 * time.Second, InitTime: time.Minute},
		Logger: slog.New(slog.DiscardHandler),

		CacheDir: compiled,
	}
}

func load(t testing.TB, o wasm.Options) *wasm.Module {
	t.Helper()
	m, err := wasm.Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func open(t testing.TB, m *wasm.Module) filter.Instance {
	t.Helper()
	i, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	return i
}

func newCall(t testing.TB, data string) *filter.Call {
	t.Helper()
	if err := document.Check([]byte(data), document.Limits{}); err != nil {
		t.Fatal(err)
	}
	d := new(document.Document)
	d.Reset([]byte(data))
	return &filter.Call{
		Event:    &auditrelay.Event{Namespace: auditrelay.NamespaceLiteLLM, ID: "e-1", Sequence: 42, Received: received, Data: []byte(data)},
		Document: d,
	}
}

// apply processes one event and returns the resulting document.
func apply(t testing.TB, i filter.Instance, data string) (auditrelay.Verdict, string, *filter.Call) {
	t.Helper()
	call := newCall(t, data)
	v, err := i.Apply(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	return v, string(call.Document.Append(nil)), call
}

func TestReferenceGuestsDoWhatTheFloorDoes(t *testing.T) {
	for _, name := range []string{"reference-c", "reference-go", "simd-c"} {
		t.Run(name, func(t *testing.T) {
			i := open(t, load(t, options(t, name+"/"+name)))
			verdict, got, _ := apply(t, i, event)
			want := strings.NewReplacer(`"sk-planted-1234"`, `"***"`, `"password":"hunter2",`, ``).Replace(event)
			if verdict != auditrelay.Keep || got != want {
				t.Errorf("got %v %s\nwant keep %s", verdict, got, want)
			}
			if verdict, _, _ := apply(t, i, strings.Replace(event, `"action":"updated"`, `"action":"blocked"`, 1)); verdict != auditrelay.Drop {
				t.Errorf("a blocked event: got %v, want drop", verdict)
			}
		})
	}
}

// A Go guest may create garbage: this amount is many times its memory.
func TestTheGuestsCollectorRuns(t *testing.T) {
	o := options(t, "alert-go/alert-go")
	o.Config = []byte(`{"to":"alerts"}`)
	o.Limits.Memory = 8 << 20
	i := open(t, load(t, o))
	data := strings.Replace(event, `"action":"updated"`, `"action":"deleted"`, 1)
	call := newCall(t, data)
	for n := range 40_000 {
		call.Document.Reset(call.Event.Data)
		call.Emitted = call.Emitted[:0]
		if v, err := i.Apply(t.Context(), call); err != nil || v != auditrelay.Keep || len(call.Emitted) != 1 {
			t.Fatalf("event %d: got %v, %v, %d records", n, v, err, len(call.Emitted))
		}
	}
}

// The steady state is guaranteed by this test. Benchmarks only show it.
func TestEventsDoNotAllocate(t *testing.T) {
	for _, name := range []string{"reference-c", "reference-go", "redact-go"} {
		i := open(t, load(t, options(t, name+"/"+name)))
		call := newCall(t, event)
		var out []byte
		allocs := testing.AllocsPerRun(1000, func() {
			call.Document.Reset(call.Event.Data)
			if _, err := i.Apply(t.Context(), call); err != nil {
				t.Fatal(err)
			}
			out = call.Document.Append(out[:0])
		})
		if allocs > 0 {
			t.Errorf("%s: %v allocations an event", name, allocs)
		}
	}
}

// One module, many workers: each has its own instance, independent of the others.
func TestInstancesRunInParallel(t *testing.T) {
	m := load(t, options(t, "reference-c/reference-c"))
	var wg sync.WaitGroup
	for range 8 {
		i, call := open(t, m), newCall(t, event)
		wg.Go(func() {
			for range 500 {
				call.Document.Reset(call.Event.Data)
				if v, err := i.Apply(t.Context(), call); err != nil || v != auditrelay.Keep {
					t.Errorf("got %v, %v", v, err)
					return
				}
				if out := call.Document.Append(nil); bytes.Contains(out, []byte("hunter2")) {
					t.Errorf("the password is there: %s", out)
					return
				}
			}
		})
	}
	wg.Wait()
}
