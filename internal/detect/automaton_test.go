package detect

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTheAutomatonFindsWhatASearchFinds: at each byte of a text the automaton reports exactly
// the patterns that end there.
func TestTheAutomatonFindsWhatASearchFinds(t *testing.T) {
	const letters = "abAB1-"
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		patterns := make([]pattern, 1+random.IntN(12))
		for i := range patterns {
			for range 1 + random.IntN(5) {
				set := charsetOf("")
				for range 1 + random.IntN(2) {
					set[letters[random.IntN(len(letters))]] = true
				}
				patterns[i] = append(patterns[i], set)
			}
		}
		a, err := newAutomaton(patterns)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 200)
		for i := range text {
			text[i] = letters[random.IntN(len(letters))]
		}
		state, found := a.start, 0
		for end := 1; end <= len(text); end++ {
			state = a.step(state, text[end-1])
			var want, got []int32
			for i, p := range patterns {
				if stands(p, text[:end]) {
					want = append(want, int32(i))
				}
			}
			if state >= a.firstHit {
				got = slices.Sorted(slices.Values(a.ends(state)))
			}
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d: %q ends the patterns %v, it should %v", seed, text[:end], got, want)
			}
			found += len(want)
		}
		if found == 0 && len(patterns) > 6 {
			t.Errorf("seed %d: none of %d patterns stands in the text: this tests nothing", seed, len(patterns))
		}
	}
}

// stands reports whether text ends with a match of p. ASCII letters match in both cases.
func stands(p pattern, text []byte) bool {
	if len(text) < len(p) {
		return false
	}
	for i, c := range text[len(text)-len(p):] {
		if !p[i].folded()[fold(c)] {
			return false
		}
	}
	return true
}
