package redaction

import (
	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/keyname"
	"auditrelay/internal/shape"
)

// place is the position of the walk.
type place struct {
	rule   int           // rule for each value inside, or -1
	near   detect.Name   // meaning of the nearest name above
	parent document.Kind // Object or Array: the kind of the parent
	keyRow bool          // the children may be columns of a row of LiteLLM's keys
	nested bool          // the array is inside an array
	column bool          // the array is a column: the rule applies to each value in it
	spared uint64        // exceptions by path that apply
	rows   columns       // the array contains the rows of a table
	row    columns       // the array is one row of a table
}

// members redacts the members or elements of n. Keys that are secrets are masked after all
// members were visited, because a member with a new key is appended at the end. The next member
// is requested only when one is done, so the document finds the end of a visited value without
// reading it again.
func (a *Applier) members(n document.Node, in place) error {
	from, base := len(a.secret), len(a.key)
	if in.parent == document.Array {
		if err := a.elements(n, in); err != nil {
			return err
		}
	} else {
		for c := a.doc.Child(n, document.None); c != document.None; c = a.doc.Child(n, c) {
			nearest := a.nearest
			secret, err := a.member(n, c, in)
			if err != nil {
				return err
			}
			a.nearest = nearest
			if a.key = a.key[:base]; secret {
				a.secret = append(a.secret, c)
			}
		}
	}
	if len(a.secret) == from {
		return nil
	}
	defer func() { a.secret = a.secret[:from] }()
	if len(a.secret)-from > maxRenamed && n != document.Root {
		a.count(a.keysTouch())
		return a.mask(n)
	}
	for _, c := range a.secret[from:] {
		if a.doc.Kind(c) == document.Absent {
			continue // removed together with its key
		}
		if err := a.maskKey(n, c); err != nil {
			return err
		}
	}
	return nil
}

// elements redacts an array, in which an element may be the name of the next one.
func (a *Applier) elements(n document.Node, in place) error {
	d, base := a.doc, len(a.key)
	first := d.Child(n, document.None)
	two := in.nested && first != document.None && isPair(d, n, first)
	var before keyKnown
	certain := false
	table, row := a.tableAt(first, in), in.row
	order := shape.ByRow
	if table.beside {
		order = shape.OrderOf(d, n, table.to-table.from)
	}
	if shape.IsLines(d, first) {
		outer, from := a.toldFrom, len(a.told)
		a.toldFrom = from
		a.lineOf(document.None, n, in.spared)
		defer func() { a.toldFrom, a.told = outer, a.told[:from] }()
	}
	in.rows, in.row = columns{}, columns{}
	for c, column := first, table.from; c != document.None; c, column = d.Child(n, c), column+1 {
		s, at := a.noted(c), in
		at.column = false
		at.rule = a.policy.stronger(int(s.rule)-1, in.rule)
		rule := at.rule
		if at.row = table; c == first && !table.beside {
			at.row = columns{}
		}
		if order != shape.ByRow && column < table.to && !shape.IsObject(d, c) {
			if own := &a.columns[column]; own.key.Name.Tells() {
				at.near = own.key.Name.Listed().At(at.spared)
			}
			if order == shape.ByColumn {
				at.row = columns{}
			}
			if order != shape.Square {
				at.column = at.rule < 0 // otherwise the array is redacted as a whole
				at.rule = a.policy.stronger(int(a.columns[column].rule)-1, at.rule)
				rule = at.rule
			}
		}
		if row.from < row.to {
			own := &a.columns[row.from]
			row.from++
			if own.key.Name.Tells() {
				at.near = at.near.Or(own.key.Name.Listed()).At(at.spared)
			}
			if row.beside {
				at.rule = a.policy.stronger(int(own.rule)-1, at.rule)
				rule = at.rule
			}
		}
		own, told, flag := a.nameIn(c, in.nested, two)
		if before.key.Name.Tells() && !flag {
			at.near = before.key.Name.Listed().At(at.spared)
		}
		if certain && !flag {
			rule = a.policy.stronger(int(before.rule)-1, rule)
		}
		if rule >= 0 || len(a.told) == 0 || !a.isTold(c) {
			if err := a.one(c, rule, s, at); err != nil {
				return err
			}
		} else if err := a.maskTold(c, at.near); err != nil {
			return err
		}
		a.key = a.key[:base]
		before, certain = own, told
	}
	return nil
}

// nameIn returns what is known about an element as the name of the next one. told reports
// whether it certainly is a name, flag whether it begins like an option of a command.
func (a *Applier) nameIn(c document.Node, nested, two bool) (own keyKnown, told, flag bool) {
	if a.doc.Kind(c) != document.String {
		return own, false, false
	}
	text, room := a.doc.Text(c, a.scratch)
	if a.scratch = room; len(text) > keyname.CachedBytes {
		return own, false, false
	}
	base := len(a.key)
	a.key = append(a.key, text...)
	var name []byte
	switch name, told = shape.Before(a.key[base:], nested, two); {
	case told:
		own = *a.byName(name)
	case name != nil:
		own.key.Name = a.policy.catalogue.NameOf(name, &a.untold)
	}
	flag = len(a.key) > base && a.key[base] == '-'
	a.key = a.key[:base]
	return own, told, flag
}

// isPair reports whether an array with first element first consists of two strings.
func isPair(d *document.Document, n, first document.Node) bool {
	second := d.Child(n, first)
	return second != document.None && d.Child(n, second) == document.None && d.Kind(first) == document.String && d.Kind(second) == document.String
}

// member redacts one member of parent and reports whether its key is a secret.
func (a *Applier) member(parent, n document.Node, in place) (secret bool, err error) {
	p := a.policy
	s := a.noted(n)
	from := len(a.key)
	a.nearest = from
	a.key = a.doc.AppendKey(a.key, n)
	key := a.key[from:]
	named := a.byName(key)
	if parent == document.Root {
		s = p.and(s, named.top)
		a.field = named.field
	}
	if named.key.Value || named.key.Special() {
		named = a.paired(parent, n, named)
	}
	s = s.with(named.marks, int(named.touch))
	rule := -1 // rule by name
	if s.marks&excepted == 0 {
		rule = int(named.rule) - 1
	}
	if rule >= 0 && p.rules[rule].vocabulary && named.key.Pair && shape.HasValue(a.doc, parent, a.scratch) {
		rule = -1 // it is the name of the value next to it
	}
	in.spared |= a.sparedAt(n)
	outer := in.near
	if in.near = named.key.Name.At(in.spared); outer.Gives() {
		in.near = p.catalogue.Inside(outer, in.near, a.key[a.nearest:], named.key.Value && a.nearest == from)
	}
	in.rule = p.stronger(int(s.rule)-1, in.rule)
	if s.marks.spare(a.doc, n) || p.keyHashes && in.keyRow && shape.KeyHash(a.doc, n, named.key) ||
		rule >= 0 && p.rules[rule].vocabulary && named.key.Name.OfDigest() && shape.Digest(a.doc, n) {
		// Neither a name nor a detector makes this value a secret. A rule for its place, or for
		// a value that contains it, still applies.
		if in.rule < 0 {
			return named.secret, nil
		}
		rule = -1
	}
	in.keyRow = named.key.IsHolder()
	in.nested, in.column = false, false
	outerRows := in.rows
	in.rows, in.row = columns{}, columns{}
	secret, arguments := named.secret, named.key.IsArguments()
	if named.key.IsRows() { // which defines other keys
		if in.rows = a.columnsOf(shape.Columns(a.doc, parent)); in.rows.to == 0 {
			in.rows = outerRows
		}
	}
	rule = p.stronger(rule, in.rule)
	if !arguments {
		return secret, a.one(n, rule, s, in)
	}
	toldFrom, told := a.toldFrom, len(a.told)
	a.toldFrom = told
	a.lineOf(parent, n, in.spared)
	err = a.one(n, rule, s, in)
	a.toldFrom, a.told = toldFrom, a.told[:told]
	return secret, err
}

// spare reports whether a value that a path declares a digest or an identifier has that form.
func (m marks) spare(d *document.Document, n document.Node) bool {
	return m&digestField != 0 && shape.Digest(d, n) || m&identifierField != 0 && shape.Identifier(d, n)
}

// paired returns what is known about a member by the name that a pair gives it. It is valid
// until the next call of paired or byName.
func (a *Applier) paired(parent, n document.Node, named *keyKnown) *keyKnown {
	base := len(a.key)
	a.key = a.pairs.Beside(a.doc, parent, n, named.key, a.key)
	if len(a.key) == base {
		return named
	}
	a.nearest = base
	a.pair = *named
	pair := a.byName(a.key[base:])
	a.pair.standing = a.policy.and(a.pair.standing, pair.standing)
	if pair.key.Name.Tells() {
		a.pair.key.Name = pair.key.Name
	}
	return &a.pair
}
