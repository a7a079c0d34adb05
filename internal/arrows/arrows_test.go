// Package arrows holds the import arrows between the packages.
package arrows

import (
	"os/exec"
	"strings"
	"testing"
)

// TestArrows reads the imports of every package and holds them to the rules of
// CONTRIBUTING.md.
func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}:{{range .Imports}} {{.}}{{end}}`, "auditrelay/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	within := func(pkg string, roots ...string) bool {
		for _, root := range roots {
			if pkg == root || strings.HasPrefix(pkg, root+"/") {
				return true
			}
		}
		return false
	}
	const (
		native = "auditrelay/builtin/redact" // the filters beside the sinks
		guests = "auditrelay/builtin/wasm"
	)
	sinks := func(pkg string) bool {
		return within(pkg, "auditrelay/builtin") && !within(pkg, native) && !within(pkg, guests)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		pkg, list, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		seen++
		for _, imported := range strings.Fields(list) {
			ours := within(imported, "auditrelay")
			fault := ""
			switch {
			case pkg == "auditrelay" && strings.Contains(imported, "."):
				fault = "the root package imports the standard library alone"
			case (pkg == "auditrelay" || pkg == "auditrelay/document") && ours:
				fault = "the root package and document import nothing of ours"
			case pkg == "auditrelay/filter" && ours && imported != "auditrelay" && imported != "auditrelay/document":
				fault = "filter imports the root and document alone"
			case within(pkg, "auditrelay/runtime") && imported == "auditrelay/config":
				fault = "runtime never imports config"
			case strings.HasPrefix(imported, "gopkg.in/yaml") && pkg != "auditrelay/config":
				fault = "config is the only importer of yaml"
			case sinks(imported) && !sinks(pkg) && pkg != "auditrelay/cli/internal/app":
				fault = "only cli/internal/app knows concrete sinks"
			case sinks(pkg) && ours && !within(imported, "auditrelay/builtin", "auditrelay/internal/ndjson", "auditrelay/internal/auditstore", "auditrelay/internal/pgdial") && imported != "auditrelay":
				fault = "a sink imports the root alone, and what sinks share"
			case imported == native && pkg != "auditrelay/cli/internal/app":
				fault = "only cli/internal/app knows the native filter"
			case pkg == native && ours && imported != "auditrelay" && imported != "auditrelay/filter" && imported != "auditrelay/internal/redaction" && imported != "auditrelay/internal/detect":
				fault = "the native filter imports the root, the contract of filters and the operations"
			case within(imported, "auditrelay/cli/internal/app") && pkg != "auditrelay/cli":
				fault = "only cli runs the program"
			case imported == "auditrelay/cli/internal/http" && pkg != "auditrelay/cli/internal/app":
				fault = "only cli/internal/app serves"
			}
			if fault != "" {
				t.Errorf("%s imports %s: %s", pkg, imported, fault)
			}
		}
	}
	if seen < 10 {
		t.Fatalf("only %d packages were listed", seen)
	}
}
