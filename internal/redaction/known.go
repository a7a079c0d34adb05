package redaction

import (
	"bytes"
	"slices"

	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/shape"
)

// A value that a rule by name or a detector treats as a secret is redacted wherever else it
// occurs in the event, including texts and keys, in the same way as at its first place.
// Exceptions are short and common values (detect.Known), the fields that say who did what to
// which object, and declared digests: these are neither a source of known values nor redacted
// as one.

// knowledge is the set of values that were treated as secrets in one document.
type knowledge struct {
	values detect.Known
	rules  []int    // by number: the rule that first redacted the value
	times  []int    // number of times it was redacted that way
	fields []string // the field in which it occurred, if a rule depends on the field
	node   []byte
}

func (k *knowledge) reset() {
	k.values.Reset()
	k.rules, k.times, k.fields = k.rules[:0], k.times[:0], k.fields[:0]
}

func (k *knowledge) add(value []byte, rule int, field string) {
	switch i := k.values.Add(value); {
	case i < 0:
	case i == len(k.rules):
		k.rules, k.times, k.fields = append(k.rules, rule), append(k.times, 1), append(k.fields, field)
	default:
		k.times[i]++
	}
}

// Learned calls f with every value that the last Apply treated as a secret and redacted
// wherever it occurred. f must not keep the bytes.
func (a *Applier) Learned(f func(value []byte)) {
	for i := range a.known.values.Len() {
		f(a.known.values.Value(i))
	}
}

// fieldName returns the schema's name of one of the event's own fields, as receipts contain it.
// Fields outside the schema are not named.
func fieldName(key []byte) string {
	for _, name := range fields {
		if string(key) == name {
			return name
		}
	}
	return otherField
}

const otherField = "another field"

var fields = []string{"id", "updated_at", "changed_by", "changed_by_api_key", "action", "table_name", "object_id", "before_value", "updated_values",
	"object_alias", "object_team_id", "object_team_alias", "changed_by_user_email", "changed_by_key_alias"}

// identity reports whether a field says who did what to which object.
func identity(field string) bool {
	return slices.Index(fields, field) >= 0 && slices.Index(fields, field) < 7
}

// learn stores the value of a node that a rule is about to redact. For an object or array, of
// which nothing stays, it stores the values inside that look random.
func (a *Applier) learn(n document.Node, kind document.Kind, r *rule, index int) {
	if !r.teaches || identity(a.field) {
		return
	}
	switch {
	case kind == document.Number:
		a.known.add(a.doc.AppendJSON(a.known.node[:0], n), index, a.fieldOf(index))
		return
	case kind == document.String && a.doc.Holds(n) == document.Absent:
		a.known.node, _ = a.doc.AppendString(a.known.node[:0], n)
		a.known.add(bytes.TrimSpace(a.known.node), index, a.fieldOf(index))
		return
	}
	if r.do.inside() {
		return // each value separately
	}
	a.learnInside(n, index)
}

func (a *Applier) learnInside(n document.Node, index int) {
	for c := a.doc.Child(n, document.None); c != document.None; c = a.doc.Child(n, c) {
		if a.doc.Kind(c) == document.String && a.doc.Holds(c) == document.Absent {
			a.known.node, _ = a.doc.AppendString(a.known.node[:0], c)
			if value := bytes.TrimSpace(a.known.node); detect.Drawn(value) {
				a.known.add(value, index, a.fieldOf(index))
			}
			continue
		}
		a.learnInside(c, index)
	}
}

// hit counts and stores a finding.
func (a *Applier) hit(rule int, finding []byte, detector string) {
	a.countFound(foundTouch{rule: rule, detector: detector, field: a.field})
	if a.policy.rules[rule].teaches && !identity(a.field) {
		a.known.add(finding, rule, a.fieldOf(rule))
	}
}

// fieldOf returns the name of the nearest key if a rule depends on it.
func (a *Applier) fieldOf(rule int) string {
	if !a.policy.rules[rule].separate {
		return ""
	}
	return string(a.key[a.nearest:])
}

// again redacts the known values in the rest of the document. It first searches the original
// document: if no value occurs more often than it was redacted, nothing is left to do.
func (a *Applier) again() error {
	if a.known.values.Len() == 0 {
		return nil
	}
	if err := a.redactRests(); err != nil || !a.stands() {
		return err
	}
	a.key = a.key[:0]
	a.field = ""
	return a.knownIn(document.Root, document.Object, false)
}

// stands reports whether a value may occur at a further place.
func (a *Applier) stands() bool {
	data := a.doc.Data()
	if bytes.Contains(data, []byte(`\u`)) {
		return true
	}
	for i := range a.known.values.Len() {
		value := a.known.values.Value(i)
		if !asWritten(value) || i >= 16 || bytes.Count(data, value) > a.known.times[i] {
			return true
		}
	}
	return false
}

// asWritten reports whether JSON contains a value unescaped, unless it uses \u.
func asWritten(value []byte) bool {
	for _, c := range value {
		if c < ' ' || c == '"' || c == '\\' || c == '/' || c >= 0x7f {
			return false
		}
	}
	return true
}

// knownIn searches the members or elements of n.
func (a *Applier) knownIn(n document.Node, kind document.Kind, keyRow bool) error {
	d, base := a.doc, len(a.key)
	from := len(a.secret)
	for c := d.Child(n, document.None); c != document.None; c = d.Child(n, c) {
		var known keyKnown
		if kind == document.Object {
			a.key = d.AppendKey(a.key[:base], c)
			key := a.key[base:]
			known = *a.byName(key)
			if n == document.Root {
				if a.field = known.field; identity(a.field) {
					continue
				}
			}
			if a.known.values.Stands(key) {
				a.secret = append(a.secret, c)
			}
			marks := known.marks | a.noted(c).marks
			if n == document.Root {
				marks |= known.top.marks
			}
			if marks.spare(d, c) || keyRow && a.policy.keyHashes && shape.KeyHash(d, c, known.key) {
				continue
			}
		}
		a.key = a.key[:base]
		if err := a.knownAt(n, c, known); err != nil {
			return err
		}
	}
	defer func() { a.secret = a.secret[:from] }()
	for _, c := range a.secret[from:] {
		if d.Kind(c) == document.Absent {
			continue
		}
		if err := a.maskKey(n, c); err != nil {
			return err
		}
	}
	return nil
}

// knownAt searches one value.
func (a *Applier) knownAt(parent, n document.Node, key keyKnown) error {
	d := a.doc
	kind := d.Kind(n)
	holds := kind
	if kind == document.String {
		holds = d.Holds(n)
	}
	switch {
	case holds == document.Object || holds == document.Array:
		return a.knownIn(n, holds, key.key.IsHolder())
	case kind == document.String:
		a.value, _ = d.AppendString(a.value[:0], n)
	case kind == document.Number:
		a.value = d.AppendJSON(a.value[:0], n)
	default:
		return nil
	}
	a.places = a.known.values.Append(a.places[:0], a.value)
	if len(a.places) == 0 {
		return nil
	}
	if f := &a.places[0]; kind == document.Number {
		f.Start, f.End, a.places = 0, len(a.value), a.places[:1]
	}
	whole := a.places[0].End-a.places[0].Start == len(a.value)
	a.out = a.out[:0]
	last := 0
	for _, f := range a.places {
		rule := a.known.rules[f.Number]
		r := &a.policy.rules[rule]
		a.countFound(foundTouch{rule: rule, detector: "known", field: a.field})
		a.out = append(a.out, a.value[last:f.Start]...)
		switch {
		case r.do == Remove && whole:
			return wrap(d.Delete(n))
		case r.do == Remove:
		default:
			a.out = a.instead(a.out, r, a.value[f.Start:f.End], []byte(a.known.fields[f.Number]))
		}
		last = f.End
	}
	a.out = append(a.out, a.value[last:]...)
	return wrap(d.SetString(n, a.out))
}
