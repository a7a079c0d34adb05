package redact_test

import (
	"strings"
	"testing"

	"auditrelay/internal/gate"
	"auditrelay/internal/test/vectors"
)

// Filter and gate together miss hardly any values without their own form, if the surroundings
// identify them.
func TestTellingContexts(t *testing.T) {
	r := open(t, policy(t, `{preset: litellm}`))
	inspector := secretsGate(t)
	for name, list := range map[string]struct {
		contexts []string
		percent  int
	}{"contexts": {vectors.Contexts, 1}, "written down later": {vectors.LaterContexts, 3}, "fresh": {vectors.FreshContexts, 4}, "attack": {vectors.AttackContexts, 6}, "held": {vectors.HeldContexts, 5}} {
		t.Run(name, func(t *testing.T) { testContexts(t, r, inspector, list.contexts, list.percent) })
	}
}

func testContexts(t *testing.T, r *redactor, inspector *gate.Inspector, contexts []string, percent int) {
	total, missed := 0, 0
	for _, context := range contexts {
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
	if t.Logf("%d of %d pass", missed, total); missed*100 > total*percent {
		t.Errorf("more than %d in a hundred", percent)
	}
}
