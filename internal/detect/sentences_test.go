package detect_test

import "testing"

// A value before its name in brackets is found, whole: <> are around what is to be found. How
// somebody logs in, a version and a date are none.
func TestValuesBeforeTheirName(t *testing.T) {
	s := newSet(t, "secrets")
	for _, text := range []string{
		"login with bob / <Tr0ub4dor-x> (pw)",
		"<Tr0ub4dor-x> (password), keep it",
		"bob: '<Tr0ub4dor-x>' (passwd)",
		"<3f9c0a7be1d24c58a6b0d91e7f3c2a84> (Passwort)",
		"the password (<Tr0ub4dor-x>) is old",
		"alice99@example.com (password), service-account-7 (password), db01.example.com (pw)",
		"Qwen2-72B-Instruct (tokens), Qwen2-72B-Instruct (token limit)",
		"2026-01-02 (password), INC-20231 (password), v1.22.3 (pw), Tr0ub4dor-x (see below), Tr0ub4dor-x (",
		"Tr0ub4dor-x (what nobody needs to change is no password)",
		"creds: bob / <Tr0ub4dor-x>", "credentials = bob / <Tr0ub4dor-x>, and so on", "login: bob / Tr0ub4dor-x", "creds: vault / see below", "token type: opaque / Bearer-2", "creds: bob / ",
		" (pw)", "(pw) Tr0ub4dor-x (",
	} {
		plain, want := marked(text)
		if got := render(plain, s.Append(nil, []byte(plain), s.Name(nil))); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
