package config

import (
	_ "embed"
	"strconv"
	"strings"

	"auditrelay/internal/detect"
)

// defaultsText tells what holds for keys that are not given, by section, in the form that
// internal/tools/configdoc writes.
//
//go:embed defaults.txt
var defaultsText string

// hiddenText stands for a secret.
const hiddenText = "(hidden)"

// Show prints the configuration in file as it is understood: all its files together, LiteLLM's in the relay's own format. References stay references; a secret in
// plain text is hidden. With defaults, keys that are not given follow their section as
// comments. What is wrong comes back as Errors.
func Show(file string, o LoadOptions, defaults bool) ([]byte, []Note, error) {
	o = o.withDefaults()
	t, err := readTree(file, &o)
	if err != nil {
		return nil, nil, err
	}
	c, err := load(t.root, o, t.report, t.open) // it marks the secrets
	if err != nil {
		return nil, nil, err
	}
	secrets, err := c.Catalogue().Set("secrets")
	if err != nil {
		return nil, nil, err
	}
	s := &shower{secrets: secrets}
	if defaults {
		s.sections = readDefaults(defaultsText)
	}
	s.wrapped(0, quotedAll(file, o.More)+" as auditrelay understands it.")
	if defaults {
		s.wrapped(0, "What is not given stands as a comment, with its default.")
	}
	s.mapping(t.root, "", false, 0)
	return []byte(s.String()), c.Notes, nil
}

// quotedAll lists files in a sentence.
func quotedAll(file string, more []string) string {
	text := strconv.Quote(file)
	for _, name := range more {
		text += " and " + strconv.Quote(name)
	}
	return text
}

// keyDefault is a key of a section.
type keyDefault struct {
	key, text string
	section   string // where the key's own keys are listed; empty: it has none
}

func readDefaults(text string) map[string][]keyDefault {
	sections, at := map[string][]keyDefault{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "["); ok {
			at = strings.TrimSuffix(name, "]")
			sections[at] = nil
			continue
		}
		if parts := strings.Split(line, "\t"); len(parts) == 3 {
			sections[at] = append(sections[at], keyDefault{parts[0], parts[1], parts[2]})
		}
	}
	return sections
}

// shower prints a tree without its secrets.
type shower struct {
	printer
	sections map[string][]keyDefault // nil: defaults are not printed
	secrets  *detect.Set
}

// section is the section of a key's value within another, and of its items.
func (s *shower) section(within, key string) string {
	for _, d := range s.sections[within] {
		if d.key == key && d.section != "" {
			return d.section
		}
	}
	switch {
	case within == "callbacks[]" && key == "sink":
		return "sink"
	case within == "sink":
		return "sink." + key
	case within == "filters.NAME" && key == "redact":
		return "redact"
	case within == "ingest":
		return "ingest." + key
	}
	return unknown
}

// unknown is the section of what the relay hands on, such as a guest's own configuration: only names tell there
// what is a secret.
const unknown = "-"

// mapping prints a mapping: one of names, whose values are of the section, or the section itself.
func (s *shower) mapping(n *node, section string, names bool, indent int) {
	for i, k := range n.keys {
		item, of := n.items[i], section
		if !names {
			of = s.section(section, k.text)
		}
		s.comments(item, indent)
		key := written(k)
		switch {
		case item.kind == kindMapping && (len(item.keys) > 0 || s.lists(of)):
			text := key + ":"
			if len(item.keys) == 0 {
				text += " {}"
			}
			s.line(indent, text)
			s.mapping(item, of, !names && strings.HasSuffix(of, ".NAME"), indent+1)
		case item.kind == kindList && len(item.items) > 0:
			s.line(indent, key+":")
			s.list(item, of, k.text, indent)
		default:
			s.line(indent, key+": "+s.written(item, k.text, section == unknown))
		}
	}
	if !names {
		s.missing(n, section, indent, "")
	}
}

// lists reports whether a section has defaults to print.
func (s *shower) lists(section string) bool {
	return len(s.sections[section]) > 0 && !strings.HasSuffix(section, ".NAME")
}

// list prints a list's items one deeper than their key.
func (s *shower) list(n *node, section, key string, indent int) {
	for _, item := range n.items {
		s.comments(item, indent+1)
		switch {
		case item.kind == kindMapping && len(item.keys) > 0:
			inner := &shower{sections: s.sections, secrets: s.secrets}
			inner.mapping(item, section, false, indent+2)
			s.dash(inner.String(), indent+1)
		case item.kind == kindList && len(item.items) > 0:
			s.line(indent+1, "-")
			s.list(item, section, key, indent+1)
		default:
			s.line(indent+1, "- "+s.written(item, key, section == unknown))
		}
	}
}

// missing prints what a section's mapping does not give. A margin stands between the mark of a
// comment and its text.
func (s *shower) missing(n *node, section string, indent int, margin string) {
	for _, d := range s.sections[section] {
		if n.get(d.key).given() {
			continue
		}
		switch {
		case d.text != "":
			// The value itself, without why.
			text, _, _ := strings.Cut(d.text, ", so that ")
			text, _, _ = strings.Cut(text, ", which ")
			s.line(indent, "# "+margin+d.key+": "+text)
		case d.section == "" || strings.HasSuffix(d.section, "[]") || strings.HasSuffix(d.section, ".NAME"):
			// It is required, or there is nothing to tell of it.
		default:
			s.line(indent, "# "+margin+d.key+":")
			s.missing(&node{}, d.section, indent, margin+"  ")
		}
	}
}

// written is written without secrets: those in plain text, what looks like one, and, where only names
// tell, what is called one.
func (s *shower) written(n *node, key string, byName bool) string {
	switch {
	case n.ref != "" || n.kind == kindNull || n.kind == kindMapping || n.kind == kindList:
	case byName && s.secrets.Name([]byte(key)).Tells(), n.literal, hasPassword(n.text), s.secrets.Detects([]byte(n.text), detect.Name{}):
		return quoted(hiddenText)
	}
	return written(n)
}
