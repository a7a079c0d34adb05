package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every module linked into the program has a permissive licence, and both files name it.
func TestEveryLinkedModuleIsNamed(t *testing.T) {
	dir := t.TempDir()
	if err := run("auditrelay/cmd/auditrelay", "v0.0.0-test", dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "THIRD_PARTY_NOTICES.txt"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "sbom.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var b bom
	if err := json.Unmarshal(raw, &b); err != nil {
		t.Fatal(err)
	}
	if b.Metadata.Component.Version != "v0.0.0-test" {
		t.Errorf("the program is %+v", b.Metadata.Component)
	}
	names := []string{}
	for _, c := range b.Components {
		names = append(names, c.Name)
		if len(c.Licences) == 0 || !strings.Contains(string(text), "\n"+c.Name+" "+c.Version+": "+c.Licences[0].License.ID) {
			t.Errorf("%s is not in the notices with its licence", c.Name)
		}
		if c.Name != "std" && len(c.Hashes) != 1 {
			t.Errorf("%s has no hash", c.Name)
		}
	}
	for _, want := range []string{"std", "github.com/cockroachdb/pebble/v2", "github.com/tetratelabs/wazero", "modernc.org/sqlite", "gopkg.in/yaml.v3"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestIdentify(t *testing.T) {
	for _, row := range []struct{ text, ids, bad string }{
		{"Apache License\n   Version 2.0, January 2004", "Apache-2.0", ""},
		{"Permission is hereby granted,\nfree of charge, to any person", "MIT", ""},
		{"Redistribution and use in source and binary forms ... to endorse or promote products", "BSD-3-Clause", ""},
		{"Redistribution and use in source and binary forms, with or without", "BSD-2-Clause", ""},
		{"GNU GENERAL PUBLIC LICENSE Version 3", "", "gnu general public license version"},
		{"Mozilla Public License, version 2.0 ... the GNU General Public License, Version 2.0", "MPL-2.0", ""},
		{"All rights reserved.", "", ""},
	} {
		ids, bad := identify(row.text)
		if strings.Join(ids, ",") != row.ids || bad != row.bad {
			t.Errorf("%q: %v %q, want %s %q", row.text, ids, bad, row.ids, row.bad)
		}
	}
}
