package redaction

import (
	"errors"
	"fmt"

	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/keyname"
	"auditrelay/internal/shape"
)

// Applier applies one policy to documents, one after another. It is not safe for concurrent
// use. After its buffers have grown it allocates only what a document's edits need.
type Applier struct {
	policy   *Policy
	callback string
	doc      *document.Document
	keys     map[string]*Pseudonymiser
	ciphers  map[string]*Cipher // with the same names
	pairs    shape.Pairs

	changed  []string // changed members, if compared
	compared bool     // the event has values before and after the change

	// By node, for values that paths select: the rule plus one, and the marks. All are zero
	// between two documents.
	at     []standing
	marked []document.Node

	counts  []int        // by counter
	found   []foundCount // what detectors found, by detector and field
	texts   map[foundTouch]string
	names   keyname.Cache[keyKnown]
	named   keyKnown    // result of byName, if it is not cached
	pair    keyKnown    // result of paired
	clean   detect.Memo // texts in which no detector found anything
	untold  detect.Memo // array elements that are not names with a meaning
	field   string      // the event's field that the walk is in
	nearest int         // start of the nearest key in key

	columns  []keyKnown    // meanings of the names of table columns
	header   document.Node // last header read by columnsOf
	headed   columns
	told     []toldPart // parts of arguments that are secrets by their command line, for the arrays that the walk is in
	toldFrom int        // start of those of the innermost array
	line     []byte
	words    []shape.Argument

	known  knowledge
	rests  rests
	spared map[document.Node]uint64 // exceptions by path that apply, by node

	key      []byte // the decoded keys on the path of the walk
	value    []byte
	out      []byte
	text     []byte
	scratch  []byte
	findings []detect.Finding
	places   []detect.Place
	secret   []document.Node // members whose keys are secrets, in the objects that the walk is in
	renamed  int             // number of keys masked in this document
}

// standing is what is known about a value from its place.
type standing struct {
	rule  int32 // rule plus one; 0: none
	touch int32 // counter of a declared value
	marks marks
}

// with adds a mark. touch is the counter that is used if a declared value is masked.
func (s standing) with(mark marks, touch int) standing {
	if mark == declaredJSON && s.marks&declaredJSON == 0 {
		s.touch = int32(touch)
	}
	s.marks |= mark
	return s
}

// and combines what two sources say about one value.
func (p *Policy) and(a, b standing) standing {
	a.rule = int32(p.stronger(int(a.rule)-1, int(b.rule)-1)) + 1
	return a.with(b.marks, int(b.touch))
}

// Limits for what is kept between documents, and for one document.
const (
	keptStandings = 1 << 14
	keptValue     = 1 << 20
	// maxRenamed is how many keys that are secrets one object may have before the whole object
	// is masked. maxRenames is how many new keys are tried in one document before further
	// members are removed with their keys: each new key is compared with all others.
	maxRenamed = 256
	maxRenames = 1024
)

// NewApplier returns an Applier for a callback. callback is empty before the journal.
func (p *Policy) NewApplier(callback string) *Applier {
	a := &Applier{policy: p, callback: callback, counts: make([]int, len(p.touches)), texts: map[foundTouch]string{}, keys: map[string]*Pseudonymiser{}, ciphers: map[string]*Cipher{}}
	for name, key := range p.keys {
		if !key.Public() {
			a.keys[name] = NewPseudonymiser(name, key)
		}
		a.ciphers[name] = NewCipher(name, key)
	}
	return a
}

// Apply redacts d in place. After an error or a panic d may be edited in part and must not
// leave the relay. The error contains nothing of d.
func (a *Applier) Apply(d *document.Document) error {
	a.doc = d
	clear(a.counts)
	a.found = a.found[:0]
	a.renamed, a.field = 0, ""
	a.columns, a.header, a.headed, a.told = a.columns[:0], document.None, columns{}, a.told[:0]
	a.toldFrom, a.nearest = 0, 0
	a.known.reset()
	a.rests.reset()
	for _, c := range a.ciphers {
		c.Reset()
	}
	defer a.end()
	a.changes()
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
	if err := a.addChanges(); err != nil {
		return err
	}
	if err := a.again(); err != nil { // also in what was added
		return err
	}
	for name, c := range a.ciphers {
		if c.Err() != nil {
			return fmt.Errorf("encrypt to the public key %s: %w", name, c.Err())
		}
	}
	return nil
}

// end forgets the document.
func (a *Applier) end() {
	a.doc = nil
	a.pairs.Reset()
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

// find marks the values that the policy's paths select.
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

// standing returns the entry of n for modification. The root has none, because it cannot be
// redacted.
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

// one redacts one value.
func (a *Applier) one(n document.Node, rule int, s standing, in place) error {
	d, p := a.doc, a.policy
	kind, holds := d.Kinds(n)
	if kind == document.Null && (rule < 0 || p.rules[rule].do != Remove) {
		return nil
	}
	if rule >= 0 && p.rules[rule].texts && (kind == document.Number || kind == document.Bool) {
		rule = -1
	}
	if kind == document.Object || kind == document.Array {
		holds = kind
	}
	if rule >= 0 && (holds == document.Absent || !p.rules[rule].do.inside() && !(in.column && holds == document.Array)) {
		return a.apply(n, kind, rule, s, in.near)
	}
	if holds != document.Absent {
		in.nested = in.parent == document.Array && holds == document.Array
		in.rule, in.parent = rule, holds
		return a.members(n, in)
	}
	return a.leaf(n, kind, s, in.near)
}

// leaf redacts a value without members that no rule selects by name or path.
func (a *Applier) leaf(n document.Node, kind document.Kind, s standing, near detect.Name) error {
	if kind != document.String && kind != document.Number {
		return nil
	}
	text, room := a.doc.Text(n, a.value)
	a.value = room
	if kind == document.String && a.opaque(text, s) {
		return a.maskOpaque(n, s)
	}
	return a.detect(n, text, near, kind == document.Number)
}

// apply applies a rule to one value as a whole.
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
			return nil // the absence of a value is no secret
		}
		if r.texts && kind == document.String && a.says(n) {
			return nil
		}
		a.count(r.touch)
		a.learn(n, kind, r, rule)
		return a.mask(n)
	}
	// The remaining operations depend on the value.
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
	case Pseudonym, Encrypt:
		a.learn(n, kind, r, rule)
		a.out = a.instead(a.out[:0], r, a.value, a.key[a.nearest:])
	case Partial, Truncate:
		// If a detector would mask the value, or if its contents should have been searched, no
		// part of it stays.
		if a.detects(a.value, near) || shape.Bracketed(a.value) {
			return a.mask(n)
		}
		a.keepRest(n, a.value, nil, near)
		if r.do == Truncate {
			a.out = append(a.out[:0], Shorten(a.value, r.keep)...)
		} else {
			a.out = AppendPartial(a.out[:0], a.value, r.keep, nil)
		}
	default:
		return fmt.Errorf("redact: %v is no operation", r.do)
	}
	return wrap(d.SetString(n, a.out))
}

func (a *Applier) mask(n document.Node) error {
	a.out = append(a.out[:0], Mask...)
	return wrap(a.doc.SetString(n, a.out))
}

// keyKnown is what is known about a key.
type keyKnown struct {
	standing

	key    shape.Key
	secret bool // the key is itself a secret
	top    standing
	field  string // the event's field with this name
}

// byName returns what is known about a decoded key and caches it, since events have few
// distinct keys. It is valid until the next call.
func (a *Applier) byName(key []byte) *keyKnown {
	if known := a.names.Get(key); known != nil {
		return known
	}
	k := shape.KeyOf(a.policy.catalogue, key)
	s, grown := a.policy.byName(key, k.Name, a.scratch)
	a.scratch = grown
	a.named = keyKnown{standing: s, key: k, secret: a.detects(key, detect.Name{}), top: a.policy.top[string(key)], field: fieldName(key)}
	if !a.named.secret {
		a.names.Put(key, a.named)
	}
	return &a.named
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redact: %w", err)
}

// maskKey replaces the key of n, which is a secret, by a masked key. The member moves to the
// end of the object and keeps its value. Several masked keys are numbered.
func (a *Applier) maskKey(parent, n document.Node) error {
	a.count(a.keysTouch())
	a.text = a.doc.AppendJSON(a.text[:0], n)
	for a.renamed < maxRenames {
		a.renamed++
		a.out = append(a.out[:0], Mask...)
		if a.renamed > 1 {
			a.out = fmt.Appendf(a.out, "%d", a.renamed)
		}
		err := a.doc.Put(parent, a.out, a.text)
		if _, invalid := errors.AsType[*document.Error](err); invalid {
			// The value contains something that Python writes and JSON does not have.
			a.text = append(a.text[:0], `"`+Mask+`"`...)
			continue
		}
		if err == nil {
			a.moveRests(parent, n)
			break
		}
		if !errors.Is(err, document.ErrKeyExists) {
			return wrap(err)
		}
	}
	return wrap(a.doc.Delete(n)) // or the member is removed together with its key
}
