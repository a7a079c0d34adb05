package config

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Translate prints LiteLLM's configuration in the relay's own format. Comments explain the
// choices. References to secrets stay references. Variables and files need not exist unless a
// choice depends on one. A secret in plain text becomes a reference to a variable that a
// comment names, so that no secret is printed. Translate returns a configuration in the relay's
// own format unchanged, unless it contains such a secret.
//
// Loading the translation, with those variables set, gives the same result as loading the
// original. Faults in LiteLLM's part are returned as Errors.
func Translate(name string, data []byte, o LoadOptions) ([]byte, []Note, error) {
	native, notes, _, err := translate(name, data, o)
	return native, notes, err
}

// translate is Translate. It also returns the secrets that the variables replace.
func translate(name string, data []byte, o LoadOptions) (_ []byte, _ []Note, hidden map[string]string, _ error) {
	o = o.withDefaults()
	r := &report{file: name}
	root := parseTree(data, r)
	if err := r.err(); err != nil {
		return nil, nil, nil, err
	}
	switch {
	case root == nil || root.kind == kindNull:
		r.add(nil, "", "the file is empty")
	case root.kind != kindMapping:
		r.add(root, "", "found %v, expected a mapping of options", root.kind)
	case !isLiteLLM(root.keys) && !slices.ContainsFunc(root.keys, func(k *node) bool { return isNative(k.text) }):
		r.add(root, "", "neither LiteLLM's configuration nor the relay's: no top-level key is known; where LiteLLM's stands inside another file, as proxy_config of its Helm chart, give that part alone")
	case !isLiteLLM(root.keys):
		r.info(root, "this is the relay's own format already")
		(&resolver{report: &report{}, lookup: o.LookupEnv, dir: o.Dir, lenient: true}).all(root, "")
		if hidden = hideSecrets(root, o, r); len(hidden) > 0 {
			var p printer
			p.mapping(root, 0)
			data = []byte(p.String())
		}
		return data, r.sortedNotes(), hidden, nil
	}
	if err := r.err(); err != nil {
		return nil, nil, nil, err
	}
	native := fromLiteLLM(root, &resolver{report: r, lookup: o.LookupEnv, dir: o.Dir, lenient: true}, o)
	if err := r.err(); err != nil {
		return nil, nil, nil, err
	}
	hidden = hideSecrets(native, o, r)
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
	return []byte(p.String()), notes, hidden, nil
}

// hideSecrets replaces secrets in plain text by references to variables, and returns the
// variables with their values.
func hideSecrets(native *node, o LoadOptions, r *report) map[string]string {
	// Decoding marks every secret, including those of sinks. Loading the translation reports
	// its errors.
	_, _ = load(native, o, &report{file: r.file}, false)
	hidden := map[string]string{}
	var visit func(n *node, names []string)
	visit = func(n *node, names []string) {
		if name := n.get("name"); name.given() && name.kind == kindString {
			names = []string{name.text}
		}
		for i, item := range n.items {
			under := names
			if n.kind == kindMapping {
				under = append(names[:len(names):len(names)], n.keys[i].text)
			}
			visit(item, under)
		}
		if n.kind != kindString || n.ref != "" || !n.literal && !hasPassword(n.text) {
			return
		}
		name := variableName(names, hidden)
		hidden[name] = n.text
		n.ref = "${" + name + "}"
		n.comments = append(n.comments, fmt.Sprintf("In plain text on line %d there: set the variable %s to it, or write file:/path.", n.line, name))
		r.warn(n, "%s is a secret in plain text, which the translation does not repeat: it names the variable %s in its place", place(n, strings.Join(names, ".")), name)
	}
	visit(native, nil)
	return hidden
}

// hasPassword reports whether text is a URL with a password.
func hasPassword(text string) bool {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || strings.ContainsAny(scheme, " \t") {
		return false
	}
	authority, _, _ := strings.Cut(rest, "/")
	user, _, ok := strings.Cut(authority, "@")
	return ok && strings.Contains(user, ":")
}

// variableName makes an unused variable name from a callback's name and an option's.
func variableName(names []string, used map[string]string) string {
	if len(names) > 2 {
		names = []string{names[0], names[len(names)-1]}
	}
	base := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 'A'
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			return c
		}
		return '_'
	}, "AUDITRELAY_"+strings.Join(names, "_"))
	name := base
	for i := 2; ; i++ {
		if _, taken := used[name]; !taken {
			return name
		}
		name = base + "_" + strconv.Itoa(i)
	}
}

// printer writes a tree as YAML in block style.
type printer struct{ strings.Builder }

func (p *printer) line(indent int, text string) {
	p.WriteString(strings.Repeat("  ", indent))
	p.WriteString(text)
	p.WriteByte('\n')
}

// wrapped writes a comment in short lines.
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
			// The first key is on the line of the dash.
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

// dash puts "- " before text that was written one level deeper, unless the text starts with a
// comment.
func (p *printer) dash(inner string, indent int) {
	margin := strings.Repeat("  ", indent)
	if rest := strings.TrimPrefix(inner, margin+"  "); !strings.HasPrefix(rest, "#") {
		p.WriteString(margin + "- " + rest)
		return
	}
	p.line(indent, "-")
	p.WriteString(inner)
}

// written returns a scalar or an empty collection in a form that YAML reads as the same value.
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
		return quoted(escaped(n.text))
	}
	return n.text
}

// quoted returns a string without quotes if that is safe, otherwise in quotes.
func quoted(s string) string {
	bare := s != "" && !strings.HasSuffix(s, ":") && !strings.HasPrefix(s, "-") && !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_./:+=-", c))
	})
	if bare && (&yaml.Node{Kind: yaml.ScalarNode, Value: s}).ShortTag() == "!!str" {
		return s
	}
	return strconv.Quote(s)
}
