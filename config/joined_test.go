package config

import (
	"strings"
	"testing"
)

// A policy that does not say whether its pseudonyms can be joined gets a warning: an earlier
// revision joined them.
func TestUnsaidPseudonymsAreWarnedOf(t *testing.T) {
	for policy, want := range map[string]bool{
		`rules: [{names: [a], do: mask}, {names: [b], do: hmac, key: k}]`:                       true,
		`pseudonyms: separate, rules: [{names: [b], do: hmac, key: k}]`:                         false,
		`pseudonyms: shared, rules: [{names: [b], do: hmac, key: k}]`:                           false,
		`rules: [{names: [b], do: mask}]`:                                                       false,
		`preset: litellm`:                                                                       false,
		`rules: [{names: [b], do: encrypt, key: k}, {names: [c], do: partial, keep: 2}]`:        true,
		`rules: [{names: [b], do: encrypt, key: k, shared: true}]`:                              false,
		`rules: [{names: [b], do: hmac, key: k, shared: false}]`:                                true,
		`rules: [{names: [b], do: hmac, key: k, shared: true}]`:                                 false,
		`rules: [{names: [b], do: hmac, key: k, shared: true}, {names: [c], do: hmac, key: k}]`: true,
	} {
		c, err := Parse("relay.yaml", []byte("keys: {k: a-secret-of-some-length}\ncallbacks: []\nfilters:\n  people: {redact: {"+policy+"}}\n"), LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := false
		for _, note := range c.Notes {
			got = got || strings.Contains(note.Text, "filters.people: its pseudonyms differ by callback and field, ") && note.Line == 4
		}
		if got != want {
			t.Errorf("%s: warned %v, want %v", policy, got, want)
		}
	}
}
