package redact_test

import (
	"strings"
	"testing"
)

// A text cached as clean counts as clean only in that context. Under a meaningful name, or if
// another place of the event makes it known, it is masked, and the gate refuses it.
func TestCleanTextIsNotTrusted(t *testing.T) {
	r := open(t, policy(t, `{preset: litellm}`))
	inspector := secretsGate(t)
	for _, step := range []struct{ event, out string }{
		{`{"note":"hunter2-Fall"}`, `{"note":"hunter2-Fall"}`},
		{`{"note":"hunter2-Fall"}`, `{"note":"hunter2-Fall"}`},
		{`{"password":"hunter2-Fall","note":"hunter2-Fall"}`, `{"password":"***","note":"***"}`},
		{`{"args":["hunter2-Fall"]}`, `{"args":["hunter2-Fall"]}`},
		{`{"args":["--token","hunter2-Fall"]}`, `{"args":["--token","***"]}`},
	} {
		if out, _ := r.apply(t, []byte(step.event)); string(out) != step.out {
			t.Errorf("%s became %s", step.event, out)
		}
		inspector.Forget()
		if refused := inspector.Document([]byte(step.event)) != nil; refused != (step.event != step.out) {
			t.Errorf("the gate refuses %s: %v", step.event, refused)
		}
	}
	inspector.Know([]byte("hunter2-Fall"))
	if inspector.Document([]byte(`{"note":"hunter2-Fall"}`)) == nil {
		t.Error("what is known passes the gate where it was clean before")
	}
}

// A secret after a hundred thousand values is masked, and refused, like one before them.
func TestASecretBehindManyValues(t *testing.T) {
	r := open(t, policy(t, `{preset: litellm}`))
	inspector := secretsGate(t)
	many := strings.Repeat(`1,"a",`, 50_000)
	for _, event := range []string{
		`{"updated_values":{"list":[` + many + `1],"password":"hunter2-Fall"}}`,
		`{"updated_values":{"list":[` + many + `"sk-ant-api03-` + strings.Repeat("aB3-", 23) + `AA"]}}`,
	} {
		inspector.Forget()
		if inspector.Document([]byte(event)) == nil {
			t.Error("the gate lets the secret pass")
		}
		out, err := r.apply(t, []byte(event))
		if text := string(out); strings.Contains(text, "hunter2") || strings.Contains(text, "sk-ant-api03-aB3") || !strings.Contains(text, "***") {
			t.Errorf("%d bytes became %d, and the secret is not masked; %v", len(event), len(out), err)
		}
	}
}
