package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"auditrelay/internal/detect"
)

// Detector is a rule of the operator for finding secrets of one kind.
type Detector struct {
	// Name is the detector's key. Policies, gates and guests select it by this name or by its
	// group.
	Name string `yaml:"-"`

	// Description says what it finds, for auditrelay detectors list. Default: none.
	Description string `yaml:"description"`

	// Prefix lists texts with which a secret begins, 2 to 64 characters, exactly as
	// written. alphabet and length say what follows.
	Prefix []string `yaml:"prefix"`

	// Alphabet is the set of characters after the prefix, as between the brackets of a
	// regular expression: A-Za-z0-9_-.
	Alphabet string `yaml:"alphabet"`

	// Length is the number of characters after the prefix: 32, 32..40, or 32.. (no upper
	// limit). A longer run of the same characters is masked as a whole, unless exact.
	Length Length `yaml:"length"`

	// Regex is a regular expression (RE2), instead of prefix, alphabet and length. At most
	// 4,096 bytes. It runs only near a keyword.
	Regex string `yaml:"regex"`

	// Keywords lists texts of 2 to 64 bytes, in any case, of which one is in every match or
	// near it. Default: the longest text that every match of the expression contains.
	Keywords []string `yaml:"keywords"`

	// SecretGroup is the number of the group in regex that holds the secret. Default: the
	// first group that is not empty, or the whole match.
	SecretGroup int `yaml:"secret_group" range:"1..100"`

	// Entropy is the minimum Shannon entropy of the secret, in bits per character, such as 3.5.
	// Default: 0.
	Entropy float64 `yaml:"entropy"`

	// Exact rejects a match that is followed by more of the same characters. Default:
	// false.
	Exact bool `yaml:"exact"`

	// Under lists key names, written as in the rules of a policy. The detector then only
	// looks at values under such a name. Default: it looks everywhere.
	Under []string `yaml:"under"`

	// Check names an additional check of a match, such as check digits or a date. auditrelay
	// detectors show lists the checks of built-in detectors, such as luhn, de-tax-id, br-cpf.
	// The regex must then begin where a word begins, and have no keywords.
	Check string `yaml:"check"`

	// Near lists words in lower case. One of them must be in the key's name, or at most 64
	// bytes before the value. Default: none.
	Near []string `yaml:"near"`

	// Group is the group that selects the detector together with others. Default: secrets.
	Group string `yaml:"group"`

	// Examples lists texts in which the detector must find something. Otherwise loading fails.
	// Do not use real secrets.
	Examples []string `yaml:"examples"`

	// CounterExamples lists texts in which it must not find anything.
	CounterExamples []string `yaml:"counter_examples"`
}

// DetectorException is a finding that is known to be harmless. It applies to filters
// and to gates. auditrelay detectors list --config FILE shows it; the metric
// auditrelay_detector_exceptions_total counts how often it applied.
type DetectorException struct {
	// Detector names a detector or a group. Default: all detectors.
	Detector string `yaml:"detector"`

	// Path selects the values where the exception applies. Default: everywhere; then
	// sha256 is required.
	Path string `yaml:"path"`

	// SHA256 is the digest of the value, in hexadecimal; auditrelay detectors test FILE
	// prints it. Default: any value; then path is required.
	SHA256 string `yaml:"sha256"`

	// Reason says why the finding is harmless. Required.
	Reason string `yaml:"reason"`
}

// Catalogue returns all detectors: the shipped ones and the operator's.
func (c *Config) Catalogue() *detect.Catalogue { return c.catalogue }

// ownDetectors reports whether the operator adds rules to the shipped detectors.
func (c *Config) ownDetectors() bool {
	return len(c.Detectors)+len(c.DetectorFiles)+len(c.DetectorExceptions) > 0
}

// detectors compiles the operator's detectors and exceptions.
func (c checker) detectors() {
	if !c.ownDetectors() {
		return
	}
	var o detect.Options
	at := map[string][]any{} // the place of the rule with this id
	for i := range c.Detectors {
		d := &c.Detectors[i]
		steps := []any{"detectors", d.Name}
		rule := d.rule()
		at[rule.ID] = steps
		o.Rules = append(o.Rules, rule)
	}
	for i, name := range c.DetectorFiles {
		steps := []any{"detector_files", i}
		name = relative(c.options.Dir, name)
		c.DetectorFiles[i] = name
		for _, rule := range c.detectorFile(steps, name) {
			if at[rule.ID] != nil {
				c.bad(steps, "rule %s: another rule has this name", bounded(rule.ID))
				continue
			}
			at[rule.ID] = steps
			o.Rules = append(o.Rules, rule)
		}
	}
	for i, e := range c.DetectorExceptions {
		if strings.TrimSpace(e.Reason) == "" {
			c.bad([]any{"detector_exceptions", i, "reason"}, "it is required: why the finding is harmless")
		}
		o.Exceptions = append(o.Exceptions, detect.Exception{Detector: e.Detector, Path: e.Path, SHA256: strings.ToLower(e.SHA256), Reason: e.Reason})
	}
	catalogue, err := detect.NewCatalogue(o)
	for _, one := range flat(err) {
		var fault *detect.RuleError
		var exception *detect.ExceptionError
		switch {
		case errors.As(one, &exception):
			c.bad([]any{"detector_exceptions", exception.Index, exception.Field}, "%w", exception.Err)
		case errors.As(one, &fault) && at[fault.ID] != nil && at[fault.ID][0] == "detectors":
			steps := at[fault.ID][:2:2]
			if key := detectorKey(fault.Field); key != "" {
				steps = append(steps, key)
			}
			if fault.Index >= 0 && fault.Field != "forms" {
				steps = append(steps, fault.Index)
			}
			c.bad(steps, "%w", fault.Err)
		case errors.As(one, &fault) && at[fault.ID] != nil:
			c.bad(at[fault.ID], "%w", fault)
		default:
			c.bad([]any{"detectors"}, "%w", one)
		}
	}
	c.catalogue = catalogue
}

// detectorKey returns the key of a rule's field, "" for its name.
func detectorKey(field string) string {
	switch field {
	case "forms":
		return "regex"
	case "id":
		return ""
	}
	return field
}

func flat(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // it walks the tree of errors itself
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, flat(one)...)
	}
	return all
}

// Length is the number of characters after a prefix: 32, 32..40, or 32.. without an upper
// limit.
type Length struct {
	Least, Most int // Most is 0 if there is no limit
}

// UnmarshalText parses a length.
func (l *Length) UnmarshalText(text []byte) error {
	m := lengthForm.FindStringSubmatch(string(text))
	if m == nil {
		return errors.New("expected a length, as in 32, a range, as in 32..40, or a least one, as in 32.. without an end")
	}
	l.Least, _ = strconv.Atoi(m[1])
	switch {
	case m[2] == "":
		l.Most = l.Least
	case m[3] != "":
		l.Most, _ = strconv.Atoi(m[3])
	}
	return nil
}

var lengthForm = regexp.MustCompile(`^([0-9]{1,4})(\.\.([0-9]{1,4})?)?$`)

// rule converts the detector to a rule.
func (d *Detector) rule() detect.Rule {
	r := detect.Rule{
		ID: d.Name, Description: d.Description, Prefixes: d.Prefix, Alphabet: d.Alphabet, Keywords: d.Keywords, Group: d.SecretGroup,
		Least: d.Length.Least, Most: d.Length.Most, Entropy: d.Entropy, Exact: d.Exact, Under: d.Under, Check: d.Check, Near: d.Near, Examples: d.Examples, CounterExamples: d.CounterExamples, Source: "configuration",
	}
	if d.Group != "" {
		r.Groups = []string{d.Group}
	}
	if d.Regex != "" {
		r.Forms = []string{d.Regex}
	}
	return r
}

// detectorFile reads a file with rules.
func (c checker) detectorFile(steps []any, name string) []detect.Rule {
	if err := checkFile(name); err != nil {
		c.bad(steps, "%w", err)
		return nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		c.bad(steps, "%w", pathless(err))
		return nil
	}
	group := strings.Trim(strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), ".")
	group = strings.ToLower(nameJunk.ReplaceAllString(group, "-"))
	rules, notes, err := detect.ReadGitleaks(group, data)
	for _, note := range notes {
		c.report.warn(c.in(steps...), "%s: %s", pathOf(steps...), bounded(note))
	}
	for _, one := range flat(err) {
		if f, ok := errors.AsType[*detect.FileError](one); ok && f.Line > 0 {
			c.bad(steps, "%s:%d: %w", filepath.Base(name), f.Line, f.Err)
			continue
		}
		c.bad(steps, "%w", one)
	}
	return rules
}

var nameJunk = regexp.MustCompile(`[^A-Za-z0-9_-]+`)
