package auditrelay_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"auditrelay"
)

// TestActionsAreExhaustive reads the constants from the source, so that one that
// is added without being listed, known and closed fails here; and it holds them to
// LiteLLM's six.
func TestActionsAreExhaustive(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "action.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []auditrelay.Action
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Action" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			declared = append(declared, auditrelay.Action(text))
		}
		return true
	})
	want := []auditrelay.Action{"created", "updated", "deleted", "blocked", "unblocked", "rotated"}
	if !slices.Equal(declared, want) || !slices.Equal(auditrelay.Actions(), want) {
		t.Errorf("declared %v, listed %v, want %v", declared, auditrelay.Actions(), want)
	}
	for _, a := range declared {
		if !a.Known() || a.Closed() != string(a) {
			t.Errorf("%s: known %v, closed %q", a, a.Known(), a.Closed())
		}
	}
	for _, a := range []auditrelay.Action{"", "Created", "unblock", "purged\n"} {
		if a.Known() || a.Closed() != "other" {
			t.Errorf("%q: known %v, closed %q", a, a.Known(), a.Closed())
		}
	}
}
