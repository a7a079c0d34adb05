package redact_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"auditrelay/internal/test/vectors"
)

// Of clean values of more than twenty kinds, under meaningless names, the filter and the gate
// match at most one in a thousand.
func TestCleanValues(t *testing.T) {
	r := open(t, policy(t, `{preset: litellm}`))
	inspector := secretsGate(t)
	random := rand.New(rand.NewPCG(3, 4))
	total, taken := 0, map[string]int{}
	for kind, value := range vectors.Clean {
		for i := range 1000 {
			text := value(random)
			event := fmt.Sprintf(`{"updated_values":{%q:%s}}`, vectors.CleanKeys[i%len(vectors.CleanKeys)], jsonText(text))
			total++
			out, _ := r.apply(t, []byte(event))
			inspector.Forget()
			if err := inspector.Document([]byte(event)); string(out) != event || err != nil {
				if taken[kind]++; taken[kind] <= 2 {
					t.Logf("%s: %s became %s: %v", kind, event, out, err)
				}
			}
		}
	}
	sum := 0
	for _, n := range taken {
		sum += n
	}
	if t.Logf("%d of %d: %v", sum, total, taken); sum*1000 > total {
		t.Error("more than one in a thousand")
	}
}
