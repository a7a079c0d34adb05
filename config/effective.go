package config

import (
	_ "embed"
	"regexp"
	"strconv"
	"strings"

	"auditrelay/internal/detect"
)

// defaultsText has the defaults of all keys, by section, as internal/tools/configdoc writes
// them.
//
//go:embed defaults.txt
var defaultsText string

// hiddenText replaces a secret.
const hiddenText = "(hidden)"

// Show prints the effective configuration in file: all its files together, LiteLLM's in the
// relay's own format. References stay references, and a secret in plain text is hidden. With
// defaults, comments after each section list the keys that are not set. The error is an Errors.
func Show(file string, o LoadOptions, defaults bool) ([]byte, []Note, error) {
	o = o.withDefaults()
	t, err := readTree(file, &o)
	if err != nil {
		return nil, nil, err
	}
	c, err := load(t.root, o, t.report, t.open) // marks the secrets
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

// quotedAll formats the names of files for a sentence.
func quotedAll(file string, more []string) string {
	text := strconv.Quote(file)
	for _, name := range more {
		text += " and " + strconv.Quote(name)
	}
	return text
}

// keyDefault is a key of a section with its default.
type keyDefault struct {
	key, text string
	section   string // the section that lists the key's own keys; empty if it has none
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
	sections map[string][]keyDefault // nil if defaults are not printed
	secrets  *detect.Set
}

// section returns the section of a key's value, or of its items, in another section.
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

// unknown is the section of data that the relay only passes on, such as a guest's own
// configuration. Only the names of its keys show which values are secrets.
const unknown = "-"

// mapping prints a mapping. With names, its keys are names and its values belong to the
// section. Otherwise the mapping itself does.
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

// list prints the items of a list, one level deeper than their key.
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

// missing prints the defaults of the keys that a section's mapping does not set. margin is put
// between the comment's mark and its text.
func (s *shower) missing(n *node, section string, indent int, margin string) {
	for _, d := range s.sections[section] {
		if n.get(d.key).given() {
			continue
		}
		switch {
		case d.text != "":
			// Only the value, without the reason.
			text, _, _ := strings.Cut(d.text, ", so that ")
			text, _, _ = strings.Cut(text, ", which ")
			s.line(indent, "# "+margin+d.key+": "+text)
		case d.section == "" || strings.HasSuffix(d.section, "[]") || strings.HasSuffix(d.section, ".NAME"):
			// The key is required, or has no default to print.
		default:
			s.line(indent, "# "+margin+d.key+":")
			s.missing(&node{}, d.section, indent, margin+"  ")
		}
	}
}

// written is the function written without secrets. It hides secrets in plain text, values that
// look like one and, with byName, values of keys that are named like one.
func (s *shower) written(n *node, key string, byName bool) string {
	switch {
	case n.ref != "" || n.kind == kindNull || n.kind == kindMapping || n.kind == kindList:
	case byName && s.secrets.Name([]byte(key)).Tells(), n.literal, hasPassword(n.text), s.secrets.Detects([]byte(n.text), detect.Name{}):
		return quoted(hiddenText)
	case queried.MatchString(n.text):
		return quoted(n.text[:strings.IndexByte(n.text, '?')+1] + hiddenText)
	}
	return written(n)
}

// queried matches a URL with a query, which may hold a key.
var queried = regexp.MustCompile(`^https?://[^?#]*\?.`)
