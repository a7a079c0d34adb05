package config

import (
	"strings"
	"testing"
)

// A query of unbounded cost is refused at its place.
func TestQueriesAreChecked(t *testing.T) {
	for query, want := range map[string]string{
		"@tostr":                        "modifiers (@), constants (!) and multipaths",
		"[action,id]":                   "modifiers (@), constants (!) and multipaths",
		"*a*b*c":                        "more than 2 * in one step",
		strings.Repeat("a", 1025):       "longer than 1024 bytes",
		`list.#(mail=="a@example.com")`: "",
		"updated_values.*.0":            "",
	} {
		_, err := Parse("relay.yaml", []byte("callbacks:\n  - {name: a, sink: {x: }, when: {query: '"+query+"'}}"), LoadOptions{})
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", query, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "relay.yaml:2:42: callbacks[0].when.query: ") {
			t.Errorf("%.40s: got %v, want %q", query, err, want)
		}
	}
}
