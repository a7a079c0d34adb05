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

// Key is what a decoded key tells, wherever it stands.
type Key struct {
	Name      detect.Name
	Pair      bool // its value may be the name of a value beside it
	Value     bool // it may be that value
	part      bool // of a private JSON Web Key
	holder    bool // before_value, updated_values
	isToken   bool
	rows      bool // a table's, perhaps
	arguments bool // a command line, perhaps
}

// Special reports whether what stands beside a member may tell what it is, though its
// key does not say so.
func (k *Key) Special() bool { return k.part }

// IsToken reports whether the key is that of a key's hash in a row of LiteLLM's keys.
func (k *Key) IsToken() bool { return k.isToken }

// KeyOf returns what a decoded key tells. It takes a fraction of a microsecond: keep
// it where a key comes often.
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

// maxName is the longest text, in bytes, that is taken for the name of a value
// beside it.
const maxName = 128

// maxSegments is how many segments a path has at most: as deep as an event may be.
const maxSegments = 512

// Beside returns the name that a member's value stands under by a pair: n is a member
// of the object parent, and key what its key tells. It appends to dst; the result is
// empty where there is none.
func Beside(d *document.Document, parent, n document.Node, key Key, dst []byte) []byte {
	return (*Pairs)(nil).Beside(d, parent, n, key, dst)
}

// Pairs remembers of large objects of one document where the first member is that names a
// value: to look from the beginning for each value takes the square of their number. Its zero
// value remembers nothing yet.
type Pairs struct {
	first map[document.Node]document.Node
}

// Reset forgets the document.
func (p *Pairs) Reset() { clear(p.first) }

// smallObject is how many members are looked through again.
const smallObject = 16

// begin is the member from which on one may name a value; None: there is none.
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

// Beside is the function Beside. What was edited since the first call for an object may name
// nothing any more, and nothing that did not before.
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
			if c == n { // no name is that of a value and names one
				continue
			}
			base := len(dst)
			dst = d.AppendKey(dst, c)
			names := detect.PairName(dst[base:])
			dst = dst[:base]
			text := c
			if d.Kind(c) == document.Array { // a path, as a list of its segments
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

// last is a path's last segment; None of a list that is too long for a path.
func last(d *document.Document, array document.Node) document.Node {
	n, segments := document.None, 0
	for c := d.Child(array, document.None); c != document.None; c = d.Child(array, c) {
		if n, segments = c, segments+1; segments > maxSegments {
			return document.None
		}
	}
	return n
}

// lastSegment is the end of a path as JSON Patch has it, but for the places of lists, or the
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

// place reports whether a segment of a path is one of a list: a number, or - for its end.
func place(segment []byte) bool {
	return string(segment) == "-" || len(segment) > 0 && len(bytes.Trim(segment, "0123456789")) == 0
}

// HasValue reports whether an object has a member that may be the value of a pair, so
// that its other member is a name and no secret.
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

// Before returns the name that an array's element stands under by the one before it:
// that of a flag, as command lines have it, or of a header and its value. certain says
// that no list of names looks like it.
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

// notInName are bytes that no name of a header or flag has.
var notInName = func() (set [256]bool) {
	for c := range byte(' ' + 1) {
		set[c] = true
	}
	for _, c := range []byte("\"'\\=,;(){}[]<>@/+*|&?!%$#") {
		set[c] = true
	}
	return set
}()

// keyTable reports whether a table of LiteLLM has keys as its rows, with the key's hash
// as their token.
func keyTable(name []byte) bool {
	switch string(name) {
	case "LiteLLM_VerificationToken", "LiteLLM_DeletedVerificationToken", "LiteLLM_DeprecatedVerificationToken":
		return true
	}
	return false
}

// HoldsKeyRow reports whether a member, whose key tells key, is the row of one of
// LiteLLM's tables of keys: before_value or updated_values beside that table's name.
func HoldsKeyRow(d *document.Document, parent document.Node, key Key) bool {
	return key.holder && besideKeyTable(d, parent)
}

// IsHolder reports whether the key is before_value or updated_values.
func (k *Key) IsHolder() bool { return k.holder }

// KeyHash reports whether n, a member of what stands under a holder, is the hash of a key in
// a row of that key.
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

// besideKeyTable reports whether a member of parent names one of LiteLLM's tables of keys.
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

// Identifier reports whether n is a text that names a key or token and is none: the id of an
// AWS access key or of who has it, a SHA-256 in base64, or hmac-sha256: and 64 hexadecimal
// digits, as Vault writes keyed digests.
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

// awsPrefixes begin the unique ids of access keys, users, roles and groups. Source: the IAM
// user guide, "IAM identifiers".
var awsPrefixes = []string{"AKIA", "ASIA", "AIDA", "AROA", "AGPA", "ANPA"}

// Name returns what the name tells that a node stands under: the nearest key above
// it, or the one beside it in a pair.
func Name(c *detect.Catalogue, d *document.Document, n document.Node) detect.Name {
	before := document.None
	for at := n; at != document.None && at != document.Root; {
		parent := d.Parent(at)
		if parent == document.None {
			break
		}
		if d.Kind(parent) == document.Object || d.Holds(parent) == document.Object {
			key := KeyOf(c, d.AppendKey(nil, at))
			if up := d.Parent(parent); key.isToken && at == n && up != document.None && (d.Kind(up) == document.Object || d.Holds(up) == document.Object) {
				if HoldsKeyRow(d, up, KeyOf(c, d.AppendKey(nil, parent))) && Digest(d, n) {
					return detect.Name{}
				}
			}
			if pair := Beside(d, parent, at, key, nil); len(pair) > 0 && !key.Name.Tells() {
				return c.Name(pair)
			}
			return key.Name
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

// Anywhere is a path that selects what stands under one name at any depth: **.~name or
// **.name. A walk that meets every key needs not look for it.
type Anywhere struct {
	exact   string // as it is written; or "", and
	pattern keyname.Pattern
}

// AnyDepth returns a path's Anywhere; ok is false where it has another form.
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
		return a, strings.Trim(name, "0123456789") != "" // else it is an element's index as well
	}
	pattern, err := keyname.Parse(meant)
	a.pattern = pattern
	return a, err == nil
}

// Matches compares with a decoded key, its words joined by _, and the same without.
func (a *Anywhere) Matches(key, snake, joined []byte) bool {
	if a.exact != "" {
		return string(key) == a.exact
	}
	return a.pattern.Matches(snake, joined)
}
