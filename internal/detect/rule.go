package detect

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"auditrelay/internal/keyname"
)

// Rule is a detector as data: the form of one kind of secret.
type Rule struct {
	// ID is its name in policies and gates: 1 to 64 of a-z, 0-9, - and _.
	ID string
	// Description says in a few words what is found.
	Description string
	// Groups are names that select it together with others. Empty means secrets.
	Groups []string

	// Prefixes are the exact beginnings of a secret. Alphabet, Least and Most describe the
	// rest: its bytes, as in an expression's brackets, and their number. Most 0 means
	// unlimited.
	Prefixes    []string
	Alphabet    string
	Least, Most int

	// Forms are RE2 expressions, in place of those four. Each matches a whole secret, or a
	// secret in a group together with text around it.
	Forms []string
	// Keywords are texts in any case. One of them must be near. They are required if the forms
	// begin with no fixed text.
	Keywords []string
	// Group is the number of the form's group that is the secret. 0 means the first non-empty
	// group, or the whole match if there is none.
	Group int

	// Entropy is the minimum Shannon entropy of a secret in bits per byte.
	Entropy float64
	// Mix requires properties of random characters that words do not have: MixDigits, MixCases
	// or MixDrawn. Empty means no requirement.
	Mix string
	// Exact rejects longer rows of the same characters. Otherwise a secret extends as long as
	// its last characters continue.
	Exact bool
	// Under are key names, as in the rules of a policy. It is searched only under these keys.
	// Empty means everywhere.
	Under []string

	// Check is the name of a check in addition to the form: check digits, a date. With Check or
	// Near, the form must begin at the beginning of a word, and needs no keywords.
	Check string
	// Near are lower-case words, for numbers whose form says little. One must occur in the
	// name, or within 64 bytes before the finding.
	Near []string

	// Examples must be found whole, alone and in a sentence. CounterExamples must give no
	// finding.
	Examples        []string
	CounterExamples []string
	// Source is the source of the form.
	Source string

	allow []allowlist
}

// The values of Rule.Mix. Each applies to the part after the prefix.
const (
	MixDigits = "digits" // letters and digits
	MixCases  = "cases"  // MixDigits, or lower-case and upper-case letters
	MixDrawn  = "drawn"  // MixCases, except lower-case words with - or _ between them; or 16 letters or digits in a row
)

// Limits of rules.
const (
	maxRules     = 2000
	maxForms     = 16
	maxKeywords  = 64
	maxExamples  = 64
	maxExample   = 8192
	keywordLeast = 2
	// MaxUnder is the maximum number of rules bound to names.
	MaxUnder = 64
)

var idForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// RuleError is a fault of a rule in a field: id, forms, keywords.
type RuleError struct {
	ID    string
	Field string
	Index int // index in the list of Field, or -1
	Err   error
}

func (e *RuleError) Error() string { return fmt.Sprintf("rule %s: %s: %v", e.ID, e.Field, e.Err) }
func (e *RuleError) Unwrap() error { return e.Err }

// compiledRule is a rule ready for a Set.
type compiledRule struct {
	Rule

	anchors []anchor
	under   []keyname.Pattern
	check   check
	fast    bool // no expression needs a search
}

// compile checks a rule. Every fault is a *RuleError.
func (r Rule) compile() (*compiledRule, error) {
	c := &compiledRule{Rule: r, fast: true}
	var errs []error
	bad := func(field string, index int, format string, args ...any) {
		errs = append(errs, &RuleError{r.ID, field, index, fmt.Errorf(format, args...)})
	}
	if !idForm.MatchString(r.ID) {
		bad("id", -1, "expected 1 to 64 of a-z, 0-9, _ and -, the first a letter or digit")
	}
	if len(r.Forms) > maxForms || len(r.Keywords) > maxKeywords || len(r.Prefixes) > maxKeywords || len(r.Examples)+len(r.CounterExamples) > maxExamples {
		bad("forms", -1, "too many: at most %d forms, %d keywords or prefixes, %d examples", maxForms, maxKeywords, maxExamples)
		return nil, errors.Join(errs...)
	}
	for i, k := range r.Keywords {
		if len(k) < keywordLeast || len(k) > maxPattern {
			bad("keywords", i, "expected %d to %d bytes", keywordLeast, maxPattern)
		}
	}
	if r.Mix != "" && r.Mix != MixDigits && r.Mix != MixCases && r.Mix != MixDrawn {
		bad("mix", -1, "expected %s, %s or %s", MixDigits, MixCases, MixDrawn)
	}
	if r.Entropy < 0 || r.Entropy > 8 {
		bad("entropy", -1, "expected 0 to 8 bits a byte")
	}
	if r.Check != "" {
		if c.check = checks()[r.Check]; c.check == nil {
			bad("check", -1, "no check is called so: there are %s", strings.Join(slices.Sorted(maps.Keys(checks())), ", "))
		}
	}
	for i, w := range r.Near {
		if !nearWord(w) {
			bad("near", i, "expected a word of %d to %d small letters", keywordLeast, nearMost)
		}
	}
	for i, name := range r.Under {
		p, err := keyname.Parse(name)
		if err != nil {
			bad("under", i, "%w", err)
		}
		c.under = append(c.under, p)
	}
	switch {
	case len(r.Prefixes) > 0 && len(r.Forms) > 0:
		bad("forms", -1, "a prefix stands beside it: give one of the two")
	case len(r.Prefixes) > 0:
		if err := c.prefixed(); err != nil {
			bad("prefix", -1, "%w", err)
		}
	case len(r.Forms) == 0:
		bad("forms", -1, "it says nothing: give a prefix with alphabet and length, or an expression")
	}
	for i, text := range r.Forms {
		if err := c.form(text); err != nil {
			bad("forms", i, "%w", err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i := range c.anchors {
		c.anchors[i].detector = r.ID
	}
	return c, nil
}

// prefixed builds the form of prefixes, alphabet and length.
func (c *compiledRule) prefixed() error {
	set, err := alphabet(c.Alphabet)
	if err != nil {
		return err
	}
	most := c.Most
	if most == 0 {
		most = -1
	}
	if c.Least < 1 || c.Least > maxExpression || most >= 0 && most < c.Least {
		return fmt.Errorf("a length of 1 to %d, the most not below the least", maxExpression)
	}
	for _, p := range c.Prefixes {
		if len(p) < keywordLeast || len(p) > maxPattern {
			return fmt.Errorf("a prefix of %d to %d bytes", keywordLeast, maxPattern)
		}
		f := form{items: []item{{texts: [][]byte{[]byte(p)}, min: 1, max: 1}, {set: set, min: c.Least, max: most}}, tail: set}
		c.anchors = append(c.anchors, c.anchor(&f, literal(p), len(p), len(p)))
	}
	return nil
}

// alphabet reads a set of bytes in the notation of an expression's brackets.
func alphabet(text string) (*charset, error) {
	tree, err := parseExpression("[" + text + "]")
	if err != nil || text == "" {
		return nil, errors.New("an alphabet as between the brackets of an expression: A-Za-z0-9_")
	}
	items, ok := appendItems(nil, tree)
	if !ok || len(items) != 1 || items[0].set == nil {
		return nil, errors.New("an alphabet of ASCII, as between the brackets of an expression: A-Za-z0-9_")
	}
	return items[0].set, nil
}

// form compiles one expression. If it begins with one of few texts, or has a keyword at a known
// place, the result is a list of items; otherwise it is a search around keywords.
func (c *compiledRule) form(text string) error {
	tree, err := parseExpression(text)
	if err != nil {
		return err
	}
	if c.Check != "" || len(c.Near) > 0 {
		f, ok := parseForm(tree)
		if !ok || len(c.Keywords) > 0 || c.Group != 0 || !c.checked(&f) {
			return errors.New("with check or near, expected a form of sets, texts and repetitions that begins with what must be there, without keywords and groups")
		}
		return nil
	}
	if f, ok := parseForm(tree); ok && c.Group == 0 && len(c.allow) == 0 && c.direct(&f) {
		return nil
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return err
	}
	if len(program.Inst) > maxProgram {
		return fmt.Errorf("an expression of %d steps, at most %d: its repetitions are too many", len(program.Inst), maxProgram)
	}
	regex, err := regexp.Compile(text)
	if err != nil {
		return err
	}
	if c.Group > regex.NumSubexp() {
		return fmt.Errorf("group %d, and it has %d", c.Group, regex.NumSubexp())
	}
	keywords := c.Keywords
	if len(keywords) == 0 {
		keywords = required(tree)
	}
	if len(keywords) == 0 {
		return fmt.Errorf("no text of %d characters is in all that it matches: give keywords, since it is looked for where one stands", keywordLeast)
	}
	reach := widest(tree)
	if reach < 0 || reach > expressionReach {
		reach = expressionReach
	}
	e := &expression{regex: regex, group: c.Group, reach: max(reach, 2*maxPattern), judge: c.judge}
	c.fast = false
	for _, k := range keywords {
		c.anchors = append(c.anchors, anchor{pattern: literal(k), search: e})
	}
	return nil
}

// direct creates the anchors of a form that needs no search.
func (c *compiledRule) direct(f *form) bool {
	if len(c.Keywords) == 0 {
		texts, _ := spell(f.items, 64)
		if len(texts[0]) < 2 {
			return false
		}
		for _, t := range texts {
			if len(t) < 2 {
				return false
			}
		}
		for _, t := range texts {
			c.anchors = append(c.anchors, c.anchor(f, literal(string(t)), len(t), len(t)))
		}
		return true
	}
	for _, k := range c.Keywords {
		low, high, ok := f.place(k)
		if !ok {
			return false
		}
		c.anchors = append(c.anchors, c.anchor(f, literal(k), low, high))
	}
	return true
}

// place returns the minimum and maximum number of bytes of the form up to the end of keyword.
func (f *form) place(keyword string) (low, high int, ok bool) {
	const few = 128 // tried at each keyword
	for i := range f.items {
		texts, _ := spell(f.items[i:], 64)
		for _, t := range texts {
			if len(t) >= len(keyword) && strings.EqualFold(string(t[:len(keyword)]), keyword) {
				before := form{items: f.items[:i]}
				low, high = before.reach()
				return low + len(keyword), high + len(keyword), high >= 0 && high <= few
			}
		}
	}
	return 0, 0, false
}

// escapeBytes is how far begins looks back.
const escapeBytes = 6

// anchor returns an anchor of a form. The pattern ends after low to high bytes of the form.
func (c *compiledRule) anchor(f *form, p pattern, low, high int) anchor {
	_, most := f.reach()
	if most < 0 || most > maxExpression {
		least, _ := f.reach()
		most = max(least, judged) + 1
	}
	a := anchor{pattern: p, back: high + escapeBytes, ahead: most + judged}
	prefix := low
	if len(c.Keywords) > 0 {
		prefix = 0 // the keyword is not its beginning
	}
	a.find = func(window []byte, at int) (Finding, bool) {
		for n := high; n >= low; n-- {
			start := at + 1 - n
			if start < 0 || !begins(window, start) {
				continue
			}
			size, ok := f.match(window[start:])
			if !ok || size < n {
				continue
			}
			found := Finding{Start: start, End: start + size}
			if c.Exact && f.tail != nil && found.End < len(window) && f.tail[window[found.End]] {
				return Finding{}, false
			}
			whole := found
			if f.tail != nil && !c.Exact {
				whole.End += f.tail.span(window[found.End:])
			}
			return found, c.drawn(window[start:whole.End], prefix) && c.judge(window, whole, whole)
		}
		return Finding{}, false
	}
	if f.tail != nil && !c.Exact {
		a.extend = func(text []byte, found Finding) int { return found.End + f.tail.span(text[found.End:]) }
	}
	return a
}

// drawn reports whether the text after the first prefix bytes satisfies Mix.
func (c *compiledRule) drawn(secret []byte, prefix int) bool {
	if c.Mix == "" {
		return true
	}
	rest := secret[min(prefix, len(secret)):]
	seen, _ := classes(rest[:min(len(rest), judged)])
	mixed := seen&digit != 0 && seen&(lower|upper) != 0
	if c.Mix == MixDrawn && oneRow(rest) {
		return true
	}
	if c.Mix == MixDrawn && seen&upper == 0 && bytes.ContainsAny(rest, "-_") && !random(rest) {
		return false
	}
	return mixed || c.Mix != MixDigits && seen&lower != 0 && seen&upper != 0
}

// judge applies the requirements for a match of any form.
func (c *compiledRule) judge(text []byte, match, secret Finding) bool {
	if !atLeast(text[secret.Start:secret.End], c.Entropy) {
		return false
	}
	return !slices.ContainsFunc(c.allow, func(a allowlist) bool { return a.allows(text, match, secret) })
}
