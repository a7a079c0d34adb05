package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// For any bytes: no panic, errors with places, no secret in any error, and a translation that
// loads like the original.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, seed := range []string{
		"", "a: &a *a", "<<: {a: b}", "? [a]\n: b", "!!set {a}", "a: !<tag:x> b", "--- a\n--- b\n...", "listen: \"\\x00\"", "\ufeffa: b", "a: |2\n   b\n", "%YAML 9.9\n---\na: b",
		"litellm_settings: {audit_log_callbacks: [s3_v2], s3_callback_params: {s3_bucket_name: b, <<: {s3_path: '${BUCKET}'}}}",
		"general_settings: 5\nlitellm_settings: [a]", "filters: {a: {config: {b: .nan}}}", "removed: [\"${LONG_SECRET}\"]", "keys: {${LONG_SECRET}: x}",
		"journal: {retention: {age: forever, bytes: 9999999TiB}}", "log: {level: os.environ/LONG_SECRET}", "callbacks: [{name: os.environ/LONG_SECRET}]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o := testOptions("testdata/native")
		c, err := Parse("fuzz.yaml", data, o)
		if err != nil {
			if _, ok := errors.AsType[Errors](err); !ok {
				t.Fatalf("not Errors: %v", err)
			}
			for _, secret := range []string{longSecret, "aws-secret-value", "aws-session-value"} {
				if strings.Contains(err.Error(), secret) && !strings.Contains(string(data), secret) {
					t.Fatalf("a secret in the errors: %v", err)
				}
			}
			return
		}
		native, _, hidden, err := translate("fuzz.yaml", data, o)
		if err != nil {
			t.Fatalf("loads, but does not translate: %v", err)
		}
		lookup := o.LookupEnv
		o.LookupEnv = func(name string) (string, bool) {
			if value, ok := hidden[name]; ok {
				return value, true
			}
			return lookup(name)
		}
		again, err := Parse("fuzz.yaml", native, o)
		if err != nil {
			t.Fatalf("translates, but the translation does not load: %v\n%s", err, native)
		}
		if again.Digest(nil) != c.Digest(nil) {
			t.Fatalf("the translation gives another configuration:\n%s", native)
		}
	})
}
