// Package inspect shows a module's imports, manifest and reasons for rejection, without
// compiling or running it.
package inspect

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/cli/internal/api"
	"auditrelay/hostfuncs"
	"auditrelay/internal/manifest"
	"auditrelay/internal/meter"
)

const (
	pageSize   = 64 << 10
	mostModule = 256 << 20
	mostMemory = 1 << 30
)

// Everything returns options that grant everything that a module's manifest requests. So a
// module is rejected only for reasons that no operator could change.
func Everything(name string, code []byte) wasm.Options {
	o := wasm.Options{
		Name: name, Wasm: code,
		Grants: wasm.Grants{Write: []string{"**"}, Emit: []string{"any"}},
		Keys:   map[string]auditrelay.Key{},
		Limits: wasm.Limits{Module: mostModule, Memory: mostMemory},
	}
	if m, err := manifest.Read(code); err == nil && m != nil {
		o.Grants.Keys, o.Grants.Metrics = m.Keys, m.Metrics
		for _, key := range m.Keys {
			o.Keys[key] = auditrelay.Key{Secret: "held in the place of the operator's"}
		}
	}
	return o
}

// Module inspects a module under the options of Everything.
func Module(name string, code []byte) api.Inspection {
	sum := sha256.Sum256(code)
	out := api.Inspection{SHA256: hex.EncodeToString(sum[:]), Size: len(code), Imports: []api.Function{}, Exports: []api.Function{}}
	if err := wasm.Check(Everything(name, code)); err != nil {
		out.Refusals = strings.Split(err.Error(), "\n")
	}
	facts, err := meter.Inspect(code, meter.Options{
		Limits: meter.Limits{ModuleBytes: mostModule, MemoryPages: mostMemory / pageSize},
		Custom: manifest.Section,
	})
	out.Checks = checks(len(code), facts, err, out.Refusals)
	if err != nil {
		return out
	}
	if m, _ := manifest.Of(facts); m != nil { // faults of the manifest are among the refusals
		out.Name, out.Version, out.Description = m.Name, m.Version, m.Description
		out.Asks = &api.Asks{Reads: m.Reads, Writes: m.Writes, Emits: m.Emits, Keys: m.Keys, Metrics: m.Metrics, Optional: m.Optional}
	}
	out.MemoryMin, out.MemoryMax = auditrelay.ByteSize(facts.MemoryMin)*pageSize, auditrelay.ByteSize(facts.MemoryMax)*pageSize
	out.Start = facts.Start
	v1 := hostfuncs.V1()
	for _, im := range facts.Imports {
		entry := api.Function{Name: im.Module + "." + im.Name, Type: kindOrType(im.Kind, im.Type)}
		if im.Module == hostfuncs.ModuleV1 {
			if f, ok := hostfuncs.Lookup(v1, im.Name); ok {
				entry.Needs = f.Need.String()
			}
		}
		out.Imports = append(out.Imports, entry)
	}
	for _, e := range facts.Exports {
		out.Exports = append(out.Exports, api.Function{Name: e.Name, Type: kindOrType(e.Kind, e.Type)})
	}
	return out
}

func kindOrType(k meter.Kind, t meter.FunctionType) string {
	if k == meter.Function {
		return hostfuncs.Signature(t.Params, t.Results)
	}
	return fmt.Sprint(k)
}
