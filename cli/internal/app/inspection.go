package app

import (
	"auditrelay/builtin/wasm"
	"auditrelay/cli/internal/api"
)

// Inspected is an inspection as the command line and the daemon tell it.
func Inspected(i wasm.Inspection) api.Inspection {
	out := api.Inspection{SHA256: i.SHA256, Size: i.Size, MemoryMin: i.Memory.Min, MemoryMax: i.Memory.Max, Start: i.Start,
		Refusals: i.Refusals, Imports: []api.Function{}, Exports: []api.Function{}}
	if m := i.Manifest; m != nil {
		out.Name, out.Version, out.Description = m.Name, m.Version, m.Description
		out.Asks = &api.Asks{Reads: m.Reads, Writes: m.Writes, Emits: m.Emits, Keys: m.Keys, Metrics: m.Metrics, Optional: m.Optional}
	}
	for _, im := range i.Imports {
		out.Imports = append(out.Imports, api.Function{Name: im.Module + "." + im.Name, Type: im.Type, Needs: im.Needs})
	}
	for _, e := range i.Exports {
		out.Exports = append(out.Exports, api.Function{Name: e.Name, Type: e.Type})
	}
	return out
}
