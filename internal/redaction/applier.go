package redaction

import (
	"errors"
	"fmt"

	"auditrelay/document"
	"auditrelay/internal/detect"
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

	counts []int               // by counter
	names  map[string]keyKnown // what is known by name, by decoded key

	key      []byte // the decoded keys on the way to where the walk is
	value    []byte
	out      []byte
	text     []byte
	scratch  []byte
	findings []detect.Finding
	found    []document.Node // members whose keys are secrets, of the objects that the walk is in
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
	keptNames     = 4096
	keptNameBytes = 64
	// maxRenamed bounds how many keys that are secrets one object may have before it
	// is masked whole, and maxRenames how many new keys are tried in one document,
	// before members go with theirs: each new key is compared with all others.
	maxRenamed = 256
	maxRenames = 1024
)

// NewApplier returns an Applier.
func (p *Policy) NewApplier() *Applier {
	a := &Applier{policy: p, counts: make([]int, len(p.touches)), names: map[string]keyKnown{}, keys: map[string]*Pseudonymiser{}}
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
	a.renamed = 0
	defer a.end()
	if a.policy.keeps {
		if err := a.keepOnly(); err != nil {
			return err
		}
	}
	a.find()
	a.key = a.key[:0]
	return a.members(document.Root, place{rule: -1, parent: document.Object})
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
	if cap(a.found) > keptStandings {
		a.found = nil
	}
}

// Touched calls f for everything that the last Apply did: the rule's text, the
// operation and how many values. The texts are the policy's, never the document's.
func (a *Applier) Touched(f func(path, operation string, count int)) {
	for i, n := range a.counts {
		if n > 0 {
			f(a.policy.touches[i].path, a.policy.touches[i].operation, n)
		}
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
	near   []byte        // the nearest key above, decoded
	parent document.Kind // Object or Array: what the children are in
}

// members goes through the members or elements of n. Keys that are secrets are
// masked when all have been seen: a member under a new key is put behind the last.
// The next one is asked for only when one is done, so that the document finds the
// end of what was looked into without reading it once more.
func (a *Applier) members(n document.Node, in place) error {
	from, base := len(a.found), len(a.key)
	for c := a.doc.Child(n, document.None); c != document.None; c = a.doc.Child(n, c) {
		secret, err := a.member(n, c, in)
		if err != nil {
			return err
		}
		if a.key = a.key[:base]; secret {
			a.found = append(a.found, c)
		}
	}
	if len(a.found) == from {
		return nil
	}
	defer func() { a.found = a.found[:from] }()
	if len(a.found)-from > maxRenamed && n != document.Root {
		a.count(a.keysTouch())
		return a.mask(n)
	}
	for _, c := range a.found[from:] {
		if a.doc.Kind(c) == document.Absent {
			continue // removed, with its key
		}
		if err := a.maskKey(n, c); err != nil {
			return err
		}
	}
	return nil
}

// member redacts one member or element of parent, and reports whether its key is a
// secret.
func (a *Applier) member(parent, n document.Node, in place) (secret bool, err error) {
	p := a.policy
	s := a.noted(n)
	rule := -1 // by name
	if in.parent == document.Object {
		from := len(a.key)
		a.key = a.doc.AppendKey(a.key, n)
		key := a.key[from:]
		named := a.byName(key)
		if parent == document.Root {
			s = p.and(s, p.top[string(key)])
		}
		s = s.with(named.marks, int(named.touch))
		if s.marks&excepted == 0 {
			rule = int(named.rule) - 1
		}
		in.near = key
		secret = named.secret
	}
	in.rule = p.stronger(int(s.rule)-1, in.rule)
	if s.marks&digestField != 0 && a.isDigest(n) {
		// No name makes a secret of it, and no detector. A rule for its place, or for
		// what it lies in, says that it is to go nevertheless.
		if in.rule < 0 {
			return secret, nil
		}
		rule = -1
	}
	return secret, a.one(n, p.stronger(rule, in.rule), s, in)
}

// one redacts one value.
func (a *Applier) one(n document.Node, rule int, s standing, in place) error {
	d, p := a.doc, a.policy
	kind := d.Kind(n)
	if kind == document.Null && (rule < 0 || p.rules[rule].do != Remove) {
		return nil
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
		in.rule, in.parent = rule, holds
		return a.members(n, in)
	}
	return a.leaf(n, kind, s, in.near)
}

// leaf redacts a value that no rule names and nothing is in.
func (a *Applier) leaf(n document.Node, kind document.Kind, s standing, near []byte) error {
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
func (a *Applier) apply(n document.Node, kind document.Kind, rule int, s standing, near []byte) error {
	r := &a.policy.rules[rule]
	d := a.doc
	switch r.do {
	case Remove:
		a.count(r.touch)
		return wrap(d.Delete(n))
	case Masked:
		if kind == document.String && d.Len(n) == 0 {
			return nil // that there is nothing is no secret
		}
		a.count(r.touch)
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
		a.out = a.keys[r.key].Append(a.out[:0], a.value)
	case Partial, Truncate:
		// No part stays of what a detector would have masked, nor of what should have
		// been looked into.
		if a.detects(a.value, near) || beginsAsJSON(a.value) {
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
func (a *Applier) detects(text, near []byte) bool {
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
func (a *Applier) detect(n document.Node, text, near []byte, whole bool) error {
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
func (a *Applier) redactFindings(n document.Node, text, near []byte, i int, whole bool) error {
	p := a.policy
	r := &p.rules[p.detects[i].rule]
	if r.do == Remove {
		a.count(r.touch)
		return wrap(a.doc.Delete(n))
	}
	if whole {
		a.findings = append(a.findings[:0], detect.Finding{End: len(text)})
	}
	a.out = a.out[:0]
	last := 0
	for _, f := range a.findings {
		a.between(text[last:f.Start], near, i+1)
		a.replace(r, text[f.Start:f.End])
		last = f.End
	}
	a.between(text[last:], near, i+1)
	return wrap(a.doc.SetString(n, a.out))
}

// replace appends what stands in the place of one finding.
func (a *Applier) replace(r *rule, finding []byte) {
	a.count(r.touch)
	if r.do == Pseudonym {
		a.out = a.keys[r.key].Append(a.out, finding)
		return
	}
	a.out = append(a.out, Mask...)
}

// between appends text, redacted by the rules from i on.
func (a *Applier) between(text, near []byte, i int) {
	for ; i < len(a.policy.detects); i++ {
		d := &a.policy.detects[i]
		found := d.set.Append(nil, text, near)
		if len(found) == 0 {
			continue
		}
		r := &a.policy.rules[d.rule]
		last := 0
		for _, f := range found {
			a.between(text[last:f.Start], near, i+1)
			a.replace(r, text[f.Start:f.End])
			last = f.End
		}
		text = text[last:]
	}
	a.out = append(a.out, text...)
}

// keyKnown is what is known of a key.
type keyKnown struct {
	standing

	secret bool // it is one itself
}

// byName returns what is known of a decoded key, and remembers it: events have few
// distinct keys.
func (a *Applier) byName(key []byte) keyKnown {
	if known, ok := a.names[string(key)]; ok {
		return known
	}
	s, grown := a.policy.byName(key, a.scratch)
	a.scratch = grown
	known := keyKnown{standing: s, secret: a.detects(key, nil)}
	if len(key) <= keptNameBytes && !known.secret {
		if len(a.names) >= keptNames {
			clear(a.names)
		}
		a.names[string(key)] = known
	}
	return known
}

// isDigest reports whether the string n is a SHA-256 in hexadecimal, as LiteLLM
// writes the hashes of its keys.
func (a *Applier) isDigest(n document.Node) bool {
	if a.doc.Kind(n) != document.String || a.doc.Len(n) != 64 {
		return false
	}
	a.value, _ = a.doc.AppendString(a.value[:0], n)
	for _, c := range a.value {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func (a *Applier) count(touch int) { a.counts[touch]++ }

// The counters that New makes last.
func (a *Applier) keysTouch() int     { return len(a.counts) - 3 }
func (a *Applier) keepOnlyTouch() int { return len(a.counts) - 2 }
func (a *Applier) opaqueTouch() int   { return len(a.counts) - 1 }

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
