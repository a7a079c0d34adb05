package redaction

import (
	"slices"

	"auditrelay/document"
	"auditrelay/internal/detect"
)

// A detector may take only a part of a known secret, since a text does not say where a value ends:
// of "pw is a&b" it takes a. The rest would stay, and the known secret would no longer be found. So
// the applier keeps the original of each partly redacted text, and redacts it again once it knows
// all secrets. It does the same for values that partial or truncate shortened.

// rest is a partly redacted text.
type rest struct {
	node  document.Node
	text  piece
	found piece // of rests.found: what was redacted; empty: the text was shortened
	near  detect.Name
	field string // name of the nearest key, if a rule depends on it
}

// piece is a range of one of the buffers of rests.
type piece struct{ start, end int }

// rests are all such texts of a document.
type rests struct {
	list  []rest
	text  []byte
	found []detect.Finding
	spans []restSpan
	at    map[document.Node]int // list by node; nil until a member is moved
}

// restSpan is a part of a text with the rule that redacts it.
type restSpan struct {
	start, end, rule int
	detector, field  string
}

func (r *rests) reset() {
	r.list, r.text, r.found, r.at = r.list[:0], r.text[:0], r.found[:0], nil
	if cap(r.text) > keptValue {
		*r = rests{}
	}
}

// keepRest keeps a text before the findings in it are redacted, or before it is shortened.
func (a *Applier) keepRest(n document.Node, text []byte, found []detect.Finding, near detect.Name) {
	if identity(a.field) || len(found) == 1 && found[0].Start == 0 && found[0].End == len(text) {
		return
	}
	r := &a.rests
	one := rest{node: n, near: near, text: piece{len(r.text), len(r.text) + len(text)}, found: piece{len(r.found), len(r.found) + len(found)}}
	if a.policy.separates {
		one.field = string(a.key[a.nearest:])
	}
	r.text, r.found = append(r.text, text...), append(r.found, found...)
	r.list = append(r.list, one)
	if r.at != nil {
		r.at[n] = len(r.list) - 1
	}
}

// moveRests finds the kept texts in a member again, which was copied to the end of its object.
func (a *Applier) moveRests(parent, member document.Node) {
	r := &a.rests
	if len(r.list) == 0 {
		return
	}
	if r.at == nil {
		r.at = map[document.Node]int{}
		for i := range r.list {
			r.at[r.list[i].node] = i
		}
	}
	last := document.None
	for c := a.doc.Child(parent, document.None); c != document.None; c = a.doc.Child(parent, c) {
		last = c
	}
	a.follow(member, last)
}

// follow sets the nodes of kept texts in the value from to those in its copy.
func (a *Applier) follow(from, to document.Node) {
	if i, ok := a.rests.at[from]; ok {
		a.rests.list[i].node = to
		a.rests.at[to] = i
	}
	f, t := a.doc.Child(from, document.None), a.doc.Child(to, document.None)
	for f != document.None && t != document.None {
		a.follow(f, t)
		f, t = a.doc.Child(from, f), a.doc.Child(to, t)
	}
}

// redactRests redacts the known secrets in the kept texts.
func (a *Applier) redactRests() error {
	for i := range a.rests.list {
		r := &a.rests.list[i]
		text, found := a.rests.text[r.text.start:r.text.end], a.rests.found[r.found.start:r.found.end]
		a.places = a.known.values.Append(a.places[:0], text)
		if a.doc.Kind(r.node) == document.Absent || !slices.ContainsFunc(a.places, func(p detect.Place) bool { return !covered(p, found) }) {
			continue
		}
		if len(found) == 0 {
			if err := a.mask(r.node); err != nil {
				return err
			}
			continue
		}
		a.places = slices.DeleteFunc(a.places, func(p detect.Place) bool { return covered(p, found) })
		if err := a.redactRest(r, text); err != nil {
			return err
		}
	}
	return nil
}

// covered reports whether a finding contains a place.
func covered(p detect.Place, found []detect.Finding) bool {
	return slices.ContainsFunc(found, func(f detect.Finding) bool { return f.Start <= p.Start && p.End <= f.End })
}

// redactRest redacts text by all detectors and known secrets. Parts that overlap become one.
func (a *Applier) redactRest(r *rest, text []byte) error {
	spans := a.rests.spans[:0]
	for _, p := range a.places {
		spans = append(spans, restSpan{p.Start, p.End, a.known.rules[p.Number], "known", a.known.fields[p.Number]})
	}
	for i := range a.policy.detects {
		d := &a.policy.detects[i]
		a.findings = d.set.Append(a.findings[:0], text, r.near)
		for _, f := range a.findings {
			spans = append(spans, restSpan{f.Start, f.End, d.rule, f.Detector, r.field})
		}
	}
	slices.SortStableFunc(spans, func(x, y restSpan) int { return x.start - y.start })
	n := 0
	for _, s := range spans[1:] {
		last := &spans[n]
		switch {
		case s.start >= last.end:
			n++
			spans[n] = s
		case s.end > last.end || s.start == last.start && s.end == last.end && s.detector != "known":
			last.end = max(last.end, s.end)
			last.rule = a.policy.stronger(last.rule, s.rule)
		}
	}
	a.rests.spans = spans
	a.out = a.out[:0]
	last := 0
	for _, s := range spans[:n+1] {
		a.out = append(a.out, text[last:s.start]...)
		if s.detector == "known" {
			a.countFound(foundTouch{rule: s.rule, detector: s.detector, field: otherField})
		}
		switch rule := &a.policy.rules[s.rule]; {
		case rule.do != Remove:
			a.out = a.instead(a.out, rule, text[s.start:s.end], []byte(s.field))
		case s.start == 0 && s.end == len(text):
			return wrap(a.doc.Delete(r.node))
		}
		last = s.end
	}
	a.out = append(a.out, text[last:]...)
	return wrap(a.doc.SetString(r.node, a.out))
}
