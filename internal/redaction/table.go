package redaction

import (
	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/shape"
)

// columns is a range of Applier.columns: what is known about a table's columns. The zero value
// is no table.
type columns struct {
	from, to int
	beside   bool // the names are next to the rows, so it certainly is a table
}

// tableAt returns the columns of the rows in an array whose first element is first: those known
// from next to the array, or those that the first row names.
func (a *Applier) tableAt(first document.Node, in place) columns {
	if in.rows.to > 0 || first == document.None || a.doc.Kind(first) != document.Array {
		return in.rows
	}
	table := a.readColumns(first)
	table.beside = false
	return table
}

// columnsOf is readColumns for an array next to the rows, with the last result cached: objects
// with many members that may be rows share one such array.
func (a *Applier) columnsOf(header document.Node) columns {
	if header == document.None {
		return columns{}
	}
	if header != a.header {
		a.header, a.headed = header, a.readColumns(header)
	}
	return a.headed
}

// readColumns stores the meanings of column names, if any has one.
func (a *Applier) readColumns(header document.Node) columns {
	c, base, tells := columns{from: len(a.columns), beside: true}, len(a.key), false
	for e := a.doc.Child(header, document.None); e != document.None && len(a.columns)-c.from < shape.MaxColumns; e = a.doc.Child(header, e) {
		name, ok := shape.Column(a.doc, e, a.key)
		if a.key = name[:base]; !ok {
			tells = false
			break
		}
		known := a.byName(name[base:])
		tells = tells || known.key.Name.Tells() || known.rule > 0
		a.columns = append(a.columns, *known)
	}
	if !tells {
		a.columns = a.columns[:c.from]
		return columns{}
	}
	c.to = len(a.columns)
	return c
}

// toldPart is part of an argument that is a secret according to its command line.
type toldPart struct {
	node   document.Node
	found  detect.Finding // position in the argument
	detect int            // rule that found it
}

// lineOf stores what the detectors find in a command line. n, a member of parent, is the array
// of its arguments. The meaning of a flag depends on the program.
func (a *Applier) lineOf(parent, n document.Node, spared uint64) {
	if len(a.policy.detects) == 0 || a.doc.Kind(n) != document.Array && a.doc.Holds(n) != document.Array {
		return
	}
	var known bool
	a.line, a.words, known = shape.Line(a.doc, parent, n, a.line[:0], a.words[:0])
	if !known {
		return
	}
	for i := range a.policy.detects {
		a.findings = a.policy.detects[i].set.Append(a.findings[:0], a.line, detect.Name{}.At(spared))
		for _, f := range a.findings {
			for _, w := range a.words {
				if f.Start < w.End && w.Start < f.End {
					part := detect.Finding{Start: max(f.Start-w.Start, 0), End: min(f.End, w.End) - w.Start, Detector: f.Detector}
					a.told = append(a.told, toldPart{w.Node, part, i})
				}
			}
		}
		if len(a.told) > a.toldFrom {
			return
		}
	}
}

// isTold reports whether the command line reveals more about an argument than the argument
// itself. JSON in an argument is judged by its own names, if they have a meaning.
func (a *Applier) isTold(n document.Node) bool {
	for i := a.toldFrom; i < len(a.told); i++ {
		if a.told[i].node != n {
			continue
		}
		if a.doc.Holds(n) == document.Absent {
			return true
		}
		a.value, _ = a.doc.AppendString(a.value[:0], n)
		return !a.detects(a.value, detect.Name{})
	}
	return false
}

// maskTold redacts the part of an argument that its command line marks. It redacts the whole
// argument if the argument alone, or the name it belongs to, marks it too, and if it is JSON.
func (a *Applier) maskTold(n document.Node, near detect.Name) error {
	a.value, _ = a.doc.AppendString(a.value[:0], n)
	a.findings = a.findings[:0]
	rule := 0
	for _, t := range a.told[a.toldFrom:] {
		if t.node == n {
			a.findings, rule = append(a.findings, t.found), t.detect
		}
	}
	return a.redactFindings(n, a.value, near, rule, a.doc.Holds(n) != document.Absent || a.detects(a.value, near))
}
