package hostfuncs

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"auditrelay/internal/detect"
)

// The matches equal those of regexp, for every way of searching.
func TestAllMatches(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "b", "é", "1", " ", "\n", "ab", "a*", "b+", "(a|b)", "(?i)A", ".", ".*", ".*?", "^", "$", `\b`, `\B`, `\A`, `\z`, "(?m)^", "(?m)$", "[^a]", "|", "a{2}", "(?s).", `\w`, "(?U)a+", "x"}
	letters := []string{"a", "b", "é", "1", " ", "\n", "A", "x", "日"}
	tried := 0
	for tried < 3000 {
		var text, subject strings.Builder
		for range 1 + r.IntN(5) {
			text.WriteString(parts[r.IntN(len(parts))])
		}
		for range r.IntN(12) {
			subject.WriteString(letters[r.IntN(len(letters))])
		}
		if r.IntN(10) == 0 {
			subject.WriteString(strings.Repeat("ab ", 500)) // longer than a piece
		}
		first, err := regexp.Compile(text.String())
		if err != nil {
			continue
		}
		tried++
		e := &expression{first: first, next: regexp.MustCompile(`(?s:\A.)(?s:.*?)(` + text.String() + `)`), units: 1}
		got := e.appendAll(nil, &State{}, []byte(subject.String()))
		var want []detect.Finding
		for _, at := range first.FindAllStringIndex(subject.String(), -1) {
			want = append(want, detect.Finding{Start: at[0], End: at[1]})
		}
		if len(got) != len(want) {
			t.Fatalf("%q in %q: got %v, want %v", text.String(), subject.String(), got, want)
		}
		for i := range got {
			if got[i].Start != want[i].Start || got[i].End != want[i].End {
				t.Fatalf("%q in %q: got %v, want %v", text.String(), subject.String(), got, want)
			}
		}
	}
}
