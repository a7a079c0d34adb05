package redaction

import (
	"auditrelay/document"
	"auditrelay/internal/detect"
)

// detect redacts what detectors find in a string, or in a number, which is then redacted as a
// whole. Stronger rules run first. The text that replaces a finding is not searched again.
func (a *Applier) detect(n document.Node, text []byte, near detect.Name, whole bool) error {
	if a.clean.Clean(text, near) {
		return nil
	}
	for i := range a.policy.detects {
		r := &a.policy.detects[i]
		a.findings = r.set.Append(a.findings[:0], text, near)
		if len(a.findings) == 0 {
			continue
		}
		return a.redactFindings(n, text, near, i, whole)
	}
	if !a.policy.catalogue.Counts() {
		a.clean.Note(text, near)
	}
	return nil
}

// redactFindings redacts a text in which rule i found something. Between the findings it
// redacts what weaker rules find.
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
	a.keepRest(n, text, a.findings, near)
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

// replace appends the replacement of one finding.
func (a *Applier) replace(rule int, finding []byte, detector string) {
	r := &a.policy.rules[rule]
	a.hit(rule, finding, detector)
	a.out = a.instead(a.out, r, finding, a.key[a.nearest:])
}

// instead appends a rule's replacement for a whole value in a field.
func (a *Applier) instead(dst []byte, r *rule, value, field []byte) []byte {
	at := Place{Callback: a.callback, Field: field}
	switch {
	case r.do == Pseudonym && r.separate:
		return a.keys[r.key].AppendAt(dst, value, at)
	case r.do == Encrypt && r.separate:
		return a.ciphers[r.key].AppendAt(dst, value, at)
	}
	switch r.do {
	case Pseudonym:
		return a.keys[r.key].Append(dst, value)
	case Encrypt:
		return a.ciphers[r.key].Append(dst, value)
	}
	return append(dst, Mask...)
}

// between appends text redacted by the rules from i on.
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

// detects reports whether any detector finds something in text.
func (a *Applier) detects(text []byte, near detect.Name) bool {
	for i := range a.policy.detects {
		if a.policy.detects[i].set.Detects(text, near) {
			return true
		}
	}
	return false
}
