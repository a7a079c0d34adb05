package redact_test

import "testing"

// A text that was found clean is remembered only as that: under a telling name, or where
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
