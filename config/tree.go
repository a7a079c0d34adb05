package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Limits of the input: far above any real configuration, and low enough to be safe. The limit
// of a file is that of a Kubernetes ConfigMap. The others apply after aliases are expanded.
const (
	maxFile  = 1 << 20
	maxNodes = 100_000
	maxDepth = 64
)

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindInt
	kindFloat
	kindString
	kindList
	kindMapping
)

func (k kind) String() string {
	return [...]string{"nothing", "a boolean", "a whole number", "a number", "a string", "a list", "a mapping"}[k]
}

// node is one value of the file. YAML's aliases, merges and tags are already resolved, so that
// no later step handles them.
type node struct {
	kind         kind
	line, column int
	file         *sourceFile // nil for a single file, or if the value is in no file

	text string // text of a scalar with references resolved
	ref  string // the original text of a scalar with references

	// resolved: references were already resolved; once only, since several merges may refer to
	// the node. unset: one reference had no value and was allowed to have none.
	resolved, unset bool
	// literal: a secret that is in the file itself. exposed: every user of the machine may read
	// the value's file.
	literal, exposed bool

	keys  []*node // of a mapping: strings; also of an ignored mapping, whose kind is none
	items []*node // of a mapping or list

	// origin is the value's key in the file, if it differs from the path under which it is
	// read. It is then a LiteLLM key.
	origin string
	// comments say why Translate wrote this. They are printed above the key.
	comments []string
}

// sourceFile is one of a configuration's files.
type sourceFile struct {
	name string
	open bool // every user of the machine may read it
}

// get returns the value of a mapping's key, or nil if it has none.
func (n *node) get(key string) *node {
	if n == nil || n.kind != kindMapping {
		return nil
	}
	for i, k := range n.keys {
		if k.text == key {
			return n.items[i]
		}
	}
	return nil
}

// key returns a mapping's key itself, for its position.
func (n *node) key(key string) *node {
	for i, k := range n.keys {
		if k.text == key {
			return n.keys[i]
		}
	}
	return nil
}

// given reports whether a value exists and is not null.
func (n *node) given() bool { return n != nil && n.kind != kindNull }

// parseTree parses one YAML document. It returns nil if the file is empty, or if a fault makes
// the rest meaningless.
func parseTree(data []byte, r *report) *node { return parseFile(data, r, &builder{report: r}) }

func parseFile(data []byte, r *report, b *builder) *node {
	if len(data) > maxFile {
		r.add(nil, "", "the file is larger than %d MiB", maxFile>>20)
		return nil
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		r.add(position(data, i), "", "a NUL byte: expected YAML as UTF-8 text")
		return nil
	}
	if !utf8.Valid(data) {
		i := 0
		for i < len(data) {
			c, size := utf8.DecodeRune(data[i:])
			if c == utf8.RuneError && size == 1 {
				break
			}
			i += size
		}
		r.add(position(data, i), "", "not UTF-8: expected YAML as UTF-8 text")
		return nil
	}
	var first, second yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := decodeYAML(d, &first); err != nil {
		if !errors.Is(err, io.EOF) {
			r.errs = append(r.errs, syntaxError(r.file, err))
		}
		return nil
	}
	switch err := decodeYAML(d, &second); {
	case err == nil:
		r.add(&node{line: second.Line, column: second.Column}, "", "a second YAML document: expected one; remove the line --- and what does not belong")
	case !errors.Is(err, io.EOF):
		r.errs = append(r.errs, syntaxError(r.file, err))
	}
	if len(first.Content) != 1 {
		return nil
	}
	if isLiteLLM(keysOf(first.Content[0])) {
		b.ignored = ignoredByLiteLLMs
	}
	n := b.build(first.Content[0], "", 0)
	if b.stopped {
		return nil
	}
	return n
}

// position returns a node with the position of a byte.
func position(data []byte, i int) *node {
	return &node{line: 1 + bytes.Count(data[:i], []byte("\n")), column: i - bytes.LastIndexByte(data[:i], '\n')}
}

// decodeYAML turns a panic of the parser into an error. Fuzzing found none, but a configuration
// must never end the process.
func decodeYAML(d *yaml.Decoder, into *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("yaml: this cannot be read as YAML")
		}
	}()
	return d.Decode(into)
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func syntaxError(file string, err error) *Error {
	text := err.Error()
	e := &Error{File: file, Line: 1}
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		if line, err := strconv.Atoi(m[1]); err == nil {
			e.Line = line
		}
		text = text[len(m[0]):]
	}
	e.Msg = "not YAML: " + withoutQuotes(text)
	if strings.Contains(text, "unknown anchor") {
		e.Msg = "not YAML: an alias without its anchor (a value that begins with * needs quotes)"
	}
	if strings.Contains(text, "cannot start any token") {
		e.Msg += " (YAML is indented by spaces, never by tabs, and values that begin with @, ` or % need quotes)"
	}
	return e
}

// quotedText matches parts of the file in the parser's errors. They may be secrets.
var quotedText = regexp.MustCompile("'[^']*'|\"[^\"]*\"|`[^`]*`")

// withoutQuotes keeps only the parser's own words in an error, including the grammar's
// characters that it quotes.
func withoutQuotes(text string) string {
	return quotedText.ReplaceAllStringFunc(text, func(match string) string {
		if len(match) <= 4 {
			return match
		}
		return "a text"
	})
}

// builder converts YAML's nodes to nodes and limits the expansion of aliases.
type builder struct {
	report  *report
	file    *sourceFile
	nodes   int
	stopped bool
	// ignored reports whether a path has no meaning for the relay. In LiteLLM's file these are
	// the keys that only LiteLLM reads.
	ignored func(path string) bool
}

func (b *builder) build(y *yaml.Node, path string, depth int) *node {
	n := &node{line: y.Line, column: y.Column, file: b.file}
	if b.stopped {
		return n
	}
	b.nodes++
	if b.nodes > maxNodes || depth > maxDepth {
		b.stopped = true
		what := fmt.Sprintf("nested deeper than %d levels", maxDepth)
		if b.nodes > maxNodes {
			what = fmt.Sprintf("more than %d values", maxNodes)
		}
		b.report.add(n, "", "%s, aliases expanded: no configuration needs that", what)
		return n
	}
	switch y.Kind {
	case yaml.AliasNode:
		// The value's place is where the alias is. The places of its content are elsewhere.
		n := b.build(y.Alias, path, depth+1)
		n.line, n.column = y.Line, y.Column
		return n
	case yaml.ScalarNode:
		b.scalar(n, y, path)
	case yaml.SequenceNode:
		n.kind = kindList
		b.tag(n, y, path, "!!seq")
		for i, item := range y.Content {
			n.items = append(n.items, b.build(item, index(path, i), depth+1))
		}
	case yaml.MappingNode:
		n.kind = kindMapping
		b.tag(n, y, path, "!!map")
		b.mapping(n, y, path, depth)
	}
	return n
}

func (b *builder) tag(n *node, y *yaml.Node, path, expected string) {
	if y.Tag != "" && y.Tag != "!" && y.ShortTag() != expected {
		b.report.add(n, path, "an unknown YAML tag: expected a plain value")
	}
}

func (b *builder) scalar(n *node, y *yaml.Node, path string) {
	n.text = y.Value
	switch y.ShortTag() {
	case "!!null":
		n.kind, n.text = kindNull, ""
	case "!!bool":
		n.kind = kindBool
	case "!!int":
		n.kind = kindInt
		b.number(n, path)
	case "!!float":
		n.kind = kindFloat
		b.number(n, path)
	case "!!str", "!!timestamp", "!!merge":
		n.kind = kindString
	default:
		n.kind = kindString
		b.report.add(n, path, "an unknown YAML tag: expected a plain value")
	}
}

// leadingZero matches a number that YAML 1.1 reads as octal and people as decimal.
var leadingZero = regexp.MustCompile(`^[-+]?0[0-9_]+(\.[0-9_]*)?$`)

const expectedNoZero = "a number with a leading zero, which YAML reads as octal: leave the zero out, write 0o for octal, or put a text in quotes"

func (b *builder) number(n *node, path string) {
	if leadingZero.MatchString(n.text) {
		b.report.add(n, path, expectedNoZero)
		n.unset = true // reported once, here
	}
}

func (b *builder) mapping(n *node, y *yaml.Node, path string, depth int) {
	seen := make(map[string]bool, len(y.Content)/2)
	var merges []*node
	for i := 0; i+1 < len(y.Content) && !b.stopped; i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		for k.Kind == yaml.AliasNode && k.Alias != nil && k.Alias != k {
			k = k.Alias
		}
		place := &node{kind: kindString, line: y.Content[i].Line, column: y.Content[i].Column, file: b.file, text: k.Value}
		if k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge" {
			merges = append(merges, b.build(v, path, depth+1))
			continue
		}
		at := join(path, k.Value)
		if b.ignored != nil && b.ignored(at) {
			n.keys = append(n.keys, place)
			n.items = append(n.items, &node{line: v.Line, column: v.Column, keys: keysOf(v)})
			continue
		}
		if k.Kind != yaml.ScalarNode || k.ShortTag() != "!!str" && (k.ShortTag() != "!!int" || !numbered(path)) {
			b.report.add(place, path, "a key that is no string: put it in quotes")
			continue
		}
		if seen[k.Value] {
			b.report.add(place, at, "the same key twice: keep one")
			continue
		}
		seen[k.Value] = true
		n.keys = append(n.keys, place)
		n.items = append(n.items, b.build(v, at, depth+1))
	}
	for _, m := range merges {
		b.merge(n, m, path, seen)
	}
}

// keysOf returns the keys of an ignored value. The keys inside its values are not read.
func keysOf(y *yaml.Node) (keys []*node) {
	if y.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(y.Content); i += 2 {
		if k := y.Content[i]; k.Kind == yaml.ScalarNode {
			keys = append(keys, &node{kind: kindString, line: k.Line, column: k.Column, text: k.Value})
		}
	}
	return keys
}

// merge adds the keys of << that the mapping does not have. If several have a key, the first
// one wins, as in YAML.
func (b *builder) merge(n, from *node, path string, seen map[string]bool) {
	sources := []*node{from}
	if from.kind == kindList {
		sources = from.items
	}
	for _, s := range sources {
		if s.kind != kindMapping {
			b.report.add(s, join(path, "<<"), "found %v, expected a mapping to merge", s.kind)
			continue
		}
		for i, k := range s.keys {
			if !seen[k.text] {
				seen[k.text] = true
				n.keys = append(n.keys, k)
				n.items = append(n.items, s.items[i])
			}
		}
	}
}

func join(path, key string) string {
	if len(key) > 64 {
		key = key[:64] + "..."
	}
	if strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c == 0x7f || c == '.' || c == utf8.RuneError }) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
