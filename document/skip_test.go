package document_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"auditrelay/document"
)

// Values are skipped completely, with any brackets, quotes and escapes inside, at any
// alignment.
func TestPassingOverValues(t *testing.T) {
	parts := []string{`a`, `}`, `]`, `{`, `[`, `\"`, `\\`, `\n`, `\u007d`, `é`, `,:`, `y_Y`, "0123456789abcdef", strings.Repeat("plain text ", 8), strings.Repeat(`\"`, 5)}
	var value func(r *rand.Rand, depth int) string
	text := func(r *rand.Rand) string {
		s := `"`
		for range r.IntN(6) {
			s += parts[r.IntN(len(parts))]
		}
		return s + `"`
	}
	value = func(r *rand.Rand, depth int) string {
		space := strings.Repeat(" ", r.IntN(3))
		kind := r.IntN(5)
		if depth == 0 {
			kind = 4
		}
		var inner []string
		switch kind {
		case 0, 1:
			for range r.IntN(5) {
				inner = append(inner, value(r, depth-1))
			}
			return "[" + strings.Join(inner, ","+space) + "]"
		case 2, 3:
			for i := range r.IntN(5) {
				inner = append(inner, `"`+string(rune('a'+i))+text(r)[1:]+space+":"+value(r, depth-1))
			}
			return "{" + space + strings.Join(inner, space+",") + "}"
		}
		return []string{`null`, `-1.5e3`, `true`, `0`, text(r), text(r)}[r.IntN(6)]
	}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 4))
		v := value(r, 5)
		data := `{"v":` + v + `,"after":"here"` + strings.Repeat(" ", r.IntN(9)) + `}`
		d := open(t, data)
		if n := d.Find(mustPath(t, "after")); !d.Is(n, []byte("here")) {
			t.Fatalf("seed %d: what follows is not found: %s", seed, data)
		}
		if got := string(d.AppendJSON(nil, d.Find(mustPath(t, "v")))); got != v {
			t.Fatalf("seed %d: passed over %s, want %s", seed, got, v)
		}
	}
}

// The search for a key ends at the first match, unless the key may occur twice: in a string
// with JSON, or after a deleted member.
func TestKeysThatStandTwice(t *testing.T) {
	for name, c := range map[string]struct {
		data, path string
		edit       func(t *testing.T, d *document.Document, first document.Node)
		want       []string
	}{
		"in a string":              {data: `{"v":"{\"a\":1,\"b\":0,\"a\":2}"}`, path: "v.a", want: []string{"1", "2"}},
		"in an object of a string": {data: `{"v":"[{\"a\":1,\"a\":2}]","a":3}`, path: "v.0.a", want: []string{"1", "2"}},
		"put again": {data: `{"a":1,"b":2}`, path: "a", want: []string{"1", "3"},
			edit: func(t *testing.T, d *document.Document, first document.Node) {
				if err := d.Delete(first); err != nil {
					t.Fatal(err)
				}
				if err := d.Put(document.Root, []byte("a"), []byte("3")); err != nil {
					t.Fatal(err)
				}
			}},
		"deleted": {data: `{"a":1,"b":2}`, path: "a", want: []string{"1"},
			edit: func(t *testing.T, d *document.Document, first document.Node) {
				if err := d.Delete(first); err != nil {
					t.Fatal(err)
				}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, c.data)
			p := mustPath(t, c.path)
			n := d.Find(p)
			got := []string{string(d.AppendJSON(nil, n))}
			if c.edit != nil {
				c.edit(t, d, n)
			}
			for n = d.Each(p, n); n != document.None; n = d.Each(p, n) {
				got = append(got, string(d.AppendJSON(nil, n)))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Python's special numbers are skipped like any other: none of their letters is taken for a
// bracket.
func TestPassingOverPythonsNumbers(t *testing.T) {
	for _, number := range []string{"NaN", "Infinity", "-Infinity", "1"} {
		for pad := range 9 { // any alignment of the words
			inner := `{"a":{"x":"` + strings.Repeat("p", pad) + `","n":` + number + `,"m":[` + number + `]},"password":"q"}`
			text, err := json.Marshal(inner)
			if err != nil {
				t.Fatal(err)
			}
			var d document.Document
			d.Reset([]byte(`{"v":` + string(text) + `}`))
			p, err := document.ParsePath("v.password")
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := d.AppendString(nil, d.Find(p)); string(got) != "q" {
				t.Errorf("%s: v.password is %q", inner, got)
			}
		}
	}
}
