package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheReferenceIsWhatTheSourceSays(t *testing.T) {
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	reference, defaults, err := render(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{output: reference, defaultsOutput: defaults} {
		got, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is stale (-source +file); run go generate ./config:\n%s", name, diff)
		}
	}
}

// Each option must have a description: one without would be a gap in the reference.
func TestEveryOptionIsDocumented(t *testing.T) {
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"config", "builtin/s3", "builtin/file", "builtin/sqlite", "cli/internal/sources/s3", "cli/internal/sources/postgres"} {
		s, err := read(root, filepath.Join(root, filepath.FromSlash(dir)))
		if err != nil {
			t.Fatal(err)
		}
		for name := range s.types {
			for _, o := range s.options(name) {
				if o.doc == "" {
					t.Errorf("%s: %s.%s has no doc comment", dir, name, o.key)
				}
			}
		}
	}
}
