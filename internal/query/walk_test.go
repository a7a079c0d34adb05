package query

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// TestAtPaceIsTheSame: GetAtPace finds the same as gjson, for random queries and documents made
// of everything that either handles specially.
func TestAtPaceIsTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	found := 0
	for n := range 60_000 {
		doc, text := randomDocument(r), randomSteps(r)
		q, err := Parse(text)
		if err != nil {
			continue
		}
		want := gjson.Get(doc, text)
		got, ok := q.GetAtPace([]byte(doc), func() {})
		if ok != want.Exists() || string(got) != want.Raw {
			t.Fatalf("%d: %s on %s:\n got %s, %v\nwant %s, %v", n, text, doc, got, ok, want.Raw, want.Exists())
		}
		if ok {
			found++
		}
	}
	if found < 3_000 {
		t.Errorf("only %d found anything", found)
	}
}

func randomSteps(r *rand.Rand) string {
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	name := func() string {
		return pick("a", "b", "ab", "x.y", "*", "?", "a*", "*b", "a?*", "*a*b", `\*`, `a\.b`, "é", "0", "1", "2", "", "a#", `\u`, "!a", "~", "99999999999999999999", `x\\y`, `x\\*`)
	}
	literal := func() string {
		return pick("1", "2", `"a"`, "a", `"x\"y"`, "true", "false", "null", "~true", "~false", "~null", "~*", "~x", "1e0", "-1", `"*a*"`, `"é?"`, "", `"aé"`, `"x\\y"`)
	}
	var condition func(depth int) string
	condition = func(depth int) string {
		path := pick("", "", "a", "b", "a.b", "*", "#", "!x")
		if depth > 0 && r.IntN(3) == 0 {
			path = "#(" + condition(depth-1) + ")" + pick("", "#")
		}
		return path + pick("", "", " ") + pick("", "=", "==", "!=", "<", "<=", ">", ">=", "%", "!%", "!") + pick("", " ") + literal()
	}
	var b strings.Builder
	b.WriteString(pick("", "", "", "", "", "..", "!"))
	for i := range 1 + r.IntN(4) {
		if i > 0 {
			b.WriteString(pick(".", ".", ".", "|"))
		}
		switch r.IntN(4) {
		case 0:
			b.WriteString("#")
		case 1:
			b.WriteString("#(" + condition(2) + ")" + pick("", "#", "", "#", ")"))
		default:
			b.WriteString(name())
		}
	}
	return b.String()
}

func randomDocument(r *rand.Rand) string {
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	blank := func() string { return pick("", "", "", " ", "\n\t ") }
	text := func() string {
		return pick(`"a"`, `"b"`, `"ab"`, `"x.y"`, `"é"`, `"aé"`, `"\u00e9"`, `"*"`, `"x\"y"`, `"x\\y"`, `"\\"`, `"\ud83d\ude00b"`, `""`, `"true"`, `"F"`, `"0"`, `"aab"`, `"\n\/"`)
	}
	var of func(depth int) string
	of = func(depth int) string {
		if depth == 0 || r.IntN(4) == 0 {
			return pick(text(), text(), "1", "2", "-1", "0", "1.0", "1e0", "2.5E+3", "true", "false", "null")
		}
		var parts []string
		if r.IntN(2) == 0 {
			for range r.IntN(4) {
				parts = append(parts, blank()+of(depth-1)+blank())
			}
			return "[" + strings.Join(parts, ",") + blank() + "]"
		}
		seen := map[string]bool{}
		for range r.IntN(5) {
			key := text()
			if decoded := gjson.Parse(key).Str; !seen[decoded] {
				seen[decoded] = true
				parts = append(parts, blank()+key+blank()+":"+blank()+of(depth-1)+blank())
			}
		}
		return "{" + strings.Join(parts, ",") + blank() + "}"
	}
	for {
		if d := of(5); d[0] == '{' && json.Valid([]byte(d)) {
			return blank() + d + blank()
		}
	}
}

// Long numbers keep their value.
func TestLongNumbers(t *testing.T) {
	p := &paced{watch: func() {}, left: everyWork}
	zeros, nines := strings.Repeat("0", 40_000), strings.Repeat("9", 40_000)
	for _, text := range []string{
		"0." + zeros + "1", "1" + zeros + "e-40000", "-1" + zeros + "e-40000", "1" + nines, "0." + zeros + "1e40001", "1." + zeros + "1", "1." + nines,
		"123456789" + zeros + "." + nines + "e-39990", "0." + nines + "e+3", "9007199254740993" + zeros + "1e-40001", "9007199254740993." + zeros + "1", "1" + zeros + "e99999999999999999999999", "0" + "." + zeros + "e5",
	} {
		want := math.Inf(1)
		if exact, _, err := big.ParseFloat(text, 10, 150_000, big.ToNearestEven); err == nil { // strconv is wrong beyond 800 digits
			want, _ = exact.Float64()
		}
		if got := p.number(text); got != want {
			t.Errorf("%.20s...%s: got %v, want %v", text, text[len(text)-10:], got, want)
		}
	}
}

// A query calls watch during all large or expensive work on a document.
func TestQueriesLookIn(t *testing.T) {
	for _, text := range []string{"z", "a.#", "a.#.b", `a.#(b%"*c*")#`, "*z*", "a.#(#(a==1)#)#", "a.z", "#(a)#"} {
		q, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range documents(1_000_000) {
			if len(d) < 100_000 {
				continue
			}
			looks := 0
			q.GetAtPace(d, func() { looks++ })
			if looks < 2 {
				t.Errorf("%s on document %d of %d bytes: %d looks", text, i, len(d), looks)
			}
		}
	}
}

func BenchmarkAtPace(b *testing.B) {
	doc := []byte(fmt.Sprintf(`{"id":"e-1","action":"updated","object_id":%q,"updated_values":{"models":["a","b"],"team":{"name":"x"}}}`, strings.Repeat("o", 600)))
	q, err := Parse("updated_values.team.name")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("gjson", func(b *testing.B) {
		for b.Loop() {
			q.Get(doc)
		}
	})
	b.Run("at pace", func(b *testing.B) {
		for b.Loop() {
			q.GetAtPace(doc, func() {})
		}
	})
}
