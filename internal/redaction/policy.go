package redaction

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/keyform"
	"auditrelay/internal/keyname"
	"auditrelay/internal/shape"
)

// Rule selects values and what is done to them: by path, by the name of their key at any depth,
// or by what a detector finds in them. At least one of the three must be set.
type Rule struct {
	Paths  []string
	Names  []string
	Detect []string
	// SecretNames selects the values under keys whose names mean a secret, by the vocabulary of
	// the detectors of named secrets.
	SecretNames bool
	// Texts leaves numbers, booleans, and texts that contain only those unchanged. Secrets with
	// a known form are found by detectors.
	Texts bool

	Do   Operation
	Key  string // name of the key for Pseudonym and Encrypt
	Keep int    // number of characters that stay, for Partial and Truncate
	// Shared makes the rule's pseudonyms and encrypted texts equal on every callback and in
	// every field even if Separate is set.
	Shared bool
}

// Options define a policy. The zero value changes nothing.
type Options struct {
	Rules []Rule

	// KeepOnly, unless nil, are the paths of everything that stays. If it is empty, nothing
	// stays. Rules apply to what stays.
	KeepOnly []string

	// JSON are the paths of strings that contain JSON. Such a string is masked as a whole if it
	// contains no JSON or more than is searched. Any other string that begins like an object or
	// array but is none is masked if OpaqueAll is set, and otherwise searched as text.
	JSON      []string
	OpaqueAll bool

	// Digests are the paths of strings that are no secret, whatever their name, if they have
	// the exact form of a hexadecimal SHA-256.
	Digests []string
	// Identifiers are the paths of strings that are no secret, whatever their name, if they
	// have the exact form of shape.Identifier.
	Identifiers []string
	// KeyHashes does the same for the hashes in rows of LiteLLM's key tables: token in
	// before_value and updated_values.
	KeyHashes bool

	// Except are paths whose values the rules by name leave unchanged. Detectors and rules by
	// path still apply.
	Except []string
	// ExceptNames are names of keys whose values the rules by name leave unchanged in the same
	// way.
	ExceptNames []string

	// Detectors contains the detectors that Detect may name. Nil: the built-in ones.
	Detectors *detect.Catalogue

	// ChangedFields adds the member changed_fields: the names of the members of updated_values
	// that differ from before_value.
	ChangedFields bool

	// Separate makes pseudonyms, and the encrypted texts of equal values, differ by callback
	// and field.
	Separate bool

	// Keys are the keys for pseudonyms and encrypted values, by name.
	Keys map[string]auditrelay.Key
}

// Policy is a validated and compiled policy. It is immutable and safe for concurrent use.
type Policy struct {
	rules      []rule
	paths      []pathRule
	names      []nameRule
	named      []namedMark         // marks by name at any depth
	top        map[string]standing // what is known about the event's own fields
	spared     []keyname.Pattern
	detects    []detectRule // strongest first
	keepOnly   []*document.Path
	keeps      bool // keepOnly applies, even if it is empty
	marks      []markRule
	opaque     bool
	catalogue  *detect.Catalogue
	keyHashes  bool
	changed    bool
	separates  bool // at least one rule separates
	fresh      bool // at least one rule encrypts to a public key, so that the output differs each time
	vocabulary int  // strongest rule with SecretNames, plus one
	keys       map[string]auditrelay.Key
	text       []byte // see Text
	digest     string // of text

	touches []touchText // texts for receipts, by counter
}

// touchText is the text of one counter in a receipt.
type touchText struct{ path, operation string }

type rule struct {
	do         Operation
	key        string
	keep       int
	separate   bool // the result depends on callback and field
	order      int  // position among all rules, for rules of equal strength
	texts      bool
	vocabulary bool
	teaches    bool // a redacted value is redacted wherever it occurs
	touch      int
}

type pathRule struct {
	path *document.Path
	rule int
}

type nameRule struct {
	pattern keyname.Pattern
	rule    int
}

type detectRule struct {
	set  *detect.Set
	rule int
}

// namedMark assigns a mark to the values under a name.
type namedMark struct {
	name  shape.Anywhere
	marks marks
	touch int
}

// markRule assigns a mark to the values at a path.
type markRule struct {
	path  *document.Path
	mark  marks
	touch int
}

// marks are what is known about a value from its place.
type marks uint8

const (
	declaredJSON marks = 1 << iota
	digestField
	identifierField
	excepted
)

// Limits of one policy. Each rule by path is searched for in every event.
const (
	maxRules = 1000
	maxKeep  = 1 << 20
)

// New validates and compiles a policy. It returns all errors at once, each an *OptionError.
func New(o Options) (*Policy, error) {
	c := &compiler{policy: &Policy{opaque: o.OpaqueAll, catalogue: o.Detectors.OrShipped(), keyHashes: o.KeyHashes, changed: o.ChangedFields, keys: map[string]auditrelay.Key{}, top: map[string]standing{}}, keys: o.Keys, separate: o.Separate}
	if len(o.Rules) > maxRules {
		c.bad("rules", fmt.Errorf("%d rules, at most %d", len(o.Rules), maxRules))
		return nil, errors.Join(c.errs...)
	}
	for i := range o.Rules {
		c.rule(i, &o.Rules[i])
	}
	p := c.policy
	p.keeps = o.KeepOnly != nil
	for i, text := range o.KeepOnly {
		if path := c.path(fmt.Sprintf("keep_only[%d]", i), text); path != nil {
			p.keepOnly = append(p.keepOnly, path)
		}
	}
	for _, m := range []struct {
		option string
		paths  []string
		mark   marks
	}{{"json", o.JSON, declaredJSON}, {"digests", o.Digests, digestField}, {"identifiers", o.Identifiers, identifierField}, {"except", o.Except, excepted}} {
		for i, text := range m.paths {
			if path := c.path(fmt.Sprintf("%s[%d]", m.option, i), text); path != nil {
				touch := 0
				if m.mark == declaredJSON {
					touch = c.touch(path.String(), operationOpaque)
				}
				p.addMark(path, m.mark, touch)
			}
		}
	}
	for i, text := range o.ExceptNames {
		pattern, err := keyname.Parse(text)
		if err != nil {
			c.bad(fmt.Sprintf("except_names[%d]", i), err)
		}
		p.spared = append(p.spared, pattern)
	}
	p.sortDetects()
	c.touch(touchKeys, Masked.String())
	c.touch(touchKeepOnly, Remove.String())
	c.touch("**", operationOpaque)
	p.text = textOf(o)
	sum := sha256.Sum256(p.text)
	p.digest = hex.EncodeToString(sum[:])
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	return p, nil
}

// engineVersion counts the changes of what an unchanged policy does.
const engineVersion = 9

// Names in receipts for operations that belong to no rule.
const (
	operationOpaque = "opaque"
	touchKeys       = "keys"
	touchKeepOnly   = "keep_only"
)

// KeyNames returns the sorted names of the keys that the policy uses.
func (p *Policy) KeyNames() []string { return slices.Sorted(maps.Keys(p.keys)) }

func has(keys map[string]auditrelay.Key, name string) bool {
	_, ok := keys[name]
	return ok
}

// Repeats reports whether the policy makes the same output of an event each time and on every
// callback: it neither separates pseudonyms nor encrypts to a public key.
func (p *Policy) Repeats() bool { return !p.separates && !p.fresh }

// Text returns everything that decides what the policy does, as YAML in one fixed form: presets
// resolved, keys by name, detectors by digest. The caller must not modify it.
func (p *Policy) Text() []byte { return p.text }

// Digest identifies the policy: the lower-case hex SHA-256 of Text.
func (p *Policy) Digest() string { return p.digest }

// Identity is everything that a policy's effect on an event depends on. It is comparable.
type Identity struct {
	digest    string
	catalogue *detect.Catalogue
	keys      [sha256.Size]byte // digest of names, versions and secrets
}

// Identity returns the policy's identity. Two policies with equal identities make the same
// output of every document, including pseudonyms.
func (p *Policy) Identity() Identity {
	h := sha256.New()
	for _, name := range p.KeyNames() {
		k := p.keys[name]
		fmt.Fprintf(h, "%d:%s %d %d:%s ", len(name), name, k.Version, len(k.Secret), string(k.Secret))
	}
	id := Identity{digest: p.digest, catalogue: p.catalogue}
	h.Sum(id.keys[:0])
	return id
}

// OptionError is one error in a policy with the option that has it.
type OptionError struct {
	Path string // for example rules[2].names[0]
	Err  error
}

func (e *OptionError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

type compiler struct {
	policy   *Policy
	keys     map[string]auditrelay.Key
	separate bool
	errs     []error
}

func (c *compiler) bad(path string, err error) {
	c.errs = append(c.errs, &OptionError{Path: path, Err: err})
}

func (c *compiler) path(option, text string) *document.Path {
	path, err := document.ParsePath(text)
	if err != nil {
		c.bad(option, err)
		return nil
	}
	return path
}

// touch creates a counter.
func (c *compiler) touch(path, operation string) int {
	c.policy.touches = append(c.policy.touches, touchText{path, operation})
	return len(c.policy.touches) - 1
}

func (c *compiler) rule(i int, r *Rule) {
	at := func(option string) string { return fmt.Sprintf("rules[%d]%s", i, option) }
	p := c.policy
	if len(r.Paths)+len(r.Names)+len(r.Detect) == 0 && !r.SecretNames {
		c.bad(at(""), errors.New("it names nothing: give paths, names, secret_names or detect"))
	}
	switch {
	case r.Do == None:
		c.bad(at(".do"), fmt.Errorf("it is required: one of %s", strings.Join(operationNames[1:], ", ")))
	case r.Do.keyed() && r.Key == "":
		c.bad(at(".key"), fmt.Errorf("it is required with %s: the name of an entry of keys", r.Do))
	case r.Do.keyed() && !has(c.keys, r.Key):
		c.bad(at(".key"), errors.New("there is no key of this name under keys"))
	case r.Do == Pseudonym && c.keys[r.Key].Public():
		c.bad(at(".key"), errors.New("it is a public key, which makes no pseudonyms: give a secret, or do: encrypt"))
	case r.Do == Encrypt && c.keys[r.Key].Public():
		if _, err := publicKey(c.keys[r.Key]); err != nil {
			c.bad(at(".key"), err)
		}
		p.fresh = true
	case r.Do.keyed() && keyform.Check(c.keys[r.Key].Secret.Reveal()) != nil:
		c.bad(at(".key"), keyform.ErrSecret)
	case !r.Do.keyed() && r.Key != "":
		c.bad(at(".key"), errors.New("it goes with hmac and encrypt only"))
	}
	if keeps := r.Do == Partial || r.Do == Truncate; keeps && (r.Keep < 1 || r.Keep > maxKeep) {
		c.bad(at(".keep"), fmt.Errorf("it is required with partial and truncate: how many characters stay, 1 to %d", maxKeep))
	} else if !keeps && r.Keep != 0 {
		c.bad(at(".keep"), errors.New("it goes with partial and truncate only"))
	}
	if r.Do.keyed() {
		p.keys[r.Key] = c.keys[r.Key]
	}
	separate := c.separate && r.Do.keyed() && !r.Shared
	p.separates = p.separates || separate
	if r.Shared && !r.Do.keyed() {
		c.bad(at(".shared"), errors.New("it goes with hmac and encrypt only"))
	}
	add := func(text string) int {
		p.rules = append(p.rules, rule{do: r.Do, key: r.Key, keep: r.Keep, separate: separate, order: i, texts: r.Texts, touch: c.touch(text, r.Do.String())})
		return len(p.rules) - 1
	}
	for j, text := range r.Paths {
		if path := c.path(at(fmt.Sprintf(".paths[%d]", j)), text); path != nil {
			p.addPath(path, add(path.String()))
		}
	}
	for j, text := range r.Names {
		pattern, err := keyname.Parse(text)
		if err != nil {
			c.bad(at(fmt.Sprintf(".names[%d]", j)), err)
			continue
		}
		p.names = append(p.names, nameRule{pattern, c.teaching(add("~" + text))})
	}
	if r.SecretNames {
		i := c.teaching(add("secret_names"))
		p.rules[i].vocabulary = true
		p.vocabulary = p.stronger(p.vocabulary-1, i) + 1
	}
	if len(r.Detect) == 0 {
		return
	}
	if r.Do == Truncate || r.Do == Partial {
		c.bad(at(".do"), fmt.Errorf("%s would leave a part of what a detector finds: give mask, encrypt, hmac or remove", r.Do))
	}
	set, err := p.catalogue.Set(r.Detect...)
	if err != nil {
		c.bad(at(".detect"), err)
		return
	}
	p.detects = append(p.detects, detectRule{set, c.teaching(add("detect:" + strings.Join(r.Detect, ",")))})
}

// teaching sets that values redacted by a rule are treated as secrets wherever else they occur,
// unless the rule leaves part of a value visible. It returns rule.
func (c *compiler) teaching(rule int) int {
	r := &c.policy.rules[rule]
	r.teaches = !r.do.keepsSome()
	return rule
}

// sortDetects puts stronger rules first.
func (p *Policy) sortDetects() {
	slices.SortStableFunc(p.detects, func(a, b detectRule) int {
		return int(p.rules[b.rule].do) - int(p.rules[a.rule].do)
	})
}

// Paths of two forms need no search: the walk through the document sees every key, and
// recognises the event's own fields and names at any depth by their key.

// ownField returns the name in a path that consists of the name of one of the event's fields.
func ownField(p *document.Path) (string, bool) {
	text := p.String()
	return text, !strings.ContainsAny(text, `.*~\`)
}

func (p *Policy) addPath(path *document.Path, rule int) {
	if name, ok := ownField(path); ok {
		s := p.top[name]
		s.rule = int32(p.stronger(int(s.rule)-1, rule)) + 1
		p.top[name] = s
		return
	}
	p.paths = append(p.paths, pathRule{path, rule})
}

func (p *Policy) addMark(path *document.Path, mark marks, touch int) {
	if name, ok := ownField(path); ok {
		p.top[name] = p.top[name].with(mark, touch)
		return
	}
	if name, ok := shape.AnyDepth(path); ok {
		p.named = append(p.named, namedMark{name, mark, touch})
		return
	}
	p.marks = append(p.marks, markRule{path: path, mark: mark, touch: touch})
}

// stronger returns the rule to apply if both select one value. -1 means no rule.
func (p *Policy) stronger(a, b int) int {
	switch {
	case a < 0:
		return b
	case b < 0:
		return a
	case p.rules[b].do > p.rules[a].do:
		return b
	case p.rules[b].do < p.rules[a].do:
		return a
	case a != b && p.rules[a].do.keepsSome() && p.rules[b].keep < p.rules[a].keep:
		return b
	case p.rules[b].order < p.rules[a].order:
		return b
	}
	return a
}

func (o Operation) keepsSome() bool { return o == Truncate || o == Partial }

// byName returns what is known about the values under a decoded key at any depth. scratch is a
// buffer for the key's normalised form.
func (p *Policy) byName(key []byte, name detect.Name, scratch []byte) (s standing, grown []byte) {
	snake := keyname.AppendSnake(scratch[:0], key)
	n := len(snake)
	both := append(snake, snake...)
	joined := keyname.Join(both[n:])
	for i := range p.named {
		if m := &p.named[i]; m.name.Matches(key, both[:n], joined) {
			s = s.with(m.marks, m.touch)
		}
	}
	for i := range p.spared {
		if p.spared[i].Matches(both[:n], joined) {
			return s, both[:0]
		}
	}
	rule := -1
	if name.Tells() {
		rule = p.vocabulary - 1
	}
	for i := range p.names {
		if p.names[i].pattern.Matches(both[:n], joined) {
			rule = p.stronger(rule, p.names[i].rule)
		}
	}
	s.rule = int32(rule) + 1
	return s, both[:0]
}
