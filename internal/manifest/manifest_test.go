package manifest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay/internal/manifest"
)

func moduleBytes(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../testdata/wasm", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPackReplacesTheManifest(t *testing.T) {
	bare := moduleBytes(t, "hostile/keep")
	if m, err := manifest.Read(bare); m != nil || err != nil {
		t.Fatalf("got %v, %v; want no manifest", m, err)
	}
	packed := bare
	for _, name := range []string{"first", "second"} {
		var err error
		if packed, err = manifest.Pack(packed, manifest.Manifest{Name: name, ABI: "1.0", Writes: []string{"a.**"}}); err != nil {
			t.Fatal(err)
		}
		m, err := manifest.Read(packed)
		if err != nil || m.Name != name || len(m.Writes) != 1 {
			t.Errorf("got %+v, %v", m, err)
		}
	}
}

// A manifest means what people read in it. Keys in another case, repeated keys, unprintable
// characters and overlong texts are refused.
func TestManifestsAreChecked(t *testing.T) {
	long := strings.Repeat("n", 600)
	for text, want := range map[string]string{
		`{"name":"x","abi":"1.0"`:                                  "not valid JSON",
		`{"name":"x","abi":"2.0"}`:                                 `abi is "2.0"`,
		`{"name":"x"}`:                                             `abi is ""`,
		`{"name":"x","abi":"1.0","write":[]}`:                      `unknown key "write"`,
		`{"name":"x","abi":"1.0","writes":[""]}`:                   "writes[0]",
		`{"name":"x","abi":"1.0"}{}`:                               "more data after",
		`{"name":"x","abi":"1.0"} garbage`:                         "more data after",
		`{"abi":"1.0","limits":{"memory":"1 ell"}}`:                "not a size",
		`{"abi":"1.0","limits":{"Memory":"1MiB"}}`:                 `unknown key limits."Memory"`,
		`{"abi":"1.0","limits":[]}`:                                "limits: expected an object",
		`{"abi":"1.0","writes":["action"],"writes":["**"]}`:        "writes",
		`{"abi":"1.0","writes":["action"],"wr\u0069tes":["**"]}`:   "writes",
		`{"abi":"1.0","limits":{"memory":"1MiB","memory":"2MiB"}}`: "memory",
		`{"ABI":"1.0","Name":"a","WRITES":["**"]}`:                 `unknown key "ABI"`,
		`{"abi":"1.0","name":"a","write\u017f":["**"]}`:            "unknown key \"write\u017f\"",
		`{"abi":"1.0","name":"a\u202eb"}`:                          "name holds a character that does not print, at byte 1",
		`{"abi":"1.0","version":"1\r\n9"}`:                         "version holds a character",
		`{"abi":"1.0","description":"\u001b]0;x\u0007"}`:           "description holds a character",
		`{"abi":"1.0","keys":["a\u200bb"]}`:                        "keys[0] holds a character",
		`{"abi":"1.0","name":"` + long + `"}`:                      "name is longer than 128 bytes",
		`{"abi":"1.0","writes":["` + long + `"]}`:                  "writes[0] is longer than 512 bytes",
		"{\"abi\":\"1.0\",\"name\":\"\xff\"}":                      "UTF-8",
		"\xef\xbb\xbf" + `{"abi":"1.0"}`:                           "not",
		`null`:                                                     "not a JSON object",
		``:                                                         "not",
	} {
		if _, err := manifest.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: got %v, want %q in it", text, err, want)
		}
	}
	if m, err := manifest.Parse([]byte(`{"abi":"1.0","name":"règles d’été","limits":{"memory":"1MiB"}}`)); err != nil || m.Limits.Memory != 1<<20 {
		t.Errorf("got %+v, %v", m, err)
	}
}

// A module's own manifest has the same rules.
func TestAModuleWithABadManifest(t *testing.T) {
	payload := append([]byte{10}, `auditrelay{"abi":"1.0","ABI":"1.0"}`...)
	module := append(append(moduleBytes(t, "hostile/keep"), 0, byte(len(payload))), payload...)
	if _, err := manifest.Read(module); err == nil || !strings.Contains(err.Error(), `manifest: unknown key "ABI"`) {
		t.Errorf("got %v", err)
	}
}

// A module's declarations cannot cause a panic or harm its readers.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"hostile/keep", "hostile/emit-flood", "hostile/imported-memory", "reference-c/reference-c"} {
		f.Add(moduleBytes(f, name))
	}
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := manifest.Read(b); err != nil {
			return
		}
		packed, err := manifest.Pack(b, manifest.Manifest{Name: "x", ABI: "1.0"})
		if err != nil {
			return
		}
		if m, err := manifest.Read(packed); err != nil || m.Name != "x" {
			t.Errorf("packed, it reads as %v, %v", m, err)
		}
	})
}
