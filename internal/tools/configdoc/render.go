package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	output         = "docs/reference/configuration.md"
	defaultsOutput = "config/defaults.txt"
)

const introduction = `<!-- Written by go generate ./config from the Go source. Do not edit. -->

# Configuration

*For everyone who writes or reads a configuration. It lists every key, its default and its limits.*

The configuration is one YAML file, or a directory of several ([how they add up](../operators/running.md#several-files)). A test keeps this page equal to the program.

| you want to | command |
|---|---|
| check a file; all errors at once, with file, line and key | ` + "`auditrelay validate FILE`" + ` |
| see a configuration as the relay understands it, with defaults | ` + "`auditrelay config show FILE`" + ` |
| use LiteLLM's own file | ` + "`auditrelay serve --config litellm.yaml`" + ` |
| see what LiteLLM's file becomes | ` + "`auditrelay config translate FILE`" + ` |

| in values | write |
|---|---|
| an environment variable | ` + "`os.environ/NAME` or `${NAME}`" + `; ` + "`${NAME}`" + ` also inside a longer value. ` + "`$${NAME}`" + ` is a literal ` + "`${NAME}`" + `. An unset variable is an error |
| a file's content | ` + "`file:/path`, or `file:./path`" + ` relative to this file; without the line feed at its end |
| a size | a whole number with a unit: ` + "`512KiB`, `16MiB`, `10GB`" + ` |
| a duration | ` + "`500ms`, `30s`, `12h`, `30d`" + ` |
| a name | 1 to 64 of a-z, 0-9, _ and -; the first is a letter or digit |
| a file name | relative to the configuration file |

References work in every value, in lists too. A key that is not on this page is an error.
`

// words are the names of types in YAML's terms. Types with their own notation are described
// here.
var words = map[string]string{
	"string": "string", "bool": "true, false", "int": "whole number", "int64": "whole number", "float64": "number",
	"time.Duration": "duration", "auditrelay.ByteSize": "size", "auditrelay.Secret": "secret", "json.RawMessage": "mapping",
	"Key":  "secret, or mapping of current and versions",
	"Sink": "one key, the [sink](#sinks)'s type, with its options", "auditrelay.From": "now, beginning or a time",
	"auditrelay.Format": "event, ocsf, ecs, cloudevents, cef, leef or envelope; or a mapping, see [formats](formats.md)",
	"httpsink.Options":  "mapping, see [http](#http-of-the-sinks-over-http)",
	"Section":           "mapping, see [redact](#filter-redact)", "redaction.Operation": "remove, mask, encrypt, hmac, partial, truncate",
}

// renderer writes sections, one for each struct, parents before children.
type renderer struct {
	*source
	out      bytes.Buffer
	defaults bytes.Buffer
	prefix   string // of the defaults' paths
}

// render returns the reference for the source under root, and the defaults. The defaults have a
// line with a section's path in brackets, followed by one line for each key: the key, its
// default, and the path of the section that it is, separated by tabs.
func render(root string) (reference, defaults []byte, err error) {
	config, err := read(root, filepath.Join(root, "config"))
	if err != nil {
		return nil, nil, err
	}
	r := &renderer{source: config}
	r.out.WriteString(introduction)
	r.section("Config", "", "Top level", 2)

	r.out.WriteString("\n## Sources\n\nThe ways in beside `POST /v1/events`, each a key under `ingest`.\n")
	ways, err := filepath.Glob(filepath.Join(root, "cli", "internal", "sources", "*"))
	if err != nil {
		return nil, nil, err
	}
	for _, dir := range ways {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		if err := r.pkg(root, dir, "Config", "ingest."+filepath.Base(dir), "`ingest."+filepath.Base(dir)+"`", ""); err != nil {
			return nil, nil, err
		}
	}

	dirs, err := filepath.Glob(filepath.Join(root, "builtin", "*"))
	if err != nil {
		return nil, nil, err
	}
	r.out.WriteString("\n## Native filters\n")
	native := filepath.Join(root, "builtin", "redact")
	if err := r.pkg(root, native, "Options", "redact", "filter: redact", ""); err != nil {
		return nil, nil, err
	}
	r.out.WriteString("\n## Sinks\n")
	for _, dir := range dirs {
		switch {
		case dir == native, filepath.Base(dir) == "wasm": // filters; package config documents the keys of guests
			continue
		case filepath.Base(dir) == "internal":
			continue
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		if err := r.pkg(root, dir, "Options", filepath.Base(dir), "sink: "+filepath.Base(dir), "sink."); err != nil {
			return nil, nil, err
		}
	}
	shared := &renderer{}
	if shared.source, err = read(root, filepath.Join(root, "builtin", "internal", "httpsink")); err != nil {
		return nil, nil, err
	}
	shared.section("Options", "http", "http, of the sinks over HTTP", 3)
	r.out.Write(shared.out.Bytes())
	r.defaults.Write(shared.defaults.Bytes())
	return r.out.Bytes(), r.defaults.Bytes(), nil
}

// pkg adds the options of a type in a package under a path. prefix is the prefix of the
// defaults' path.
func (r *renderer) pkg(root, dir, typ, path, title, prefix string) error {
	pkg, err := read(root, dir)
	if err != nil || pkg.types[typ] == nil {
		return err
	}
	s := &renderer{source: pkg}
	s.prefix = prefix
	s.section(typ, path, title, 3)
	r.out.Write(s.out.Bytes())
	r.defaults.Write(s.defaults.Bytes())
	return nil
}

func (r *renderer) section(typ, path, title string, level int) {
	fmt.Fprintf(&r.out, "\n%s %s\n\n", strings.Repeat("#", level), title)
	if doc := r.docs[typ]; doc != "" && path != "" {
		fmt.Fprintf(&r.out, "%s\n\n", strings.Join(strings.Fields(doc), " "))
	}
	options := r.options(typ)
	if len(options) == 0 {
		r.out.WriteString("No options.\n")
		return
	}
	r.out.WriteString("| key | value | |\n|---|---|---|\n")
	fmt.Fprintf(&r.defaults, "[%s]\n", r.prefix+path)
	for _, o := range options {
		if o.key != "*" {
			fmt.Fprintf(&r.defaults, "%s\t%s\t%s\n", o.key, defaultOf(o.doc), r.sectionOf(path, o))
		}
		fmt.Fprintf(&r.out, "| %s | %s | %s%s |\n", label(o.key), cell(r.word(o)), cell(o.doc), bounds(o))
	}
	for _, o := range options {
		if name := r.nested(o.typ); name != "" {
			at := child(path, o)
			r.section(name, at, "`"+at+"`", 3)
		}
	}
}

// defaultText finds the default of an option in its comment.
var defaultText = regexp.MustCompile(`Default(?: \([^)]*\))?: (.+?)(?:[;.](?: |$))`)

func defaultOf(doc string) string {
	if m := defaultText.FindStringSubmatch(doc); m != nil {
		return m[1]
	}
	return ""
}

// sectionOf returns the path of the section that an option is, or whose names or items it
// lists.
func (r *renderer) sectionOf(path string, o option) string {
	switch {
	case nameOf(o.typ) == "httpsink.Options":
		return "http"
	case r.nested(o.typ) == "":
		return ""
	}
	return r.prefix + child(path, o)
}

func label(key string) string {
	if key == "*" {
		return "any field"
	}
	return "`" + key + "`"
}

// child returns the path of a struct's options.
func child(path string, o option) string {
	at := o.key
	if path != "" {
		at = path + "." + at
	}
	switch {
	case o.named:
		return at + ".NAME"
	case isList(o.typ):
		return at + "[]"
	}
	return at
}

func isList(t ast.Expr) bool {
	a, ok := t.(*ast.ArrayType)
	return ok && a.Len == nil
}

// nested returns the name of the struct below an option, if there is one.
func (r *renderer) nested(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return r.nested(t.X)
	case *ast.ArrayType:
		return r.nested(t.Elt)
	case *ast.SelectorExpr, *ast.Ident:
		if name := nameOf(t); words[name] == "" && len(r.options(name)) > 0 {
			return name
		}
	}
	return ""
}

func (r *renderer) word(o option) string {
	text := r.typeWord(o.typ)
	switch {
	case o.named:
		text = "mapping of names"
	case o.key == "*":
		text = "string or list of strings"
	case o.forever:
		text += " or forever"
	}
	return text
}

func (r *renderer) typeWord(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return r.typeWord(t.X)
	case *ast.ArrayType:
		if r.nested(t.Elt) != "" {
			return "list of mappings"
		}
		return "list of " + plural(r.typeWord(t.Elt))
	case *ast.MapType:
		return "mapping to " + r.typeWord(t.Value)
	case *ast.SelectorExpr, *ast.Ident:
		name := nameOf(t)
		if word, ok := words[name]; ok {
			return word
		}
		if values := r.allowed[name]; len(values) > 0 {
			return strings.Join(values, ", ")
		}
		if r.types[name] != nil {
			return "mapping"
		}
	}
	return "string"
}

// nameOf returns a type's name as used: unqualified in its own package, or qualified.
func nameOf(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.Ident:
		return t.Name
	case *ast.SelectorExpr:
		if x, ok := t.X.(*ast.Ident); ok {
			return x.Name + "." + t.Sel.Name
		}
	}
	return ""
}

func plural(word string) string {
	if slices.Contains([]string{"string", "secret", "mapping", "size", "duration", "whole number"}, word) {
		return word + "s"
	}
	return word
}

func bounds(o option) string {
	least, most, ok := strings.Cut(o.bounds, "..")
	switch {
	case !ok:
		return ""
	case most == "":
		return " At least " + least + "."
	case least == "":
		return " At most " + most + "."
	}
	return fmt.Sprintf(" From %s to %s.", least, most)
}

// cell escapes characters with a meaning in Markdown.
func cell(text string) string { return strings.NewReplacer("|", `\|`, "*", `\*`).Replace(text) }
