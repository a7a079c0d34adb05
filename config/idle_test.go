package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const somePublicKey = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAhSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\n-----END PUBLIC KEY-----\n"

// Settings without effect get a warning at their place. So does a secret in a file that
// everybody may read, but not a public key.
func TestIdleSettings(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"pub.pem": somePublicKey, "secret": "0123456789abcdef0123456789abcdef"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{"canary: {within: 1h}", "canary.every is not set: no canary is sent"},
		{"canary: {callbacks: [a]}", "canary.every is not set: no canary is sent"},
		{"canary: {every: 1h}", ""},
		{"filters: {f: {redact: {}}}", "filters.f.redact: it changes nothing: give a preset, rules or keep_only"},
		{"filters: {f: {redact: {rules: [], pseudonyms: separate}}}", "filters.f.redact: it changes nothing: give a preset, rules or keep_only"},
		{"filters: {f: {redact: {preset: litellm}}}", ""},
		{"filters: {f: {redact: {keep_only: []}}}", ""},
		{"filters: {f: {redact: {changed_fields: true}}}", ""},
		{"filters: {f: {redact: {rules: [{names: [a], do: mask}]}}}", ""},
		{"keys: {k: 'file:./secret'}", "keys.k is a secret in a file that every user of this machine may read: chmod o-rwx it"},
		{"keys: {k: 'file:./pub.pem'}", ""},
		{"keys: {k: {current: 0, versions: {0: 'file:./pub.pem'}}}", ""},
	} {
		text := "callbacks:\n  - {name: a, filters: [], sink: {stdout: {}}}\n" + tt.text + "\n"
		if strings.HasPrefix(tt.text, "filters") {
			text = strings.Replace(text, "[]", "[f]", 1)
		}
		c, err := Parse("relay.yaml", []byte(text), LoadOptions{Dir: dir})
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		var got []string
		for _, note := range c.Notes {
			if note.Line != 3 {
				t.Errorf("%s: line %d: %s", tt.text, note.Line, note.Text)
			}
			got = append(got, note.Text)
		}
		if strings.Join(got, "; ") != tt.want {
			t.Errorf("%s: warned %q, want %q", tt.text, got, tt.want)
		}
	}
}
