package config

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Translate prints LiteLLM's configuration in the relay's own format, with
// comments that say what was chosen and why. References to secrets stay
// references; neither variables nor files need to be there, unless a choice
// hangs on one. A configuration in our own format comes back as it is.
//
// Loading the translation gives what loading the original gives. What is wrong
// with LiteLLM's part comes back as Errors.
func Translate(name string, data []byte, o LoadOptions) ([]byte, []Note, error) {
	o = o.withDefaults()
	r := &report{file: name}
	root := parseTree(data, r)
	if err := r.err(); err != nil {
		return nil, nil, err
	}
	if root == nil || !isLiteLLM(root) {
		r.info(nil, "this is the relay's own format already")
		return data, r.sortedNotes(), nil
	}
	native := fromLiteLLM(root, &resolver{report: r, lookup: o.LookupEnv, dir: o.Dir, lenient: true}, o.LookupHost)
	if err := r.err(); err != nil {
		return nil, nil, err
	}
	notes := r.sortedNotes()
	var p printer
	p.line(0, fmt.Sprintf("# Translated from LiteLLM's configuration %s.", strconv.Quote(name)))
	for _, note := range notes {
		level := "Note"
		if note.Level >= slog.LevelWarn {
			level = "Warning"
		}
		at := ""
		if note.Line > 0 {
			at = fmt.Sprintf(", line %d there", note.Line)
		}
		p.wrapped(0, fmt.Sprintf("%s%s: %s", level, at, note.Text))
	}
	p.line(0, "")
	p.mapping(native, 0)
	return []byte(p.String()), notes, nil
}

// printer writes a tree as YAML in block style.
type printer struct{ strings.Builder }

func (p *printer) line(indent int, text string) {
	p.WriteString(strings.Repeat("  ", indent))
	p.WriteString(text)
	p.WriteByte('\n')
}

// wrapped writes a comment in lines of bearable length.
func (p *printer) wrapped(indent int, text string) {
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+len(word) > 98 && line != "#" {
			p.line(indent, line)
			line = "#  "
		}
		line += " " + word
	}
	p.line(indent, line)
}

func (p *printer) comments(n *node, indent int) {
	for _, c := range n.comments {
		p.line(indent, "# "+c)
	}
}

func (p *printer) mapping(n *node, indent int) {
	for i, k := range n.keys {
		p.entry(k, n.items[i], indent)
	}
}

func (p *printer) entry(k, v *node, indent int) {
	p.comments(v, indent)
	key := written(k)
	switch {
	case v.kind == kindMapping && len(v.keys) > 0:
		p.line(indent, key+":")
		p.mapping(v, indent+1)
	case v.kind == kindList && len(v.items) > 0:
		p.line(indent, key+":")
		p.list(v, indent+1)
	default:
		p.line(indent, key+": "+written(v))
	}
}

func (p *printer) list(n *node, indent int) {
	for _, item := range n.items {
		p.comments(item, indent)
		switch {
		case item.kind == kindMapping && len(item.keys) > 0:
			// The first key stands beside the dash.
			var inner printer
			inner.mapping(item, indent+1)
			p.dash(inner.String(), indent)
		case item.kind == kindList && len(item.items) > 0:
			p.line(indent, "-")
			p.list(item, indent+1)
		default:
			p.line(indent, "- "+written(item))
		}
	}
}

// dash puts "- " before what was written one level deeper, unless a comment comes
// first.
func (p *printer) dash(inner string, indent int) {
	margin := strings.Repeat("  ", indent)
	if rest := strings.TrimPrefix(inner, margin+"  "); !strings.HasPrefix(rest, "#") {
		p.WriteString(margin + "- " + rest)
		return
	}
	p.line(indent, "-")
	p.WriteString(inner)
}

// written returns a scalar, or an empty collection, as YAML that reads the same.
func written(n *node) string {
	switch n.kind {
	case kindNull:
		return "null"
	case kindMapping:
		return "{}"
	case kindList:
		return "[]"
	case kindString:
		if n.ref != "" {
			return quoted(n.ref)
		}
		return quoted(envInside.ReplaceAllStringFunc(n.text, func(match string) string { return "$" + match }))
	}
	return n.text
}

// quoted returns a string bare where it is harmless, in quotes otherwise.
func quoted(s string) string {
	bare := s != "" && !strings.HasSuffix(s, ":") && !strings.HasPrefix(s, "-") && !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_./:+=-", c))
	})
	if bare && (&yaml.Node{Kind: yaml.ScalarNode, Value: s}).ShortTag() == "!!str" {
		return s
	}
	return strconv.Quote(s)
}
