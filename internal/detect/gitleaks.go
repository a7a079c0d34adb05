package detect

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxRuleFile limits the size of a rule file in bytes.
const maxRuleFile = 4 << 20

// FileError is a fault of a rule file with its line, or 0 if the line is unknown.
type FileError struct {
	Line int
	Err  error
}

func (e *FileError) Error() string { return e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// gitleaksFile is the part of gitleaks' format (version 8) that describes what to find in a
// text.
type gitleaksFile struct {
	Title string `toml:"title"`
	Rules []struct {
		ID          string              `toml:"id"`
		Description string              `toml:"description"`
		Regex       string              `toml:"regex"`
		Path        string              `toml:"path"`
		Keywords    []string            `toml:"keywords"`
		Entropy     float64             `toml:"entropy"`
		SecretGroup int                 `toml:"secretGroup"`
		Tags        []string            `toml:"tags"`
		Allowlist   gitleaksAllowlist   `toml:"allowlist"`
		Allowlists  []gitleaksAllowlist `toml:"allowlists"`
	} `toml:"rules"`
	Allowlist  gitleaksAllowlist   `toml:"allowlist"`
	Allowlists []gitleaksAllowlist `toml:"allowlists"`
}

type gitleaksAllowlist struct {
	Description string   `toml:"description"`
	Condition   string   `toml:"condition"`
	RegexTarget string   `toml:"regexTarget"`
	Regexes     []string `toml:"regexes"`
	Stopwords   []string `toml:"stopwords"`
	Paths       []string `toml:"paths"`
	Commits     []string `toml:"commits"`
	TargetRules []string `toml:"targetRules"`
}

// ReadGitleaks reads rules in gitleaks' format. group is the name that selects all of them,
// besides secrets. If a shipped detector has the same id, the rule is called group-id. notes
// lists settings without meaning for events, such as rules about files. The error joins a
// *FileError for each fault.
func ReadGitleaks(group string, data []byte) (rules []Rule, notes []string, err error) {
	if len(data) > maxRuleFile {
		return nil, nil, &FileError{0, fmt.Errorf("a file of %d bytes, at most %d", len(data), maxRuleFile)}
	}
	var file gitleaksFile
	meta, err := toml.Decode(string(data), &file)
	if err != nil {
		line := 0
		if p, ok := errors.AsType[toml.ParseError](err); ok {
			line, err = p.Position.Line, errors.New(p.Message)
		}
		return nil, nil, &FileError{line, fmt.Errorf("no TOML: %w", err)}
	}
	for _, key := range meta.Undecoded() {
		notes = append(notes, fmt.Sprintf("%s has no meaning here", key))
	}
	if len(file.Rules) == 0 {
		return nil, notes, &FileError{0, errors.New("there are no [[rules]]")}
	}
	lines := ruleLines(data)
	var errs []error
	for i := range file.Rules {
		r := &file.Rules[i]
		line := 0
		if i < len(lines) {
			line = lines[i]
		}
		bad := func(format string, args ...any) {
			errs = append(errs, &FileError{line, fmt.Errorf("rules[%d]: "+format, append([]any{i}, args...)...)})
		}
		if r.Regex == "" || r.Path != "" {
			notes = append(notes, fmt.Sprintf("line %d: rule %s is about files, and left out", line, identifier(r.ID)))
			continue
		}
		rule := Rule{ID: identifier(r.ID), Description: r.Description, Groups: []string{"secrets", group}, Forms: []string{r.Regex},
			Group: r.SecretGroup, Entropy: r.Entropy, Source: "gitleaks' format"}
		for _, k := range r.Keywords {
			if len(k) >= keywordLeast {
				rule.Keywords = append(rule.Keywords, strings.ToLower(k))
			}
		}
		if shipped().count(rule.ID) > 0 {
			rule.ID = group + "-" + rule.ID
		}
		for _, list := range append(append([]gitleaksAllowlist{r.Allowlist, file.Allowlist}, r.Allowlists...), file.Allowlists...) {
			if len(list.TargetRules) > 0 && !contains(list.TargetRules, r.ID) {
				continue
			}
			allow, ok, err := list.compile()
			if err != nil {
				bad("allowlist: %w", err)
			} else if ok {
				rule.allow = append(rule.allow, allow)
			}
		}
		if _, err := rule.compile(); err != nil {
			bad("%w", err)
			continue
		}
		rules = append(rules, rule)
	}
	return rules, notes, errors.Join(errs...)
}

func contains(list []string, text string) bool {
	for _, s := range list {
		if s == text {
			return true
		}
	}
	return false
}

// compile compiles an allowlist's conditions about texts. ok is false if there are none. An AND
// with conditions about files yields an allowlist that never applies.
func (l *gitleaksAllowlist) compile() (a allowlist, ok bool, err error) {
	a = allowlist{every: strings.EqualFold(l.Condition, "AND") || l.Condition == "&&", target: l.RegexTarget}
	if len(l.Regexes)+len(l.Stopwords) == 0 || a.every && len(l.Paths)+len(l.Commits) > 0 {
		return a, false, nil
	}
	for _, text := range l.Regexes {
		if len(text) > maxExpression {
			return a, false, fmt.Errorf("an expression of %d bytes, at most %d", len(text), maxExpression)
		}
		r, err := regexp.Compile(text)
		if err != nil {
			return a, false, err
		}
		a.regexes = append(a.regexes, r)
	}
	for _, word := range l.Stopwords {
		a.stopwords = append(a.stopwords, strings.ToLower(word))
	}
	return a, true, nil
}

// identifier converts an id to the form of names.
func identifier(id string) string {
	out := []byte(strings.ToLower(id))
	for i, c := range out {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (i == 0 || c != '-' && c != '_') {
			out[i] = '-'
		}
	}
	return strings.TrimLeft(string(out[:min(len(out), 48)]), "-_")
}

// ruleLines returns the lines with [[rules]].
func ruleLines(data []byte) (lines []int) {
	n := 0
	for line := range bytes.Lines(data) {
		n++
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("[[rules]]")) {
			lines = append(lines, n)
		}
	}
	return lines
}
