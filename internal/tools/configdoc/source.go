package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// vocabulary is the prefix of the root package's types, which all other packages use.
const vocabulary = "auditrelay."

// source is the content of one package's files about its types. It includes the root package's
// types, under vocabulary.
type source struct {
	types   map[string]*ast.StructType
	docs    map[string]string
	allowed map[string][]string // the values of types with a closed set
}

// option is one field set in YAML.
type option struct {
	key     string
	named   bool // a mapping of names, stored as a list
	forever bool
	bounds  string
	typ     ast.Expr
	doc     string
}

// read reads the package in dir, under root, and the root package.
func read(root, dir string) (*source, error) {
	s := &source{types: map[string]*ast.StructType{}, docs: map[string]string{}, allowed: map[string][]string{}}
	for _, of := range []struct{ dir, prefix string }{
		{root, vocabulary},
		{filepath.Join(root, "builtin", "internal", "httpsink"), "httpsink."},
		{filepath.Join(root, "builtin", "kafka", "brokers"), "brokers."},
	} {
		if err := s.read(of.dir, of.prefix); err != nil {
			return nil, err
		}
	}
	return s, s.read(dir, "")
}

func (s *source) read(dir, prefix string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no Go files in %s", dir)
	}
	fset := token.NewFileSet()
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				s.declared(d, prefix)
			case *ast.FuncDecl:
				s.method(d, prefix)
			}
		}
	}
	return nil
}

func (s *source) declared(d *ast.GenDecl, prefix string) {
	for _, spec := range d.Specs {
		t, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		doc := t.Doc.Text()
		if doc == "" {
			doc = d.Doc.Text()
		}
		s.docs[prefix+t.Name.Name] = doc
		if st, ok := t.Type.(*ast.StructType); ok {
			if prefix != "" {
				qualify(st, prefix)
			}
			s.types[prefix+t.Name.Name] = st
		} else if t.Assign.IsValid() && s.types[nameOf(t.Type)] != nil {
			s.types[prefix+t.Name.Name] = s.types[nameOf(t.Type)]
		}
	}
}

// qualify puts prefix before the package's own types in a struct's fields.
func qualify(st *ast.StructType, prefix string) {
	for _, f := range st.Fields.List {
		ast.Inspect(f.Type, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				return false
			case *ast.Ident:
				if n.IsExported() {
					n.Name = prefix + n.Name
				}
			}
			return true
		})
	}
}

// method reads the closed set of a type from its method allowed or Words.
func (s *source) method(d *ast.FuncDecl, prefix string) {
	if d.Name.Name != "allowed" && d.Name.Name != "Words" || d.Recv == nil || len(d.Recv.List) != 1 {
		return
	}
	name, ok := d.Recv.List[0].Type.(*ast.Ident)
	if !ok {
		return
	}
	ast.Inspect(d.Body, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if value, err := strconv.Unquote(lit.Value); err == nil {
				s.allowed[prefix+name.Name] = append(s.allowed[prefix+name.Name], value)
			}
		}
		return true
	})
}

// options returns the options of a struct in YAML. It returns nil if none has a name.
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

// page matches the path of a documentation page in a comment.
var page = regexp.MustCompile(`docs/([a-z]+)/([a-z-]+)\.md`)

// forReaders converts a doc comment to a description of the key. It removes the field's name,
// since the table shows the key, and links the pages that the comment names.
func forReaders(doc, field, key string) string {
	doc = page.ReplaceAllString(strings.Join(strings.Fields(doc), " "), "[$2](../$1/$2.md)")
	rest, ok := strings.CutPrefix(doc, field+" ")
	if !ok {
		return doc
	}
	for _, be := range []string{"is ", "are "} {
		if what, ok := strings.CutPrefix(rest, be); ok {
			rest = what
			break
		}
	}
	if first, _, _ := strings.Cut(rest, " "); slices.Contains([]string{"of", "that", "for", "with", "by", "in", "such", "to"}, first) {
		return "`" + key + "` " + rest
	}
	return strings.ToUpper(rest[:1]) + rest[1:]
}
