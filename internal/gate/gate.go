// Package gate is the last check of outgoing data: the final document of an event, and the
// payload that a sink made of it. It trusts neither filters nor sinks.
//
// The operator lists forbidden values as detectors and as paths. If the gate finds such a
// value, cannot read the data, or fails, the data does not leave.
package gate

import (
	"errors"
	"fmt"
	"slices"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/keyname"
	"auditrelay/internal/shape"
)

// Options list the forbidden values.
type Options struct {
	// Detectors are names of detectors or of groups of detectors.
	Detectors []string
	// Paths are paths at which only null, the empty string or a redacted value (Mask or the
	// form of a pseudonym) is allowed.
	Paths []string
	// Catalogue contains the detectors that may be named. Nil: the built-in ones.
	Catalogue *detect.Catalogue
}

// finder is the part of a detect.Set that the gate uses.
type finder interface {
	Append(dst []detect.Finding, text []byte, name detect.Name) []detect.Finding
}

// Gate is the check of one callback. It is immutable and safe for concurrent use. An Inspector
// checks data with it.
type Gate struct {
	finder    finder // nil: no detectors
	catalogue *detect.Catalogue
	paths     []path
}

// path is a path that must be empty, also as the operator wrote it.
type path struct {
	*document.Path
	text   string
	name   shape.Anywhere // the walk through the document sees every key and can match the path by name
	byName bool
}

// New returns a gate, or nil if o lists nothing. The error names every wrong option.
func New(o Options) (*Gate, error) {
	if len(o.Detectors) == 0 && len(o.Paths) == 0 {
		return nil, nil
	}
	g := &Gate{catalogue: o.Catalogue.OrShipped()}
	var errs []error
	if len(o.Detectors) > 0 {
		set, err := o.Catalogue.Set(o.Detectors...)
		if err != nil {
			errs = append(errs, err)
		}
		g.finder = set
	}
	for _, text := range o.Paths {
		p, err := document.ParsePath(text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		name, byName := shape.AnyDepth(p)
		g.paths = append(g.paths, path{p, text, name, byName})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return g, nil
}

// Knowing returns a gate that refuses only values that its Inspectors were told of.
func Knowing(c *detect.Catalogue) *Gate { return &Gate{catalogue: c.OrShipped()} }

// Leak is a finding of the gate. It names the rule and the place and contains nothing of the
// data.
type Leak struct {
	Cause auditrelay.Cause // CauseLeak, or CausePanic if the gate itself failed
	Rule  string           // "detector NAME" or "path PATH" as the operator wrote it, or "paths"
	Where string
}

func (l *Leak) Error() string {
	if l.Rule == "" {
		return "must_not_leave: " + l.Where
	}
	return fmt.Sprintf("must_not_leave: %s: %s", l.Rule, l.Where)
}

// Inspector checks data with a gate. Only one goroutine at a time may use it. After its buffers
// have grown it allocates nothing.
type Inspector struct {
	gate     *Gate
	document document.Document
	findings []detect.Finding
	value    []byte
	keys     []byte
	wrap     []byte
	rest     []byte // remainder of a line of a payload
	names    keyname.Cache[keyKnown]
	named    keyKnown    // result of the method of, if it is not cached
	clean    detect.Memo // texts in which no detector found anything
	untold   detect.Memo // array elements that are not names with a meaning
	known    *detect.Known
	sought   bool                     // known values are forbidden in the current text
	spared   map[document.Node]uint64 // exceptions by path that apply, by node
	pairs    shape.Pairs
	columns  []detect.Name // meanings of the names of table columns
	header   document.Node // last header read by columnsOf
	headed   columns
	words    []shape.Argument

	plain, escaped []byte // used by leaf in turns
}

// Inspector returns a new Inspector, or nil for a nil gate.
func (g *Gate) Inspector() *Inspector {
	if g == nil {
		return nil
	}
	return &Inspector{gate: g, known: new(detect.Known)}
}

// limits are larger than any event can be. The input checks enforce the real limits of an
// event.
var limits = document.Limits{Bytes: 1 << 30, Depth: 1024}

// Document checks a JSON object: every key, string and number in it, including those in strings
// that contain JSON. The error is a *Leak.
func (i *Inspector) Document(data []byte) (err error) {
	defer recoverInto(&err)
	if document.Check(data, limits) != nil {
		return &Leak{Cause: auditrelay.CauseLeak, Where: "the document cannot be read"}
	}
	return i.object(data)
}

// Record checks the record that a format made of a document that has passed Document. added is
// the record without that document, whose texts are not checked again because exceptions by
// path apply to its original form. The paths are checked in both. Record forgets the known
// values, because they may occur in the fields that say who did what, and a format renames
// those fields. The error is a *Leak.
func (i *Inspector) Record(record, added []byte) (err error) {
	defer recoverInto(&err)
	i.Forget()
	if document.Check(record, limits) != nil {
		return &Leak{Cause: auditrelay.CauseLeak, Where: "the record cannot be read"}
	}
	i.document.Reset(record)
	if err := i.forbidden(&i.document, true); err != nil {
		return err
	}
	return i.Document(added)
}

// Text checks any text, for example a line, a reason or a name. The error is a *Leak.
func (i *Inspector) Text(text []byte) (err error) {
	defer recoverInto(&err)
	i.sought = i.known.Len() > 0
	return i.text(text, detect.Name{}, "a text")
}

// recoverInto turns a panic into the error of the deferring function, so that a failing gate
// lets nothing through. The panic's value may contain event data, so the error has only its
// type.
func recoverInto(err *error) {
	if p := recover(); p != nil {
		*err = &Leak{Cause: auditrelay.CausePanic, Where: fmt.Sprintf("the gate panicked with a %T", p)}
	}
}

// text checks text that may or may not be JSON.
func (i *Inspector) text(text []byte, name detect.Name, where string) error {
	if read, err := i.structure(text); read {
		return err
	}
	return i.leaf(text, name, where)
}

// structure checks text as a JSON object or array. read is false if it is neither.
func (i *Inspector) structure(text []byte) (read bool, err error) {
	switch first(text) {
	case '{':
		if document.Check(text, limits) == nil {
			return true, i.object(text)
		}
	case '[':
		i.wrap = append(append(append(i.wrap[:0], `{"":`...), text...), '}')
		if document.Check(i.wrap, limits) == nil {
			return true, i.object(i.wrap)
		}
	}
	return false, nil
}

// object checks data that has passed document.Check.
func (i *Inspector) object(data []byte) error {
	d := &i.document
	d.Reset(data)
	if err := i.forbidden(d, false); err != nil {
		return err
	}
	i.findSpared(d)
	i.keys = i.keys[:0]
	return i.members(d, document.Root, place{parent: document.Object})
}

// forbidden checks that the gate's paths are empty. Paths that members matches by name are
// checked only if all is set.
func (i *Inspector) forbidden(d *document.Document, all bool) error {
	for j := range i.gate.paths {
		p := &i.gate.paths[j]
		if p.byName && !all {
			continue
		}
		for n := d.Each(p.Path, document.None); n != document.None; n = d.Each(p.Path, n) {
			if !i.blank(d, n) {
				return p.leak()
			}
		}
	}
	return nil
}

func (p *path) leak() error {
	return &Leak{Cause: auditrelay.CauseLeak, Rule: "path " + p.text, Where: "there is a value"}
}

// forbiddenName returns the first path of the form **.~name or **.name that selects the values
// of a key, or nil.
func (g *Gate) forbiddenName(key []byte) *path {
	var snake, joined []byte
	for j := range g.paths {
		p := &g.paths[j]
		if !p.byName {
			continue
		}
		if snake == nil {
			snake = keyname.AppendSnake(make([]byte, 0, 2*len(key)+8), key)
			joined = keyname.Join(slices.Clone(snake))
		}
		if p.name.Matches(key, snake, joined) {
			return p
		}
	}
	return nil
}

// blank reports whether n is null, empty or redacted.
func (i *Inspector) blank(d *document.Document, n document.Node) bool {
	switch d.Kind(n) {
	case document.Null:
		return true
	case document.String:
		i.value, _ = d.AppendString(i.value[:0], n)
		return len(i.value) == 0 || Redacted(i.value)
	}
	return false
}

// leaf checks a text that has no structure. If it begins like JSON, its escapes are also
// decoded and the result checked.
func (i *Inspector) leaf(text []byte, name detect.Name, where string) error {
	if err := i.find(text, name, where); err != nil {
		return err
	}
	if !shape.Bracketed(text) {
		return nil
	}
	if len(i.gate.paths) > 0 && shape.LooksLikeJSON(text) {
		return &Leak{Cause: auditrelay.CauseLeak, Rule: "paths",
			Where: where + " looks like JSON and cannot be read, so its fields cannot be checked"}
	}
	for range maxEscapes {
		plain, changed := unescape(i.plain[:0], text)
		if !changed {
			break
		}
		if err := i.find(plain, name, where); err != nil {
			return err
		}
		i.plain, i.escaped = i.escaped, plain
		text = plain
	}
	return nil
}

// find runs the detectors and searches for known values.
func (i *Inspector) find(text []byte, name detect.Name, where string) error {
	if i.gate.finder != nil && i.detect(text, name) {
		return leakOf("detector "+i.findings[0].Detector, where)
	}
	if i.sought && i.known.Stands(text) {
		return leakOf(knownRule, where)
	}
	return nil
}

// detect runs the detectors. Their findings are in i.findings.
func (i *Inspector) detect(text []byte, name detect.Name) bool {
	i.findings = i.findings[:0]
	if i.clean.Clean(text, name) {
		return false
	}
	i.findings = i.gate.finder.Append(i.findings, text, name)
	if len(i.findings) == 0 && !i.gate.catalogue.Counts() {
		i.clean.Note(text, name)
	}
	return len(i.findings) > 0
}

func leakOf(rule, where string) error {
	return &Leak{Cause: auditrelay.CauseLeak, Rule: rule, Where: "found in " + where}
}

// first returns the first byte of text that is not white space, or 0.
func first(text []byte) byte {
	i := slices.IndexFunc(text, func(c byte) bool { return c != ' ' && c != '\t' && c != '\n' && c != '\r' })
	if i < 0 {
		return 0
	}
	return text[i]
}
