package detect_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"testing"
)

// TestTextsThatEndAnywhere truncates all texts of the tests at each byte, omits each byte, and
// adds blanks and a quote at the ends. Nothing may be read outside the text, and every finding
// is inside it.
func TestTextsThatEndAnywhere(t *testing.T) {
	texts := literals(t, "*_test.go", "../../builtin/redact/*_test.go", "../gate/*_test.go")
	if len(texts) < 1000 {
		t.Fatalf("only %d texts", len(texts))
	}
	set := newSet(t, "secrets", "pii", "personal")
	look := func(text string) {
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("%q: %v", text, p)
			}
		}()
		at := 0
		for _, f := range set.Append(nil, []byte(text), set.Name(nil)) {
			if f.Start < at || f.End <= f.Start || f.End > len(text) {
				t.Errorf("%q: found from %d to %d", text, f.Start, f.End)
			}
			at = f.End
		}
	}
	for _, text := range texts {
		for i := range len(text) + 1 {
			for _, cut := range []string{text[:i], text[i:], text[:i] + " ", " " + text[i:], text[:i] + `"`, text[:i] + text[min(len(text), i+1):]} {
				look(cut)
			}
		}
	}
}

// literals returns the string literals of moderate length in Go files.
func literals(t *testing.T, patterns ...string) (texts []string) {
	t.Helper()
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
					if text, err := strconv.Unquote(l.Value); err == nil && len(text) > 3 && len(text) < 400 {
						texts = append(texts, text)
					}
				}
				return true
			})
		}
	}
	return texts
}
