package gate

import (
	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/keyname"
	"auditrelay/internal/shape"
)

// knownRule is the rule of a leak of a known value: one that a filter treated as a secret, or
// that a detector found in the original event.
const knownRule = "known secret"

// Know adds a value that a filter treated as a secret. The event must not contain it any more,
// outside of the fields that say who did what to which object. Short and common values are
// excepted (detect.Known). Forget removes it.
func (i *Inspector) Know(value []byte) { i.known.Add(value) }

// Known returns the number of known values.
func (i *Inspector) Known() int { return i.known.Len() }

// Recall replaces the set of known values, for an Inspector that checks several events in
// turns.
func (i *Inspector) Recall(known *detect.Known) { i.known = known }

// Forget removes all known values. Call it before the next event.
func (i *Inspector) Forget() { i.known.Reset() }

// Learn adds what the detectors find in an original event. A filter then cannot blind the gate
// by removing the name that identified a secret: the value is refused wherever it occurs
// afterwards. data must be readable by Document.
func (i *Inspector) Learn(data []byte) (err error) {
	defer recoverInto(&err)
	if i.gate.finder == nil {
		return nil
	}
	i.document.Reset(data)
	i.findSpared(&i.document)
	i.keys = i.keys[:0]
	return i.members(&i.document, document.Root, place{parent: document.Object, learns: true})
}

// keyKnown is what is known about a key.
type keyKnown struct {
	shape.Key

	leak error // the key is itself a secret
	path *path // path that forbids values under this key anywhere
}

// of returns what is known about a decoded key and caches it. It is valid until the next call.
func (i *Inspector) of(key []byte) *keyKnown {
	if known := i.names.Get(key); known != nil {
		return known
	}
	i.named = keyKnown{Key: shape.KeyOf(i.gate.catalogue, key), path: i.gate.forbiddenName(key)}
	if i.gate.finder != nil {
		if i.findings = i.gate.finder.Append(i.findings[:0], key, detect.Name{}); len(i.findings) > 0 {
			i.named.leak = leakOf("detector "+i.findings[0].Detector, "a key")
			return &i.named
		}
	}
	i.names.Put(key, i.named)
	return &i.named
}

// place is the position of the walk.
type place struct {
	name   detect.Name   // meaning of the nearest name above
	parent document.Kind // Object or Array: the kind of the parent
	keyRow bool          // the children may be columns of a row of LiteLLM's keys
	nested bool          // the array is inside an array
	learns bool          // findings are added to the known values
	known  bool          // known values are forbidden here
	spared uint64
	rows   columns // the array contains the rows of a table
	row    columns // the array is one row of a table
}

// columns is a range of Inspector.columns: the meanings of a table's column names. The zero
// value is no table.
type columns struct{ from, to int }

// members checks the members of n.
func (i *Inspector) members(d *document.Document, n document.Node, in place) error {
	if in.parent == document.Array {
		return i.elements(d, n, in)
	}
	base := len(i.keys)
	for c := d.Child(n, document.None); c != document.None; c = d.Child(n, c) {
		i.keys = d.AppendKey(i.keys[:base], c)
		key := i.of(i.keys[base:])
		at := in
		if n == document.Root {
			at.known = i.known.Len() > 0 && !in.learns && !identity(i.keys[base:])
		}
		if key.path != nil && !in.learns && !i.blank(d, c) {
			return key.path.leak()
		}
		if in.learns && n == document.Root && identity(i.keys[base:]) {
			continue
		}
		if at.known {
			if i.known.Stands(i.keys[base:]) {
				return leakOf(knownRule, "a key")
			}
		}
		if key.leak != nil {
			if !in.learns {
				return key.leak
			}
			i.known.Add(i.keys[base:])
		}
		at.spared |= i.spared[c]
		at.name = key.Name.At(at.spared)
		value := key.Value
		if key.Value || key.Special() {
			end := len(i.keys)
			i.keys = i.pairs.Beside(d, n, c, key.Key, i.keys)
			if len(i.keys) > end {
				i.keys, value = append(i.keys[:base], i.keys[end:]...), false
				if pair := i.gate.catalogue.Name(i.keys[base:]); pair.Tells() {
					at.name = pair.At(at.spared)
				}
			}
		}
		if in.name.Gives() {
			at.name = i.gate.catalogue.Inside(in.name, at.name, i.keys[base:], value)
		}
		i.keys = i.keys[:base]
		if in.keyRow && shape.KeyHash(d, c, key.Key) {
			continue
		}
		at.keyRow, at.nested = key.IsHolder(), false
		at.rows, at.row = columns{}, columns{}
		if key.IsRows() {
			if at.rows = i.columnsOf(d, shape.Columns(d, n)); at.rows.to == 0 {
				at.rows = in.rows
			}
		}
		if key.IsArguments() {
			if err := i.arguments(d, n, c, at); err != nil {
				return err
			}
		}
		if err := i.node(d, c, at); err != nil {
			return err
		}
	}
	return nil
}

// elements checks an array, in which an element may be the name of the next one.
func (i *Inspector) elements(d *document.Document, n document.Node, in place) error {
	var before detect.Name
	first := d.Child(n, document.None)
	table, beside := in.rows, in.rows.to > 0
	if !beside && first != document.None && d.Kind(first) == document.Array {
		table = i.readColumns(d, first)
	}
	if shape.IsLines(d, first) {
		if err := i.arguments(d, document.None, n, in); err != nil {
			return err
		}
	}
	row, order := in.row, shape.ByRow
	if beside {
		order = shape.OrderOf(d, n, table.to-table.from)
	}
	in.rows, in.row = columns{}, columns{}
	for c, column := first, table.from; c != document.None; c, column = d.Child(n, c), column+1 {
		at := in
		if c != first || beside {
			at.row = table
		}
		if order != shape.ByRow && column < table.to && !shape.IsObject(d, c) {
			if name := i.columns[column]; name.Tells() {
				at.name = name.Listed().At(at.spared)
			}
			if order == shape.ByColumn {
				at.row = columns{}
			}
		}
		if row.from < row.to {
			if name := i.columns[row.from]; name.Tells() {
				at.name = at.name.Or(name.Listed()).At(at.spared)
			}
			row.from++
		}
		var own detect.Name
		flag := false
		if d.Kind(c) == document.String {
			var text []byte
			if text, i.value = d.Text(c, i.value); len(text) <= keyname.CachedBytes {
				flag = len(text) > 0 && text[0] == '-'
				if name, _ := shape.Before(text, false, false); name != nil {
					own = i.gate.catalogue.NameOf(name, &i.untold)
				}
			}
		}
		if before.Tells() && !flag {
			at.name = before.Listed().At(at.spared)
		}
		if err := i.node(d, c, at); err != nil {
			return err
		}
		before = own
	}
	return nil
}

// node checks one value.
func (i *Inspector) node(d *document.Document, n document.Node, in place) error {
	kind, holds := d.Kinds(n)
	if kind == document.Object || kind == document.Array {
		holds = kind
	}
	if holds != document.Absent {
		in.nested = in.parent == document.Array && holds == document.Array
		in.parent = holds
		return i.members(d, n, in)
	}
	if kind != document.String && kind != document.Number {
		return nil // true, false and null reveal nothing
	}
	var text []byte
	text, i.value = d.Text(n, i.value)
	i.sought = in.known
	switch {
	case in.learns:
		i.learnFrom(text, in.name)
		return nil
	case kind == document.Number:
		return i.find(text, in.name, "a number")
	}
	return i.leaf(text, in.name, "a string")
}

// learnFrom adds what the detectors find in a text.
func (i *Inspector) learnFrom(text []byte, name detect.Name) {
	i.detect(text, name)
	for _, f := range i.findings {
		i.known.Add(text[f.Start:f.End])
	}
	if !shape.Bracketed(text) {
		return
	}
	if plain, changed := unescape(i.plain[:0], text); changed {
		i.findings = i.gate.finder.Append(i.findings[:0], plain, name)
		for _, f := range i.findings {
			i.known.Add(plain[f.Start:f.End])
		}
		i.plain = plain
	}
}

// identity reports whether a field of the event says who did what to which object.
func identity(key []byte) bool {
	switch string(key) {
	case "id", "updated_at", "changed_by", "changed_by_api_key", "action", "table_name", "object_id":
		return true
	}
	return false
}

// findSpared is called at the start of a document. It stores the nodes that exceptions by path
// select.
func (i *Inspector) findSpared(d *document.Document) {
	clear(i.spared)
	i.pairs.Reset()
	i.columns, i.header, i.headed = i.columns[:0], document.None, columns{}
	for bit, p := range i.gate.catalogue.Paths() {
		if p == nil {
			continue
		}
		for n := d.Each(p, document.None); n != document.None; n = d.Each(p, n) {
			if i.spared == nil {
				i.spared = map[document.Node]uint64{}
			}
			i.spared[n] |= 1 << bit
		}
	}
}
