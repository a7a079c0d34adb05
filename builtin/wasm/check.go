package wasm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"auditrelay"
	"auditrelay/hostfuncs"
	"auditrelay/internal/manifest"
	"auditrelay/internal/meter"
)

const (
	exportMemory     = "memory"
	exportInitialize = "_initialize"
	exportInit       = "auditrelay_init"
	exportEvent      = "auditrelay_event"
	reservedPrefix   = "auditrelay_"

	maxImportName = 256 // in bytes; limited because unknown functions may be imported, and every use stores the name
)

// grant is one imported function in the form that the guest gets.
type grant struct {
	module, name    string
	params, results []api.ValueType
	call            api.GoModuleFunc
}

// check returns all reasons against running a module, before it is compiled, and the functions
// to give it.
func check(facts *meter.Facts, asked *manifest.Manifest, grants Grants, l Limits) ([]grant, error) {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	nothing := meter.FunctionType{}
	verdict := meter.FunctionType{Results: []api.ValueType{api.ValueTypeI32}}
	for _, e := range []struct {
		name     string
		want     meter.FunctionType
		required bool
	}{{exportInitialize, nothing, false}, {exportInit, verdict, false}, {exportEvent, verdict, true}} {
		switch got, ok := exported(facts, e.name, meter.Function); {
		case !ok && e.required:
			refuse("export %s: expected a function %s, found none", e.name, signature(e.want))
		case ok && !equal(got, e.want):
			refuse("export %s: expected %s, found %s", e.name, signature(e.want), signature(got))
		}
	}
	if _, ok := exported(facts, exportMemory, meter.Memory); !ok {
		refuse("export %s: expected the module's memory, found none", exportMemory)
	}
	if _, ok := exported(facts, "_start", meter.Function); ok {
		refuse("export _start: this is a program, which runs once and ends; a guest is a reactor (Go: -buildmode=c-shared, C: -mexec-model=reactor or -nostdlib -Wl,--no-entry)")
	}
	for _, e := range facts.Exports {
		if strings.HasPrefix(e.Name, reservedPrefix) && e.Name != exportInit && e.Name != exportEvent {
			refuse("export %.100q: names that start with %s are reserved", e.Name, reservedPrefix)
		}
	}
	if size, room := auditrelay.ByteSize(facts.MemoryMin)*pageSize, linear(facts, l); size > room {
		refuse("memory: starts with %v, limits.memory is %v, of which tables and globals may need %v", size, l.Memory, l.Memory-room)
	}
	if asked != nil && asked.Limits.Memory > l.Memory {
		refuse("memory: the manifest asks for %v, limits.memory is %v", asked.Limits.Memory, l.Memory)
	}
	given, err := checkImports(facts, asked, grants)
	return given, errors.Join(append(errs, err)...)
}

// exported returns the type of a module's export.
func exported(facts *meter.Facts, name string, kind meter.Kind) (meter.FunctionType, bool) {
	for _, e := range facts.Exports {
		if e.Name == name && e.Kind == kind {
			return e.Type, true
		}
	}
	return meter.FunctionType{}, false
}

func checkImports(facts *meter.Facts, asked *manifest.Manifest, grants Grants) ([]grant, error) {
	var given []grant
	var errs []error
	v1, wasi := hostfuncs.V1(), hostfuncs.WASI()
	for _, im := range facts.Imports {
		full := im.Module + "." + im.Name
		refuse := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("import %.100q: "+format, append([]any{full}, args...)...))
		}
		if len(im.Name) > maxImportName {
			refuse("its name is longer than %d bytes", maxImportName)
			continue
		}
		if im.Kind != meter.Function {
			refuse("expected a function, found a %s: a guest defines its own memory, tables and globals", im.Kind)
			continue
		}
		if slices.ContainsFunc(given, func(g grant) bool { return g.module == im.Module && g.name == im.Name }) {
			continue // imported twice; the types are compared during compilation
		}
		g := grant{module: im.Module, name: im.Name, params: im.Type.Params, results: im.Type.Results}
		var f *hostfuncs.Function
		var known bool
		switch im.Module {
		case hostfuncs.ModuleV1:
			f, known = hostfuncs.Lookup(v1, im.Name)
			optional := asked != nil && slices.Contains(asked.Optional, im.Name)
			if !known && optional {
				g.call = hostfuncs.Stub(hostfuncs.Unknown)
			} else if !known {
				refuse("this host has no such function in version 1 of the ABI (the manifest can mark it optional)")
				continue
			} else if missing := ungranted(f.Need, asked, grants); missing != "" && optional {
				g.call, known = hostfuncs.Stub(hostfuncs.NotGranted), false
			} else if missing != "" {
				refuse("not granted: %s", missing)
				continue
			}
		case hostfuncs.ModuleWASI:
			if f, known = hostfuncs.Lookup(wasi, im.Name); !known {
				g.call = hostfuncs.Stub(hostfuncs.WASINoSys)
			}
		default:
			refuse("expected %s or %s: guests cannot import from other modules", hostfuncs.ModuleV1, hostfuncs.ModuleWASI)
			continue
		}
		if known {
			want := meter.FunctionType{Params: f.ParamTypes(), Results: f.ResultTypes()}
			if !equal(im.Type, want) {
				refuse("expected %s, found %s", signature(want), signature(im.Type))
				continue
			}
			g.call = f.Go()
		} else if !slices.Equal(g.results, []api.ValueType{api.ValueTypeI32}) {
			refuse("expected a function that returns i32, found %s", signature(im.Type))
			continue
		}
		given = append(given, g)
	}
	return given, errors.Join(errs...)
}

// ungranted returns what is missing for a need, or "" if the module requested it and the
// operator granted it.
func ungranted(n hostfuncs.Need, asked *manifest.Manifest, grants Grants) string {
	if n == hostfuncs.NeedNothing {
		return ""
	}
	if asked == nil {
		return "the module has no manifest, so it may read events and decide, but not edit or emit (add one with guest pack)"
	}
	switch {
	case n == hostfuncs.NeedEmit && !asked.Emits:
		return "the manifest does not set emits"
	case n == hostfuncs.NeedEmit && len(grants.Emit) == 0:
		return "grants.emit names no callback"
	case n == hostfuncs.NeedEmit:
		return ""
	case n == hostfuncs.NeedMetric && len(asked.Metrics) == 0:
		return "the manifest asks for no metrics"
	case n == hostfuncs.NeedMetric && len(both(asked.Metrics, grants.Metrics)) == 0:
		return "grants.metrics names none of the metrics that the manifest asks for"
	case n == hostfuncs.NeedMetric:
		return ""
	case len(asked.Writes) == 0:
		return "the manifest asks for no writes"
	case len(grants.Write) == 0:
		return "grants.write names no path"
	case n == hostfuncs.NeedKey && len(both(asked.Keys, grants.Keys)) == 0:
		return "grants.keys names none of the keys that the manifest asks for"
	}
	return ""
}

// both returns the entries that are in both lists.
func both(a, b []string) []string {
	var out []string
	for _, s := range a {
		if slices.Contains(b, s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func equal(a, b meter.FunctionType) bool {
	return slices.Equal(a.Params, b.Params) && slices.Equal(a.Results, b.Results)
}

func signature(t meter.FunctionType) string { return hostfuncs.Signature(t.Params, t.Results) }
