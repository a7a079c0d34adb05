package examples_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/guest"
)

// spec is an example's cases.json.
type spec struct {
	Config json.RawMessage              `json:"config"`
	Grants guest.Grants                 `json:"grants"`
	Keys   map[string]auditrelay.Secret `json:"keys"`
	Cases  []struct {
		Name    string          `json:"name"`
		Event   json.RawMessage `json:"event"`
		Verdict string          `json:"verdict"`
		Want    json.RawMessage `json:"want"` // the document after, absent where unchanged
		Reason  string          `json:"reason"`
		Emitted []struct {
			Target string          `json:"target"`
			Data   json.RawMessage `json:"data"`
		} `json:"emitted"`
	} `json:"cases"`
}

// Every example does in the real engine what its cases say.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("*/cases.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d examples, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Dir(file)
		t.Run(name, func(t *testing.T) {
			var s spec
			read(t, file, &s)
			wasm, err := os.ReadFile(filepath.Join("../../testdata/wasm", name, name+".wasm"))
			if err != nil {
				t.Fatal(err)
			}
			m, err := guest.Load(t.Context(), guest.Options{
				Name: name, Wasm: wasm, Config: s.Config, Grants: s.Grants, Keys: s.Keys,
				Limits: guest.Limits{Time: 5 * time.Second, InitTime: time.Minute},
				Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = m.Close() })
			i, err := m.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = i.Close() })
			for _, c := range s.Cases {
				t.Run(c.Name, func(t *testing.T) {
					if err := document.Check(c.Event, document.Limits{}); err != nil {
						t.Fatal(err)
					}
					d := new(document.Document)
					d.Reset(c.Event)
					call := &filter.Call{Event: &auditrelay.Event{ID: "1", Sequence: 42, Received: time.Unix(0, 0), Data: c.Event}, Document: d}
					verdict, err := i.Apply(t.Context(), call)
					if err != nil {
						t.Fatal(err)
					}
					if verdict.String() != c.Verdict || call.Reason != c.Reason {
						t.Errorf("got %v, reason %q; want %s, reason %q", verdict, call.Reason, c.Verdict, c.Reason)
					}
					want := string(c.Want)
					if want == "" {
						want = string(c.Event)
					}
					if got := string(d.Append(nil)); got != want {
						t.Errorf("got  %s\nwant %s", got, want)
					}
					if len(call.Emitted) != len(c.Emitted) {
						t.Fatalf("got %d emitted records, want %d", len(call.Emitted), len(c.Emitted))
					}
					for n, e := range call.Emitted {
						if e.Target != c.Emitted[n].Target || string(e.Data) != string(c.Emitted[n].Data) {
							t.Errorf("emitted %s to %s\nwant    %s to %s", e.Data, e.Target, c.Emitted[n].Data, c.Emitted[n].Target)
						}
					}
				})
			}
		})
	}
}

// The manifest beside the source is the one in the committed module.
func TestCommittedModulesHaveTheirManifests(t *testing.T) {
	files, _ := filepath.Glob("*/manifest.json")
	for _, file := range files {
		name := filepath.Dir(file)
		var want guest.Manifest
		read(t, file, &want)
		wasm, err := os.ReadFile(filepath.Join("../../testdata/wasm", name, name+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := guest.ReadManifest(wasm)
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
		wasm, err := os.ReadFile(filepath.Join("../../testdata/wasm", name, name+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = guest.Load(t.Context(), guest.Options{Name: name, Wasm: wasm, Grants: guest.Grants{Emit: []string{"alerts"}}, Limits: guest.Limits{InitTime: time.Minute}})
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
