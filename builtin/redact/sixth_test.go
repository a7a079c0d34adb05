package redact_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"auditrelay/internal/test/vectors"
)

// drawnValues are secrets without a form: generated, chosen by a person, and digits.
var drawnValues = []string{`[A-Za-z0-9]{24}`, `[a-z]{6}-[A-Z][a-z]{5}-[0-9]{3}`, `[a-f0-9]{32}`}

// A sixth list of places: tokens with their own form are found in every one, except one in
// twenty, and values without a form if something identifies them, except one in ten.
func TestSixth(t *testing.T) {
	filter, inspector := open(t, policy(t, `{preset: litellm}`)), secretsGate(t)
	random := rand.New(rand.NewPCG(6, 2026))
	passes := func(place, secret string) bool {
		out, _ := filter.apply(t, fmt.Appendf(nil, place, secret))
		inspector.Forget()
		return strings.Contains(string(out), secret) && inspector.Document(out) == nil
	}
	for _, place := range vectors.SixthPositions {
		total, passed := 0, 0
		for _, f := range vectors.Public {
			if total++; passes(place, vectors.Grow(random, f[1])) {
				passed++
				t.Logf("%s passes in %s", f[0], place)
			}
		}
		if passed*20 > total {
			t.Errorf("%d of %d pass in %s", passed, total, place)
		}
	}
	total, passed := 0, 0
	for _, place := range vectors.SixthContexts {
		for _, form := range drawnValues {
			if total++; passes(place, vectors.Grow(random, form)) {
				passed++
				t.Logf("%s passes in %s", form, place)
			}
		}
	}
	if t.Logf("%d of %d in telling places pass", passed, total); passed*10 > total {
		t.Error("more than one in ten")
	}
}
