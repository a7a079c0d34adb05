package meter

import (
	"bytes"
	"os/exec"
	"testing"
	"time"
)

// Every module of the project's is taken, and what comes of it is valid by
// wazero's and wabt's judgement.
func TestTestdata(t *testing.T) {
	for name, wasm := range testdata(t) {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			m, err := Rewrite(wasm, Options{})
			if name == "memory-too-large" {
				if err == nil {
					t.Error("not refused")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d -> %d bytes in %v: %+v", len(wasm), len(m.Wasm), time.Since(start), m.Facts)
			if _, err := newHost(t).runtime.CompileModule(t.Context(), m.Wasm); err != nil {
				t.Error(err)
			}
			wabt(t, m.Wasm, true)
			if again := rewrite(t, wasm, Options{}); !bytes.Equal(again.Wasm, m.Wasm) {
				t.Error("another result the second time")
			}
		})
	}
}

// wabt asks wasm-validate, where there is one, for a second opinion.
func wabt(t *testing.T, wasm []byte, valid bool) {
	t.Helper()
	path, err := exec.LookPath("wasm-validate")
	if err != nil {
		return
	}
	cmd := exec.CommandContext(t.Context(), path, "--ignore-custom-section-errors", "-")
	cmd.Stdin = bytes.NewReader(wasm)
	if out, err := cmd.CombinedOutput(); (err == nil) != valid {
		t.Errorf("wasm-validate: %v\n%s", err, out)
	}
}
