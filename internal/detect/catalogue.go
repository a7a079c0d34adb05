package detect

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"auditrelay/internal/keyname"
)

// engineVersion changes with the code that decides what is found, so that the digest changes
// too.
const engineVersion = 10

// Info describes a detector for people. Example is made up.
type Info struct {
	Name         string
	Groups       []string // the first is the group it is listed under
	Finds        string
	Example      string
	DoesNotFind  string
	ExampleUnder string // the name that the example needs, or ""
	Source       string
	Rule         *Rule // nil if the detector is code
}

// detector is one part of a Set.
type detector struct {
	Info

	anchors []anchor
	named   []namedRule
	// unmarked marks the detector that checks long rows of characters.
	unmarked bool
	under    *compiledRule // set if the rule is bound to names
	near     int           // the rule's bit among the rules that require words, plus one
}

// Catalogue contains all detectors: the shipped ones and the operator's. A nil Catalogue has
// the shipped ones only. It is safe for concurrent use.
type Catalogue struct {
	detectors   []detector
	names       *names
	expressions int
	bound       []*compiledRule // rules bound to names, by their bit
	near        near
	exceptions  *exceptions
	text        []byte // see Text
	digest      string // of text
	options     Options

	mu   sync.Mutex
	sets map[string]*Set
}

// Options are the operator's additions. The zero value adds nothing.
type Options struct {
	Rules      []Rule
	Exceptions []Exception
}

var shipped = sync.OnceValue(func() *Catalogue {
	c, err := NewCatalogue(Options{})
	if err != nil {
		panic("detect: the shipped rules: " + err.Error()) // a test has read them
	}
	return c
})

// Shipped returns the detectors that ship with the relay.
func Shipped() *Catalogue { return shipped() }

// Options returns the operator's additions, so that another process can build the same
// catalogue. It returns nil for a nil Catalogue.
func (c *Catalogue) Options() *Options {
	if c == nil {
		return nil
	}
	return &c.options
}

// OrShipped returns c, or the shipped detectors if c is nil.
func (c *Catalogue) OrShipped() *Catalogue { return c.orShipped() }

func (c *Catalogue) orShipped() *Catalogue {
	if c == nil {
		return shipped()
	}
	return c
}

// NewCatalogue returns the shipped detectors plus those in o. The error joins a *RuleError or
// *ExceptionError for each fault.
func NewCatalogue(o Options) (*Catalogue, error) {
	c := &Catalogue{names: sharedNames(), sets: map[string]*Set{}, options: o}
	pack, err := shippedRules()
	if err != nil {
		return nil, err
	}
	var errs []error
	if len(o.Rules) > maxRules {
		return nil, fmt.Errorf("%d rules, at most %d", len(o.Rules), maxRules)
	}
	taken := map[string]bool{}
	for i := range o.Rules {
		compiled, err := o.Rules[i].compile()
		if err == nil && taken[o.Rules[i].ID] {
			err = &RuleError{o.Rules[i].ID, "id", -1, errors.New("another rule has this id")}
		}
		taken[o.Rules[i].ID] = true
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.add(compiled)
	}
	for _, compiled := range pack {
		c.add(compiled)
	}
	c.detectors = append(append(c.detectors, written()...), personal()...)
	identifiers, err := personalRules()
	if err != nil {
		return nil, err
	}
	for _, compiled := range identifiers {
		c.add(compiled)
	}
	if c.near.rules > MaxNear {
		errs = append(errs, fmt.Errorf("%d rules ask for words (near), at most %d; the relay's own take %d of them", c.near.rules, MaxNear, len(identifiers)))
	}
	for _, r := range o.Rules {
		if c.count(r.ID) > 1 {
			errs = append(errs, &RuleError{r.ID, "id", -1, errors.New("a detector or group has this name already")})
		}
	}
	if len(c.bound) > MaxUnder {
		errs = append(errs, fmt.Errorf("%d rules are bound to names (under), at most %d", len(c.bound), MaxUnder))
	}
	for i := range c.detectors {
		d := &c.detectors[i]
		for j := range d.anchors {
			d.anchors[j].detector, d.anchors[j].rank = d.Name, i
		}
		for j := range d.named {
			d.named[j].detector = d.Name
		}
	}
	c.exceptions, err = newExceptions(c, o.Exceptions)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.text = textOf(o)
	sum := sha256.Sum256(c.text)
	c.digest = hex.EncodeToString(sum[:])
	if len(o.Rules) > 0 { // check that they fit together and find their examples
		s, err := c.set(c.groups())
		if err != nil {
			return nil, err
		}
		for i := range o.Rules {
			errs = append(errs, s.examples(&o.Rules[i])...)
		}
	}
	return c, errors.Join(errs...)
}

// count returns the number of detectors and groups with a name.
func (c *Catalogue) count(name string) int {
	n := 0
	groups := false
	for i := range c.detectors {
		if c.detectors[i].Name == name {
			n++
		}
		groups = groups || slices.Contains(c.detectors[i].Groups, name)
	}
	if groups {
		n++
	}
	return n
}

// add adds the detector of a rule.
func (c *Catalogue) add(r *compiledRule) {
	d := detector{Info: Info{Name: r.ID, Groups: r.Groups, Finds: r.Description, Source: r.Source, Rule: &r.Rule}, anchors: slices.Clone(r.anchors)}
	if len(d.Groups) == 0 {
		d.Groups = []string{"secrets"}
	}
	if len(r.Examples) > 0 {
		d.Example = r.Examples[0]
	}
	if len(r.CounterExamples) > 0 {
		d.DoesNotFind = "`" + r.CounterExamples[0] + "`"
	}
	if len(r.under) > 0 {
		d.under = r
		c.bound = append(c.bound, r)
		d.ExampleUnder = r.Under[0]
	}
	if len(r.Near) > 0 {
		d.near = c.near.add(r.Near) + 1
		d.ExampleUnder = r.Near[0]
	}
	for i := range d.anchors {
		if e := d.anchors[i].search; e != nil {
			own := *e
			if i > 0 && d.anchors[i-1].search != nil && d.anchors[i-1].search.regex == e.regex {
				d.anchors[i].search = d.anchors[i-1].search // several keywords share it
				continue
			}
			own.index = c.expressions
			c.expressions++
			d.anchors[i].search = &own
		}
	}
	c.detectors = append(c.detectors, d)
}

// All returns all detectors. If two find the same secret, the first in this order gives it its
// name.
func (c *Catalogue) All() []Info {
	var all []Info
	for _, d := range c.orShipped().detectors {
		all = append(all, d.Info)
	}
	return all
}

// Groups returns the names that select several detectors at once.
func (c *Catalogue) Groups() []string {
	if c == nil {
		c = Shipped()
	}
	return c.groups()
}

func (c *Catalogue) groups() []string {
	var all []string
	for _, d := range c.detectors {
		for _, g := range d.Groups {
			if !slices.Contains(all, g) {
				all = append(all, g)
			}
		}
	}
	return all
}

// Text returns everything that decides what is found, in one fixed form: the engine's version,
// the shipped rules, and the operator's rules and exceptions. The caller must not change it.
func (c *Catalogue) Text() []byte { return c.orShipped().text }

// Digest identifies the detectors: the SHA-256 of Text in lower-case hexadecimal.
func (c *Catalogue) Digest() string { return c.orShipped().digest }

// textOf starts each part with a line that occurs nowhere else, so that different options never
// give the same text.
func textOf(o Options) []byte {
	rules, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		panic(err) // cannot fail: only texts and numbers
	}
	return fmt.Appendf(nil, "engine %d\n\n# The shipped rules, %d bytes.\n%s\n# Those of personal identifiers, %d bytes.\n%s\n# The configuration's own rules and exceptions.\n%s\n", engineVersion, len(packText), packText, len(personalText), personalText, rules)
}

// Set returns the detectors with these names. A name may be a group: secrets, pii. Equal names
// return the same Set, with one automaton. The error lists every unknown name and the available
// ones.
func (c *Catalogue) Set(names ...string) (*Set, error) {
	return c.orShipped().set(names)
}

func (c *Catalogue) set(names []string) (*Set, error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	c.mu.Lock()
	defer c.mu.Unlock()
	key := strings.Join(names, ",")
	if s := c.sets[key]; s != nil {
		return s, nil
	}
	var unknown []string
	for _, n := range names {
		if c.count(n) == 0 {
			unknown = append(unknown, n)
		}
	}
	if len(unknown) > 0 {
		return nil, c.unknown(unknown)
	}
	s := &Set{catalogue: c}
	for i := range c.detectors {
		d := &c.detectors[i]
		if !slices.Contains(names, d.Name) && !slices.ContainsFunc(d.Groups, func(g string) bool { return slices.Contains(names, g) }) {
			continue
		}
		s.take(c, d)
	}
	if err := s.compile(c); err != nil {
		return nil, err
	}
	if len(c.sets) < maxSets {
		c.sets[key] = s
	}
	return s, nil
}

// unknown returns the error for unknown names. There are too many detectors to list them all.
func (c *Catalogue) unknown(names []string) error {
	known, meant := c.groups(), []string(nil)
	for i := range c.detectors {
		known = append(known, c.detectors[i].Name)
	}
	for _, name := range names {
		if near := keyname.Nearest(name, known); near != "" {
			meant = append(meant, near)
		}
	}
	hint := "auditrelay detectors list prints all"
	if len(meant) > 0 {
		hint = "did you mean " + strings.Join(meant, ", ") + "? " + hint
	}
	return fmt.Errorf("no detector is called %s: %s", strings.Join(names, ", "), hint)
}

// maxSets limits the number of cached selections, since guests choose them.
const maxSets = 256

// examples checks an operator's rule against its own examples.
func (s *Set) examples(r *Rule) (faults []error) {
	under := Name{}
	if len(r.Under) > 0 {
		under = s.Name([]byte(strings.ReplaceAll(r.Under[0], "*", "x")))
	} else if len(r.Near) > 0 {
		under = s.Name([]byte(r.Near[0]))
	}
	for _, list := range []struct {
		field string
		texts []string
		finds bool
	}{{"examples", r.Examples, true}, {"counter_examples", r.CounterExamples, false}} {
		for i, text := range list.texts {
			if len(text) > maxExample {
				faults = append(faults, &RuleError{r.ID, list.field, i, fmt.Errorf("longer than %d bytes", maxExample)})
				continue
			}
			found := slices.ContainsFunc(s.Append(nil, []byte(text), under), func(f Finding) bool { return f.Detector == r.ID })
			if found != list.finds {
				fault := errors.New("the rule does not find it")
				if found {
					fault = errors.New("the rule finds it")
				}
				faults = append(faults, &RuleError{r.ID, list.field, i, fault})
			}
		}
	}
	return faults
}
