package config

import (
	"strings"
	"testing"
)

// A token gets a warning if own records with its name would not identify the user.
func TestNamesOfTheRelayItselfAreWarnedOf(t *testing.T) {
	for name, want := range map[string]bool{"local": true, "Config File": true, "hook:github": true, "store": true, "gateway": false, "local-admin": false, "hooks": false} {
		c, err := Parse("relay.yaml", []byte("callbacks: []\ntokens: [{name: '"+name+"', token: an-unlikely-token-of-some-length, roles: [view]}]\n"), LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := false
		for _, note := range c.Notes {
			got = got || strings.Contains(note.Text, "tokens[0].name is a name that the relay's own records use") && note.Line == 2
		}
		if got != want {
			t.Errorf("%s: warned %v, want %v", name, got, want)
		}
	}
}
