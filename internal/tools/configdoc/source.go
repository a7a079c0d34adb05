package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// source is what one package's files say of its types.
type source struct {
	types   map[string]*ast.StructType
	docs    map[string]string
	allowed map[string][]string // the values of string types with a closed set
}

// option is one field that YAML sets.
type option struct {
	key     string
	named   bool // a mapping of names, kept as a list
	forever bool
	bounds  string
	typ     ast.Expr
	doc     string
}

func read(dir string) (*source, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no Go files in %s", dir)
	}
	s := &source{types: map[string]*ast.StructType{}, docs: map[string]string{}, allowed: map[string][]string{}}
	fset := token.NewFileSet()
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				s.declared(d)
			case *ast.FuncDecl:
				s.method(d)
			}
		}
	}
	return s, nil
}

func (s *source) declared(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		t, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		doc := t.Doc.Text()
		if doc == "" {
			doc = d.Doc.Text()
		}
		s.docs[t.Name.Name] = doc
		if st, ok := t.Type.(*ast.StructType); ok {
			s.types[t.Name.Name] = st
		}
	}
}

// method takes the closed set of a string type from its method allowed.
func (s *source) method(d *ast.FuncDecl) {
	if d.Name.Name != "allowed" || d.Recv == nil || len(d.Recv.List) != 1 {
		return
	}
	name, ok := d.Recv.List[0].Type.(*ast.Ident)
	if !ok {
		return
	}
	ast.Inspect(d.Body, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if value, err := strconv.Unquote(lit.Value); err == nil {
				s.allowed[name.Name] = append(s.allowed[name.Name], value)
			}
		}
		return true
	})
}

// options lists what YAML sets of a struct, nil where that is nothing by name.
func (s *source) options(name string) []option {
	st := s.types[name]
	if st == nil {
		return nil
	}
	var options []option
	for _, f := range st.Fields.List {
		if f.Tag == nil || len(f.Names) != 1 {
			continue
		}
		text, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			continue
		}
		tag := reflect.StructTag(text)
		key, flag, _ := strings.Cut(tag.Get("yaml"), ",")
		if key == "" || key == "-" {
			continue
		}
		options = append(options, option{
			key:     key,
			named:   flag == "named",
			forever: flag == "forever",
			bounds:  tag.Get("range"),
			typ:     f.Type,
			doc:     forReaders(f.Doc.Text(), f.Names[0].Name, key),
		})
	}
	return options
}

// forReaders turns a doc comment into a sentence about the key.
func forReaders(doc, field, key string) string {
	doc = strings.Join(strings.Fields(doc), " ")
	if rest, ok := strings.CutPrefix(doc, field); ok && (rest == "" || strings.ContainsAny(rest[:1], " ,.:")) && key != "*" {
		return "`" + key + "`" + rest
	}
	return doc
}
