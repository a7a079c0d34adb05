// Package detect finds secrets and personal data in text, by form alone or by form and a
// nearby name. Most detectors are rules, which are data: the built-in ones in
// pack/*.toml, and the operator's. Only JWT, PEM, URLs, named values, cards and IBAN need
// code.
//
// All rules of a Set are compiled to one automaton. A hit is then checked closely, in a
// window of text. docs/reference/detectors.md, generated from a Catalogue, lists what
// the detectors find and what they do not.
package detect

import (
	"slices"
	"sync"
)

// Finding is one piece of a text that a detector took for what it looks for.
type Finding struct {
	Start, End int // of the text, in bytes
	Detector   string
}

// Name is what is known of a value by where it stands: what the name that it stands
// under tells, and which exceptions hold there. The zero value knows nothing.
type Name struct {
	kinds kind
	bound uint64 // the rules bound to names that apply
	near  uint64 // the rules of whose words it has one
	at    uint64 // the exceptions by path that hold
}

// At returns the name with the exceptions of the set bits, by index.
func (n Name) At(exceptions uint64) Name {
	n.at |= exceptions
	return n
}

// Listed returns the name as that of a value that stands behind it in a list.
func (n Name) Listed() Name {
	if n.kinds != 0 {
		n.kinds |= listed
	}
	return n
}

// Or returns the name as that of a value that stands under both: what either says is a secret
// is one. What makes a name say less counts where both have it.
func (n Name) Or(other Name) Name {
	const less = bare | digest
	switch {
	case n.kinds == 0:
		n.kinds = other.kinds
	case other.kinds != 0:
		n.kinds = (n.kinds|other.kinds)&^less | n.kinds&other.kinds&less
	}
	n.bound |= other.bound
	n.near |= other.near
	n.at |= other.at
	return n
}

// Tells reports whether the name says that a secret stands under it, by which rules
// by name go too.
func (n Name) Tells() bool { return n.kinds != 0 }

// OfDigest reports whether the name is one under which LiteLLM keeps a key's hash.
func (n Name) OfDigest() bool { return n.kinds&digest != 0 }

// Set is a selection of detectors. It is immutable and safe for concurrent use.
type Set struct {
	catalogue *Catalogue
	automaton *automaton
	anchors   []anchor
	named     named
	bits      []int // by anchor: the bit of the rule that is bound to names, or -1
	nears     []int // by anchor: the bit of the rule that asks for words, or -1
	work      *sync.Pool
	unmarked  string     // the name of the detector of keys without a beginning; "": it is not chosen
	decoders  *sync.Pool // of *decoder
}

// take adds a detector.
func (s *Set) take(c *Catalogue, d *detector) {
	bit := -1
	for i, r := range c.bound {
		if d.under == r {
			bit = i
		}
	}
	for _, a := range d.anchors {
		s.anchors = append(s.anchors, a)
		s.bits = append(s.bits, bit)
		s.nears = append(s.nears, d.near-1)
		if a.search != nil && s.work == nil {
			n := c.expressions
			s.work = &sync.Pool{New: func() any { return &work{searched: make([]int, n), spent: make([]int, n)} }}
		}
	}
	s.named.rules = append(s.named.rules, d.named...)
	if d.unmarked {
		s.unmarked = d.Name
	}
}

// compile makes the automaton.
func (s *Set) compile(c *Catalogue) error {
	s.named.names = c.names
	s.decoders = &sync.Pool{New: func() any { return new(decoder) }}
	rank := len(c.detectors)
	add := func(a anchor) {
		a.rank = rank
		s.anchors = append(s.anchors, a)
		s.bits = append(s.bits, -1)
		s.nears = append(s.nears, -1)
	}
	for _, p := range escapes() {
		add(anchor{pattern: p, notes: hasEscapes})
	}
	if len(s.named.rules) > 0 {
		add(anchor{pattern: literal("\n"), notes: hasLines})
		for _, a := range s.named.anchors() {
			a.told = true
			add(a)
		}
	}
	patterns := make([]pattern, len(s.anchors))
	for i := range s.anchors {
		patterns[i] = s.anchors[i].pattern
	}
	var err error
	s.automaton, err = newAutomaton(patterns)
	return err
}

// Name returns what key, a decoded name, tells of a value under it.
func (s *Set) Name(key []byte) Name { return s.catalogue.name(key) }

// Name returns what key, a decoded name, tells of a value under it. It takes a
// fraction of a microsecond: keep it where a name comes often.
func (c *Catalogue) Name(key []byte) Name { return c.orShipped().name(key) }

func (c *Catalogue) name(key []byte) Name {
	n := Name{kinds: c.names.tells(key), near: c.near.tells(key)}
	for i, r := range c.bound {
		if matchesAny(r.under, key) {
			n.bound |= 1 << i
		}
	}
	return n
}

// Append appends what the detectors find in text, in order and without overlaps.
// text is decoded: a string's characters, a number as written, or a key. name is what
// the name that it stands under tells: some things are known by their neighbourhood
// alone. The time is linear in len(text) whatever it holds. It allocates nothing
// beside dst, but for an operator's expression that has to be searched for.
func (s *Set) Append(dst []Finding, text []byte, name Name) []Finding {
	return s.AppendAtPace(dst, text, name, nil)
}

// AppendAtPace is Append, and calls look again and again while it is under way: about once
// for each KiB. look may panic to end it; nil is Append.
func (s *Set) AppendAtPace(dst []Finding, text []byte, name Name, look func()) []Finding {
	if len(text) < shortest {
		return dst
	}
	whole, ok := s.under(name, text)
	before := len(dst)
	w := s.begin(name, look)
	for from, due := 0, lookBytes; ; {
		f, found := s.next(text, from, &w)
		if !found {
			break
		}
		dst = append(dst, f)
		if from = f.End; from >= due {
			due = from + lookBytes
			w.pass()
		}
	}
	if found, ok := s.deeper(text, &w); ok {
		dst = merge(dst, before, found)
	}
	s.end(&w)
	// The whole text is the secret, unless its own form says so more precisely.
	if ok && (len(dst) != before+1 || dst[before].Start > whole.Start || dst[before].End < whole.End) {
		dst = append(dst[:before], whole)
	}
	return dst
}

// Detects reports whether Append would find anything.
func (s *Set) Detects(text []byte, name Name) bool { return s.DetectsAtPace(text, name, nil) }

// DetectsAtPace is to Detects what AppendAtPace is to Append.
func (s *Set) DetectsAtPace(text []byte, name Name, look func()) bool {
	if len(text) < shortest {
		return false
	}
	if _, ok := s.under(name, text); ok {
		return true
	}
	w := s.begin(name, look)
	defer s.end(&w)
	if _, ok := s.next(text, 0, &w); ok {
		return true
	}
	_, ok := s.deeper(text, &w)
	return ok
}

// under returns the whole text as a finding where its name says so.
func (s *Set) under(name Name, text []byte) (Finding, bool) {
	if name.kinds == 0 {
		return Finding{}, false
	}
	f, ok := s.named.under(name.kinds, text)
	if ok && s.catalogue.exceptions != nil && s.catalogue.exceptions.spares(f, f.Detector, text, name.at) {
		return f, false
	}
	return f, ok
}

// scan is one pass over a text.
type scan struct {
	name  Name
	work  *work
	notes notes
	inner *decoder
	size  int    // of the text
	look  func() // nil: nobody looks in
}

// lookBytes is how much of a text is scanned before somebody looks in.
const lookBytes = 1 << 10

// pass lets somebody look in.
func (w *scan) pass() {
	if w.look != nil {
		w.look()
	}
}

// notes are what a scan has seen that asks for another look.
type notes uint8

const (
	hasEscapes notes = 1 << iota
	hasLines
)

// deeper returns what one pass over a text cannot find, and whether there is anything:
// tables under a heading, what escapes and encodings hide, keys without a beginning. The
// findings are in any order, may overlap, and are valid until end.
func (s *Set) deeper(text []byte, w *scan) ([]Finding, bool) {
	if w.notes == 0 && len(text) < runLeast {
		return nil, false
	}
	w.size = len(text)
	if w.notes&hasLines != 0 {
		d := s.room(w)
		d.found = s.table(d.found, text, w)
	}
	if w.notes&hasEscapes != 0 {
		d := s.room(w)
		d.found = s.unescaped(d.found, text, w, d)
	}
	s.runs(text, w)
	if w.inner == nil {
		return nil, false
	}
	return w.inner.found, len(w.inner.found) > 0
}

// room returns what a scan decodes in, which few texts need.
func (s *Set) room(w *scan) *decoder {
	if w.inner == nil {
		w.inner = s.decoders.Get().(*decoder)
		w.inner.found, w.inner.inflated = w.inner.found[:0], 0
	}
	return w.inner
}

// table is named.table, with exceptions.
func (s *Set) table(found []Finding, text []byte, w *scan) []Finding {
	from := len(found)
	found = s.named.table(found, text)
	if e := s.catalogue.exceptions; e != nil {
		kept := slices.DeleteFunc(found[from:], func(f Finding) bool { return e.spares(f, f.Detector, text, w.name.at) })
		found = found[:from+len(kept)]
	}
	return found
}

// merge adds findings to those from dst[before] on, and makes one of those that overlap.
func merge(dst []Finding, before int, found []Finding) []Finding {
	dst = append(dst, found...)
	all := dst[before:]
	slices.SortStableFunc(all, func(a, b Finding) int { return a.Start - b.Start })
	n := 0
	for _, f := range all[1:] {
		if last := &all[n]; f.Start < last.End {
			last.End = max(last.End, f.End)
			continue
		}
		n++
		all[n] = f
	}
	return dst[:before+n+1]
}

func (s *Set) begin(name Name, look func()) scan {
	w := scan{name: name, look: look}
	if s.work != nil {
		w.work = s.work.Get().(*work)
		clear(w.work.searched)
		clear(w.work.spent)
	}
	return w
}

func (s *Set) end(w *scan) {
	if w.inner != nil {
		s.decoders.Put(w.inner)
	}
	if w.work != nil {
		s.work.Put(w.work)
	}
}

// Size is the memory of the automaton's tables, in bytes, and its states.
func (s *Set) Size() (bytes, states int) {
	return s.automaton.size(), len(s.automaton.next) >> s.automaton.shift
}
