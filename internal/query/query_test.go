package query

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// Supported and unsupported parts of gjson's language.
func TestTheLanguage(t *testing.T) {
	const doc = `{"a":{"b":[{"n":1,"s":"x*y"},{"n":2,"s":"a@b.c"},{"n":3}]},"a.b":7,"list":[[1],[2,3]]}`
	for text, want := range map[string]string{
		"a.b.1.n": "2", "a.b.#": "3", "a.b.#.n": "[1,2,3]", `a\.b`: "7", "l*.1.0": "2", "?.b.0.n": "1", "list.#.#": "[1,2]",
		`a.b.#(s=="a@b.c").n`: "2", "a.b.#(n>1)#.n": "[2,3]", `a.b.#(s%"*y").n`: "1", "a.b|1|n": "2", "a.b.#.n|0": "1", "nothing": "", `a.b.#(s=="[{@").n`: "",
	} {
		q, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := q.Get([]byte(doc)).Raw; got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"": "empty", strings.Repeat("a", 1025): "longer than 1024 bytes",
		"@this": "modifiers", "a.@reverse": "modifiers", "a|@tostr": "modifiers", "[a,b]": "multipaths", "{a}": "multipaths", "a.#(@this==1)": "modifiers", "a.#[n=1]": "multipaths",
		`!"x"`: "constants", "a.!b": "constants", "a.#.![1]": "constants", "a|!1": "constants", `\!a`: "", `a.#(!="x")#`: "", `a.#(!%"x*")`: "", `a.#(s!="!x").n`: "",
		// Quoted text for a list is a step for an object.
		`!["("].@tostr|@tostr`: "constants", `a(".@tostr|@tostr`: "modifiers", `a.#(s=="x.@y")`: "modifiers", `a.#(s=="x|[a]")`: "multipaths", `a.#(s=="x\.@y")`: "",
		"*a*a*": "more than 2 *", `a.#(s%"*a*b*")`: "more than 2 *", `#(a=="x.y*"&&b%"*.*")`: "more than 2 *", `a.#(s%"**a")#.*`: "", "a.*b*.*c*": "", `\*\*\*\*`: "",
	} {
		_, err := Parse(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.40s: got %v, want %q", text, err, want)
		}
	}
}

// No query takes much longer than its charged cost.
func TestWorkIsBounded(t *testing.T) {
	const n = 20_000
	for _, text := range []string{
		"*" + strings.Repeat("a", 1000) + "b*", "*" + strings.Repeat("a", 500) + "*" + strings.Repeat("a", 500) + "b",
		`a.#(%"*` + strings.Repeat("a", 900) + `c*")#`, strings.Repeat("#.", 500) + "a", strings.Repeat("#(", 250) + "a" + strings.Repeat(")#", 250), strings.Repeat("*.", 500) + "a",
	} {
		q, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range documents(n) {
			for how, get := range map[string]func(){"Get": func() { q.Get(d) }, "GetAtPace": func() { q.GetAtPace(d, func() {}) }} {
				took := time.Hour
				for range 3 { // the machine may be busy
					began := time.Now()
					get()
					took = min(took, time.Since(began))
				}
				if most := 10*time.Duration(q.Cost(len(d))) + 100*time.Millisecond; took > most {
					t.Errorf("%s of %.40s on document %d: %v, want at most %v", how, text, i, took, most)
				}
			}
		}
	}
}

func BenchmarkWorst(b *testing.B) {
	docs := documents(100_000)
	rnd := rand.New(rand.NewPCG(1, 2))
	type found struct {
		rate float64
		text string
		doc  int
	}
	var worst []found
	for b.Loop() {
		text := randomQuery(rnd)
		q, err := Parse(text)
		if err != nil {
			continue
		}
		for i, d := range docs {
			least := time.Hour
			for range 3 {
				t := time.Now()
				gjson.GetBytes(d, q.text)
				least = min(least, time.Since(t))
			}
			worst = append(worst, found{float64(least.Nanoseconds()) / float64(q.Cost(len(d))), text, i})
		}
	}
	slices.SortFunc(worst, func(x, y found) int { return cmp.Compare(y.rate, x.rate) })
	for _, w := range worst[:5] {
		b.Logf("%.2f ns a unit: %.200q on document %d", w.rate, w.text, w.doc)
	}
}

func documents(n int) [][]byte {
	return [][]byte{
		fmt.Appendf(nil, `{"a":%q}`, strings.Repeat("a", n)),
		fmt.Appendf(nil, `{%q:1}`, strings.Repeat("a", n)),
		fmt.Appendf(nil, `{"a":[%s1]}`, strings.Repeat(`{"a":1,"b":"aaaa"},`, n/19)),
		fmt.Appendf(nil, `{"a":[%s1]}`, strings.Repeat(`[],`, n/3)),
		fmt.Appendf(nil, `{"a":%s1%s}`, strings.Repeat("[", n/2), strings.Repeat("]", n/2)),
		fmt.Appendf(nil, `{"a":%s}`, strings.Repeat("[", 60)+strings.Repeat(`[1,[2,[3]],"a"],`, n/16)+"1"+strings.Repeat("]", 60)),
		fmt.Appendf(nil, `{"a":%s1%s}`, strings.Repeat(`{"a":`, 60), strings.Repeat("}", 60)),
		fmt.Appendf(nil, `{%s"z":1}`, strings.Repeat(`"aaaaaaaaab":{"a":1},`, n/21)),
		append(append([]byte(`{"a":[`), bytes.Repeat([]byte(`"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",`), n/50)...), `1]}`...),
	}
}

func randomQuery(r *rand.Rand) string {
	parts := []string{"a", "*", "?", "aaaa", "*a*", "a*b", strings.Repeat("a", 60) + "*", "*" + strings.Repeat("a", 60) + "*", "#", "#.a", "#.#", "#(a==1)", "#(a==1)#", `#(a%"*a*")#`, `#(%"*aaaaaaaaaaaaaaaaaaaaac*")#`, "#(#(a==1)#)#", "#(#(#(#(a)#)#)#)#", "0", "1", "#(a>0)#.b", "\\*", "é"}
	var b strings.Builder
	for i := range 1 + r.IntN(30) {
		if i > 0 {
			b.WriteString([]string{".", ".", ".", "|"}[r.IntN(4)])
		}
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}
