package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A relay with tls.client_ca is reached with a certificate, and without one it is not.
func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")
	trusted := selfSigned(t, cert, key)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("[]")) }))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	call := func(o Options) error {
		o.Server, o.CAFile = server.URL, ca
		c, err := New(o)
		if err != nil {
			return err
		}
		_, err = c.Callbacks(t.Context())
		return err
	}
	if err := call(Options{CertFile: cert, KeyFile: key}); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if err := call(Options{}); err == nil {
		t.Error("without a certificate it got in")
	}
	for _, o := range []Options{{CertFile: cert}, {KeyFile: key}} {
		if err := call(o); err == nil || !strings.Contains(err.Error(), "give both") {
			t.Errorf("half a pair: got %v", err)
		}
	}
}

// A token in clear text goes to loopback alone, and a name is no address.
func TestTokensInClearText(t *testing.T) {
	for server, ok := range map[string]bool{
		"http://127.0.0.1:1": true, "http://127.9.9.9:1": true, "http://localhost:1": true, "http://[::1]:1": true,
		"http://127.evil.invalid:1": false, "http://127.0.0.1.evil.invalid": false, "http://192.0.2.1": false, "https://127.evil.invalid": true,
	} {
		if _, err := New(Options{Server: server, Token: "a-token"}); (err == nil) != ok {
			t.Errorf("%s: got %v", server, err)
		}
	}
}

// selfSigned writes a certificate with its key, and returns what trusts it.
func selfSigned(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "operator"}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pool
}
