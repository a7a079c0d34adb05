package config

import (
	"strings"
	"testing"
)

func TestShortTokenIsAnErrorAtItsPlace(t *testing.T) {
	_, err := Parse("a.yaml", []byte("tokens:\n  - {name: a, token: short, roles: [view]}\ncallbacks: []\n"), LoadOptions{})
	if err == nil || !strings.Contains(err.Error(), "a.yaml:2:") || !strings.Contains(err.Error(), "tokens[0].token: it can be guessed") {
		t.Errorf("got %v", err)
	}
}

func TestNamespacesOfTokens(t *testing.T) {
	_, err := Parse("a.yaml", []byte(`
tokens:
  - {name: a, token: "sha256:0000000000000000000000000000000000000000000000000000000000000001", roles: [view, operate], namespace: a}
  - {name: b, token: "sha256:0000000000000000000000000000000000000000000000000000000000000002", roles: [ingest], namespace: auditrelay}
  - {name: c, token: "sha256:0000000000000000000000000000000000000000000000000000000000000003", roles: [ingest], namespace: a/b}
  - {name: d, token: "sha256:0000000000000000000000000000000000000000000000000000000000000004", roles: [ingest], namespace: d}
  - {name: d, token: "sha256:0000000000000000000000000000000000000000000000000000000000000005", roles: [ingest], namespace: e}
ingest: {tokens: [{name: e, token: "0123456789abcdef-by-chance", namespace: Emitted}]}
callbacks: []
`), LoadOptions{})
	if err == nil {
		t.Fatal("it was taken")
	}
	for _, want := range []string{"a.yaml:3:", "tokens[0].roles[1]: it reaches beyond a namespace", "tokens[1].namespace: the relay's own records", "tokens[2].namespace: not a namespace",
		"tokens[4].name: token \"d\" stands on line 6 already", "ingest.tokens[0].namespace: not a namespace"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("without %q: %v", want, err)
		}
	}
}
