package inspect

import (
	"fmt"
	"strings"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/internal/manifest"
	"auditrelay/internal/meter"
)

// checks returns the single checks of a module, each with the reason of its result. facts are
// the facts of a valid module; otherwise invalid says why it is invalid.
func checks(size int, facts *meter.Facts, invalid error, refusals []string) []api.ModuleCheck {
	if invalid != nil {
		all := []api.ModuleCheck{{Check: "WebAssembly", State: api.CheckFailed, Why: invalid.Error()}}
		for _, name := range []string{"exports", "imports", "manifest", "limits"} {
			all = append(all, api.ModuleCheck{Check: name, State: api.CheckNotRun, Why: "the module is not valid"})
		}
		return all
	}
	said := map[string][]string{}
	for _, r := range refusals {
		said[checkOf(r)] = append(said[checkOf(r)], r)
	}
	asks := "it has none: it may read events and decide, but not edit or emit"
	if m, err := manifest.Of(facts); err == nil && m != nil {
		asks = fmt.Sprintf("valid; it asks to write %d paths, for %d keys and %d metrics", len(m.Writes), len(m.Keys), len(m.Metrics))
		if m.Emits {
			asks += ", and to emit"
		}
	}
	memory := fmt.Sprintf("memory from %v to %v", auditrelay.ByteSize(facts.MemoryMin)*pageSize, auditrelay.ByteSize(facts.MemoryMax)*pageSize)
	all := []api.ModuleCheck{{Check: "WebAssembly", Why: fmt.Sprintf("valid, %v with %d functions", auditrelay.ByteSize(size), facts.Functions)},
		{Check: "exports", Why: fmt.Sprintf("%d: what a guest has to export, with the right types", len(facts.Exports))},
		{Check: "imports", Why: fmt.Sprintf("%d: functions of this host alone, with the right types", len(facts.Imports))},
		{Check: "manifest", Why: asks},
		{Check: "limits", Why: memory}}
	for i := range all {
		all[i].State = api.CheckPassed
		if failed := said[all[i].Check]; failed != nil {
			all[i].State, all[i].Why = api.CheckFailed, strings.Join(failed, "; ")
		}
	}
	return all
}

// checkOf returns the check to which a refusal belongs.
func checkOf(refusal string) string {
	for _, c := range []struct{ in, check string }{{"export ", "exports"}, {"import ", "imports"}, {"manifest", "manifest"}, {"memory", "limits"}, {"limits", "limits"}} {
		if strings.HasPrefix(refusal, c.in) {
			return c.check
		}
	}
	return "WebAssembly"
}
