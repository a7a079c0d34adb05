// Package guest runs WebAssembly guests as filters: it loads a module, checks it
// against its manifest and the operator's grants, and gives every worker an
// instance of its own.
//
// It is no sandbox against a module that means harm, not yet: time is bounded by
// wazero's own termination flag, which a guest that only recurses escapes for
// many seconds, and compilation is not bounded at all. Until every module is
// metered, the daemon runs guests only where its operator says that they are
// trusted.
package guest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/hostfuncs"
	"auditrelay/internal/meter"
)

// maxText bounds a reason, a fail text and a log line.
const maxText = 1 << 10

// Module is a loaded guest: a filter.Filter, safe for concurrent use.
type Module struct {
	name     string
	manifest *Manifest
	digest   string
	limits   Limits
	policy   *hostfuncs.Policy

	cache    wazero.CompilationCache
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	entry    *entry
	init     bool // exports auditrelay_init
	start    bool // exports _initialize

	mu    sync.Mutex
	first *instance // the one that Load tried, for the first Open
}

var _ filter.Filter = (*Module)(nil)

// Load checks and compiles a module and starts a first instance, so that a
// guest that cannot start is found out here. ctx bounds loading. The error holds
// all that is wrong with the options at once; those that a single option causes
// are *auditrelay.OptionError.
func Load(ctx context.Context, o Options) (*Module, error) {
	m := &Module{name: o.Name, limits: o.Limits.withDefaults()}
	given, err := m.prepare(o)
	if err != nil {
		return nil, fmt.Errorf("guest %s: %w", o.Name, err)
	}
	if err := m.compile(ctx, o, given); err != nil {
		return nil, errors.Join(fmt.Errorf("guest %s: %w", o.Name, err), m.Close())
	}
	if m.first, err = m.newInstance(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("guest %s: %w", o.Name, err), m.Close())
	}
	return m, nil
}

// prepare does all that can be done without compiling.
func (m *Module) prepare(o Options) ([]grant, error) {
	if err := o.Limits.check(); err != nil {
		return nil, err
	}
	if len(o.Wasm) > int(m.limits.Module) {
		return nil, fmt.Errorf("the module is larger than limits.module, %v", m.limits.Module)
	}
	sum := sha256.Sum256(o.Wasm)
	if o.SHA256 != "" && !strings.EqualFold(o.SHA256, hex.EncodeToString(sum[:])) {
		return nil, &auditrelay.OptionError{Path: "sha256", Err: fmt.Errorf("the module's digest is %x, not the pinned one: was it rebuilt or replaced?", sum)}
	}
	digest := sha256.New()
	digest.Write([]byte("auditrelay guest 1\x00"))
	digest.Write(sum[:])
	digest.Write(o.Config)
	seed := [32]byte(digest.Sum(nil))
	m.digest = hex.EncodeToString(seed[:])

	facts, err := meter.Inspect(o.Wasm, meterOptions(m.limits))
	if err != nil {
		return nil, err
	}
	if m.manifest, err = readManifest(facts); err != nil {
		return nil, err
	}
	given, err := check(facts, m.manifest, o.Grants, m.limits)
	_, m.init = exported(facts, exportInit, meter.Function)
	_, m.start = exported(facts, exportInitialize, meter.Function)
	p, errPolicy := m.makePolicy(o)
	if p != nil {
		p.Seed = seed
	}
	m.policy = p
	return given, errors.Join(err, errPolicy)
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
		Config:     append([]byte(nil), o.Config...),
		Document:   document.Limits{Bytes: int(l.EventBytes), Depth: l.Depth},
		EmitBytes:  int(l.EmitBytes),
		EmitCount:  l.EmitCount,
		EditBytes:  int(l.EditBytes),
		TextBytes:  maxText,
		Paths:      1024,
		Regexes:    256,
		QueryBytes: 1 << 10,
		Emit:       make(map[string]bool),
		Keys:       make(map[string][]byte),
		Has:        make(map[string]bool),
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.Default()
	}
	p.Log = &hostfuncs.LogLimit{Logger: logger.With("filter", o.Name), Lines: l.LogLines, Now: time.Now}
	if len(o.Config) > 0 {
		option("config", document.Check(o.Config, document.Limits{}))
	}
	var err error
	p.Granted, err = parsePaths("write", o.Grants.Write)
	option("grants", err)
	for _, name := range o.Grants.Keys {
		if _, ok := o.Keys[name]; !ok {
			option("grants.keys", fmt.Errorf("no key is named %q", name))
		}
	}
	if m.manifest != nil {
		p.Asked, _ = parsePaths("writes", m.manifest.Writes) // checked with the manifest
		for _, name := range both(m.manifest.Keys, o.Grants.Keys) {
			p.Keys[name] = []byte(o.Keys[name].Reveal())
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

func (m *Module) compile(ctx context.Context, o Options, given []grant) (err error) {
	// The compiler is not ours, and a module is not well-formed before it says so.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("compile: the compiler panicked: %v", r)
		}
	}()
	if m.cache, err = openCache(o.CacheDir); err != nil {
		return err
	}
	m.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithCompilationCache(m.cache).
		WithCloseOnContextDone(true))
	if m.entry, err = newEntry(ctx, m.cache, m.runtime); err != nil {
		return err
	}
	if m.compiled, err = m.runtime.CompileModule(ctx, o.Wasm); err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	builders := make(map[string]wazero.HostModuleBuilder)
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

// openCache keeps compiled code in dir, or in memory. The code is run as it is
// found, so nobody else may have had a hand in it.
func openCache(dir string) (wazero.CompilationCache, error) {
	if dir == "" {
		return wazero.NewCompilationCache(), nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("compile cache: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("compile cache: %w", err)
	}
	if info.Mode()&fs.ModePerm&0o077 != 0 {
		return nil, fmt.Errorf("compile cache %s: its mode is %v; it holds native code that is run, so it must be the relay's alone (chmod 700)", dir, info.Mode().Perm())
	}
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, fmt.Errorf("compile cache: %w", err)
	}
	return cache, nil
}

// Open implements filter.Filter. Instances share nothing but compiled code and
// the limit on log lines.
func (m *Module) Open(ctx context.Context) (filter.Instance, error) {
	m.mu.Lock()
	first := m.first
	m.first = nil
	m.mu.Unlock()
	if first != nil {
		return first, nil
	}
	i, err := m.newInstance(ctx)
	if err != nil {
		return nil, fmt.Errorf("guest %s: %w", m.name, err)
	}
	return i, nil
}

// Manifest returns what the module says of itself, nil where it says nothing.
func (m *Module) Manifest() *Manifest { return m.manifest }

// Digest identifies what the filter does: the hexadecimal SHA-256 of module and
// configuration.
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
	if m.entry != nil {
		errs = append(errs, m.entry.runtime.Close(ctx))
	}
	if m.runtime != nil {
		errs = append(errs, m.runtime.Close(ctx))
	}
	if m.cache != nil {
		errs = append(errs, m.cache.Close(ctx))
	}
	return errors.Join(errs...)
}
