package detect_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"auditrelay/internal/detect"
	"auditrelay/internal/test/corpus"
	"auditrelay/internal/test/vectors"
)

// Every rule of a personal identifier finds its examples whole in every position, beside a
// word that says what they are where it asks for one, and does not take its
// counter-examples; none is selected by secrets or pii.
func TestPersonalRules(t *testing.T) {
	s := newSet(t, "personal")
	others := newSet(t, "secrets", "pii")
	rules := 0
	for _, info := range detect.Shipped().All() {
		r := info.Rule
		if r == nil || info.Groups[0] != "personal" {
			continue
		}
		rules++
		t.Run(r.ID, func(t *testing.T) {
			if len(r.Examples) < len(r.Forms) && len(r.Forms) == 1 || len(r.CounterExamples) == 0 || r.Source == "" || len(info.Groups) != 2 || !strings.HasPrefix(info.Groups[1], "personal-") {
				t.Errorf("it lacks an example, a counter-example, a source, or its country: %v", info.Groups)
			}
			if r.Check == "" && len(r.Near) == 0 {
				t.Error("neither a check nor a word holds it to what it is")
			}
			for _, e := range r.Examples {
				for _, p := range positions {
					text, event := e, p.event(e)
					if len(r.Near) > 0 {
						text = r.Near[len(r.Near)-1] + ": " + e
						event = strings.ReplaceAll(p.event(text), `"note"`, `"`+r.Near[0]+`"`)
					}
					texts, names := findsIn(s, event)
					if i := slices.Index(names, r.ID); i < 0 && !slices.Contains(texts, e) {
						t.Errorf("%s: %q is not found: %q by %q", p.name, text, texts, names)
					}
					if len(r.Near) > 0 {
						continue
					}
					if found, _ := findsIn(others, p.event(e)); len(found) > 0 && !strings.ContainsAny(e, " -.") {
						t.Errorf("%s: secrets or pii find %q", p.name, found)
					}
				}
				if len(r.Near) > 0 {
					if _, names := findsIn(s, `{"note":"`+e+`"}`); slices.Contains(names, r.ID) {
						t.Errorf("%q is found without a word near it", e)
					}
					if _, names := findsIn(s, `{"`+r.Near[0]+`_1":"`+e+`"}`); len(names) == 0 {
						t.Errorf("%q is not found under the name %s_1", e, r.Near[0])
					}
				}
				for _, longer := range []string{e + strings.Repeat("7", 16), "4" + e, e + "-12", "a-" + e} {
					if _, names := findsIn(s, p0(longer, r)); slices.Contains(names, r.ID) {
						t.Errorf("%q is found in %q", e, longer)
					}
				}
			}
			for _, e := range r.CounterExamples {
				if _, names := findsIn(s, p0(e, r)); slices.Contains(names, r.ID) {
					t.Errorf("the counter-example %q is found", e)
				}
			}
		})
	}
	if rules < 60 {
		t.Errorf("only %d rules", rules)
	}
	size, states := s.Size()
	t.Logf("%d rules, %d states, %d bytes", rules, states, size)
}

// personalFalse is what the group personal takes of values that hold none of it, for
// docs/reference/detectors.md: of clean values, of clean events, and of drawn numbers.
var personalFalse = [3]int{0, 0, 99}

// TestPersonalFalsePositives counts them: half of the numbers are identifiers as databases
// and clocks give them, half are digits of the lengths that national identifiers have.
func TestPersonalFalsePositives(t *testing.T) {
	s := newSet(t, "personal")
	r := rand.New(rand.NewPCG(17, 2026))
	var counted [3]int
	by := map[string]int{}
	look := func(i int, text string) {
		for _, f := range s.Append(nil, []byte(text), detect.Name{}) {
			counted[i]++
			by[f.Detector]++
			break
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(vectors.Clean)) {
		for range 1000 {
			look(0, vectors.Clean[kind](r))
		}
	}
	t.Logf("clean values: %v", by)
	clear(by)
	g := corpus.New(12)
	for range 10_000 {
		for _, l := range leaves(nil, g.Next().Data, false) {
			look(1, string(l.text))
		}
	}
	t.Logf("clean events: %v", by)
	clear(by)
	for range 1000 {
		look(2, strconv.Itoa(1_600_000_000+r.IntN(200_000_000)))
		look(2, strconv.Itoa(1_600_000_000_000+r.IntN(200_000_000_000)))
		look(2, fmt.Sprintf("#%d", r.IntN(100_000_000)))
		look(2, fmt.Sprintf("ORD-2026-%06d", r.IntN(1_000_000)))
		look(2, fmt.Sprintf("+49 30 %07d", r.IntN(10_000_000)))
		for n := 9; n <= 13; n++ {
			digits := ""
			for range n {
				digits += strconv.Itoa(r.IntN(10))
			}
			look(2, digits)
		}
	}
	t.Logf("numbers: %v", by)
	if counted != personalFalse {
		t.Errorf("%v, and the documentation says %v", counted, personalFalse)
	}
}

func p0(text string, r *detect.Rule) string {
	name := "note"
	if len(r.Near) > 0 {
		name = r.Near[0]
	}
	return `{"` + name + `":` + quoted(text) + `}`
}
