package arrows

import (
	"os/exec"
	"strings"
	"testing"
)

// ranks orders the folders from the ground up: no package imports one of a higher
// rank. The longest folder that holds a package decides. Folders of one rank may
// import each other; the compiler refuses circles, and internal folders keep others
// out of what is a folder's own.
var ranks = []struct {
	folder string
	rank   int
}{
	{"auditrelay", 0}, // the vocabulary: the root package itself
	{"auditrelay/document", 0},
	{"auditrelay/filter", 1},
	{"auditrelay/internal", 2}, // ground that knows no event's way
	{"auditrelay/sinktest", 3},
	{"auditrelay/hostfuncs", 3},
	{"auditrelay/builtin", 4},
	{"auditrelay/guests", 5},
	{"auditrelay/runtime", 5},
	{"auditrelay/config", 5},
	{"auditrelay/cli/internal/slot", 5},
	{"auditrelay/cli/internal/scaffold", 5},
	{"auditrelay/cli/internal/api", 6},
	{"auditrelay/cli/internal/alerts", 7},
	{"auditrelay/cli/internal/inspect", 7},
	{"auditrelay/cli/internal/client", 7},
	{"auditrelay/cli/internal/unixsocket", 6},
	{"auditrelay/cli/internal/oidc", 7},
	{"auditrelay/cli/internal/sources", 7},
	{"auditrelay/cli/internal/http", 8},
	{"auditrelay/cli/internal/ui", 8},
	{"auditrelay/cli/internal/app", 9},
	{"auditrelay/cli", 10},
	{"auditrelay/cmd", 11},
	{"auditrelay/internal/test", 11},  // tools of tests may reach anything
	{"auditrelay/internal/tools", 11}, // run by go generate
	{"auditrelay/integrations", 11},   // tests of the whole
	{"auditrelay/internal/readmetest", 11},
}

func within(pkg string, roots ...string) bool {
	for _, root := range roots {
		if pkg == root || strings.HasPrefix(pkg, root+"/") {
			return true
		}
	}
	return false
}

// rankOf is the rank of the longest folder that holds pkg.
func rankOf(pkg string) (rank int, known bool) {
	longest := -1
	for _, r := range ranks {
		if within(pkg, r.folder) && len(r.folder) > longest {
			if r.folder == "auditrelay" && pkg != "auditrelay" {
				continue // a folder of its own, which has no rank yet
			}
			longest, rank = len(r.folder), r.rank
		}
	}
	return rank, longest >= 0
}

// rules are what neither the ranks nor the compiler hold. Each says what is wrong with
// an import, empty where nothing is.
var rules = []func(pkg, imported string) string{
	func(pkg, imported string) string {
		if pkg == "auditrelay" && strings.Contains(imported, ".") {
			return "the root package imports the standard library alone"
		}
		if (pkg == "auditrelay" || pkg == "auditrelay/document") && within(imported, "auditrelay") {
			return "the root package and document import nothing of ours"
		}
		return ""
	},
	func(pkg, imported string) string {
		if within(pkg, "auditrelay/runtime") && within(imported, "auditrelay/config", "auditrelay/builtin", "auditrelay/guests") {
			return "the engine knows neither the configuration nor what is configured"
		}
		return ""
	},
	func(pkg, imported string) string {
		if (strings.HasPrefix(imported, "gopkg.in/yaml") || strings.HasPrefix(imported, "go.yaml.in/")) && pkg != "auditrelay/config" {
			return "config is the only importer of yaml"
		}
		return ""
	},
	func(pkg, imported string) string {
		if concrete(imported) && !within(pkg, "auditrelay/builtin", "auditrelay/cli/internal/app") {
			return "only cli/internal/app knows concrete sinks, sources and filters"
		}
		return ""
	},
	func(pkg, imported string) string {
		if within(pkg, "auditrelay/cli/internal/api", "auditrelay/cli/internal/client") && within(imported, "auditrelay/runtime", "auditrelay/config") {
			return "the API's shapes and its client link no engine"
		}
		return ""
	},
	func(pkg, imported string) string {
		if within(imported, "auditrelay/internal/test") && !within(pkg, "auditrelay/internal/test") {
			return "tools of tests are for tests"
		}
		return ""
	},
}

// shared are folders beside concrete ones that several of those use.
var shared = []string{"auditrelay/builtin/wasm", "auditrelay/builtin/kafka/brokers", "auditrelay/cli/internal/sources/sourcetest", "auditrelay/cli/internal/sources/intake"}

// concrete are the sinks, the native filter, and the sources with a section of their own.
func concrete(pkg string) bool {
	if within(pkg, shared...) {
		return false
	}
	if within(pkg, "auditrelay/builtin") && !strings.Contains(pkg, "/internal/") {
		return true
	}
	return strings.HasPrefix(pkg, "auditrelay/cli/internal/sources/")
}

func fault(pkg, imported string) string {
	for _, rule := range rules {
		if why := rule(pkg, imported); why != "" {
			return why
		}
	}
	if !within(imported, "auditrelay") {
		return ""
	}
	from, known := rankOf(pkg)
	to, also := rankOf(imported)
	switch {
	case !known, !also:
		return "a folder without a rank: give it one"
	case to > from:
		return "an import from a lower folder to a higher one"
	}
	return ""
}

// TestArrows holds every import of every package to the ranks and the rules.
func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}:{{range .Imports}} {{.}}{{end}}`, "auditrelay/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		pkg, list, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		seen++
		for _, imported := range strings.Fields(list) {
			if why := fault(pkg, imported); why != "" {
				t.Errorf("%s imports %s: %s", pkg, imported, why)
			}
		}
	}
	if seen < 40 {
		t.Fatalf("only %d packages were listed", seen)
	}
}

// TestTheRulesSeeFaults shows that each would be noticed.
func TestTheRulesSeeFaults(t *testing.T) {
	for _, bad := range [][2]string{
		{"auditrelay", "auditrelay/document"},
		{"auditrelay", "github.com/x/y"},
		{"auditrelay/document", "auditrelay/internal/detect"},
		{"auditrelay/internal/gate", "auditrelay/runtime"},
		{"auditrelay/builtin/s3", "auditrelay/config"},
		{"auditrelay/builtin/file", "gopkg.in/yaml.v3"},
		{"auditrelay/runtime/internal/delivery", "auditrelay/config"},
		{"auditrelay/runtime", "auditrelay/builtin/s3"},
		{"auditrelay/config", "auditrelay/cli/internal/api"},
		{"auditrelay/cli/internal/client", "auditrelay/runtime"},
		{"auditrelay/cli/internal/sources/s3", "auditrelay/cli/internal/http"},
		{"auditrelay/cli/internal/http", "auditrelay/cli/internal/sources/s3"},
		{"auditrelay/cli/internal/http", "auditrelay/cli/internal/app"},
		{"auditrelay/cli", "auditrelay/builtin/sqlite"},
		{"auditrelay/runtime", "auditrelay/internal/test/pgtest"},
		{"auditrelay/newfolder", "auditrelay"},
	} {
		if fault(bad[0], bad[1]) == "" {
			t.Errorf("%s may import %s", bad[0], bad[1])
		}
	}
}
