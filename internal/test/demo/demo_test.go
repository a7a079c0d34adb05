package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDemo runs the demo with the real binary. With a guest that does not know the planted
// names in place of the redactor, the demo must end with an error: a demo that cannot fail
// shows nothing.
func TestDemo(t *testing.T) {
	t.Chdir("../../..")
	binary := filepath.Join(t.TempDir(), "auditrelay")
	if out, err := exec.Command("go", "build", "-o", binary, "./cmd/auditrelay").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	run := func(redactor string) error {
		d := demo{binary: binary, dir: filepath.Join(t.TempDir(), "demo"), events: 1000, seed: 3, redactor: redactor}
		return d.run(t.Context())
	}
	if err := run("testdata/wasm/redact-go/redact-go.wasm"); err != nil {
		t.Errorf("the demo: %v", err)
	}
	err := run("testdata/wasm/reference-go/reference-go.wasm")
	if err == nil || !strings.Contains(err.Error(), "planted secrets were delivered") {
		t.Errorf("the demo with a guest that does not redact: %v", err)
	}
}
