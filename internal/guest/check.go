package guest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"auditrelay"
	"auditrelay/hostfuncs"
)

const (
	exportMemory     = "memory"
	exportInitialize = "_initialize"
	exportInit       = "auditrelay_init"
	exportEvent      = "auditrelay_event"
	reservedPrefix   = "auditrelay_"
)

// grant is one imported function as the guest gets it.
type grant struct {
	module, name    string
	params, results []api.ValueType
	call            api.GoModuleFunc
}

// check finds all that speaks against running a module, before any of it is
// compiled, and returns the functions that it is to be given.
func (m *outline) check(manifest *Manifest, grants Grants, l Limits) ([]grant, error) {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	nothing := signature{}
	verdict := signature{results: []api.ValueType{api.ValueTypeI32}}
	for _, e := range []struct {
		name     string
		want     signature
		required bool
	}{{exportInitialize, nothing, false}, {exportInit, verdict, false}, {exportEvent, verdict, true}} {
		switch got, ok := m.export(e.name); {
		case !ok && e.required:
			refuse("export %s: expected a function %s, found none", e.name, e.want)
		case ok && !got.equal(e.want):
			refuse("export %s: expected %s, found %s", e.name, e.want, got)
		}
	}
	if e, ok := m.exports[exportMemory]; !ok || e.kind != kindMemory {
		refuse("export %s: expected the module's memory, found none", exportMemory)
	}
	if _, ok := m.exports["_start"]; ok {
		refuse("export _start: this is a program, which runs once and ends; a guest is a reactor (Go: -buildmode=c-shared, C: -mexec-model=reactor or -nostdlib -Wl,--no-entry)")
	}
	for name := range m.exports {
		if strings.HasPrefix(name, reservedPrefix) && name != exportInit && name != exportEvent {
			refuse("export %.100q: names that start with %s are reserved", name, reservedPrefix)
		}
	}
	for _, mem := range m.memories {
		if size := int64(mem.min) * pageSize; size > int64(l.Memory) {
			refuse("memory: starts with %v, limits.memory is %v", auditrelay.ByteSize(size), l.Memory)
		}
	}
	if manifest != nil && manifest.Limits.Memory > l.Memory {
		refuse("memory: the manifest asks for %v, limits.memory is %v", manifest.Limits.Memory, l.Memory)
	}
	given, err := m.checkImports(manifest, grants)
	return given, errors.Join(append(errs, err)...)
}

func (m *outline) checkImports(manifest *Manifest, grants Grants) ([]grant, error) {
	var given []grant
	var errs []error
	v1, wasi := hostfuncs.V1(), hostfuncs.WASI()
	for _, im := range m.imports {
		full := im.module + "." + im.name
		refuse := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("import %.100q: "+format, append([]any{full}, args...)...))
		}
		if im.kind != kindFunc {
			refuse("expected a function, found a %s: a guest defines its own memory, tables and globals", kindName(im.kind))
			continue
		}
		if slices.ContainsFunc(given, func(g grant) bool { return g.module == im.module && g.name == im.name }) {
			continue // imported twice; the types are compared when it is compiled
		}
		g := grant{module: im.module, name: im.name, params: im.signature.params, results: im.signature.results}
		var f *hostfuncs.Function
		var known bool
		switch im.module {
		case hostfuncs.ModuleV1:
			f, known = hostfuncs.Lookup(v1, im.name)
			optional := manifest != nil && slices.Contains(manifest.Optional, im.name)
			if !known && optional {
				g.call = hostfuncs.Stub(hostfuncs.Unknown)
			} else if !known {
				refuse("this host has no such function in version 1 of the ABI (the manifest can mark it optional)")
				continue
			} else if missing := ungranted(f.Need, manifest, grants); missing != "" && optional {
				g.call, known = hostfuncs.Stub(hostfuncs.NotGranted), false
			} else if missing != "" {
				refuse("not granted: %s", missing)
				continue
			}
		case hostfuncs.ModuleWASI:
			if f, known = hostfuncs.Lookup(wasi, im.name); !known {
				g.call = hostfuncs.Stub(hostfuncs.WASINoSys)
			}
		default:
			refuse("expected %s or %s, no other module is there to import from", hostfuncs.ModuleV1, hostfuncs.ModuleWASI)
			continue
		}
		if known {
			want := signature{f.ParamTypes(), f.ResultTypes()}
			if !im.signature.equal(want) {
				refuse("expected %s, found %s", want, im.signature)
				continue
			}
			g.call = f.Go()
		} else if !slices.Equal(g.results, []api.ValueType{api.ValueTypeI32}) {
			refuse("expected a function that returns i32, found %s", im.signature)
			continue
		}
		given = append(given, g)
	}
	return given, errors.Join(errs...)
}

// ungranted says what a need lacks, empty where it is met: the module must ask
// and the operator must grant.
func ungranted(n hostfuncs.Need, manifest *Manifest, grants Grants) string {
	if n == hostfuncs.NeedNothing {
		return ""
	}
	if manifest == nil {
		return "the module has no manifest, so it may look and judge but neither edit nor emit (add one with guest pack)"
	}
	switch {
	case n == hostfuncs.NeedEmit && !manifest.Emits:
		return "the manifest does not say emits"
	case n == hostfuncs.NeedEmit && len(grants.Emit) == 0:
		return "grants.emit names no callback"
	case n == hostfuncs.NeedEmit:
		return ""
	case len(manifest.Writes) == 0:
		return "the manifest asks for no writes"
	case len(grants.Write) == 0:
		return "grants.write names no path"
	case n == hostfuncs.NeedKey && len(both(manifest.Keys, grants.Keys)) == 0:
		return "grants.keys names none of the keys that the manifest asks for"
	}
	return ""
}

// both returns what stands in both lists.
func both(a, b []string) []string {
	var out []string
	for _, s := range a {
		if slices.Contains(b, s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func (s signature) equal(t signature) bool {
	return slices.Equal(s.params, t.params) && slices.Equal(s.results, t.results)
}

func (s signature) String() string { return hostfuncs.Signature(s.params, s.results) }
