package redact_test

import (
	"strings"
	"testing"

	"auditrelay/internal/test/vectors"
)

// Of values that have no form of their own, filter and gate together let out hardly
// any where what stands around them tells.
func TestTellingContexts(t *testing.T) {
	r := open(t, policy(t, `{preset: litellm}`))
	inspector := secretsGate(t)
	total, missed := 0, 0
	for _, context := range vectors.Contexts {
		for _, secret := range vectors.Weak {
			total++
			event := strings.ReplaceAll(strings.ReplaceAll(context, "%q", `"%s"`), "%s", secret)
			out, _ := r.apply(t, []byte(event))
			if !strings.Contains(string(out), secret) {
				continue
			}
			inspector.Forget()
			if inspector.Document(out) == nil {
				missed++
				t.Logf("passes: %s", out)
			}
		}
	}
	if t.Logf("%d of %d pass", missed, total); missed*100 > total {
		t.Error("more than one in a hundred")
	}
}
