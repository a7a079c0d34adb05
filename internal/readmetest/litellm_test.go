package readmetest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const litellmGuide = "../../docs/operators/litellm.md"

// standInForLiteLLM is the command that the guide starts. Like LiteLLM, it resolves the
// callbacks in its file by their dotted names. It sends one event to each.
const standInForLiteLLM = `#!/usr/bin/env python3
import asyncio, importlib, re, sys

sys.path.append("STANDIN")

async def main():
    with open(sys.argv[sys.argv.index("--config") + 1]) as f:
        names = re.search(r"audit_log_callbacks: \[(.*)\]", f.read()).group(1)
    for i, name in enumerate(names.split(", ")):
        module, _, instance = name.partition(".")
        callback = getattr(importlib.import_module(module), instance)
        await callback.async_log_audit_log_event({
            "id": "team-event-%d" % i, "action": "created", "table_name": "LiteLLM_TeamTable", "object_id": "t",
            "changed_by": "u", "changed_by_api_key": "", "updated_at": "2026-01-02T03:04:05+00:00",
            "before_value": None, "updated_values": '{"team_alias": "core", "password": "hunter2-guide"}'})

asyncio.run(main())
`

// TestLiteLLMGuide runs the guide's commands with a stand-in for LiteLLM.
func TestLiteLLMGuide(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("python3 is missing: %v", err)
		}
		t.Skipf("THE GUIDE IS NOT TESTED: python3 is missing: %v", err)
	}
	f := newFolder(t)
	standin, err := filepath.Abs(filepath.Join(root, "integrations", "litellm", "testdata", "standin"))
	if err != nil {
		t.Fatal(err)
	}
	// It includes LiteLLM's package, like the real one.
	if err := os.WriteFile(filepath.Join(f.dir, "litellm"), []byte(strings.Replace(standInForLiteLLM, "STANDIN", standin, 1)), 0o700); err != nil {
		t.Fatal(err)
	}
	script := f.configure(t, append(blocks(t, litellmGuide, "The relay"), blocks(t, litellmGuide, "Way 3: a logger class")...))
	// Wait where a person would need a moment.
	const starts = "litellm --config litellm.yaml &\n"
	if strings.Count(script, starts) != 1 {
		t.Fatalf("the guide does not start LiteLLM once:\n%s", script)
	}
	script = strings.Replace(script, starts, "./"+starts+"for i in {1..600}; do if grep -qs team-event audit/events*.ndjson; then break; fi; read -t 0.05 <> <(:) || :; done\n", 1)
	out := f.run(t, script)
	if !strings.Contains(out, "team-event-0") || !strings.Contains(out, "archive") {
		t.Errorf("the event did not arrive:\n%s", out)
	}
	if strings.Contains(out, "hunter2-guide") {
		t.Errorf("the password arrived:\n%s", out)
	}
}

// TestLiteLLMLosses checks the tests named in the guide's table: each must exist, be a test,
// and not skip itself.
func TestLiteLLMLosses(t *testing.T) {
	text, err := os.ReadFile(litellmGuide)
	if err != nil {
		t.Fatal(err)
	}
	beginning, _, _ := strings.Cut(string(text), "\n## ")
	if !strings.Contains(beginning, "LiteLLM without an enterprise licence sends no audit events at all") {
		t.Error("the guide does not begin with the licence")
	}
	lossesIn(t, string(text), "losses", 10, 3)
	lossesIn(t, string(text), "versions", 9, 6)
}

// lossesIn checks the tests in the last column of a table.
func lossesIn(t *testing.T, text, name string, rows, columns int) {
	t.Helper()
	_, table, _ := strings.Cut(text, "<!-- table: "+name+" -->\n")
	table, _, ok := strings.Cut(table, "<!-- end -->")
	if !ok {
		t.Fatalf("the guide has no table of %s", name)
	}
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) < 2+rows {
		t.Fatalf("the table has %d lines", len(lines))
	}
	for _, line := range lines[2:] {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != columns {
			t.Errorf("%d cells: %s", len(cells), line)
			continue
		}
		last := cells[columns-1]
		names := regexp.MustCompile("`([a-z0-9/]+): (Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(last, -1)
		if len(names) == 0 || len(names) != strings.Count(last, "`")/2 {
			t.Errorf("not every test is named as package: Test: %s", last)
		}
		for _, m := range names {
			if err := runs(filepath.Join("../..", m[1]), m[2]); err != nil {
				t.Errorf("%s: %v", m[0], err)
			}
		}
	}
}

// runs searches for a test in a package's folder. It does not see a skip in a helper, for a
// missing tool or for -short.
func runs(dir, name string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("%s has no tests: %w", dir, fs.ErrNotExist)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Name.Name != name || f.Recv != nil {
				continue
			}
			if len(f.Type.Params.List) != 1 || len(f.Body.List) == 0 {
				return fmt.Errorf("%s is no test", name)
			}
			for _, statement := range f.Body.List {
				e, ok := statement.(*ast.ExprStmt)
				if !ok {
					continue
				}
				if call, ok := e.X.(*ast.CallExpr); ok {
					if s, ok := call.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(s.Sel.Name, "Skip") {
						return fmt.Errorf("%s is skipped", name)
					}
				}
			}
			return nil
		}
	}
	return fmt.Errorf("there is no test %s", name)
}
