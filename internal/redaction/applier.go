package redaction

import (
	"errors"
	"fmt"

	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/keyname"
	"auditrelay/internal/shape"
)

// Applier applies one policy to one document after the other. It is not safe for
// concurrent use; reused, it allocates nothing in the long run but what a
// document's edits take.
type Applier struct {
	policy *Policy
	doc    *document.Document
	keys   map[string]*Pseudonymiser

	// By node, as far as paths select any: the rule, plus one, and the marks. All
	// zero between two documents.
	at     []standing
	marked []document.Node

	counts []int        // by counter
	found  []foundCount // what detectors found, by detector and field
	texts  map[foundTouch]string
	names  keyname.Cache[keyKnown]
	field  string // of the event, that the walk is in

	known  knowledge
	spared map[document.Node]uint64 // exceptions by path that hold, by node

	key      []byte // the decoded keys on the way to where the walk is
	value    []byte
	out      []byte
	text     []byte
	scratch  []byte
	findings []detect.Finding
	secret   []document.Node // members whose keys are secrets, of the objects that the walk is in
	renamed  int             // keys masked in this document
}

// standing is what is known of a value by where it stands.
type standing struct {
	rule  int32 // plus one; 0 is none
	touch int32 // of a declared one
	marks marks
}

// with adds a mark; touch is what counts where a declared value is masked.
func (s standing) with(mark marks, touch int) standing {
	if mark == declaredJSON && s.marks&declaredJSON == 0 {
		s.touch = int32(touch)
	}
	s.marks |= mark
	return s
}

// and is what is known by two ways.
func (p *Policy) and(a, b standing) standing {
	a.rule = int32(p.stronger(int(a.rule)-1, int(b.rule)-1)) + 1
	return a.with(b.marks, int(b.touch))
}

// Bounds of what is kept from document to document, and of one document.
const (
	keptStandings = 1 << 14
	keptValue     = 1 << 20
	// maxRenamed bounds how many keys that are secrets one object may have before it
	// is masked whole, and maxRenames how many new keys are tried in one document,
	// before members go with theirs: each new key is compared with all others.
	maxRenamed = 256
	maxRenames = 1024
)

// NewApplier returns an Applier.
func (p *Policy) NewApplier() *Applier {
	a := &Applier{policy: p, counts: make([]int, len(p.touches)), texts: map[foundTouch]string{}, keys: map[string]*Pseudonymiser{}}
	for name, key := range p.keys {
		a.keys[name] = NewPseudonymiser(name, key)
	}
	return a
}

// Apply redacts d as it stands. After an error d holds some of the edits and must
// not be let out; so it must not after a panic. The error carries nothing of d.
func (a *Applier) Apply(d *document.Document) error {
	a.doc = d
	clear(a.counts)
	a.found = a.found[:0]
	a.renamed, a.field = 0, ""
	a.known.reset()
	defer a.end()
	if a.policy.keeps {
		if err := a.keepOnly(); err != nil {
			return err
		}
	}
	a.find()
	a.findSpared()
	a.key = a.key[:0]
	if err := a.members(document.Root, place{rule: -1, parent: document.Object}); err != nil {
		return err
	}
	return a.again()
}

// end forgets the document.
func (a *Applier) end() {
	a.doc = nil
	for _, n := range a.marked {
		a.at[n] = standing{}
	}
	a.marked = a.marked[:0]
	if len(a.at) > keptStandings {
		a.at = nil
	}
	for _, b := range []*[]byte{&a.value, &a.out, &a.text, &a.scratch, &a.key} {
		if cap(*b) > keptValue {
			*b = nil
		}
	}
	if cap(a.secret) > keptStandings {
		a.secret = nil
	}
}

// find notes what the paths of the policy select.
func (a *Applier) find() {
	p, d := a.policy, a.doc
	for i := range p.paths {
		r := &p.paths[i]
		for n := d.Each(r.path, document.None); n != document.None; n = d.Each(r.path, n) {
			s := a.standing(n)
			s.rule = int32(p.stronger(int(s.rule)-1, r.rule)) + 1
		}
	}
	for i := range p.marks {
		m := &p.marks[i]
		for n := d.Each(m.path, document.None); n != document.None; n = d.Each(m.path, n) {
			s := a.standing(n)
			*s = s.with(m.mark, m.touch)
		}
	}
}

// standing returns what is noted of n, to be added to. The root is no value that
// could be redacted.
func (a *Applier) standing(n document.Node) *standing {
	if int(n) >= len(a.at) {
		grown := make([]standing, max(64, 2*int(n)))
		copy(grown, a.at)
		a.at = grown
	}
	s := &a.at[n]
	if *s == (standing{}) {
		a.marked = append(a.marked, n)
	}
	return s
}

func (a *Applier) noted(n document.Node) standing {
	if int(n) < len(a.at) {
		return a.at[n]
	}
	return standing{}
}

// place is where the walk is.
type place struct {
	rule   int           // what is done to each value inside, -1 for nothing
	near   detect.Name   // what the nearest name above tells
	parent document.Kind // Object or Array: what the children are in
	keyRow bool          // the children are columns of a row of LiteLLM's keys
	nested bool          // the array lies in an array
	spared uint64        // exceptions by path that hold
}

// members goes through the members or elements of n. Keys that are secrets are
// masked when all have been seen: a member under a new key is put behind the last.
// The next one is asked for only when one is done, so that the document finds the
// end of what was looked into without reading it once more.
func (a *Applier) members(n document.Node, in place) error {
	from, base := len(a.secret), len(a.key)
	if in.parent == document.Array {
		if err := a.elements(n, in); err != nil {
			return err
		}
	} else {
		for c := a.doc.Child(n, document.None); c != document.None; c = a.doc.Child(n, c) {
			secret, err := a.member(n, c, in)
			if err != nil {
				return err
			}
			if a.key = a.key[:base]; secret {
				a.secret = append(a.secret, c)
			}
		}
	}
	if len(a.secret) == from {
		return nil
	}
	defer func() { a.secret = a.secret[:from] }()
	if len(a.secret)-from > maxRenamed && n != document.Root {
		a.count(a.keysTouch())
		return a.mask(n)
	}
	for _, c := range a.secret[from:] {
		if a.doc.Kind(c) == document.Absent {
			continue // removed, with its key
		}
		if err := a.maskKey(n, c); err != nil {
			return err
		}
	}
	return nil
}

// elements goes through an array, in which the element before one may be its name.
func (a *Applier) elements(n document.Node, in place) error {
	d, base := a.doc, len(a.key)
	first := d.Child(n, document.None)
	two := in.nested && first != document.None && isPair(d, n, first)
	var before keyKnown
	certain := false
	for c := first; c != document.None; c = d.Child(n, c) {
		s, at := a.noted(c), in
		at.rule = a.policy.stronger(int(s.rule)-1, in.rule)
		rule := at.rule
		var own keyKnown
		told, flag := false, false
		if d.Kind(c) == document.String && d.Len(c) <= keyname.CachedBytes {
			a.key, _ = d.AppendString(a.key[:base], c)
			var name []byte
			switch name, told = shape.Before(a.key[base:], in.nested, two); {
			case told:
				own = a.byName(name)
			case name != nil:
				own.key.Name = a.policy.catalogue.Name(name)
			}
			flag = len(a.key) > base && a.key[base] == '-'
			a.key = a.key[:base]
		}
		if before.key.Name.Tells() && !flag {
			at.near = before.key.Name.Listed().At(at.spared)
		}
		if certain && !flag {
			rule = a.policy.stronger(int(before.rule)-1, rule)
		}
		if err := a.one(c, rule, s, at); err != nil {
			return err
		}
		a.key = a.key[:base]
		before, certain = own, told
	}
	return nil
}

// isPair reports whether an array, whose first element is first, is two strings.
func isPair(d *document.Document, n, first document.Node) bool {
	second := d.Child(n, first)
	return second != document.None && d.Child(n, second) == document.None && d.Kind(first) == document.String && d.Kind(second) == document.String
}

// member redacts one member of parent, and reports whether its key is a secret.
func (a *Applier) member(parent, n document.Node, in place) (secret bool, err error) {
	p := a.policy
	s := a.noted(n)
	from := len(a.key)
	a.key = a.doc.AppendKey(a.key, n)
	key := a.key[from:]
	named := a.byName(key)
	if parent == document.Root {
		s = p.and(s, p.top[string(key)])
		a.field = fieldName(key)
	}
	if named.key.Value || named.key.Special() {
		named = a.paired(parent, n, named)
	}
	s = s.with(named.marks, int(named.touch))
	rule := -1 // by name
	if s.marks&excepted == 0 {
		rule = int(named.rule) - 1
	}
	if rule >= 0 && named.key.Pair && p.rules[rule].vocabulary && shape.HasValue(a.doc, parent, a.scratch) {
		rule = -1 // it is the name of what stands beside it
	}
	in.spared |= a.sparedAt(n)
	in.near = named.key.Name.At(in.spared)
	in.rule = p.stronger(int(s.rule)-1, in.rule)
	if (s.marks&digestField != 0 || p.keyHashes && in.keyRow && named.key.IsToken()) && shape.Digest(a.doc, n) ||
		rule >= 0 && p.rules[rule].vocabulary && named.key.Name.OfDigest() && shape.Digest(a.doc, n) {
		// No name makes a secret of it, and no detector. A rule for its place, or for
		// what it lies in, says that it is to go nevertheless.
		if in.rule < 0 {
			return named.secret, nil
		}
		rule = -1
	}
	in.keyRow = shape.HoldsKeyRow(a.doc, parent, named.key)
	in.nested = false
	return named.secret, a.one(n, p.stronger(rule, in.rule), s, in)
}

// paired is what is known of a member by the name that a pair gives it.
func (a *Applier) paired(parent, n document.Node, named keyKnown) keyKnown {
	base := len(a.key)
	a.key = shape.Beside(a.doc, parent, n, named.key, a.key)
	if len(a.key) == base {
		return named
	}
	pair := a.byName(a.key[base:])
	named.standing = a.policy.and(named.standing, pair.standing)
	if pair.key.Name.Tells() {
		named.key.Name = pair.key.Name
	}
	return named
}

// one redacts one value.
func (a *Applier) one(n document.Node, rule int, s standing, in place) error {
	d, p := a.doc, a.policy
	kind := d.Kind(n)
	if kind == document.Null && (rule < 0 || p.rules[rule].do != Remove) {
		return nil
	}
	if rule >= 0 && p.rules[rule].texts && (kind == document.Number || kind == document.Bool) {
		rule = -1
	}
	holds := document.Absent
	switch kind {
	case document.Object, document.Array:
		holds = kind
	case document.String:
		holds = d.Holds(n)
	}
	if rule >= 0 && (holds == document.Absent || !p.rules[rule].do.inside()) {
		return a.apply(n, kind, rule, s, in.near)
	}
	if holds != document.Absent {
		in.nested = in.parent == document.Array && holds == document.Array
		in.rule, in.parent = rule, holds
		return a.members(n, in)
	}
	return a.leaf(n, kind, s, in.near)
}

// leaf redacts a value that no rule names and nothing is in.
func (a *Applier) leaf(n document.Node, kind document.Kind, s standing, near detect.Name) error {
	switch kind {
	case document.String:
		text, _ := a.doc.AppendString(a.value[:0], n)
		a.value = text
		if a.opaque(text, s) {
			return a.maskOpaque(n, s)
		}
		return a.detect(n, text, near, false)
	case document.Number:
		a.value = a.doc.AppendJSON(a.value[:0], n)
		return a.detect(n, a.value, near, true)
	}
	return nil
}

// apply does what a rule says to one value as a whole.
func (a *Applier) apply(n document.Node, kind document.Kind, rule int, s standing, near detect.Name) error {
	r := &a.policy.rules[rule]
	d := a.doc
	switch r.do {
	case Remove:
		a.count(r.touch)
		a.learn(n, kind, r, rule)
		return wrap(d.Delete(n))
	case Masked:
		if kind == document.String && d.Len(n) == 0 {
			return nil // that there is nothing is no secret
		}
		if r.texts && kind == document.String && a.says(n) {
			return nil
		}
		a.count(r.touch)
		a.learn(n, kind, r, rule)
		return a.mask(n)
	}
	// The others look at the value.
	if kind == document.String {
		a.value, _ = d.AppendString(a.value[:0], n)
		if a.opaque(a.value, s) {
			return a.maskOpaque(n, s)
		}
	} else {
		a.value = d.AppendJSON(a.value[:0], n)
	}
	if len(a.value) == 0 || r.do == Truncate && string(a.value) == Mask {
		return nil
	}
	a.count(r.touch)
	switch r.do {
	case Pseudonym:
		a.learn(n, kind, r, rule)
		a.out = a.keys[r.key].Append(a.out[:0], a.value)
	case Partial, Truncate:
		// No part stays of what a detector would have masked, nor of what should have
		// been looked into.
		if a.detects(a.value, near) || shape.Bracketed(a.value) {
			return a.mask(n)
		}
		if r.do == Truncate {
			a.out = append(a.out[:0], Shorten(a.value, r.keep)...)
		} else {
			a.out = AppendPartial(a.out[:0], a.value, r.keep)
		}
	default:
		return fmt.Errorf("redact: %v is no operation", r.do)
	}
	return wrap(d.SetString(n, a.out))
}

// detects reports whether any detector finds something in text.
func (a *Applier) detects(text []byte, near detect.Name) bool {
	for i := range a.policy.detects {
		if a.policy.detects[i].set.Detects(text, near) {
			return true
		}
	}
	return false
}

func (a *Applier) mask(n document.Node) error {
	a.out = append(a.out[:0], Mask...)
	return wrap(a.doc.SetString(n, a.out))
}

// detect redacts what detectors find in a string's text, or in a number's, which is
// then redacted whole. The stronger rules come first: what they put in the place of
// a finding is not looked at again, by its position.
func (a *Applier) detect(n document.Node, text []byte, near detect.Name, whole bool) error {
	for i := range a.policy.detects {
		r := &a.policy.detects[i]
		a.findings = r.set.Append(a.findings[:0], text, near)
		if len(a.findings) == 0 {
			continue
		}
		return a.redactFindings(n, text, near, i, whole)
	}
	return nil
}

// redactFindings redacts a text in which rule i found something, and in what lies
// between the findings what the weaker rules find.
func (a *Applier) redactFindings(n document.Node, text []byte, near detect.Name, i int, whole bool) error {
	p := a.policy
	r := &p.rules[p.detects[i].rule]
	if r.do == Remove {
		for _, f := range a.findings {
			a.hit(p.detects[i].rule, text[f.Start:f.End], f.Detector)
		}
		return wrap(a.doc.Delete(n))
	}
	if whole {
		a.findings = append(a.findings[:0], detect.Finding{End: len(text), Detector: a.findings[0].Detector})
	}
	a.out = a.out[:0]
	last := 0
	for _, f := range a.findings {
		a.between(text[last:f.Start], near, i+1)
		a.replace(p.detects[i].rule, text[f.Start:f.End], f.Detector)
		last = f.End
	}
	a.between(text[last:], near, i+1)
	return wrap(a.doc.SetString(n, a.out))
}

// replace appends what stands in the place of one finding.
func (a *Applier) replace(rule int, finding []byte, detector string) {
	r := &a.policy.rules[rule]
	a.hit(rule, finding, detector)
	if r.do == Pseudonym {
		a.out = a.keys[r.key].Append(a.out, finding)
		return
	}
	a.out = append(a.out, Mask...)
}

// between appends text, redacted by the rules from i on.
func (a *Applier) between(text []byte, near detect.Name, i int) {
	for ; i < len(a.policy.detects); i++ {
		d := &a.policy.detects[i]
		found := d.set.Append(nil, text, near)
		if len(found) == 0 {
			continue
		}
		last := 0
		for _, f := range found {
			a.between(text[last:f.Start], near, i+1)
			a.replace(d.rule, text[f.Start:f.End], f.Detector)
			last = f.End
		}
		text = text[last:]
	}
	a.out = append(a.out, text...)
}

// keyKnown is what is known of a key.
type keyKnown struct {
	standing

	key    shape.Key
	secret bool // it is one itself
}

// byName returns what is known of a decoded key, and remembers it: events have few
// distinct keys.
func (a *Applier) byName(key []byte) keyKnown {
	if known := a.names.Get(key); known != nil {
		return *known
	}
	k := shape.KeyOf(a.policy.catalogue, key)
	s, grown := a.policy.byName(key, k.Name, a.scratch)
	a.scratch = grown
	known := keyKnown{standing: s, key: k, secret: a.detects(key, detect.Name{})}
	if !known.secret {
		a.names.Put(key, known)
	}
	return known
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redact: %w", err)
}

// maskKey puts a masked key in the place of n's, which is a secret, with n's value
// as it stands, at the object's end. Keys that are masked are numbered apart.
func (a *Applier) maskKey(parent, n document.Node) error {
	a.count(a.keysTouch())
	a.text = a.doc.AppendJSON(a.text[:0], n)
	if err := a.doc.Delete(n); err != nil {
		return wrap(err)
	}
	for a.renamed < maxRenames {
		a.renamed++
		a.out = append(a.out[:0], Mask...)
		if a.renamed > 1 {
			a.out = fmt.Appendf(a.out, "%d", a.renamed)
		}
		err := a.doc.Put(parent, a.out, a.text)
		if _, invalid := errors.AsType[*document.Error](err); invalid {
			// It holds what Python writes and JSON has not.
			a.text = append(a.text[:0], `"`+Mask+`"`...)
			continue
		}
		if !errors.Is(err, document.ErrKeyExists) {
			return wrap(err)
		}
	}
	return nil // the member is gone, with its key
}
