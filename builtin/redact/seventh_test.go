package redact_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"auditrelay/internal/test/vectors"
)

// TestSeventh: of a seventh list of tokens hardly any are missed, in any place.
func TestSeventh(t *testing.T) { testServices(t, 7, vectors.Seventh) }

// TestSeventhContexts: values without a form are found if something identifies them, except one
// in twenty. Values that the gate alone refuses are refused after the filter, or gone.
func TestSeventhContexts(t *testing.T) {
	filter, inspector := open(t, policy(t, `{preset: litellm}`)), secretsGate(t)
	refused := func(event []byte) bool {
		inspector.Forget()
		return inspector.Document(event) != nil
	}
	random := rand.New(rand.NewPCG(77, 2))
	total, passed := 0, 0
	for _, place := range vectors.SeventhContexts {
		for _, form := range append([]string{`[A-Z][a-z]{6}[0-9]{4}!`, `[A-Za-z0-9_-]{43}`}, drawnValues...) {
			secret := vectors.Grow(random, form)
			event := []byte(strings.ReplaceAll(place, "@@", secret))
			out, _ := filter.apply(t, event)
			total++
			if !strings.Contains(string(out), secret) || refused(out) {
				continue
			}
			passed++
			t.Logf("passes: %s", out)
			if refused(event) {
				t.Errorf("the gate refuses the event, but not with the same secret what the filter made of it: %s", out)
			}
		}
	}
	if t.Logf("%d of %d pass", passed, total); passed*20 > total {
		t.Error("more than one in twenty")
	}
}
