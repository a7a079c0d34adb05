package document_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"auditrelay/document"
)

func open(tb testing.TB, data string) *document.Document {
	tb.Helper()
	if err := document.Check([]byte(data), document.Limits{}); err != nil {
		tb.Fatal(err)
	}
	d := &document.Document{}
	d.Reset([]byte(data))
	return d
}

func find(tb testing.TB, d *document.Document, path string) document.Node {
	tb.Helper()
	return d.Find(mustPath(tb, path))
}

// White space belongs to the text after it, or before a comma, to the text before it.
func TestEditsKeepWhiteSpace(t *testing.T) {
	set := func(path, raw string) func(d *document.Document) error {
		return func(d *document.Document) error { return d.SetJSON(find(t, d, path), []byte(raw)) }
	}
	del := func(paths ...string) func(d *document.Document) error {
		return func(d *document.Document) error {
			for _, p := range paths {
				if err := d.Delete(find(t, d, p)); err != nil {
					return err
				}
			}
			return nil
		}
	}
	put := func(parent, key, raw string) func(d *document.Document) error {
		return func(d *document.Document) error {
			n := document.Root
			if parent != "" {
				n = find(t, d, parent)
			}
			return d.Put(n, []byte(key), []byte(raw))
		}
	}
	const three = ` { "a" : 1 , "b" : [ 2 , 3 ] , "c" : {} } ` + "\n"
	for _, row := range []struct {
		name, data string
		edit       func(d *document.Document) error
		want       string
	}{
		{"nothing", three, func(*document.Document) error { return nil }, three},
		{"set", three, set("a", " [ 0 ] "), ` { "a" : [ 0 ] , "b" : [ 2 , 3 ] , "c" : {} } ` + "\n"},
		{"delete the first", three, del("a"), ` { "b" : [ 2 , 3 ] , "c" : {} } ` + "\n"},
		{"delete one between", three, del("b"), ` { "a" : 1  , "c" : {} } ` + "\n"},
		{"delete the last", three, del("c"), ` { "a" : 1 , "b" : [ 2 , 3 ]  } ` + "\n"},
		{"delete all", `{"a":1,"b":2}`, del("a", "b"), `{}`},
		{"delete all, last first", `{"a":1,"b":2}`, del("b", "a"), `{}`},
		{"delete the first two", `{"a":1,"b":2,"c":3}`, del("a", "b"), `{"c":3}`},
		{"delete the outer two", `{"a":1,"b":2,"c":3}`, del("a", "c"), `{"b":2}`},
		{"delete an element", three, del("b.0"), ` { "a" : 1 , "b" : [ 3 ] , "c" : {} } ` + "\n"},
		{"original indices", `{"b":[0,1,2]}`, del("b.0", "b.1"), `{"b":[2]}`},
		{"put", three, put("", `k"`, " 4 "), ` { "a" : 1 , "b" : [ 2 , 3 ] , "c" : {},"k\"":4 } ` + "\n"},
		{"put into the empty", three, put("c", "k", "4"), ` { "a" : 1 , "b" : [ 2 , 3 ] , "c" : {"k":4} } ` + "\n"},
		{"inside a string", `{"v":" {\"a\" : \"\\u0041\\/\" , \u0022b\u0022:[\t1 ] } "}`, set("v.b.0", `"\n"`), `{"v":" {\"a\" : \"\\u0041\\/\" , \u0022b\u0022:[\t\"\\n\" ] } "}`},
		{"delete inside a string", `{"v":" {\u0022a\u0022:\u0031,\"b\":2}"}`, del("v.b"), `{"v":" {\u0022a\u0022:\u0031}"}`},
		{"put inside a string", `{"v":"[{ }]"}`, put("v.0", "k", `"x"`), `{"v":"[{\"k\":\"x\" }]"}`},
		{"numbers stay as they are", `{"v":"{\"a\":1.10,\"n\":1E400,\"x\":0}"}`, set("v.x", "00"[:1]), `{"v":"{\"a\":1.10,\"n\":1E400,\"x\":0}"}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := open(t, row.data)
			if err := row.edit(d); err != nil {
				t.Fatal(err)
			}
			if got := string(d.Append([]byte("before"))); got != "before"+row.want {
				t.Errorf("\n got %s\nwant %s", got, "before"+row.want)
			}
		})
	}
}

func TestRefusedEditsChangeNothing(t *testing.T) {
	const data = `{"a":{"b":1},"list":[1],"text":"x","v":"{\"a\":1}"}`
	for _, row := range []struct {
		name string
		edit func(d *document.Document) error
		want error // nil: any *document.Error
	}{
		{"no node", func(d *document.Document) error { return d.Delete(document.None) }, document.ErrNoNode},
		{"a number that is no node", func(d *document.Document) error { return d.SetJSON(1<<20, []byte("1")) }, document.ErrNoNode},
		{"delete the root", func(d *document.Document) error { return d.Delete(document.Root) }, document.ErrRoot},
		{"the root a string", func(d *document.Document) error { return d.SetString(document.Root, nil) }, document.ErrRoot},
		{"the root an array", func(d *document.Document) error { return d.Replace([]byte("[]")) }, document.ErrRoot},
		{"put into an array", func(d *document.Document) error { return d.Put(find(t, d, "list"), []byte("k"), []byte("1")) }, document.ErrNotObject},
		{"put into plain text", func(d *document.Document) error { return d.Put(find(t, d, "text"), []byte("k"), []byte("1")) }, document.ErrNotObject},
		{"put a key again", func(d *document.Document) error { return d.Put(find(t, d, "v"), []byte("a"), []byte("1")) }, document.ErrKeyExists},
		{"no JSON", func(d *document.Document) error { return d.SetJSON(find(t, d, "a"), []byte("{")) }, nil},
		{"nothing", func(d *document.Document) error { return d.SetJSON(find(t, d, "a"), nil) }, nil},
		{"a duplicate key", func(d *document.Document) error { return d.Replace([]byte(`{"x":1,"x":2}`)) }, nil},
		{"no UTF-8", func(d *document.Document) error { return d.SetString(find(t, d, "a"), []byte("x\xff")) }, nil},
		{"a key of no UTF-8", func(d *document.Document) error { return d.Put(document.Root, []byte("\xff"), []byte("1")) }, nil},
		{"too deep where it is put", func(d *document.Document) error {
			return d.SetJSON(find(t, d, "a.b"), []byte(strings.Repeat("[", 63)+strings.Repeat("]", 63)))
		}, nil},
		{"too much", func(d *document.Document) error { return d.SetString(find(t, d, "text"), make([]byte, 4<<20+1)) }, document.ErrGrowth},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := open(t, data)
			err := row.edit(d)
			if row.want != nil && !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			if _, ok := errors.AsType[*document.Error](err); row.want == nil && !ok {
				t.Errorf("got %v, want a *document.Error", err)
			}
			if got := string(d.Append(nil)); got != data || d.Edited() {
				t.Errorf("edited: %v, now %s", d.Edited(), got)
			}
		})
	}
	d := open(t, data)
	if err := d.SetJSON(find(t, d, "a.b"), []byte(strings.Repeat("[", 62)+strings.Repeat("]", 62))); err != nil {
		t.Errorf("as deep as may be: %v", err)
	}
}

func TestReadsSeeEdits(t *testing.T) {
	d := open(t, `{"a":{"b":1},"v":"{\"k\":\"x\"}"}`)
	a, b := find(t, d, "a"), find(t, d, "a.b")
	if err := d.SetJSON(a, []byte(`{"b":"{\"in\":[true]}","c":2}`)); err != nil {
		t.Fatal(err)
	}
	if got := d.Kind(find(t, d, "a.b.in.0")); got != document.Bool {
		t.Errorf("inside a string in a value just set: %v", got)
	}
	if err := d.SetString(b, []byte("lost")); !errors.Is(err, document.ErrDeleted) || d.Kind(b) != document.Absent {
		t.Errorf("a node in the value replaced: %v, %v", err, d.Kind(b))
	}
	if err := d.SetString(find(t, d, "v.k"), []byte("y\n")); err != nil {
		t.Fatal(err)
	}
	v := find(t, d, "v")
	if got, ok := d.AppendString(nil, v); !ok || string(got) != `{"k":"y\n"}` || d.Len(v) != len(got) {
		t.Errorf("a string with an edit inside reads %s, length %d", got, d.Len(v))
	}
	if !d.Is(find(t, d, "v.k"), []byte("y\n")) || d.Is(v, []byte("y\n")) || d.Holds(v) != document.Object || d.Holds(a) != document.Absent {
		t.Error("Is or Holds")
	}
	if err := d.Replace([]byte(`{"z":[1,2]}`)); err != nil {
		t.Fatal(err)
	}
	if d.Kind(v) != document.Absent || d.Len(document.Root) != 1 || d.Len(find(t, d, "z")) != 2 {
		t.Error("after Replace the old document is still seen")
	}
	if got := string(d.Append(nil)); got != `{"z":[1,2]}` {
		t.Errorf("after Replace: %s", got)
	}
	d.Reset([]byte(`{}`))
	if d.Edited() || string(d.Append(nil)) != `{}` {
		t.Error("after Reset the edits are still there")
	}
}

// A loop over matches may edit each as it goes.
func TestEachWhileEditing(t *testing.T) {
	for _, path := range []string{"**.p", "*.p", "p"} {
		d := open(t, `{"p":{"p":1},"a":{"p":{"p":2},"q":0},"b":{"p":3}}`)
		p := mustPath(t, path)
		for n := d.Find(p); n != document.None; n = d.Each(p, n) {
			if err := d.Delete(n); err != nil {
				t.Fatal(err)
			}
		}
		if d.Find(p) != document.None {
			t.Errorf("%s: left after deletion: %s", path, d.Append(nil))
		}
	}
	d := open(t, `{"p":{"p":1},"a":{"p":2}}`)
	p := mustPath(t, "**.p")
	for n := d.Find(p); n != document.None; n = d.EachOutside(p, n) {
		if err := d.SetJSON(n, []byte(`{"p":0}`)); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(d.Append(nil)); got != `{"p":{"p":0},"a":{"p":{"p":0}}}` {
		t.Errorf("replacing each: %s", got)
	}
	d = open(t, `{"p":{"p":1},"a":{"p":2}}`)
	count := 0
	for n := d.EachOutside(p, document.None); n != document.None; n = d.EachOutside(p, n) {
		count++
	}
	if count != 2 {
		t.Errorf("begun without Find, %d of 2 were met", count)
	}
	// Delete an ancestor of the loop's current node.
	d = open(t, `{"a":{"p":1,"q":{"p":2}},"b":{"p":3}}`)
	n := d.Find(p)
	if err := d.Delete(d.Parent(n)); err != nil {
		t.Fatal(err)
	}
	if n = d.Each(p, n); string(d.AppendPath(nil, n)) != "b.p" {
		t.Errorf("after deleting the parent: %s", d.AppendPath(nil, n))
	}
}

func TestStringsInStringsAreBounded(t *testing.T) {
	text := `{"x":1}`
	for range 10 {
		text = `{"x":"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"}`
	}
	d := open(t, text)
	eight := "x" + strings.Repeat(".x", 8)
	if d.Kind(find(t, d, eight)) != document.String || find(t, d, eight+".x") != document.None {
		t.Error("not eight strings deep")
	}
	if err := d.SetJSON(find(t, d, eight), []byte(`"`+strings.Repeat(`\"`, 10)+`"`)); err != nil {
		t.Fatal(err)
	}
	if err := document.Check(d.Append(nil), document.Limits{}); err != nil {
		t.Error(err)
	}

	// A text that would be escaped eight times counts with its final size.
	d = open(t, text)
	if err := d.SetString(find(t, d, eight), bytes.Repeat([]byte(`"`), 100_000)); !errors.Is(err, document.ErrGrowth) || d.Edited() {
		t.Errorf("100,000 quotes inside eight strings: %v", err)
	}

	for name, held := range map[string]string{
		"too deep": `{\"x\":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + "}",
		"too long": `{\"x\":1` + strings.Repeat(" ", 4<<20) + "}",
	} {
		d := &document.Document{}
		d.Reset([]byte(`{"v":"` + held + `"}`))
		if v := find(t, d, "v"); find(t, d, "v.x") != document.None || d.Holds(v) != document.Absent || d.Kind(v) != document.String {
			t.Errorf("%s: stepped into", name)
		}
	}
}

// Invented node numbers have answers too.
func TestAnyNumberForANode(t *testing.T) {
	d := open(t, textEvent)
	p := mustPath(t, "**")
	for n := d.Find(p); n != document.None; n = d.Each(p, n) {
	}
	var never document.Document
	for _, d := range []*document.Document{d, &never} {
		for n := document.Node(-3); n < 300; n++ {
			for m := document.Node(-3); m < 100; m++ {
				d.Child(n, m)
			}
			d.Kind(n)
			d.Holds(n)
			d.Len(n)
			d.Parent(n)
			d.AppendKey(nil, n)
			d.AppendJSON(nil, n)
			d.AppendString(nil, n)
			d.AppendPath(nil, n)
			d.Each(p, n)
			d.EachOutside(mustPath(t, "a.b.c"), n)
			p.Covers(d, n)
			p.CoversKey(d, n, nil)
			_ = d.SetString(n, nil)
			_ = d.Put(n, []byte("k"), []byte("1"))
			_ = d.Delete(n)
		}
		d.Append(nil)
	}
}

// Reuse for many events allocates nothing.
func TestNoAllocations(t *testing.T) {
	for name, event := range map[string]string{"object": objectEvent, "text": textEvent} {
		r := newReference(t)
		put, deep := mustPath(t, "updated_values"), mustPath(t, "**.~costCenter")
		data := []byte(event)
		key, raw := []byte("added"), []byte(`{"x":[1,"2"]}`)
		got := testing.AllocsPerRun(100, func() {
			if err := document.Check(data, document.Limits{}); err != nil {
				t.Fatal(err)
			}
			r.redact(data)
			for n := r.d.Find(deep); n != document.None; n = r.d.Each(deep, n) {
				if err := r.d.SetJSON(n, raw); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.d.Put(r.d.Find(put), key, raw); err != nil {
				t.Fatal(err)
			}
			r.out = r.d.Append(r.out[:0])
		})
		if got != 0 {
			t.Errorf("%s: %v allocations an event", name, got)
		}
		if err := document.Check(r.out, document.Limits{}); err != nil || bytes.Contains(r.out, []byte("hunter2")) || !bytes.Contains(r.out, mask) {
			t.Errorf("%s: %v: %s", name, err, r.out)
		}
	}
}

func TestWorkCountsWhatIsDone(t *testing.T) {
	d := open(t, objectEvent)
	before := d.Work()
	for range 100 {
		d.Find(mustPath(t, "absent"))
	}
	if got := d.Work() - before; got < 100*9 {
		t.Errorf("100 look-ups among 9 members: %d", got)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte(objectEvent), "updated_values.**", []byte(`"x"`), []byte{0, 1, 2, 3})
	f.Add([]byte(textEvent), "**.~cost-center", []byte(`{"a":"[1]"}`), []byte{3, 2, 1, 0})
	f.Add([]byte(`{"v":" {\"a\":1,\"a\":\"[\\\"x\\\"]\"}"}`), "v.a.0", []byte(`7`), []byte{0, 4})
	f.Add([]byte(`{"v":"{\"`), "v.*", []byte(`7`), []byte{0, 4})
	f.Fuzz(func(t *testing.T, data []byte, path string, raw, ops []byte) {
		p, err := document.ParsePath(path)
		if err != nil || len(ops) > 64 {
			return
		}
		checked := document.Check(data, document.Limits{}) == nil
		var d document.Document
		d.Reset(data) // unchecked data must not panic either
		n := d.Find(p)
		for _, op := range ops {
			if n == document.None {
				n = document.Root
			}
			before := d.Append(nil)
			switch op % 6 {
			case 0:
				err = d.SetJSON(n, raw)
			case 1:
				err = d.SetString(n, raw)
			case 2:
				err = d.Delete(n)
			case 3:
				err = d.Put(n, raw, raw)
			case 4:
				err = d.Put(n, []byte("k"), raw)
			case 5:
				err = d.Replace(raw)
			}
			after := d.Append(nil)
			if checked {
				if err != nil && !bytes.Equal(before, after) {
					t.Fatalf("a refused edit (%v) changed %s to %s", err, before, after)
				}
				if err := document.Check(after, document.Limits{Bytes: 1 << 29}); err != nil {
					t.Fatalf("operation %d made %s: %v", op%6, after, err)
				}
				if !d.Edited() && !bytes.Equal(after, data) {
					t.Fatalf("not edited, yet %s", after)
				}
			}
			if n = d.Each(p, n); op&8 != 0 {
				n = d.Child(document.Root, document.None)
			}
		}
		for m := d.Find(everything); m != document.None; m = d.Each(everything, m) {
			d.Len(m)
			d.AppendString(nil, m)
			if own := d.AppendPath(nil, m); checked && d.Find(mustPath(t, string(own))) == document.None {
				t.Fatalf("%s does not select its node", own)
			}
		}
	})
}

// The content of a string equals that of encoding/json at every length: long strings are
// decoded word by word.
func TestStringsDecode(t *testing.T) {
	parts := []string{`a`, `bcdefgh`, `\"`, `\\`, `\/`, `\n`, `\u00e9`, `é`, `\ud83d\ude00`, `😀`, `\u0000`, `0123456789abcdef0123456789abcdef`}
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		text := `"`
		for range r.IntN(12) {
			text += parts[r.IntN(len(parts))]
		}
		text += `"`
		var want string
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		d := open(t, `{"v":`+text+`,`+text+`:1}`)
		v := find(t, d, "v")
		got, _ := d.AppendString([]byte("before"), v)
		if string(got) != "before"+want || d.Len(v) != len(want) || !d.Is(v, []byte(want)) || d.Is(v, []byte(want+"x")) {
			t.Fatalf("%s: got %q, want %q, length %d", text, got, want, d.Len(v))
		}
		if key := d.Child(document.Root, v); string(d.AppendKey(nil, key)) != want {
			t.Fatalf("key %s: got %q", text, d.AppendKey(nil, key))
		}
		if err := d.SetString(v, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, _ := d.AppendString(nil, v); string(got) != want {
			t.Fatalf("%s set: got %q", text, got)
		}
	}
}

func TestEachOutsideBeginsInside(t *testing.T) {
	var d document.Document
	d.Reset([]byte(`{"v":"{\"a\":{\"b\":1}}","w":2}`))
	got := ""
	p := mustPath(t, "**")
	for n := d.EachOutside(p, document.None); n != document.None; n = d.EachOutside(p, n) {
		got += " " + string(d.AppendPath(nil, n))
	}
	if got != " v w" {
		t.Errorf("selected%s, want v w", got)
	}
}
