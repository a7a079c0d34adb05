package config

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"auditrelay"
)

// Section is a part of the file that another package interprets, such as a sink's options. The
// zero value is an empty section. It is safe for concurrent use.
type Section struct {
	file string
	path string
	node *node
	dir  string
	// plain is called for secrets in plain text while the file is loaded.
	plain func(n *node, path string)
}

// Decode decodes the section into a struct by its yaml tags, strictly. Unknown keys, values of
// the wrong kind and secrets that are not strings are errors, collected as Errors with their
// places. Decode supports auditrelay.ByteSize, auditrelay.Secret, time.Duration,
// encoding.TextUnmarshaler, strings, booleans, numbers, lists, mappings, structs and pointers
// to structs. Fields that the section does not mention keep their value.
func (s Section) Decode(into any) error {
	r := &report{file: s.file}
	n := s.node
	if n == nil {
		n = &node{kind: kindMapping}
	}
	d := &decoder{report: r, plain: s.plain}
	if err := d.decodeInto(n, into, s.path); err != nil {
		return err
	}
	return r.err()
}

// Explain adds file and line to every *auditrelay.OptionError in err, so that a constructor's
// errors look like this package's. Any other error gets the place of the section. The result is
// an Errors, or nil if err is nil.
func (s Section) Explain(err error) error {
	r := &report{file: s.file}
	s.explain(r, err)
	return r.err()
}

func (s Section) explain(r *report, err error) {
	if err == nil {
		return
	}
	switch e := err.(type) { //nolint:errorlint // it walks the tree of errors itself
	case Errors:
		r.errs = append(r.errs, e...)
		return
	case *Error:
		r.errs = append(r.errs, e)
		return
	case *auditrelay.OptionError:
		s.option(r, e)
		return
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			s.explain(r, one)
		}
		return
	}
	// An error that wraps several errors may itself be wrapped.
	if _, ok := errors.AsType[*auditrelay.OptionError](err); ok {
		s.explain(r, errors.Unwrap(err))
		return
	}
	if _, ok := errors.AsType[Errors](err); ok {
		s.explain(r, errors.Unwrap(err))
		return
	}
	r.addError(s.node, s.path, explained{err})
}

func (s Section) option(r *report, e *auditrelay.OptionError) {
	n, exact := s.find(e.Path)
	if exact && (n.unset || r.reported(n)) {
		return // the fault of the value is already reported
	}
	cause := error(explained{e.Err})
	if exact && n != nil {
		cause = explained{n.veil(e.Err)}
		if n.named() && !strings.Contains(e.Err.Error(), n.text) {
			cause = fmt.Errorf("%s: %w", n.show(), cause)
		}
	}
	if n != nil && n.origin != "" && !exact {
		// The place is in LiteLLM's file, which does not have the option's name.
		cause = fmt.Errorf("%s: %w", cmp.Or(litellmName(e.Path), e.Path), cause)
	}
	r.addError(n, join2(s.path, e.Path), cause)
}

// explained keeps the cause available for errors.Is and As.
type explained struct{ error }

func (e explained) Unwrap() error { return e.error }

func join2(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "." + b
}

// find returns the node at an option's path, or the nearest existing node.
func (s Section) find(path string) (n *node, exact bool) {
	n = s.node
	for _, step := range strings.FieldsFunc(path, func(c rune) bool { return c == '.' || c == '[' || c == ']' }) {
		if n == nil {
			return nil, false
		}
		next := n.get(step)
		if i, err := strconv.Atoi(step); err == nil && n.kind == kindList && i >= 0 && i < len(n.items) {
			next = n.items[i]
		}
		if next == nil {
			return n, false
		}
		n = next
	}
	return n, true
}

// Line returns the line at which the section begins, or 0 if it is in no file.
func (s Section) Line() int {
	if s.node == nil {
		return 0
	}
	return s.node.line
}

// PlaceOf returns the place of an option, or of the nearest existing node.
func (s Section) PlaceOf(path string) Place {
	n, _ := s.find(path)
	return (&report{file: s.file}).placeOf(n)
}

// Path resolves a file's name in an option relative to the configuration's file.
func (s Section) Path(name string) string { return relative(s.dir, name) }

// String returns the section's place, never its content.
func (s Section) String() string { return fmt.Sprintf("%s:%d: %s", s.file, s.Line(), s.path) }

// GoString hides the section's values in %#v.
func (s Section) GoString() string { return s.String() }

// ReadSection parses a text outside any configuration, such as one that is part of the program,
// as a section. References have no meaning in it.
func ReadSection(name string, text []byte) (Section, error) {
	r := &report{file: name}
	root := parseTree(text, r)
	if err := r.err(); err != nil {
		return Section{}, err
	}
	return Section{file: name, node: root}, nil
}

// Text returns the section as YAML. References stay references.
func (s Section) Text() []byte {
	var p printer
	if s.node != nil {
		p.mapping(s.node, 0)
	}
	return []byte(p.String())
}

// Has reports whether the section has the key, even without a value.
func (s Section) Has(key string) bool { return s.node != nil && s.node.get(key) != nil }

func (s *Section) decodeNode(d *decoder, n *node, path string) {
	if n.kind != kindMapping {
		d.expected(n, path, "a mapping of options")
		return
	}
	*s = Section{file: d.report.fileOf(n), path: path, node: n}
}

func (s *Sink) decodeNode(d *decoder, n *node, path string) {
	if n.kind != kindMapping || len(n.keys) != 1 {
		found := n.kind.String()
		if n.kind == kindMapping {
			found = fmt.Sprintf("%d keys", len(n.keys))
		}
		d.report.add(n, path, "found %s, expected a mapping of one key, the sink's type, as in {s3: {bucket: ...}}", found)
		return
	}
	s.Type = n.keys[0].text
	at := join(path, s.Type)
	options := n.items[0]
	switch options.kind {
	case kindMapping:
	case kindNull:
		options = &node{kind: kindMapping, line: n.keys[0].line, column: n.keys[0].column, file: n.file, origin: options.origin}
	default:
		d.expected(options, at, "a mapping of the sink's options")
		return
	}
	s.Options = Section{file: d.report.fileOf(options), path: at, node: options}
}
