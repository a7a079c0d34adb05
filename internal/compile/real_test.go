package compile_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"auditrelay/internal/compile"
	"auditrelay/internal/meter"
)

// TestRealPrograms compiles large programs within the default limits. It shows that a small module
// that takes as long as a large one is refused. The programs are Go's own tools, of 5 and 14 MB.
func TestRealPrograms(t *testing.T) {
	if os.Getenv("AUDITRELAY_SOAK") == "" {
		t.Skip("it builds and compiles for a minute; set AUDITRELAY_SOAK=1")
	}
	for _, tool := range []string{"cmd/gofmt", "cmd/vet"} {
		file := filepath.Join(t.TempDir(), "tool.wasm")
		build := exec.Command("go", "build", "-o", file, tool)
		build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		wasm, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := meter.Rewrite(wasm, meter.Options{})
		if err != nil {
			t.Errorf("%s: %v", tool, err)
			continue
		}
		start := time.Now()
		if _, err := compile.Fill(t.Context(), sha256.Sum256(wasm), m.Wasm, nil, options(t)); err != nil {
			t.Errorf("%s: %v", tool, err)
		}
		t.Logf("%s: %d bytes in %v", tool, len(wasm), time.Since(start))
	}

	wasm := tables(20, 65_535)
	if m, err := meter.Rewrite(wasm, meter.Options{}); err == nil {
		t.Errorf("twenty br_tables pass the first check, %d bytes", len(m.Wasm))
	}
	m, err := meter.Rewrite(wasm, meter.Options{Limits: meter.Limits{CrossingsPerByte: 1_000}})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err = compile.Fill(t.Context(), sha256.Sum256(wasm), m.Wasm, nil, options(t))
	if limit, ok := errors.AsType[*compile.LimitError](err); err != nil && (!ok || limit.Limit != "CPU time") {
		t.Errorf("got %v", err)
	}
	t.Logf("twenty br_tables, %d bytes: %v after %v", len(wasm), err, time.Since(start))
}

// tables creates a module of functions with one br_table each.
func tables(functions, labels int) []byte {
	unsigned := binary.AppendUvarint
	body := append([]byte{0, 0x02, 0x40, 0x41, 0, 0x0e}, unsigned(nil, uint64(labels))...)
	body = append(append(body, make([]byte, labels+1)...), 0x0b, 0x0b)
	section := func(id byte, content []byte) []byte {
		return append(unsigned([]byte{id}, uint64(len(content))), content...)
	}
	wasm := append([]byte("\x00asm\x01\x00\x00\x00"), section(1, []byte{1, 0x60, 0, 0})...)
	wasm = append(wasm, section(3, append(unsigned(nil, uint64(functions)), make([]byte, functions)...))...)
	code := unsigned(nil, uint64(functions))
	for range functions {
		code = append(append(code, unsigned(nil, uint64(len(body)))...), body...)
	}
	return append(wasm, section(10, code)...)
}
