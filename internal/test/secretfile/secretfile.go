// Package secretfile contains helpers for sink tests with secrets in files.
package secretfile

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"testing"

	"auditrelay/sinktest"
)

// Write writes a file that only its owner may read.
func Write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Rotating gives kit a secret that expires and rotates. set makes the destination require
// another secret than the one in file.
func Rotating(kit *sinktest.Kit, file, next string, set func(secret string)) {
	kit.Expire = func(*testing.T) { set(next) }
	kit.Rotate = func(t *testing.T) {
		set(next)
		Write(t, file, next+"\n")
	}
}

// ServiceAccount writes a new key of a Google service account, whose tokens come from the URL
// at.
func ServiceAccount(t testing.TB, file, at string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "relay@p.iam.gserviceaccount.com", "private_key_id": "k", "token_uri": at,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	Write(t, file, string(text))
}
