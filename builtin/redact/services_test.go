package redact_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"auditrelay/internal/test/vectors"
)

// TestServices: filter and gate together miss hardly any service tokens that are not examples
// of the rules, in any place.
func TestServices(t *testing.T) {
	testServices(t, 5, slices.Concat(vectors.Public, vectors.Services, vectors.Later, vectors.Fresh))
}

// TestAttack: the same for a list independent of the rules. It contains vendor prefixes unknown
// to the rules; most of the missed ones precede a UUID or 32 hexadecimal digits, which
// identifiers also have.
func TestAttack(t *testing.T) { testServices(t, 20, vectors.Attack) }

// TestHeld: the same for the fifth list.
func TestHeld(t *testing.T) { testServices(t, 5, vectors.Held) }

// testServices plants services and fails if more than percent of the places expose them.
func testServices(t *testing.T, percent int, services [][2]string) {
	filter := open(t, policy(t, `{preset: litellm}`))
	inspector := secretsGate(t)
	random := rand.New(rand.NewPCG(7, 2026))
	positions := map[string]func(v string) any{
		"leaf":     func(v string) any { return map[string]any{"updated_values": map[string]any{"x": v}} },
		"in text":  func(v string) any { return map[string]any{"updated_values": `{"a":{"x":"` + v + `"}}`} },
		"sentence": func(v string) any { return map[string]any{"x": "Ann put " + v + " there, yesterday."} },
		"key":      func(v string) any { return map[string]any{"updated_values": map[string]any{v: true}} },
	}
	total, missed := 0, map[string][]string{}
	for _, s := range services {
		for name, plant := range positions {
			for range 3 {
				value := vectors.Grow(random, s[1])
				event, err := json.Marshal(plant(value))
				if err != nil {
					t.Fatal(err)
				}
				total++
				out, _ := filter.apply(t, event)
				secret := value[len(value)*2/3:]
				if !strings.Contains(string(out), secret) {
					continue
				}
				inspector.Forget()
				if inspector.Document(out) == nil && !slices.Contains(missed[s[0]], name) {
					missed[s[0]] = append(missed[s[0]], name)
				}
			}
		}
	}
	n := 0
	for name, where := range missed {
		slices.Sort(where)
		t.Logf("%s passes: %v", name, where)
		n += len(where)
	}
	if t.Logf("%d of %d places of %d forms let one out", n, len(services)*len(positions), len(services)); n*100 > len(services)*len(positions)*percent {
		t.Errorf("%d of %d pass, more than %d in a hundred", n, len(services)*len(positions), percent)
	}
}
