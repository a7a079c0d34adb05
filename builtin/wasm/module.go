// Package wasm runs WebAssembly guests as filters.
//
//	guest, err := wasm.Load(ctx, wasm.Options{Name: "rules", File: "rules.wasm", SHA256: digest,
//		Grants: wasm.Grants{Write: []string{"updated_values.**"}}})
//	callback.Steps = []runtime.Step{{Name: "rules", Filter: guest}}
//
// Load checks the module against its manifest and the grants, meters and compiles it,
// and starts a first instance. A [Module] is a filter.Filter: the runtime opens one
// instance for each of its workers, and closes the Module when it no longer uses it.
//
// Guests run in this process, or in worker processes (Options.Worker). A module pays fuel
// before each run of instructions, and host functions charge fuel for their work. A guest
// without fuel returns to the host; Go cannot interrupt it earlier. In this process that
// is all there is: do not load a module unless it may use this process's CPU for as long
// as docs/design/security.md says. A worker process is locked in by the operating system,
// and nothing that it says is trusted.
//
// This package is experimental until version 1.0: its options may change. Guests
// themselves are not affected: their contract is docs/reference/guest-abi.md.
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

// maxText bounds a reason, a fail text and a log line, in bytes.
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
	proven   bool // that the code which was found is there; see errNoCode
	init     bool // exports auditrelay_init
	start    bool // exports _initialize

	isolation auditrelay.Isolation
	breaker   breaker
	budget    *Budget
	log       *slog.Logger

	workers *workers // nil: guests run in this process
	scratch string   // a directory of its own, for compiled code

	mu    sync.Mutex
	first filter.Instance // the one that Load tried, for the first Open
}

var (
	_ filter.Filter    = (*Module)(nil)
	_ filter.Described = (*Module)(nil)
	_ filter.Grouped   = (*Module)(nil)
	_ filter.Wide      = (*Module)(nil)
)

// Load checks and compiles a module and starts a first instance, so that a guest that
// cannot start fails here. ctx bounds loading. The caller closes the Module, or passes it
// to a runtime, which then does. The error joins all problems of the options; those of a
// single option are *auditrelay.OptionError.
func Load(ctx context.Context, o Options) (_ *Module, err error) {
	m := &Module{name: o.Name, limits: o.Limits.withDefaults(), isolation: o.Isolation, budget: o.Budget, log: o.Logger}
	if m.log == nil {
		m.log = slog.Default()
	}
	m.breaker = breaker{failures: max(0, cmp.Or(o.Breaker.Failures, 50)), fuel: m.limits.Fuel, rest: cmp.Or(o.Breaker.Rest, time.Second), now: time.Now}
	if profile.In(ctx) {
		o.CacheDir, o.Worker = "", nil // its code calls the profile, which no other use wants
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
		return errors.New("a locked worker process is required, and there is none: this system has no worker processes, or Options.Worker is empty")
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

// loadApart has a module compiled, and starts its first instance in a worker process.
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
		return fmt.Errorf("its worker process could not be locked in, as is required: %s", strings.Join(l.Missing, " "))
	}
	return nil
}

// Apart reports whether the module's guests run in worker processes.
func (m *Module) Apart() bool { return m.workers != nil }

// Worker is a worker process of a module's guests.
type Worker struct {
	Callback  string // whose instances it has; empty before a callback opened one
	PID       int
	Instances int
	Memory    auditrelay.ByteSize // that nobody else has
}

// WorkerMarker is set in the environment of a worker process: a program that finds it and
// did not call RunWorker must not start workers in its turn.
const WorkerMarker = process.Marker

// Lost returns how many worker processes ended, or had to be ended, while they had events
// or a start to do.
func (m *Module) Lost() uint64 {
	if m.workers == nil {
		return 0
	}
	return m.workers.lostSoFar()
}

// Locks are what the operating system keeps a module's worker process from.
type Locks struct {
	// Hold says that what keeps guest code in its process was applied: no new privileges,
	// limits, and a list of system calls before and after loading.
	Hold bool
	// Missing are the measures that were not applied, with the reason: "files=unsupported".
	Missing []string
	// Limits are those of the worker's control group, such as "pids.max=512". Empty where the
	// relay's was not delegated to it.
	Limits []string
	// Unlimited is why a worker has no control group although the relay's was delegated to
	// it; empty where it has one, or nothing was delegated.
	Unlimited string
}

// Locks returns what the first worker's locks are; nil where guests run in this process.
func (m *Module) Locks() *Locks {
	if m.workers == nil {
		return nil
	}
	return m.workers.locks()
}

// Workers returns the worker processes that run.
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

// Open implements filter.Filter. Instances share only compiled code and the limit on log
// lines, and a worker process where they have one.
func (m *Module) Open(ctx context.Context) (filter.Instance, error) { return m.OpenFor(ctx, "") }

// OpenFor implements filter.Grouped: only instances of one callback share a worker
// process, so that what one's guests do to it stops no other.
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

// ResetBreaker ends a rest at once.
func (m *Module) ResetBreaker() { m.breaker.reset() }

// AdoptBreaker copies the state of the breaker of from if both run the same binary.
// Otherwise a reload with other limits would let an always failing module fail on as many
// events again. One event is tried when the rest ends.
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

// Counts returns what the guest has counted since the module was loaded, by metric.
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

// Digest identifies the behaviour of the filter: the SHA-256 of module and configuration,
// in hexadecimal.
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
