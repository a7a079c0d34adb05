package cli

import (
	"strings"
	"testing"
)

// A key file with publicly known content is no secret to decrypt with.
func TestKeyFilesThatArePublic(t *testing.T) {
	const public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAhSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\n-----END PUBLIC KEY-----\n"
	for text, want := range map[string]string{
		public: "contains the public key", "# ours\n" + public: "contains the public key", "\ufeff" + public: "no secret",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA": "no secret", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8z": "no secret",
	} {
		if _, err := openerOf([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	if _, err := openerOf([]byte("3a5f0c0f7c1f4d0e9b8a7c6d5e4f3a2b")); err != nil {
		t.Errorf("a secret: %v", err)
	}
}
