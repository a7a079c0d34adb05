package redaction

import "auditrelay/document"

// foundTouch is a kind of finding: the rule that redacted it, what found it, and the
// field of the event in which it lay.
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

// Touched calls f for everything that the last Apply did: the rule's text, or the
// detector and the event's field, the operation, and how many values. The texts are
// the policy's and the schema's, never the document's.
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

// The counters that New makes last.
func (a *Applier) keysTouch() int     { return len(a.counts) - 3 }
func (a *Applier) keepOnlyTouch() int { return len(a.counts) - 2 }
func (a *Applier) opaqueTouch() int   { return len(a.counts) - 1 }

// says reports whether a text says no more than a boolean or null.
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

// sparedAt returns the exceptions by path that hold at n.
func (a *Applier) sparedAt(n document.Node) uint64 {
	if a.spared == nil {
		return 0
	}
	return a.spared[n]
}

// findSpared notes what the paths of exceptions select.
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
