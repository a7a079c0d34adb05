package hostfuncs_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditrelay/hostfuncs"
)

// docs/reference/guest-abi.md lists exactly the host functions, with their signatures, in the
// same order.
func TestDocumentationHasTheTable(t *testing.T) {
	text, err := os.ReadFile("../docs/reference/guest-abi.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+\\(.*?)` \\| ([a-z]*) *\\| ([a-z, ]*?) *\\|")
	var documented, table []string
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, strings.Join(m[1:], " | "))
	}
	for _, f := range hostfuncs.V1() {
		table = append(table, strings.Join([]string{f.String(), f.Turn.String(), f.Need.String()}, " | "))
	}
	if diff := cmp.Diff(table, documented); diff != "" {
		t.Errorf("the table (-) and docs/reference/guest-abi.md (+) differ:\n%s", diff)
	}
}

// The C header declares exactly the host functions, with the right number of parameters. The Go
// SDK imports them all.
func TestSDKsHaveTheTable(t *testing.T) {
	header, err := os.ReadFile("../guests/sdk/c/auditrelay.h")
	if err != nil {
		t.Fatal(err)
	}
	imports, err := os.ReadFile("../guests/sdk/go/imports_wasip1.go")
	if err != nil {
		t.Fatal(err)
	}
	count := func(parameters string) int {
		if parameters == "" || parameters == "void" {
			return 0
		}
		return strings.Count(parameters, ",") + 1
	}
	c, golang, table := map[string]int{}, map[string]int{}, map[string]int{}
	for _, m := range regexp.MustCompile(`AUDITRELAY_IMPORT\("([a-z_]+)"\) .*? auditrelay_([a-z_]+)\((.*?)\);`).FindAllStringSubmatch(string(header), -1) {
		if m[1] != m[2] {
			t.Errorf("auditrelay_%s imports %s", m[2], m[1])
		}
		c[m[1]] = count(m[3])
	}
	for _, m := range regexp.MustCompile(`//go:wasmimport auditrelay_v1 ([a-z_]+)\nfunc \w+\((.*?)\)`).FindAllStringSubmatch(string(imports), -1) {
		golang[m[1]] = count(m[2])
	}
	for _, f := range hostfuncs.V1() {
		table[f.Name] = len(f.ParamTypes())
	}
	if diff := cmp.Diff(table, c); diff != "" {
		t.Errorf("the table (-) and auditrelay.h (+) differ:\n%s", diff)
	}
	if diff := cmp.Diff(table, golang); diff != "" {
		t.Errorf("the table (-) and the Go SDK (+) differ:\n%s", diff)
	}
}
