package keyform_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/internal/keyform"
)

func pemOf(t *testing.T, curve ecdh.Curve) string {
	t.Helper()
	key, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// A public key never counts as a secret, in any form.
func TestWhatIsPublicIsNoSecret(t *testing.T) {
	public := pemOf(t, ecdh.X25519())
	bare := strings.Split(public, "\n")[1]
	// The encoding of an X25519 key ends with the 32 bytes of the point.
	der, err := base64.StdEncoding.DecodeString(bare)
	if err != nil {
		t.Fatal(err)
	}
	clear(der[len(der)-32:])
	zero := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	as := func(kind string) string { return strings.ReplaceAll(public, "PUBLIC KEY", kind) }
	for name, tt := range map[string]struct {
		text   string
		public bool
		err    error
	}{
		"a secret":                       {"3a5f0c0f7c1f4d0e9b8a7c6d5e4f3a2b", false, nil},
		"a secret in base64":             {"q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=", false, nil},
		"a secret with ssh in it":        {"my-ssh-secret-of-some-length", false, nil},
		"a public key":                   {public, true, nil},
		"behind a comment":               {"# of the audit team\n" + public, true, nil},
		"behind a dump":                  {"X25519 Public-Key:\npub:\n    85:20\n" + public, true, nil},
		"without the last line feed":     {strings.TrimSpace(public), true, nil},
		"with carriage returns":          {strings.ReplaceAll(public, "\n", "\r\n"), true, nil},
		"all zeros":                      {zero, true, keyform.ErrPublic},
		"of another curve":               {pemOf(t, ecdh.P256()), true, keyform.ErrPublic},
		"of another curve, comment":      {"# ours\n" + pemOf(t, ecdh.P256()), true, keyform.ErrPublic},
		"behind a byte order mark":       {"\ufeff" + public, false, keyform.ErrSecret},
		"indented":                       {"  " + public, false, keyform.ErrSecret},
		"behind text in its line":        {"key: " + public, false, keyform.ErrSecret},
		"cut off":                        {public[:40], false, keyform.ErrSecret},
		"a certificate":                  {as("CERTIFICATE"), false, keyform.ErrSecret},
		"PKCS #1":                        {as("RSA PUBLIC KEY"), false, keyform.ErrSecret},
		"PGP":                            {as("PGP PUBLIC KEY BLOCK"), false, keyform.ErrSecret},
		"SSH2":                           {"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----", false, keyform.ErrSecret},
		"of ssh":                         {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA ann@example.com", false, keyform.ErrSecret},
		"of ssh, behind a comment":       {"# ann\n ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB", false, keyform.ErrSecret},
		"of ssh, with a token":           {"sk-ssh-ed25519@openssh.com AAAAGnNr", false, keyform.ErrSecret},
		"of ssh, on a curve":             {"ecdsa-sha2-nistp256 AAAAE2VjZHNh", false, keyform.ErrSecret},
		"of age":                         {"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", false, keyform.ErrSecret},
		"PEM without its first and last": {bare, false, keyform.ErrSecret},
	} {
		if got := (auditrelay.Key{Secret: auditrelay.Secret(tt.text)}).Public(); got != tt.public {
			t.Errorf("%s: public %v", name, got)
		}
		if err := keyform.Check(tt.text); !errors.Is(err, tt.err) || err != nil && tt.err == nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := keyform.Parse(tt.text); (err == nil) != (tt.public && tt.err == nil) {
			t.Errorf("%s: read with %v", name, err)
		}
	}
}
