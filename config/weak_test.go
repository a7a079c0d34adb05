package config

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"testing"
)

func TestWeak(t *testing.T) {
	for _, secret := range []string{
		"", "short", "aaaaaaaaaaaaaaaaaaaaaaaa", "changemechangeme", "changeme-changeme-changeme", "passwordpassword", "1234567890123456", "abcdefghijklmnopqrstuvwxyz",
		"0123456789abcdef0123456789abcdef", "abababababababababab", "xxxxxxxxxxxxxxxxxxxx1", "qqqqqqqqwwwwwwww", "................", "1111222233334444",
		"password-password-password-123", "auditrelay-admin-token-1", "my-super-secret-token-2026", "Changeme123!Changeme123!", "litellm-admin-token", "qwertyuiop-asdfghjkl", "prod-audit-relay-token-01",
		"abcd1234abcd1234abcd12345", "test-test-test-test-test-42", "P@ssw0rd-P@ssw0rd-2026",
	} {
		if !Weak(secret) {
			t.Errorf("%q is taken", secret)
		}
	}
	for _, secret := range []string{"correct-horse-battery-staple", "an-actual-token-in-plain-text", "Tr0ub4dor&3-Wx9!kq-token"} {
		if Weak(secret) {
			t.Errorf("%q is refused", secret)
		}
	}
	// Values created as the documentation says are always accepted.
	b := make([]byte, 24)
	for range 20_000 {
		rand.Read(b)
		for _, secret := range []string{hex.EncodeToString(b), base64.StdEncoding.EncodeToString(b), hex.EncodeToString(b[:12])} {
			if Weak(secret) {
				t.Fatalf("%q is refused", secret)
			}
		}
	}
}
