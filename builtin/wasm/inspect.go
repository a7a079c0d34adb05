package wasm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"auditrelay"
	"auditrelay/hostfuncs"
	"auditrelay/internal/meter"
)

const (
	pageSize = 64 << 10
	slotSize = 8 // of the stack, as the meter counts it
)

// meterOptions is how modules are metered under l.
func meterOptions(l Limits) meter.Options {
	return meter.Options{
		Limits: meter.Limits{ModuleBytes: int(l.Module), MemoryPages: int(l.Memory / pageSize)},
		Depth:  int64(l.Stack / slotSize),
		Custom: manifestSection,
	}
}

// Inspection is what can be told of a module without compiling or running it.
type Inspection struct {
	SHA256   string
	Size     int
	Manifest *Manifest // nil where it has none
	Imports  []Import
	Exports  []Export
	Memory   Range // bytes; the end is where limits stop it
	Tables   int   // items that all tables may come to have
	Start    bool  // a start function runs when an instance is made

	// Refusals are all the reasons why Load would refuse the module under the
	// options given; empty where it would go on to compile it.
	Refusals []string
}

// Range is a least and a most number of bytes.
type Range struct{ Min, Max auditrelay.ByteSize }

// Import is one function (or other thing) that a module imports.
type Import struct {
	Module, Name string
	Type         string // "(i32, i32) -> (i32)", or "memory", "table", "global"
	Needs        string // what must be granted for it, empty where nothing
	Known        bool   // this host has it
}

// Export is one thing that a module exports.
type Export struct{ Name, Type string }

// Inspect looks at a module as Load does, as far as that goes without compiling.
// Grants, Limits and SHA256 of o are respected; all of o may be left out.
func Inspect(o Options) Inspection {
	sum := sha256.Sum256(o.Wasm)
	out := Inspection{SHA256: hex.EncodeToString(sum[:]), Size: len(o.Wasm)}
	m := &Module{name: o.Name, limits: o.Limits.withDefaults()}
	if _, _, err := m.prepare(o); err != nil {
		out.Refusals = strings.Split(err.Error(), "\n")
	}
	out.Manifest = m.manifest
	facts, err := meter.Inspect(o.Wasm, meterOptions(m.limits))
	if err != nil {
		return out
	}
	out.Memory = Range{auditrelay.ByteSize(facts.MemoryMin) * pageSize, auditrelay.ByteSize(facts.MemoryMax) * pageSize}
	out.Tables, out.Start = int(facts.TableItems), facts.Start
	v1, wasi := hostfuncs.V1(), hostfuncs.WASI()
	for _, im := range facts.Imports {
		entry := Import{Module: im.Module, Name: im.Name, Type: kindOrType(im.Kind, im.Type)}
		switch im.Module {
		case hostfuncs.ModuleV1:
			if f, ok := hostfuncs.Lookup(v1, im.Name); ok {
				entry.Known, entry.Needs = true, f.Need.String()
			}
		case hostfuncs.ModuleWASI:
			_, entry.Known = hostfuncs.Lookup(wasi, im.Name)
		}
		out.Imports = append(out.Imports, entry)
	}
	for _, e := range facts.Exports {
		out.Exports = append(out.Exports, Export{e.Name, kindOrType(e.Kind, e.Type)})
	}
	return out
}

func kindOrType(k meter.Kind, t meter.FunctionType) string {
	if k == meter.Function {
		return signature(t)
	}
	return fmt.Sprint(k)
}

// Everything are options under which a module is refused only for what no operator
// could grant or allow: it gets whatever its manifest asks for.
func Everything(name string, wasm []byte) Options {
	o := Options{
		Name: name, Wasm: wasm,
		Grants: Grants{Write: []string{"**"}, Emit: []string{"any"}},
		Keys:   map[string]auditrelay.Key{},
		Limits: Limits{Module: 256 << 20, Memory: 1 << 30},
	}
	if manifest, err := ReadManifest(wasm); err == nil && manifest != nil {
		o.Grants.Keys, o.Grants.Metrics = manifest.Keys, manifest.Metrics
		for _, key := range manifest.Keys {
			o.Keys[key] = auditrelay.Key{Secret: "held in the place of the operator's"}
		}
	}
	return o
}
