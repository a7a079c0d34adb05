package client

import (
	"os/exec"
	"strings"
	"testing"
)

// A client is a client: it links no storage engine, no runtime and no source.
func TestAClientLinksNoEngine(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for pkg := range strings.Lines(string(out)) {
		seen++
		for _, no := range []string{"cockroachdb/pebble", "auditrelay/runtime", "auditrelay/cli/internal/sources", "auditrelay/config", "wazero", "aws-sdk", "pgx", "sqlite"} {
			if strings.Contains(pkg, no) {
				t.Errorf("it links %s", strings.TrimSpace(pkg))
			}
		}
	}
	if seen < 20 {
		t.Fatalf("only %d packages were listed", seen)
	}
}
