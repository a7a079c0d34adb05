package examples_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditrelay/builtin/wasm"
	"auditrelay/guests/cases"
	"auditrelay/internal/manifest"
)

// Every example does in the real engine what its cases say.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("*/cases.json")
	if err != nil || len(files) < 13 {
		t.Fatalf("found %d examples, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Dir(file)
		modules := map[string]string{name: filepath.Join(name, name)}
		if _, err := os.Stat(filepath.Join(name, "go")); err == nil { // side by side
			modules = map[string]string{}
			for _, language := range []string{"go", "c", "rust", "assemblyscript"} {
				modules[name+"/"+language] = filepath.Join("examples", name+"-"+language)
			}
		}
		for name, module := range modules {
			runCases(t, name, file, module)
		}
	}
}

func runCases(t *testing.T, name, file, module string) {
	t.Run(name, func(t *testing.T) {
		recorded, err := cases.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		code, err := os.ReadFile(filepath.Join("../../testdata/wasm", module+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		results, err := recorded.Run(t.Context(), name, code)
		if err != nil || len(results) != len(recorded.Cases) {
			t.Fatalf("%d of %d cases ran: %v", len(results), len(recorded.Cases), err)
		}
		for _, r := range results {
			if !r.OK {
				t.Errorf("%s: %s\ngot  %s\nwant %s", r.Name, strings.Join(r.Problems, "; "), r.Got.After(), r.Want.After())
			}
		}
	})
}

// The manifest beside the source is the one in the committed module.
func TestCommittedModulesHaveTheirManifests(t *testing.T) {
	files, _ := filepath.Glob("*/manifest.json")
	for _, file := range files {
		name := filepath.Dir(file)
		var want manifest.Manifest
		read(t, file, &want)
		module := filepath.Join("../../testdata/wasm", name, name+".wasm")
		if _, err := os.Stat(filepath.Join(name, "c")); err == nil {
			module = filepath.Join("../../testdata/wasm/examples", name+"-c.wasm")
		}
		code, err := os.ReadFile(module)
		if err != nil {
			t.Fatal(err)
		}
		got, err := manifest.Read(code)
		if err != nil || got == nil {
			t.Fatalf("%s: got %v, %v", name, got, err)
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if string(a) != string(b) {
			t.Errorf("%s: the module says %s, its source %s: run make guests", name, a, b)
		}
	}
}

func TestExamplesThatLackTheirConfigurationSayWhat(t *testing.T) {
	for name, want := range map[string]string{"drop-c": "must name actions or tables", "alert-go": "must name a callback"} {
		code, err := os.ReadFile(filepath.Join("../../testdata/wasm", name, name+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = wasm.Load(t.Context(), wasm.Options{Name: name, Wasm: code, Grants: wasm.Grants{Emit: []string{"alerts"}}, Limits: wasm.Limits{InitTime: time.Minute}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", name, err, want)
		}
	}
}

func read(t *testing.T, file string, v any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
