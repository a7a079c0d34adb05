// Package detect finds secrets and personal data in text, by form alone or by form and a nearby
// name. Most detectors are rules, which are data: the built-in ones in pack/*.toml, and the
// operator's. Only JWT, PEM, URLs, named values, cards and IBAN need code.
//
// All rules of a Set are compiled into one automaton. Each hit is then checked in a window of
// text. docs/reference/detectors.md, generated from a Catalogue, lists what the detectors find
// and what they miss.
package detect

import (
	"slices"
	"sync"
)

// Finding is a part of a text that a detector matched.
type Finding struct {
	Start, End int // in the text, in bytes
	Detector   string
}

// Name is the knowledge about a value from its place: the meaning of its name, and the
// exceptions that apply there. The zero value means nothing is known.
type Name struct {
	kinds     kind
	inherited kind   // kinds of the names above, if its own name has none
	used      uint8  // number of words after the meaningful one, here and in names above
	bound     uint64 // the rules bound to names that apply
	near      uint64 // the rules with a word in the name
	at        uint64 // the path exceptions that apply
}

// At returns the name with the exceptions whose bits are set, by index.
func (n Name) At(exceptions uint64) Name {
	n.at |= exceptions
	return n
}

// Listed returns the name for a value that follows it in a list.
func (n Name) Listed() Name {
	if n.kinds != 0 {
		n.kinds |= listed
	}
	return n
}

// Or returns the name for a value that has both names. It is a secret if either name says so. A
// property that reduces what a name means applies only if both names have it.
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

// Tells reports whether the name says that its value is a secret. Rules bound to names count
// too.
func (n Name) Tells() bool { return n.kinds != 0 }

// OfDigest reports whether LiteLLM stores a key's hash under this name.
func (n Name) OfDigest() bool { return n.kinds&digest != 0 }

// Set is a selection of detectors. It is immutable and safe for concurrent use.
type Set struct {
	catalogue *Catalogue
	automaton *automaton
	anchors   []anchor
	named     named
	bits      []int // by anchor: the bit of the rule bound to names, or -1
	nears     []int // by anchor: the bit of the rule that requires words, or -1
	work      *sync.Pool
	unmarked  string     // name of the detector of keys without a prefix; "": not selected
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

// compile builds the automaton.
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

// Name returns the meaning of key, a decoded name, for its value.
func (s *Set) Name(key []byte) Name { return s.catalogue.name(key) }

// Name returns the meaning of key, a decoded name, for its value. It takes a fraction of a
// microsecond, so cache the result for frequent names.
func (c *Catalogue) Name(key []byte) Name { return c.orShipped().name(key) }

func (c *Catalogue) name(key []byte) Name {
	kinds, tail := c.names.meaning(key)
	n := Name{kinds: kinds, used: uint8(tail), near: c.near.tells(key)}
	for i, r := range c.bound {
		if matchesAny(r.under, key) {
			n.bound |= 1 << i
		}
	}
	return n
}

// Append appends the findings of the detectors in text, in order and without overlaps. text is
// decoded: the characters of a string, a number as written, or a key. name is the meaning of
// its name, which some detectors need. The time is linear in len(text) for any content. Append
// allocates only dst, unless an operator's expression requires a search.
func (s *Set) Append(dst []Finding, text []byte, name Name) []Finding {
	return s.AppendAtPace(dst, text, name, nil)
}

// AppendAtPace is like Append, but calls look about once per KiB. look may panic to stop the
// scan; if it is nil, this is Append.
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
	// The whole text is the secret, unless a detector found a more precise form in it.
	if ok && (len(dst) != before+1 || dst[before].Start > whole.Start || dst[before].End < whole.End) {
		dst = append(dst[:before], whole)
	}
	return dst
}

// Detects reports whether Append would find anything.
func (s *Set) Detects(text []byte, name Name) bool { return s.DetectsAtPace(text, name, nil) }

// DetectsAtPace is like Detects, but calls look as AppendAtPace does.
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

// under returns the whole text as a finding if its name says that it is a secret.
func (s *Set) under(name Name, text []byte) (Finding, bool) {
	kinds := name.kinds | name.inherited
	if kinds == 0 {
		return Finding{}, false
	}
	f, ok := s.named.under(kinds, text)
	if ok && s.catalogue.exceptions != nil && s.catalogue.exceptions.spares(f, f.Detector, text, name.at) {
		return f, false
	}
	return f, ok
}

// scan is the state of one pass over a text.
type scan struct {
	name  Name
	work  *work
	notes notes
	inner *decoder
	size  int    // of the text
	look  func() // may be nil
}

// lookBytes is the number of bytes scanned between two calls of look.
const lookBytes = 1 << 10

// pass calls look.
func (w *scan) pass() {
	if w.look != nil {
		w.look()
	}
}

// notes records what a scan has seen that requires another pass.
type notes uint8

const (
	hasEscapes notes = 1 << iota
	hasLines
)

// deeper returns findings that one pass over a text cannot make, and whether there are any:
// tables under a heading, values hidden by escapes and encodings, keys without a prefix. The
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

// room returns the buffers for decoding, which few texts need.
func (s *Set) room(w *scan) *decoder {
	if w.inner == nil {
		w.inner = s.decoders.Get().(*decoder)
		w.inner.found, w.inner.inflated = w.inner.found[:0], 0
	}
	return w.inner
}

// table is like named.table, but applies exceptions.
func (s *Set) table(found []Finding, text []byte, w *scan) []Finding {
	from := len(found)
	found = s.named.table(found, text)
	if e := s.catalogue.exceptions; e != nil {
		kept := slices.DeleteFunc(found[from:], func(f Finding) bool { return e.spares(f, f.Detector, text, w.name.at) })
		found = found[:from+len(kept)]
	}
	return found
}

// merge adds findings to those from dst[before] on, and joins overlapping ones.
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

// Size returns the memory of the automaton's tables in bytes, and the number of states.
func (s *Set) Size() (bytes, states int) {
	return s.automaton.size(), len(s.automaton.next) >> s.automaton.shift
}
