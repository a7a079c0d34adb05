package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"auditrelay"
	"auditrelay/builtin/wasm"
)

// loadGroup measures the CPU time in which a relay loads a module compiled before: read, check,
// rewrite, look up the compiled code, start a first instance.
func loadGroup(dir string, n int) error {
	large := filepath.Join(dir, "large.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-trimpath", "-o", large, "./largeguest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the large guest: %w: %s", err, out)
	}
	var rows []*row
	for _, file := range []string{"../testdata/wasm/reference-c/reference-c.wasm", "../testdata/wasm/redact-go/redact-go.wasm", large} {
		code, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		o := wasm.Options{Name: filepath.Base(file), Wasm: code, CacheDir: filepath.Join(dir, "compiled"), Logger: slog.New(slog.DiscardHandler),
			Grants: wasm.Grants{Write: []string{"**"}, Emit: []string{"alerts"}, Keys: []string{"pseudonyms"}}, Keys: map[string]auditrelay.Key{"pseudonyms": {Secret: "a key of the benchmark's own"}}}
		load := func(int) (float64, error) { return loads(o, n) }
		if _, err := loads(o, 1); err != nil { // compiles it
			return err
		}
		name := fmt.Sprintf("%s, %.1f MB", o.Name, float64(len(code))/1e6)
		rows = append(rows, &row{name: name, measure: load})
		if len(rows) == 1 {
			rows = append(rows, &row{name: name + " again (the noise)", measure: load})
		}
	}
	if err := interleave(rows); err != nil {
		return err
	}
	table("Loading a module from the cache", "ms/load", rows)
	return nil
}

func loads(o wasm.Options, n int) (float64, error) {
	begin := cpu()
	for range n {
		m, err := wasm.Load(context.Background(), o)
		if err != nil {
			return 0, err
		}
		if err := m.Close(); err != nil {
			return 0, err
		}
	}
	return float64(cpu()-begin) / float64(n) / 1e6, nil
}
