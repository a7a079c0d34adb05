package pgstore_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestModel has spin look at every history of testdata/fleet.pml, the protocol of lease and
// seal. Whoever changes the protocol changes the model. Without one of the rules spin must
// find what the rule is for, or the model would pass whatever it says.
func TestModel(t *testing.T) {
	compiler := modelCompiler(t)
	for _, rule := range []struct{ without, found string }{
		{"", ""},
		{"NO_FENCE", "stored==1"},
		{"NO_EPOCH", "there==sealed"},
		{"NO_COMPARE", "sending"},
		{"LATE_COUNT", "sending"},
		{"SHORT_WAIT", "sending"},
		{"NO_STOP", "sending"},
		{"SEND_UNSEALED", "there==body"},
		{"FORGET_ID", "stored==1"},
		{"TRUST_COMMIT", "stored==1"},
		{"STALE_MEMORY", "there==body"},
	} {
		t.Run(rule.without, func(t *testing.T) {
			out := explore(t, compiler, rule.without)
			switch {
			case rule.without == "" && !(strings.Contains(out, "errors: 0") && strings.Contains(out, "never claim")):
				t.Errorf("the protocol does not hold, or not all of it was looked at:\n%s", out)
			case rule.without == "" && strings.Contains(out, "Search not completed"):
				t.Errorf("not all of it was looked at:\n%s", out)
			case rule.without != "" && !(strings.Contains(out, "assertion violated") && strings.Contains(out, rule.found)):
				t.Errorf("without the rule nothing is found, expected %s:\n%s", rule.found, out)
			}
		})
	}
}

func modelCompiler(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("takes some seconds; run without -short")
	}
	_, err := exec.LookPath("spin")
	for _, name := range []string{"cc", "gcc", "clang"} {
		if path, e := exec.LookPath(name); e == nil && err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("no spin, or no C compiler: %v", err)
	}
	t.Skip("SKIPPED, nothing is tested: no spin, or no C compiler: install Debian's spin (scripts/install-test-tools)")
	return ""
}

// explore returns what spin says of the model without a rule.
func explore(t *testing.T, compiler, without string) string {
	t.Helper()
	model, err := filepath.Abs("testdata/fleet.pml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	command := func(name string, args ...string) string {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	generate := []string{"-a"}
	if without != "" {
		generate = append(generate, "-D"+without)
	}
	if os.Getenv("AUDITRELAY_SOAK") != "" {
		generate = append(generate, "-DTERMS=3", "-DBEATS=6") // longer histories, some minutes
	}
	command("spin", append(generate, model)...)
	optimise := "-O0" // what is found is found at once
	if without == "" {
		optimise = "-O1"
	}
	command(compiler, optimise, "-w", "-DSAFETY", "-DMEMLIM=6000", "-o", "pan", "pan.c")
	return command(filepath.Join(dir, "pan"), "-m100000", "-n")
}
