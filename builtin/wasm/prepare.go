package wasm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/hostfuncs"
	"auditrelay/internal/compile"
	"auditrelay/internal/keyform"
	"auditrelay/internal/manifest"
	"auditrelay/internal/meter"
)

// Check returns all reasons for which Load would reject a module before compiling it, joined,
// or nil if there are none. It neither compiles nor runs code of the module. With a Compiler,
// it does not reject modules for their cost of compilation, with or without a CacheDir.
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

// prepare makes all checks that need no compilation or run.
func (m *Module) prepare(o Options) (img image, given []grant, err error) {
	if err := o.Limits.check(); err != nil {
		return img, nil, err
	}
	if len(o.Wasm) > int(m.limits.Module) {
		return img, nil, fmt.Errorf("the module is larger than limits.module, %v", m.limits.Module)
	}
	sum := sha256.Sum256(o.Wasm)
	if o.SHA256 != "" && !strings.EqualFold(o.SHA256, hex.EncodeToString(sum[:])) {
		return img, nil, &auditrelay.OptionError{Path: "sha256", Err: fmt.Errorf("the module's digest is %x, not the pinned digest: was the module rebuilt or replaced?", sum)}
	}
	if img, err = m.image(o, sum); err != nil {
		return img, nil, err
	}
	given, err = m.admit(o, sum)
	return img, given, err
}

// admit checks the requests of a module whose facts are known.
func (m *Module) admit(o Options, sum [32]byte) (given []grant, err error) {
	m.sha256 = hex.EncodeToString(sum[:])
	digest := sha256.New()
	digest.Write([]byte("auditrelay guest 1\x00"))
	digest.Write(sum[:])
	digest.Write(o.Config)
	seed := [32]byte(digest.Sum(nil))
	m.digest = hex.EncodeToString(seed[:])

	if m.manifest, err = manifest.Of(&m.facts); err != nil {
		return nil, err
	}
	given, err = check(&m.facts, m.manifest, o.Grants, m.limits)
	_, m.init = exported(&m.facts, exportInit, meter.Function)
	_, m.start = exported(&m.facts, exportInitialize, meter.Function)
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
		if key, ok := o.Keys[name]; !ok {
			option("grants.keys", fmt.Errorf("no key is named %q", name))
		} else if key.Public() {
			option("grants.keys", fmt.Errorf("key %q is a public key, which makes no pseudonyms", name))
		} else if err := keyform.Check(key.Secret.Reveal()); err != nil {
			option("grants.keys", fmt.Errorf("key %q: %w", name, err))
		}
	}
	if m.manifest != nil {
		p.Asked, _ = manifest.Paths("writes", m.manifest.Writes) // already checked with the manifest
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
	// All functions that the guest could have imported, since it may call has before.
	for _, f := range hostfuncs.V1() {
		p.Has[f.Name] = ungranted(f.Need, m.manifest, o.Grants) == ""
	}
	return p, errors.Join(errs...)
}

func (m *Module) compile(ctx context.Context, o Options, img image, given []grant) (err error) {
	// The compiler is not this program's code, and the module may not be well-formed yet.
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

// linear returns the part of limits.memory for linear memory.
func linear(facts *meter.Facts, l Limits) auditrelay.ByteSize {
	const reference, global = 8, 16
	others := auditrelay.ByteSize(facts.TableItems)*reference + auditrelay.ByteSize(2*facts.MutableGlobals)*global
	return l.Memory - min(l.Memory, others)
}
