package redaction

import "auditrelay/document"

// foundTouch is a kind of finding: the rule that redacted it, what found it, and the event's
// field that contained it.
type foundTouch struct {
	rule     int
	detector string
	field    string
}

type foundCount struct {
	foundTouch

	count int
}

func (a *Applier) count(touch int) { a.counts[touch]++ }

func (a *Applier) countFound(t foundTouch) {
	for i := range a.found {
		if a.found[i].foundTouch == t {
			a.found[i].count++
			return
		}
	}
	a.found = append(a.found, foundCount{t, 1})
}

// Touched calls f for everything that the last Apply did, with the rule's text (or the detector
// and the event's field), the operation, and the number of values. The texts come from the
// policy and the schema, never from the document.
func (a *Applier) Touched(f func(path, operation string, count int)) {
	for i, n := range a.counts {
		if n > 0 {
			f(a.policy.touches[i].path, a.policy.touches[i].operation, n)
		}
	}
	for i := range a.found {
		t := &a.found[i]
		text, ok := a.texts[t.foundTouch]
		if !ok {
			text = "detect:" + t.detector + " in " + t.field
			a.texts[t.foundTouch] = text
		}
		f(text, a.policy.rules[t.rule].do.String(), t.count)
	}
}

// The counters that New creates last.
func (a *Applier) keysTouch() int     { return len(a.counts) - 3 }
func (a *Applier) keepOnlyTouch() int { return len(a.counts) - 2 }
func (a *Applier) opaqueTouch() int   { return len(a.counts) - 1 }

// says reports whether a text contains no more than a boolean or null.
func (a *Applier) says(n document.Node) bool {
	if a.doc.Len(n) > len("false") {
		return false
	}
	a.value, _ = a.doc.AppendString(a.value[:0], n)
	switch string(a.value) {
	case "true", "True", "false", "False", "null", "None":
		return true
	}
	return false
}

// sparedAt returns the exceptions by path that apply at n.
func (a *Applier) sparedAt(n document.Node) uint64 {
	if a.spared == nil {
		return 0
	}
	return a.spared[n]
}

// findSpared marks the values that the paths of exceptions select.
func (a *Applier) findSpared() {
	clear(a.spared)
	for i, p := range a.policy.catalogue.Paths() {
		if p == nil {
			continue
		}
		for n := a.doc.Each(p, document.None); n != document.None; n = a.doc.Each(p, n) {
			if a.spared == nil {
				a.spared = map[document.Node]uint64{}
			}
			a.spared[n] |= 1 << i
		}
	}
}
