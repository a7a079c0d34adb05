package auditrelay_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
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

// Every constant of the type is among the causes.
func TestCauses(t *testing.T) {
	source, err := os.ReadFile("outcome.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^\tCause\w+ .*= "(\w+)"`).FindAllSubmatch(source, -1)
	if len(declared) < 20 || len(declared) != len(auditrelay.Causes()) {
		t.Errorf("%d causes, %d are declared", len(auditrelay.Causes()), len(declared))
	}
	for _, one := range declared {
		if !slices.Contains(auditrelay.Causes(), auditrelay.Cause(one[1])) {
			t.Errorf("%s is missing", one[1])
		}
	}
}

func TestForgettingToDecideIsNoVerdict(t *testing.T) {
	var v auditrelay.Verdict
	if v != auditrelay.NoVerdict || v == auditrelay.Keep || v == auditrelay.Drop {
		t.Errorf("the zero verdict is %s", v)
	}
}
