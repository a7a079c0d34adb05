// Package wasm runs WebAssembly guests as filters.
//
//	guest, err := wasm.Load(ctx, wasm.Options{Name: "rules", File: "rules.wasm", SHA256: digest,
//		Grants: wasm.Grants{Write: []string{"updated_values.**"}}})
//	callback.Steps = []runtime.Step{{Name: "rules", Filter: guest}}
//
// Load checks the module against its manifest and the grants, meters and compiles it, and
// starts a first instance. A [Module] is a filter.Filter: the runtime opens one instance for
// each of its workers, and closes the Module when it no longer uses it.
//
// Guests run in this process, or in worker processes (Options.Worker). A module pays fuel
// before each run of instructions, and host functions charge fuel for their work. A guest
// without fuel returns to the host; Go cannot interrupt it earlier. In this process there is no
// other protection: load a module only if it may use this process's CPU for as long as
// docs/design/security.md says. The operating system confines a worker process, and the relay
// checks everything that a worker sends.
//
// This package is experimental until version 1.0: its options may change. This does not affect
// guests: their contract is docs/reference/guest-abi.md.
package wasm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"

	"auditrelay"
	"auditrelay/builtin/wasm/internal/process"
	"auditrelay/filter"
	"auditrelay/hostfuncs"
	"auditrelay/internal/compile"
	"auditrelay/internal/manifest"
	"auditrelay/internal/meter"
	"auditrelay/internal/profile"
)

// maxText limits a reason, a fail text and a log line, in bytes.
const maxText = 1 << 10

// Module is a loaded guest: a filter.Filter, safe for concurrent use.
type Module struct {
	name     string
	manifest *manifest.Manifest
	digest   string
	sha256   string
	limits   Limits
	policy   *hostfuncs.Policy

	cache    wazero.CompilationCache
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	facts    meter.Facts
	proven   bool // the cached code is known to exist; see errNoCode
	init     bool // whether it exports auditrelay_init
	start    bool // whether it exports _initialize

	isolation auditrelay.Isolation
	breaker   breaker
	budget    *Budget
	log       *slog.Logger

	workers *workers // nil if guests run in this process
	scratch string   // the module's own directory for compiled code

	mu    sync.Mutex
	first filter.Instance // the instance that Load started, for the first Open
}

var (
	_ filter.Filter    = (*Module)(nil)
	_ filter.Described = (*Module)(nil)
	_ filter.Grouped   = (*Module)(nil)
	_ filter.Wide      = (*Module)(nil)
)

// Load checks and compiles a module and starts a first instance, so that a guest that cannot
// start fails here. ctx limits loading. The caller must close the Module or pass it to a
// runtime, which then closes it. The error joins all problems of the options; a problem of a
// single option is an *auditrelay.OptionError.
func Load(ctx context.Context, o Options) (_ *Module, err error) {
	m := &Module{name: o.Name, limits: o.Limits.withDefaults(), isolation: o.Isolation, budget: o.Budget, log: o.Logger}
	if m.log == nil {
		m.log = slog.Default()
	}
	m.breaker = breaker{failures: max(0, cmp.Or(o.Breaker.Failures, 50)), fuel: m.limits.Fuel, rest: cmp.Or(o.Breaker.Rest, time.Second), now: time.Now}
	if profile.In(ctx) {
		o.CacheDir, o.Worker = "", nil // its code calls the profiler, which no other use wants
	}
	if len(o.Worker) > 0 && process.Supported && !o.cached() {
		if m.scratch, err = os.MkdirTemp("", "auditrelay-guest-"); err != nil {
			return nil, fmt.Errorf("guest %s: %w", o.Name, err)
		}
		o.CacheDir = m.scratch
	}
	if err = o.read(m.limits.Module); err == nil {
		err = m.load(ctx, o)
	}
	if errors.Is(err, errNoCode) {
		// Only once: the second attempt compiles, and its failure is final.
		err = errors.Join(m.Close(), m.load(ctx, o))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("guest %s: %w", o.Name, err), m.Close())
	}
	return m, nil
}

func (m *Module) load(ctx context.Context, o Options) error {
	img, given, err := m.prepare(o)
	if err != nil {
		return err
	}
	if o.RequireLocks && (len(o.Worker) == 0 || !process.Supported) {
		return errors.New("a locked worker process is required, but this system has no worker processes, or Options.Worker is empty")
	}
	if len(o.Worker) > 0 && process.Supported {
		err = m.loadApart(ctx, o, img)
	} else {
		err = m.loadHere(ctx, o, img, given)
	}
	if errors.Is(err, errNoCode) {
		compile.Forget(o.CacheDir, img.key)
	}
	return err
}

// loadHere compiles a module and starts its first instance in this process.
func (m *Module) loadHere(ctx context.Context, o Options, img image, given []grant) error {
	if err := m.compile(ctx, o, img, given); err != nil {
		return err
	}
	m.proven = !img.found
	first, err := m.newInstance(ctx)
	if err != nil {
		return err
	}
	m.first = first
	return nil
}

// loadApart compiles a module in the compiler's process, and starts its first instance in a
// worker process.
func (m *Module) loadApart(ctx context.Context, o Options, img image) (err error) {
	if _, err := m.fill(ctx, o, img); err != nil {
		return err
	}
	if m.workers, err = newWorkers(m, o, img); err != nil {
		return err
	}
	first, err := m.workers.open(ctx, "")
	if err != nil {
		return err
	}
	m.first = first
	if l := m.Locks(); o.RequireLocks && !l.Hold {
		return fmt.Errorf("its worker process could not be confined as required: %s", strings.Join(l.Missing, " "))
	}
	return nil
}

// Apart reports whether the module's guests run in worker processes.
func (m *Module) Apart() bool { return m.workers != nil }

// Worker is a worker process of a module's guests.
type Worker struct {
	Callback  string // the callback of its instances; empty before a callback opened one
	PID       int
	Instances int
	Memory    auditrelay.ByteSize // memory that no other process uses
}

// WorkerMarker is set in the environment of a worker process. A program that finds it and did
// not call RunWorker must not start workers.
const WorkerMarker = process.Marker

// Lost returns the number of worker processes that ended, or were killed, during an event or a
// start.
func (m *Module) Lost() uint64 {
	if m.workers == nil {
		return 0
	}
	return m.workers.lostSoFar()
}

// Locks are the operating system's restrictions of a module's worker process.
type Locks struct {
	// Hold says that the essential restrictions were applied: no new privileges, limits, and a
	// list of allowed system calls before and after loading.
	Hold bool
	// Missing lists the restrictions that were not applied, with the reason:
	// "files=unsupported".
	Missing []string
	// Limits lists the limits of the worker's control group, such as "pids.max=512". It is
	// empty if the relay's control group was not delegated to the relay.
	Limits []string
	// Unlimited says why a worker has no control group although the relay's was delegated. It
	// is empty if the worker has one, or nothing was delegated.
	Unlimited string
}

// Locks returns the restrictions of the first worker, or nil if guests run in this process.
func (m *Module) Locks() *Locks {
	if m.workers == nil {
		return nil
	}
	return m.workers.locks()
}

// Workers returns the running worker processes.
func (m *Module) Workers() []Worker {
	if m.workers == nil {
		return nil
	}
	return m.workers.list()
}

// Width implements filter.Wide.
func (m *Module) Width() int {
	if m.workers == nil {
		return 1
	}
	return width
}

// Open implements filter.Filter. Instances share compiled code, the limit on log lines, and
// possibly a worker process.
func (m *Module) Open(ctx context.Context) (filter.Instance, error) { return m.OpenFor(ctx, "") }

// OpenFor implements filter.Grouped. Only instances of one callback share a worker process, so
// that a guest that harms the process affects no other callback.
func (m *Module) OpenFor(ctx context.Context, callback string) (filter.Instance, error) {
	m.mu.Lock()
	first := m.first
	m.first = nil
	m.mu.Unlock()
	var err error
	switch {
	case first != nil && m.workers != nil:
		adopt(first, callback)
		return first, nil
	case first != nil:
		return first, nil
	case m.workers != nil:
		first, err = m.workers.open(ctx, callback)
	default:
		first, err = m.newInstance(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("guest %s: %w", m.name, err)
	}
	return first, nil
}

// Breaker returns the state of the module's breaker.
func (m *Module) Breaker() Breaker { return m.breaker.state() }

// ResetBreaker ends a pause at once.
func (m *Module) ResetBreaker() { m.breaker.reset() }

// AdoptBreaker copies the state of from's breaker if both run the same binary. Otherwise an
// always failing module could fail on as many events again after each reload with other limits.
// One event is tried when the pause ends.
func (m *Module) AdoptBreaker(from *Module) {
	if m.sha256 == from.sha256 && m.breaker.failures > 0 {
		m.breaker.adopt(&from.breaker)
	}
}

// Resting implements filter.Rester.
func (m *Module) Resting() error {
	m.breaker.mu.Lock()
	defer m.breaker.mu.Unlock()
	if !m.breaker.open {
		return nil
	}
	return m.breaker.resting()
}

// SHA256 returns the digest of the module's binary, in hexadecimal.
func (m *Module) SHA256() string { return m.sha256 }

// Counts returns the guest's counts since the module was loaded, by metric.
func (m *Module) Counts() map[string]uint64 {
	out := make(map[string]uint64, len(m.policy.Metrics))
	for name, n := range m.policy.Metrics {
		out[name] = n.Load()
	}
	return out
}

// Describe implements filter.Described.
func (m *Module) Describe() filter.Description {
	d := filter.Description{Kind: "wasm", Digest: m.sha256}
	if m.manifest != nil {
		d.Version = m.manifest.Version
	}
	return d
}

// Digest returns the SHA-256 of module and configuration, in hexadecimal. It identifies the
// behaviour of the filter.
func (m *Module) Digest() string { return m.digest }

// Close implements filter.Filter.
func (m *Module) Close() error {
	ctx := context.Background()
	m.mu.Lock()
	first := m.first
	m.first = nil
	m.mu.Unlock()
	var errs []error
	if first != nil {
		errs = append(errs, first.Close())
	}
	if m.workers != nil {
		m.workers.close()
	}
	if m.scratch != "" {
		errs = append(errs, os.RemoveAll(m.scratch))
	}
	if m.runtime != nil {
		errs = append(errs, m.runtime.Close(ctx))
	}
	if m.cache != nil {
		errs = append(errs, m.cache.Close(ctx))
	}
	return errors.Join(errs...)
}
