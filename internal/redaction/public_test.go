package redaction_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/internal/detect"
	"auditrelay/internal/redaction"
)

// pair creates a pair of keys in PEM.
func pair(t *testing.T, curve ecdh.Curve) (private []byte, public auditrelay.Secret) {
	t.Helper()
	key, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := x509.MarshalPKIXPublicKey(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: inner}), auditrelay.Secret(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: outer}))
}

// Only the private key decrypts values encrypted to its public key. The public key, which is all
// that the relay has, does not work as a secret key. Equal values give equal output only within one
// document. No detector finds the output.
func TestPublicKey(t *testing.T) {
	private, public := pair(t, ecdh.X25519())
	foreign, _ := pair(t, ecdh.X25519())
	c := redaction.NewCipher("escrow", auditrelay.Key{Version: 3, Secret: public})
	opener, err := redaction.NewOpener(private)
	if err != nil {
		t.Fatal(err)
	}
	other, err := redaction.NewOpener(foreign)
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := detect.Shipped().Set("secrets")
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"x", "hunter2", strings.Repeat("a", 16), "\x80\x00", "пароль", strings.Repeat("long ", 1000)} {
		c.Reset()
		text := c.Append(nil, []byte(value))
		if !bytes.HasPrefix(text, []byte("enc:escrow.3:")) || !bytes.Equal(text, c.Append(nil, []byte(value))) {
			t.Errorf("%.20q became %.80s, another time another text", value, text)
		}
		if got, err := opener.Decrypt(text); err != nil || string(got) != value {
			t.Errorf("%.20q came back as %q: %v", value, got, err)
		}
		if _, err := other.Decrypt(text); err == nil {
			t.Error("another private key decrypts it")
		}
		for _, secret := range []string{public.Reveal(), strings.TrimSuffix(public.Reveal(), "\n")} {
			// Use the public key as a secret key.
			if _, err := redaction.NewCipher("escrow", auditrelay.Key{Version: 3, Secret: auditrelay.Secret("secret " + secret)}).Decrypt(text); err == nil {
				t.Error("the public key decrypts it")
			}
		}
		if _, err := c.Decrypt(text); err == nil {
			t.Error("the relay's own cipher decrypts it")
		}
		for _, at := range []int{5, len("enc:escrow.3:") + 3, len(text) / 2, len(text) - 1} {
			changed := bytes.Clone(text)
			changed[at] ^= 1
			if _, err := opener.Decrypt(changed); err == nil {
				t.Errorf("%.20q is decrypted with byte %d changed", value, at)
			}
		}
		c.Reset()
		if bytes.Equal(text, c.Append(nil, []byte(value))) {
			t.Errorf("%.20q is the same text in two documents: guesses can be tested", value)
		}
		for _, name := range []string{"password", "note"} {
			if f := secrets.Append(nil, text, secrets.Name([]byte(name))); len(f) > 0 {
				t.Errorf("under %s: %+v", name, f)
			}
		}
		if f := secrets.Append(nil, []byte("password="+string(text)), detect.Name{}); len(f) > 0 {
			t.Errorf("in a text: %+v", f)
		}
	}
	if got := c.Append(nil, nil); len(got) != 0 {
		t.Errorf("nothing became %q", got)
	}
}

// A policy accepts a public key only for encrypt, and only of a supported kind.
func TestPublicKeysOfPolicies(t *testing.T) {
	_, public := pair(t, ecdh.X25519())
	_, wrong := pair(t, ecdh.P256())
	for _, tt := range []struct {
		do   redaction.Operation
		key  auditrelay.Secret
		want string
	}{
		{redaction.Encrypt, public, ""},
		{redaction.Pseudonym, public, "rules[0].key: it is a public key, which makes no pseudonyms"},
		{redaction.Encrypt, wrong, "rules[0].key: it is no public key for X25519"},
		{redaction.Encrypt, "# ours\n" + public, ""},
		{redaction.Pseudonym, "# ours\n" + public, "rules[0].key: it is a public key, which makes no pseudonyms"},
		{redaction.Encrypt, "\ufeff" + public, "rules[0].key: it has the form of a public key"},
		{redaction.Pseudonym, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA", "rules[0].key: it has the form of a public key"},
		{redaction.Encrypt, "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----", "rules[0].key: it is no public key for X25519"},
		{redaction.Encrypt, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "rules[0].key: it is no public key for X25519"},
	} {
		p, err := redaction.New(redaction.Options{Rules: []redaction.Rule{{Names: []string{"a"}, Do: tt.do, Key: "k"}}, Keys: map[string]auditrelay.Key{"k": {Secret: tt.key}}})
		if tt.want == "" {
			if err != nil || p.Repeats() {
				t.Errorf("%v: %v; a policy whose texts differ each time is shared", tt.do, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %s", tt.do, err, tt.want)
		}
	}
}

// Encrypted values never contain a text that a detector knows. Without the measure against that,
// about a hundred of this many values would by chance.
func TestNoEncryptedValueSpells(t *testing.T) {
	_, public := pair(t, ecdh.X25519())
	secrets, err := detect.Shipped().Set("secrets")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []auditrelay.Secret{"0123456789abcdef", public} {
		c := redaction.NewCipher("team", auditrelay.Key{Secret: secret})
		for i := range 2000 {
			if i%10 == 0 {
				c.Reset()
			}
			text := c.Append(nil, []byte(strings.Repeat("value ", i%40)+string(rune('a'+i%26))+strings.Repeat("x", i/26)))
			if found := secrets.Append(nil, append([]byte("password="), text...), detect.Name{}); len(found) > 0 {
				t.Fatalf("%s: %+v", text, found)
			}
		}
	}
}
