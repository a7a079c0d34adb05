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

func TestManifestsAreChecked(t *testing.T) {
	bare := moduleBytes(t, "hostile/keep")
	custom := func(text string) []byte {
		payload := append([]byte{10}, "auditrelay"+text...)
		return append(append(append([]byte(nil), bare...), 0, byte(len(payload))), payload...)
	}
	for text, want := range map[string]string{
		`{"name":"x","abi":"1.0"`:                   "unexpected EOF",
		`{"name":"x","abi":"2.0"}`:                  `abi is "2.0"`,
		`{"name":"x","abi":"1.0","write":[]}`:       `unknown field "write"`,
		`{"name":"x","abi":"1.0","writes":[""]}`:    "writes[0]",
		`{"name":"x","abi":"1.0"}{}`:                "more than one",
		`{"abi":"1.0","limits":{"memory":"1 ell"}}`: "not a size",
	} {
		if _, err := manifest.Read(custom(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", text, err, want)
		}
	}
}

// Nothing that a binary declares may panic or hurt who reads it.
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
