package shape

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"

	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/keyname"
)

// Key is what a decoded key means at any place.
type Key struct {
	Name      detect.Name
	Pair      bool // its value may be the name of a neighbouring value
	Value     bool // its value may be the one named by a neighbour
	part      bool // part of a private JSON Web Key
	holder    bool // before_value or updated_values
	isToken   bool
	rows      bool // may contain the rows of a table
	arguments bool // may be a command line
}

// Special reports whether neighbouring members may give a member a meaning that its key does
// not have.
func (k *Key) Special() bool { return k.part }

// IsToken reports whether the key contains a key's hash in rows of LiteLLM's keys.
func (k *Key) IsToken() bool { return k.isToken }

// KeyOf returns what a decoded key means. It takes a fraction of a microsecond, so cache the
// result for frequent keys.
func KeyOf(c *detect.Catalogue, key []byte) Key {
	k := Key{Name: c.Name(key), Pair: detect.PairName(key), Value: detect.ValueName(key), rows: rowsKey(key), arguments: argumentsKey(key)}
	switch string(key) {
	case "d", "p", "q", "dp", "dq", "qi", "k":
		k.part = true
	case "before_value", "updated_values":
		k.holder = true
	case "token":
		k.isToken = true
	}
	return k
}

// maxName is the maximum length in bytes of a text that is taken as the name of a neighbouring
// value.
const maxName = 128

// maxSegments is the maximum number of segments of a path. It equals the maximum depth of an
// event.
const maxSegments = 512

// Beside returns the name that a pair gives to a member's value. n is a member of the object
// parent, and key is the meaning of its key. Beside appends to dst. The result is empty if
// there is no such name.
func Beside(d *document.Document, parent, n document.Node, key Key, dst []byte) []byte {
	return (*Pairs)(nil).Beside(d, parent, n, key, dst)
}

// Pairs caches, for large objects of one document, the first member that names a value.
// Searching from the beginning for each value would take quadratic time. The zero value is
// empty.
type Pairs struct {
	first map[document.Node]document.Node
}

// Reset removes everything. Call it before the next document.
func (p *Pairs) Reset() { clear(p.first) }

// smallObject is the number of members up to which an object is searched without the cache.
const smallObject = 16

// begin returns the first member that may name a value, or None.
func (p *Pairs) begin(d *document.Document, parent document.Node) document.Node {
	if p != nil && len(p.first) > 0 {
		if c, ok := p.first[parent]; ok && (c == document.None || d.Kind(c) != document.Absent) {
			return c
		}
	}
	return d.Child(parent, document.None)
}

func (p *Pairs) found(parent, c document.Node, passed int) {
	if p == nil || passed <= smallObject {
		return
	}
	if p.first == nil {
		p.first = map[document.Node]document.Node{}
	}
	p.first[parent] = c
}

// Beside is like the function Beside. After the first call for an object, edits may remove
// names of the object but must not add any.
func (p *Pairs) Beside(d *document.Document, parent, n document.Node, key Key, dst []byte) []byte {
	switch {
	case key.part:
		if member(d, parent, "kty") != document.None {
			return append(dst, "private_key"...)
		}
	case key.Value:
		passed := 0
		for c := p.begin(d, parent); c != document.None; c = d.Child(parent, c) {
			passed++
			if c == n { // a value's name does not name itself
				continue
			}
			base := len(dst)
			dst = d.AppendKey(dst, c)
			names := detect.PairName(dst[base:])
			dst = dst[:base]
			text := c
			if d.Kind(c) == document.Array { // a path as a list of its segments
				text = last(d, c)
			}
			if !names || text == document.None || d.Kind(text) != document.String || d.Len(text) > maxName {
				continue
			}
			dst, _ = d.AppendString(dst, text)
			if name := lastSegment(dst[base:]); len(name) > 0 {
				p.found(parent, c, passed)
				return append(dst[:base], name...)
			}
			dst = dst[:base]
		}
		p.found(parent, document.None, passed)
	}
	return dst
}

// last returns a path's last segment, or None if the list is too long for a path.
func last(d *document.Document, array document.Node) document.Node {
	n, segments := document.None, 0
	for c := d.Child(array, document.None); c != document.None; c = d.Child(array, c) {
		if n, segments = c, segments+1; segments > maxSegments {
			return document.None
		}
	}
	return n
}

// lastSegment returns the last segment of a JSON Patch path that is not a list position, or the
// name itself.
func lastSegment(name []byte) []byte {
	name = bytes.TrimSpace(name)
	for {
		i := bytes.LastIndexByte(name, '/')
		if i <= 0 || !place(name[i+1:]) {
			break
		}
		name = name[:i]
	}
	name = name[bytes.LastIndexByte(name, '/')+1:]
	if bytes.IndexByte(name, '~') < 0 {
		return name
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(name, []byte("~1"), []byte("/")), []byte("~0"), []byte("~"))
}

// place reports whether a segment of a path is a list position: a number, or - for the end.
func place(segment []byte) bool {
	return string(segment) == "-" || len(segment) > 0 && len(bytes.Trim(segment, "0123456789")) == 0
}

// HasValue reports whether an object has a member that may be the value of a pair. Then its
// other member is a name and no secret.
func HasValue(d *document.Document, object document.Node, scratch []byte) bool {
	for c := d.Child(object, document.None); c != document.None; c = d.Child(object, c) {
		if detect.ValueName(d.AppendKey(scratch[:0], c)) {
			return true
		}
	}
	return false
}

func member(d *document.Document, object document.Node, name string) document.Node {
	var room [32]byte
	for c := d.Child(object, document.None); c != document.None; c = d.Child(object, c) {
		if string(d.AppendKey(room[:0], c)) == name {
			return c
		}
	}
	return document.None
}

// Before returns the name that the preceding element gives to an array element: a flag of a
// command line, or the name of a header. certain reports that no list of names has this form.
func Before(before []byte, nested, two bool) (name []byte, certain bool) {
	if len(before) < 2 || len(before) > maxName {
		return nil, false
	}
	for _, c := range before {
		if notInName[c] {
			return nil, false
		}
	}
	if before[0] == '-' {
		return bytes.TrimLeft(before, "-"), true
	}
	return bytes.TrimRight(before, ":"), nested && two
}

// notInName are bytes that no name of a header or flag contains.
var notInName = func() (set [256]bool) {
	for c := range byte(' ' + 1) {
		set[c] = true
	}
	for _, c := range []byte("\"'\\=,;(){}[]<>@/+*|&?!%$#") {
		set[c] = true
	}
	return set
}()

// keyTable reports whether the rows of a LiteLLM table are keys, with the key's hash as token.
func keyTable(name []byte) bool {
	switch string(name) {
	case "LiteLLM_VerificationToken", "LiteLLM_DeletedVerificationToken", "LiteLLM_DeprecatedVerificationToken":
		return true
	}
	return false
}

// HoldsKeyRow reports whether a member with the meaning key contains a row of one of LiteLLM's
// key tables: it is before_value or updated_values next to that table's name.
func HoldsKeyRow(d *document.Document, parent document.Node, key Key) bool {
	return key.holder && besideKeyTable(d, parent)
}

// IsHolder reports whether the key is before_value or updated_values.
func (k *Key) IsHolder() bool { return k.holder }

// KeyHash reports whether n, a member of before_value or updated_values, is the key's hash in a
// row of keys.
func KeyHash(d *document.Document, n document.Node, key Key) bool {
	if !key.isToken || !Digest(d, n) {
		return false
	}
	row := d.Parent(n)
	if row == document.None || row == document.Root {
		return false
	}
	return besideKeyTable(d, d.Parent(row))
}

// besideKeyTable reports whether a member of parent names one of LiteLLM's key tables.
func besideKeyTable(d *document.Document, parent document.Node) bool {
	table := member(d, parent, "table_name")
	if table == document.None || d.Len(table) > 64 {
		return false
	}
	var room [64]byte
	name, ok := d.AppendString(room[:0], table)
	return ok && keyTable(name)
}

// Digest reports whether the string n is a SHA-256 in lower-case hexadecimal, as
// LiteLLM writes the hashes of its keys.
func Digest(d *document.Document, n document.Node) bool {
	if d.Kind(n) != document.String || d.Len(n) != 64 {
		return false
	}
	var room [64]byte
	text, _ := d.AppendString(room[:0], n)
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(text) == 64
}

// Identifier reports whether n is a text that identifies a key or token without being one: the
// unique id of an AWS access key or its owner, a SHA-256 in base64, or hmac-sha256: and 64
// hexadecimal digits, as Vault writes keyed digests.
func Identifier(d *document.Document, n document.Node) bool {
	if d.Kind(n) != document.String || d.Len(n) > longestIdentifier {
		return false
	}
	var room [longestIdentifier]byte
	text, _ := d.AppendString(room[:0], n)
	if hex, ok := bytes.CutPrefix(text, []byte("hmac-sha256:")); ok {
		return len(hex) == 64 && len(bytes.Trim(hex, "0123456789abcdef")) == 0
	}
	switch len(text) {
	case 20:
		return slices.Contains(awsPrefixes, string(text[:4])) && len(bytes.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")) == 0
	case 44:
		var sum [33]byte
		size, err := base64.StdEncoding.Strict().Decode(sum[:], text)
		return err == nil && size == 32
	}
	return false
}

const longestIdentifier = 12 + 64

// awsPrefixes are the prefixes of the unique ids of access keys, users, roles and groups.
// Source: the IAM user guide, "IAM identifiers".
var awsPrefixes = []string{"AKIA", "ASIA", "AIDA", "AROA", "AGPA", "ANPA"}

// Name returns the meaning of the name of a node: of the nearest key above it, or of its
// neighbour in a pair, or of the object that contains it.
func Name(c *detect.Catalogue, d *document.Document, n document.Node) detect.Name {
	return nameOf(c, d, n, detect.MaxInside)
}

// nameOf is Name. levels is the number of objects above that may give their meaning.
func nameOf(c *detect.Catalogue, d *document.Document, n document.Node, levels int) detect.Name {
	before := document.None
	for at := n; at != document.None && at != document.Root; {
		parent := d.Parent(at)
		if parent == document.None {
			break
		}
		if d.Kind(parent) == document.Object || d.Holds(parent) == document.Object {
			text := d.AppendKey(nil, at)
			key := KeyOf(c, text)
			if up := d.Parent(parent); key.isToken && at == n && up != document.None && (d.Kind(up) == document.Object || d.Holds(up) == document.Object) {
				if HoldsKeyRow(d, up, KeyOf(c, d.AppendKey(nil, parent))) && Digest(d, n) {
					return detect.Name{}
				}
			}
			own, value := key.Name, key.Value
			if pair := Beside(d, parent, at, key, nil); len(pair) > 0 && !own.Tells() {
				own, text, value = c.Name(pair), pair, false
			}
			if levels == 0 || own.Tells() {
				return own
			}
			return c.Inside(nameOf(c, d, parent, levels-1), own, text, value)
		}
		if at == n {
			count := 0
			for e := d.Child(parent, document.None); e != document.None; e = d.Child(parent, e) {
				if count++; e == n {
					break
				}
				before = e
			}
			if before != document.None && d.Kind(before) == document.String && d.Len(before) <= maxName {
				text, _ := d.AppendString(nil, before)
				name, _ := Before(text, false, false)
				if told := c.Name(name); told.Tells() {
					return told.Listed()
				}
			}
		}
		at = parent
	}
	return detect.Name{}
}

// Anywhere is a path that selects the values under one name at any depth: **.~name or **.name.
// A walk that visits every key can match it without a search.
type Anywhere struct {
	exact   string // the name as written; if empty, the pattern applies
	pattern keyname.Pattern
}

// AnyDepth returns a path's Anywhere. ok is false if the path has another form.
func AnyDepth(p *document.Path) (a Anywhere, ok bool) {
	name, ok := strings.CutPrefix(p.String(), "**.")
	if !ok {
		return a, false
	}
	meant, folded := strings.CutPrefix(name, "~")
	if meant == "" || strings.ContainsAny(meant, `.*~\`) {
		return a, false
	}
	if !folded {
		a.exact = name
		return a, strings.Trim(name, "0123456789") != "" // otherwise it is also an element's index
	}
	pattern, err := keyname.Parse(meant)
	a.pattern = pattern
	return a, err == nil
}

// Matches compares with a decoded key: snake is its words joined by _, joined the same without
// _.
func (a *Anywhere) Matches(key, snake, joined []byte) bool {
	if a.exact != "" {
		return string(key) == a.exact
	}
	return a.pattern.Matches(snake, joined)
}
