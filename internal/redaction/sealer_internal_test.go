package redaction

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/document"
)

// If a value cannot be encrypted, the event is an error. If it were masked instead, the value would
// be lost unnoticed.
func TestWhatIsNotEncryptedIsAnError(t *testing.T) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	public := auditrelay.Secret(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	p, err := New(Options{Rules: []Rule{{Names: []string{"email"}, Do: Encrypt, Key: "team"}}, Keys: map[string]auditrelay.Key{"team": {Secret: public}}})
	if err != nil {
		t.Fatal(err)
	}
	a := p.NewApplier("one")
	apply := func(text string) (string, error) {
		t.Helper()
		d := new(document.Document)
		d.Reset([]byte(text))
		err := a.Apply(d)
		return string(d.Append(nil)), err
	}
	if out, err := apply(`{"email":"ann@example.com"}`); err != nil || !strings.Contains(out, "enc:team:") {
		t.Fatalf("%s %v", out, err)
	}
	point, err := ecdh.X25519().NewPublicKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	good := a.ciphers["team"].public.key
	if a.ciphers["team"].public.key, err = hpke.NewDHKEMPublicKey(point); err != nil {
		t.Fatal(err)
	}
	if out, err := apply(`{"email":"ann@example.com"}`); err == nil || !strings.Contains(err.Error(), "public key team") || strings.Contains(out, "ann@") {
		t.Errorf("%s %v", out, err)
	}
	if _, err := apply(`{"other":"ann"}`); err != nil {
		t.Errorf("an event with nothing to encrypt: %v", err)
	}
	a.ciphers["team"].public.key = good
	if out, err := apply(`{"email":"ann@example.com"}`); err != nil || !strings.Contains(out, "enc:team:") {
		t.Errorf("the next event: %s %v", out, err)
	}
}
