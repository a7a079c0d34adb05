package auditrelay_test

import (
	"encoding/json"
	"strings"
	"testing"

	"auditrelay"
)

func TestOutcomesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range append(auditrelay.Outcomes(), auditrelay.Pending) {
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var back auditrelay.Outcome
		if err := json.Unmarshal(text, &back); err != nil || back != o {
			t.Errorf("%s came back as %v, %v", text, back, err)
		}
		if seen[o.String()] || strings.Contains(o.String(), "(") {
			t.Errorf("%v has the name %q", uint8(o), o)
		}
		seen[o.String()] = true
	}
	var o auditrelay.Outcome
	if err := json.Unmarshal([]byte(`"lost"`), &o); err == nil {
		t.Error("an unknown outcome was taken")
	}
}

func TestForgettingToDecideIsNoVerdict(t *testing.T) {
	var v auditrelay.Verdict
	if v != auditrelay.NoVerdict || v == auditrelay.Keep || v == auditrelay.Drop {
		t.Errorf("the zero verdict is %s", v)
	}
}
