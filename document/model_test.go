package document_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"auditrelay/document"
)

// tree is a slow and obvious document to compare with the real one. Edits change it in place,
// and text writes it completely. Its text has no white space that an edit could move. Strings
// with JSON are escaped in unusual styles, which the real document must keep where nothing was
// edited.
type tree struct {
	kind  byte   // 'o'bject, 'a'rray, 's'tring with kids[0] inside, or a 'l'eaf
	name  string // the decoded key, or the original index
	key   string // the key's text, with quotes; empty in an array
	leaf  string // a leaf's text
	kids  []*tree
	style int // style of escaping the string's content
	gone  bool
	node  document.Node
}

func (t *tree) text() string {
	switch t.kind {
	case 'l':
		return t.leaf
	case 's':
		return `"` + escaped(t.kids[0].text(), t.style) + `"`
	}
	parts := make([]string, 0, len(t.kids))
	for _, k := range t.kids {
		switch {
		case k.gone:
		case t.kind == 'o':
			parts = append(parts, k.key+":"+k.text())
		default:
			parts = append(parts, k.text())
		}
	}
	if t.kind == 'o' {
		return "{" + strings.Join(parts, ",") + "}"
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func escaped(s string, style int) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
	switch style {
	case 1:
		s = strings.ReplaceAll(s, "/", `\/`)
	case 2:
		s = strings.NewReplacer("e", `\u0065`, "é", `\u00e9`).Replace(s)
	case 3:
		s = strings.NewReplacer("😀", `\ud83d\uDE00`, "x", `\u0078`).Replace(s)
	}
	return s
}

// container returns the object or array that a step from t enters, or nil.
func (t *tree) container() *tree {
	switch t.kind {
	case 's':
		return t.kids[0]
	case 'l':
		return nil
	}
	return t
}

func (t *tree) vanish() {
	t.gone = true
	for _, k := range t.kids {
		k.vanish()
	}
}

// visit calls fn for everything that a path can select, in document order.
func (t *tree) visit(chain []string, fn func(chain []string, t *tree)) {
	c := t.container()
	if c == nil {
		return
	}
	for _, k := range c.kids {
		if !k.gone {
			to := append(chain[:len(chain):len(chain)], k.name)
			fn(to, k)
			k.visit(to, fn)
		}
	}
}

var (
	keyTexts  = [][2]string{{"a", `"a"`}, {"b", `"\u0062"`}, {"te/xt", `"te/xt"`}, {"é😀", `"é😀"`}, {"0", `"0"`}, {"passWord", `"passWord"`}, {"", `""`}, {`q"`, `"q\""`}, {"pass-word", `"pass-wor\u0064"`}}
	leafTexts = []string{`null`, `true`, `-1.50e3`, `"text"`, `"é/😀x\n\u0065"`, `""`, `"{not json"`, `"[1"`}
	// Texts of edits contain no characters that the styles escape.
	newTexts = []string{`1`, `"2"`, `{"3":[4,{"5":6}]}`, `[7]`, `"{\"8\":[9]}"`, `{}`}
)

// random returns a document with a maximum number of levels.
func random(r *rand.Rand, depth, nesting int) *tree {
	if depth == 0 || r.IntN(3) == 0 {
		return &tree{kind: 'l', leaf: leafTexts[r.IntN(len(leafTexts))]}
	}
	if nesting < 3 && r.IntN(3) == 0 {
		return &tree{kind: 's', style: r.IntN(4), kids: []*tree{randomContainer(r, depth-1, nesting+1)}}
	}
	return randomContainer(r, depth-1, nesting)
}

func randomContainer(r *rand.Rand, depth, nesting int) *tree {
	t := &tree{kind: "oa"[r.IntN(2)]}
	if t.kind == 'o' {
		return randomObject(r, depth, nesting)
	}
	for i := range r.IntN(4) {
		k := random(r, depth, nesting)
		k.name = strconv.Itoa(i)
		t.kids = append(t.kids, k)
	}
	return t
}

func randomObject(r *rand.Rand, depth, nesting int) *tree {
	t := &tree{kind: 'o'}
	for _, i := range r.Perm(len(keyTexts))[:r.IntN(6)] {
		k := random(r, depth, nesting)
		k.name, k.key = keyTexts[i][0], keyTexts[i][1]
		t.kids = append(t.kids, k)
	}
	return t
}

// parsed returns the tree of one of newTexts.
func parsed(text string) *tree {
	switch text {
	case `{"3":[4,{"5":6}]}`:
		list := &tree{kind: 'a', name: "3", key: `"3"`, kids: []*tree{
			{kind: 'l', name: "0", leaf: "4"},
			{kind: 'o', name: "1", kids: []*tree{{kind: 'l', name: "5", key: `"5"`, leaf: "6"}}},
		}}
		return &tree{kind: 'o', kids: []*tree{list}}
	case `[7]`:
		return &tree{kind: 'a', kids: []*tree{{kind: 'l', name: "0", leaf: "7"}}}
	case `"{\"8\":[9]}"`:
		list := &tree{kind: 'a', name: "8", key: `"8"`, kids: []*tree{{kind: 'l', name: "0", leaf: "9"}}}
		return &tree{kind: 's', kids: []*tree{{kind: 'o', kids: []*tree{list}}}}
	case `{}`:
		return &tree{kind: 'o'}
	}
	return &tree{kind: 'l', leaf: text}
}

// set replaces the value of t with that of another tree.
func (t *tree) set(v *tree) {
	for _, k := range t.kids {
		k.vanish()
	}
	t.kind, t.leaf, t.kids, t.style = v.kind, v.leaf, v.kids, v.style
}

// TestEditsAgainstModel creates random documents and edits them at random. After every edit the
// text must equal the model's to the byte, and so must a reader's view of the nodes.
func TestEditsAgainstModel(t *testing.T) {
	var d document.Document
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		root := randomObject(r, 6, 0)
		d.Reset([]byte(root.text()))
		known := []*tree{root}
		for step := range 8 {
			if msg := sameNodes(&d, root, &known, r); msg != "" {
				t.Fatalf("seed %d, step %d: %s\n%s", seed, step, msg, root.text())
			}
			if msg := randomEdit(&d, r, known); msg != "" {
				t.Fatalf("seed %d, step %d: %s\n%s", seed, step, msg, root.text())
			}
			got := string(d.Append(nil))
			if want := root.text(); got != want {
				t.Fatalf("seed %d, step %d:\n got %s\nwant %s", seed, step, got, want)
			}
			if err := document.Check([]byte(got), document.Limits{}); err != nil {
				t.Fatalf("seed %d, step %d: %v\n%s", seed, step, err, got)
			}
		}
	}
}

var everything = func() *document.Path {
	p, _ := document.ParsePath("**")
	return p
}()

// sameNodes compares everything visible, and records nodes seen for the first time.
func sameNodes(d *document.Document, root *tree, known *[]*tree, r *rand.Rand) string {
	n, msg := document.None, ""
	partial := r.IntN(2) == 0 // otherwise everything gets indexed
	root.visit(nil, func(chain []string, k *tree) {
		if msg != "" || partial && r.IntN(4) == 0 && k.node == 0 {
			return
		}
		if partial {
			// Look it up by its path, which does not index its neighbours. If the parent was
			// not looked up, skip it.
			n = document.Root
			for _, name := range chain {
				c := document.None
				for c = d.Child(n, c); c != document.None && string(d.AppendKey(nil, c)) != name; c = d.Child(n, c) {
				}
				n = c
			}
		} else {
			n = d.Each(everything, n)
		}
		if got := string(d.AppendJSON(nil, n)); got != k.text() {
			msg = fmt.Sprintf("%q: got %s, want %s", chain, got, k.text())
		}
		if got := string(d.AppendKey(nil, n)); got != k.name {
			msg = fmt.Sprintf("%q: key %q", chain, got)
		}
		if c := k.container(); c != nil && k.kind == 's' != (d.Holds(n) != document.Absent) {
			msg = fmt.Sprintf("%q: holds %v", chain, d.Holds(n))
		}
		if k.node == 0 {
			k.node = n
			*known = append(*known, k)
		} else if k.node != n {
			msg = fmt.Sprintf("%q: was node %d, is %d", chain, k.node, n)
		}
	})
	if msg == "" && !partial && d.Each(everything, n) != document.None {
		msg = "more nodes than in the model"
	}
	return msg
}

// randomEdit edits a node seen before, which may be gone.
func randomEdit(d *document.Document, r *rand.Rand, known []*tree) string {
	k := known[r.IntN(len(known))]
	text := newTexts[r.IntN(len(newTexts))]
	op := r.IntN(4)
	var err error
	switch {
	case op == 0 && k.node != document.Root:
		err = d.Delete(k.node)
	case op == 1:
		err = d.Put(k.node, []byte("9"), []byte(text))
	case op == 2 && k.node != document.Root:
		text = `"1\"2"`
		err = d.SetString(k.node, []byte(`1"2`))
	default:
		if k.node == document.Root {
			text = `{}`
		}
		op = 3
		err = d.SetJSON(k.node, []byte(text))
	}
	if k.gone {
		if !errors.Is(err, document.ErrDeleted) || d.Kind(k.node) != document.Absent {
			return fmt.Sprintf("edit of a node that is gone: %v, kind %v", err, d.Kind(k.node))
		}
		return ""
	}
	switch op {
	case 0:
		k.vanish()
	case 1:
		c := k.container()
		switch {
		case c == nil || c.kind != 'o':
			if errors.Is(err, document.ErrNotObject) {
				return ""
			}
		case has(c, "9"):
			if errors.Is(err, document.ErrKeyExists) {
				return ""
			}
		default:
			v := parsed(text)
			v.name, v.key = "9", `"9"`
			c.kids = append(c.kids, v)
		}
	default:
		k.set(parsed(text))
	}
	if err != nil {
		return fmt.Sprintf("operation %d with %s: %v", op, text, err)
	}
	return ""
}

func has(t *tree, name string) bool {
	for _, k := range t.kids {
		if !k.gone && k.name == name {
			return true
		}
	}
	return false
}

// TestPathsAgainstModel compares the selection of random paths with the literal definition.
func TestPathsAgainstModel(t *testing.T) {
	steps := []string{"a", "b", "*", "**", "0", "1", `\e`, "~PASS_word", "passWord", `q"`, "te/xt"}
	var d document.Document
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		root := randomObject(r, 6, 0)
		d.Reset([]byte(root.text()))
		var path []string
		for range 1 + r.IntN(4) {
			path = append(path, steps[r.IntN(len(steps))])
		}
		var want, got []string
		root.visit(nil, func(chain []string, k *tree) {
			if follows(path, chain) {
				want = append(want, strings.Join(chain, "."))
			}
		})
		p := mustPath(t, strings.Join(path, "."))
		for n := d.Find(p); n != document.None; n = d.Each(p, n) {
			var chain []string
			for a := n; a != document.Root; a = d.Parent(a) {
				chain = append([]string{string(d.AppendKey(nil, a))}, chain...)
			}
			got = append(got, strings.Join(chain, "."))
			if r.IntN(4) == 0 {
				d.Find(mustPath(t, "**")) // another walk meanwhile
			}
		}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Fatalf("seed %d: %s of %s\n got %q\nwant %q", seed, p, root.text(), got, want)
		}
	}
}

func follows(path, chain []string) bool {
	if len(path) == 0 {
		return len(chain) == 0
	}
	if path[0] == "**" {
		if len(path) == 1 {
			return len(chain) > 0
		}
		return follows(path[1:], chain) || len(chain) > 0 && follows(path, chain[1:])
	}
	if len(chain) == 0 {
		return false
	}
	name := chain[0]
	switch path[0] {
	case "*", name:
	case `\e`:
		if name != "" {
			return false
		}
	case "~PASS_word":
		if name != "passWord" && name != "pass-word" {
			return false
		}
	default:
		return false
	}
	return follows(path[1:], chain[1:])
}
