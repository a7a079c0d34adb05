package cli_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestWhatCommandsPrintIsSnakeCase: the structs that commands print as JSON name every field in
// snake_case. TestJSONIsSnakeCase in internal/http checks the API.
func TestWhatCommandsPrintIsSnakeCase(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	fields := 0
	for _, dir := range []string{".", "internal/api", "internal/app", "internal/inspect"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			fileSet := token.NewFileSet()
			parsed, err := parser.ParseFile(fileSet, file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				s, ok := n.(*ast.StructType)
				if !ok {
					return true
				}
				tags := make([]reflect.StructTag, len(s.Fields.List))
				tagged := false
				for i, f := range s.Fields.List {
					if f.Tag != nil {
						text, _ := strconv.Unquote(f.Tag.Value)
						tags[i] = reflect.StructTag(text)
						_, has := tags[i].Lookup("json")
						tagged = tagged || has
					}
				}
				for i, f := range s.Fields.List {
					if !tagged || len(f.Names) == 0 || !f.Names[0].IsExported() {
						continue
					}
					name, _, _ := strings.Cut(tags[i].Get("json"), ",")
					if fields++; name != "-" && !snake.MatchString(name) {
						t.Errorf("%s: the field %s is called %q", fileSet.Position(f.Pos()), f.Names[0].Name, name)
					}
				}
				return true
			})
		}
	}
	if fields < 200 {
		t.Errorf("only %d fields were looked at", fields)
	}
}
