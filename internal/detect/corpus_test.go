package detect_test

import (
	"strings"
	"testing"

	"auditrelay/internal/corpus"
	"auditrelay/internal/detect"
)

func newSet(tb testing.TB, names ...string) *detect.Set {
	tb.Helper()
	s, err := detect.New(names...)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Nothing in 100,000 clean events is taken for a secret, whether it is looked at
// leaf by leaf or in the JSON texts as they stand.
func TestCleanEventsHoldNoSecrets(t *testing.T) {
	s := newSet(t, "secrets")
	g := corpus.New(11)
	var all []leaf
	var found []detect.Finding
	for range 100_000 {
		all = leaves(all[:0], g.Next().Data, true)
		if len(all) < 20 {
			t.Fatalf("only %d leaves", len(all))
		}
		for _, l := range all {
			if found = s.Append(found[:0], l.text, l.key); len(found) > 0 {
				t.Fatalf("%+v in %q: %q", found[0], l.key, l.text)
			}
		}
	}
}

// What is planted where its own form alone tells is found whole, in whatever kind
// of place; what is planted under a telling name is found too.
func TestPlantedSecretsAreFound(t *testing.T) {
	s := newSet(t, "secrets")
	for i, kind := range corpus.Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			g := corpus.New(uint64(i))
			g.Plant(1, kind)
			for range 200 {
				event := g.Next()
				for _, planted := range event.Planted {
					if !foundWhole(s, event.Data, planted.Secret) {
						t.Fatalf("%s is not found at %s", planted.Secret, planted.Path)
					}
				}
			}
		})
	}
}

// foundWhole reports whether no text of the event has any of the secret left once
// the findings are cut out of it.
func foundWhole(s *detect.Set, event []byte, secret string) bool {
	seen := false
	for _, l := range leaves(nil, event, false) {
		seen = seen || strings.Contains(string(l.text), secret)
		found := s.Append(nil, l.text, l.key)
		rest := append([]byte(nil), l.text...)
		for i := len(found) - 1; i >= 0; i-- {
			rest = append(rest[:found[i].Start], rest[found[i].End:]...)
		}
		if strings.Contains(string(rest), corpus.Marker) {
			return false
		}
	}
	return seen
}
