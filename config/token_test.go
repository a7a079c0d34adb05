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
