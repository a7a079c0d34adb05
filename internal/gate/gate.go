// Package gate is the last check of outgoing data: the final document of an event, and
// the payload that a sink made of it. It trusts neither filters nor sink.
//
// The operator lists the forbidden values, as detectors and as paths. If the gate finds
// such a value, cannot read the data, or fails, the data does not leave.
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
	// Detectors are names of detectors, or of groups of them.
	Detectors []string
	// Paths may hold only null, the empty string, or a redacted value: Mask, or the form
	// of a pseudonym.
	Paths []string
	// Catalogue has the detectors that may be named. Nil: the built-in ones.
	Catalogue *detect.Catalogue
}

// finder is the part of a detect.Set that the gate uses.
type finder interface {
	Append(dst []detect.Finding, text []byte, name detect.Name) []detect.Finding
}

// Gate is the check of one callback. It is immutable and safe for concurrent use. Use an
// Inspector to check data.
type Gate struct {
	finder    finder // nil: none
	catalogue *detect.Catalogue
	paths     []path
}

// path is one that may hold nothing, as the operator wrote it too.
type path struct {
	*document.Path
	text   string
	name   shape.Anywhere // the walk through the document, which meets every key, knows it by that
	byName bool
}

// New returns a gate, nil where o asks for nothing. The error names every option
// that is wrong.
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

// Knowing returns a gate that refuses nothing but what its Inspectors are told of.
func Knowing(c *detect.Catalogue) *Gate { return &Gate{catalogue: c.OrShipped()} }

// Leak is what the gate found. It says by which rule and where, and holds nothing
// of what it was found in.
type Leak struct {
	Cause auditrelay.Cause // CauseLeak; CausePanic where the gate itself failed
	Rule  string           // "detector NAME" or "path PATH", as the operator wrote it, or "paths"
	Where string
}

func (l *Leak) Error() string {
	if l.Rule == "" {
		return "must_not_leave: " + l.Where
	}
	return fmt.Sprintf("must_not_leave: %s: %s", l.Rule, l.Where)
}

// Inspector reads with a gate. It belongs to one goroutine at a time, and
// allocates nothing in the long run.
type Inspector struct {
	gate     *Gate
	document document.Document
	findings []detect.Finding
	value    []byte
	keys     []byte
	wrap     []byte
	rest     []byte // of a line of a payload
	names    keyname.Cache[keyKnown]
	named    keyKnown    // what of returned, where it is not kept
	clean    detect.Memo // texts in which no detector found anything
	untold   detect.Memo // elements of arrays that are no telling names
	known    *detect.Known
	sought   bool                     // what is known must not stand in the text at hand
	spared   map[document.Node]uint64 // exceptions by path that hold, by node
	pairs    shape.Pairs
	columns  []detect.Name // what the names of tables' columns tell
	header   document.Node // the last that columnsOf read
	headed   columns
	words    []shape.Argument

	plain, escaped []byte // of leaf, in turns
}

// Inspector returns a new one, nil for a nil gate.
func (g *Gate) Inspector() *Inspector {
	if g == nil {
		return nil
	}
	return &Inspector{gate: g, known: new(detect.Known)}
}

// limits bound what the gate reads: more than any event may be, so that the
// bounds of an event are those at the door.
var limits = document.Limits{Bytes: 1 << 30, Depth: 1024}

// Document checks a JSON object: every key, string and number in it, through
// strings that hold JSON. The error is a *Leak.
func (i *Inspector) Document(data []byte) (err error) {
	defer recoverInto(&err)
	if document.Check(data, limits) != nil {
		return &Leak{Cause: auditrelay.CauseLeak, Where: "the document cannot be read"}
	}
	return i.object(data)
}

// Record checks what a format made of a document that has passed Document. added is the
// record without that document, whose texts are not looked at again: exceptions by path
// hold for it as it stood. The paths are looked for in both. What is known of the event is
// forgotten: it may stand in the fields that say who did what, which a format renames.
// The error is a *Leak.
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

// Text checks a text that may be anything: a line, a reason, a name. The error is
// a *Leak.
func (i *Inspector) Text(text []byte) (err error) {
	defer recoverInto(&err)
	i.sought = i.known.Len() > 0
	return i.text(text, detect.Name{}, "a text")
}

// recoverInto makes a panic the error of the function that defers it: a gate that
// fails is shut. The panic's value may hold event data, so only its type is told.
func recoverInto(err *error) {
	if p := recover(); p != nil {
		*err = &Leak{Cause: auditrelay.CausePanic, Where: fmt.Sprintf("the gate panicked with a %T", p)}
	}
}

// text checks what may or may not be JSON.
func (i *Inspector) text(text []byte, name detect.Name, where string) error {
	if read, err := i.structure(text); read {
		return err
	}
	return i.leaf(text, name, where)
}

// structure checks text as the JSON object or array that it is; read is false
// where it is none.
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

// object checks data, which has passed document.Check.
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

// forbidden checks that nothing stands at the gate's paths; those that members knows by
// their name only where all is set.
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

// forbiddenName returns the first path of the form **.~name or **.name that selects what
// stands under a key, nil where none does.
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

// blank reports whether nothing stands at n that was not made to stand there.
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

// leaf checks a text that no step leads into. Where it begins as JSON does, what
// is escaped in it is looked at unescaped too.
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

// find asks the detectors, and looks for what is known.
func (i *Inspector) find(text []byte, name detect.Name, where string) error {
	if i.gate.finder != nil && i.detect(text, name) {
		return leakOf("detector "+i.findings[0].Detector, where)
	}
	if i.sought {
		if _, _, ok := i.known.Next(text, 0); ok {
			return leakOf(knownRule, where)
		}
	}
	return nil
}

// detect asks the detectors, whose findings are in i.findings.
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

// first returns the first byte of text that is no white space, 0 if there is none.
func first(text []byte) byte {
	i := slices.IndexFunc(text, func(c byte) bool { return c != ' ' && c != '\t' && c != '\n' && c != '\r' })
	if i < 0 {
		return 0
	}
	return text[i]
}
