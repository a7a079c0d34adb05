package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"auditrelay"
)

// Both forms of a key are equivalent, and neither shows a secret in any output.
func TestKeys(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		numbers    []int
		current    auditrelay.Key
		destroyed  []int
	}{
		{name: "a secret", text: "os.environ/LONG_SECRET", numbers: []int{0}, current: auditrelay.Key{Secret: longSecret}},
		{name: "versions", text: "{current: 2, versions: {10: a-secret-of-some-length, 2: os.environ/LONG_SECRET}}", numbers: []int{2, 10}, current: auditrelay.Key{Version: 2, Secret: longSecret}},
		{name: "one destroyed", text: "{current: 2, versions: {1: destroyed, 2: os.environ/LONG_SECRET}}", numbers: []int{1, 2}, current: auditrelay.Key{Version: 2, Secret: longSecret}, destroyed: []int{1}},
		{name: "from before there were versions", text: "{current: 0, versions: {0: os.environ/LONG_SECRET, 1: a-secret-of-some-length}}", numbers: []int{0, 1}, current: auditrelay.Key{Secret: longSecret}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse("relay.yaml", []byte("callbacks: []\nkeys: {k: "+tt.text+"}"), LoadOptions{LookupEnv: environment})
			if err != nil {
				t.Fatal(err)
			}
			k := c.Keys["k"]
			var destroyed []int
			for _, n := range k.Numbers() {
				if k.Versions[n].Destroyed {
					destroyed = append(destroyed, n)
				}
			}
			if !slices.Equal(k.Numbers(), tt.numbers) || c.CurrentKeys()["k"] != tt.current || !slices.Equal(destroyed, tt.destroyed) {
				t.Errorf("versions %v, destroyed %v, current version %d", k.Numbers(), destroyed, c.CurrentKeys()["k"].Version)
			}
			for _, shown := range []string{fmt.Sprintf("%v %+v %#v", k, k, k), fmt.Sprintf("%v %#v", c.CurrentKeys(), c.CurrentKeys())} {
				if strings.Contains(shown, longSecret) || strings.Contains(shown, "a-secret-of-some-length") {
					t.Errorf("it shows a secret: %s", shown)
				}
			}
		})
	}
}

// A publicly known value is no secret: as a key it is refused, and not shown.
func TestKeysThatArePublic(t *testing.T) {
	const certificate = "-----BEGIN CERTIFICATE-----\nAAAAnoSecret\n-----END CERTIFICATE-----"
	for _, secret := range []string{"ssh-ed25519 AAAAnoSecretAAAAIA", "age1noSecret3z7hjy54pw3hyww5", certificate, "\ufeff" + strings.ReplaceAll(certificate, "CERTIFICATE", "PUBLIC KEY")} {
		for _, text := range []string{"os.environ/PUBLIC", "{current: 1, versions: {1: os.environ/PUBLIC}}"} {
			_, err := Parse("relay.yaml", []byte("callbacks: []\nkeys: {k: "+text+"}"), LoadOptions{LookupEnv: func(string) (string, bool) { return secret, true }})
			if err == nil || !strings.Contains(err.Error(), "no secret") || strings.Contains(err.Error(), "noSecret") {
				t.Errorf("%.12q as %s: %v", secret, text, err)
			}
		}
	}
}
