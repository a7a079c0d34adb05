package main

import (
	"bytes"
	"os"
	"testing"
)

// The SDKs import the host's functions. After a change of the table, run go generate ./...
func TestTheSDKsImportTheTable(t *testing.T) {
	files, err := generate("../../../guests/sdk")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 5 {
		t.Fatalf("%d files, want 5", len(files))
	}
	for name, want := range files {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s does not import the table as it is: run go generate ./...", name)
		}
	}
}
