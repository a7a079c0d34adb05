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
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"auditrelay"
	"auditrelay/builtin/wasm/internal/process"
	"auditrelay/document"
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
	if m.workers, err = newWorkers(m, o, !img.found); err != nil {
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

// Check returns all reasons why Load would reject a module before compiling it, joined;
// nil if there are none. It neither compiles nor runs code of the module. With a
// Compiler, it does not reject modules for their cost of compilation, with or without a
// CacheDir.
func Check(o Options) error {
	m := &Module{name: o.Name, limits: o.Limits.withDefaults()}
	err := o.read(m.limits.Module)
	if err == nil {
		_, _, err = m.prepare(o)
	}
	return err
}

// Compile checks and compiles a module as Load does, so that a later Load finds it in
// Options.CacheDir. It does not run code of the module.
func Compile(ctx context.Context, o Options) error {
	m := &Module{name: o.Name, limits: o.Limits.withDefaults(), log: slog.Default()}
	err := o.read(m.limits.Module)
	if err == nil {
		var img image
		var given []grant
		if img, given, err = m.prepare(o); err == nil {
			err = m.compile(ctx, o, img, given)
		}
	}
	if err != nil {
		err = fmt.Errorf("guest %s: %w", o.Name, err)
	}
	return errors.Join(err, m.Close())
}

// prepare does all checks that need no compilation or run.
func (m *Module) prepare(o Options) (img image, given []grant, err error) {
	if err := o.Limits.check(); err != nil {
		return img, nil, err
	}
	if len(o.Wasm) > int(m.limits.Module) {
		return img, nil, fmt.Errorf("the module is larger than limits.module, %v", m.limits.Module)
	}
	sum := sha256.Sum256(o.Wasm)
	if o.SHA256 != "" && !strings.EqualFold(o.SHA256, hex.EncodeToString(sum[:])) {
		return img, nil, &auditrelay.OptionError{Path: "sha256", Err: fmt.Errorf("the module's digest is %x, not the pinned one: was it rebuilt or replaced?", sum)}
	}
	m.sha256 = hex.EncodeToString(sum[:])
	digest := sha256.New()
	digest.Write([]byte("auditrelay guest 1\x00"))
	digest.Write(sum[:])
	digest.Write(o.Config)
	seed := [32]byte(digest.Sum(nil))
	m.digest = hex.EncodeToString(seed[:])

	if img, err = m.image(o, sum); err != nil {
		return img, nil, err
	}
	if m.manifest, err = manifest.Of(&m.facts); err != nil {
		return img, nil, err
	}
	given, err = check(&m.facts, m.manifest, o.Grants, m.limits)
	_, m.init = exported(&m.facts, exportInit, meter.Function)
	_, m.start = exported(&m.facts, exportInitialize, meter.Function)
	p, errPolicy := m.makePolicy(o)
	if p != nil {
		p.Seed = seed
	}
	m.policy = p
	return img, given, errors.Join(err, errPolicy)
}

func (m *Module) makePolicy(o Options) (*hostfuncs.Policy, error) {
	var errs []error
	option := func(path string, err error) {
		if err != nil {
			errs = append(errs, &auditrelay.OptionError{Path: path, Err: err})
		}
	}
	l := m.limits
	p := &hostfuncs.Policy{
		Detectors: o.Detectors,
		Config:    append([]byte(nil), o.Config...),
		Document:  document.Limits{Bytes: int(l.EventBytes), Depth: l.Depth},
		EmitBytes: int(l.EmitBytes),
		EmitCount: l.EmitCount,
		EditBytes: int(l.EditBytes),
		TextBytes: maxText,
		Paths:     1024,
		Regexes:   256,
		Emit:      make(map[string]bool),
		Keys:      make(map[string]auditrelay.Key),
		Metrics:   make(map[string]*atomic.Uint64),
		Has:       make(map[string]bool),
	}
	logger := m.log
	if logger == nil {
		logger = slog.Default()
	}
	p.Log = &hostfuncs.LogLimit{Logger: logger.With("filter", o.Name), Lines: l.LogLines, Now: time.Now}
	if len(o.Config) > 0 {
		option("config", document.Check(o.Config, document.Limits{}))
	}
	var err error
	p.Granted, err = manifest.Paths("write", o.Grants.Write)
	option("grants", err)
	for _, name := range o.Grants.Keys {
		if _, ok := o.Keys[name]; !ok {
			option("grants.keys", fmt.Errorf("no key is named %q", name))
		}
	}
	if m.manifest != nil {
		p.Asked, _ = manifest.Paths("writes", m.manifest.Writes) // checked with the manifest
		for _, name := range both(m.manifest.Keys, o.Grants.Keys) {
			p.Keys[name] = o.Keys[name]
		}
		for _, name := range both(m.manifest.Metrics, o.Grants.Metrics) {
			p.Metrics[name] = new(atomic.Uint64)
		}
		if m.manifest.Emits {
			for _, target := range o.Grants.Emit {
				p.Emit[target] = true
			}
		}
	}
	// What the guest could have imported, not what it did: has is asked before.
	for _, f := range hostfuncs.V1() {
		p.Has[f.Name] = ungranted(f.Need, m.manifest, o.Grants) == ""
	}
	return p, errors.Join(errs...)
}

func (m *Module) compile(ctx context.Context, o Options, img image, given []grant) (err error) {
	// The compiler is not ours, and a module is not well-formed before it says so.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("compile: the compiler panicked: %v", r)
		}
	}()
	wasm, err := m.fill(ctx, o, img)
	if err != nil {
		return err
	}
	if o.cached() {
		m.cache, err = wazero.NewCompilationCacheWithDir(o.CacheDir)
	} else {
		m.cache = wazero.NewCompilationCache()
	}
	if err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	m.runtime = wazero.NewRuntimeWithConfig(ctx, compile.Config(m.cache))
	if m.compiled, err = m.runtime.CompileModule(ctx, wasm); err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	builders := make(map[string]wazero.HostModuleBuilder)
	given = append(given, grant{module: meter.ImportModule, name: meter.ImportExhausted, call: hostfuncs.Exhausted})
	for _, g := range given {
		b := builders[g.module]
		if b == nil {
			b = m.runtime.NewHostModuleBuilder(g.module)
			builders[g.module] = b
		}
		b.NewFunctionBuilder().WithGoModuleFunction(g.call, g.params, g.results).Export(g.name)
	}
	for name, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("host module %s: %w", name, err)
		}
	}
	return nil
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

// linear returns the part of limits.memory for linear memory.
func linear(facts *meter.Facts, l Limits) auditrelay.ByteSize {
	const reference, global = 8, 16
	others := auditrelay.ByteSize(facts.TableItems)*reference + auditrelay.ByteSize(2*facts.MutableGlobals)*global
	return l.Memory - min(l.Memory, others)
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
