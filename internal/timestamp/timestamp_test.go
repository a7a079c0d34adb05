package timestamp

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const openssl = `[req]
distinguished_name = name
x509_extensions = own
prompt = no
[name]
CN = Time of the test
[own]
basicConstraints = critical,CA:true
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = conf
[conf]
serial = DIR/serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1, millisecs:500
ordering = yes
`

// run runs openssl, which acts as these tests' authority and checks its tokens.
func run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
}

// TestOpenSSLStamps: openssl ts answers the request and verifies the stored answer.
func TestOpenSSLStamps(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is missing")
		}
		t.Skip("openssl is missing")
	}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("conf"), []byte(strings.ReplaceAll(openssl, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("serial"), []byte("01\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", at("key"), "-out", at("cert"), "-days", "2", "-config", at("conf"))
	var spoil func([]byte) []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, _ := io.ReadAll(r.Body)
		if r.Header.Get("Content-Type") != "application/timestamp-query" {
			http.Error(w, "what?", http.StatusBadRequest)
			return
		}
		if err := os.WriteFile(at("query"), query, 0o600); err != nil {
			t.Error(err)
		}
		out, err := exec.Command("openssl", "ts", "-reply", "-config", at("conf"), "-queryfile", at("query"), "-signer", at("cert"), "-inkey", at("key"), "-out", at("reply")).CombinedOutput()
		if err != nil {
			t.Errorf("openssl ts: %v\n%s", err, out)
		}
		reply, _ := os.ReadFile(at("reply"))
		if spoil != nil {
			reply = spoil(reply)
		}
		_, _ = w.Write(reply)
	}))
	defer server.Close()

	a := &Authority{URL: server.URL}
	data := []byte("a checkpoint\n")
	answer, stamped, err := a.Stamp(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(stamped); age < -time.Minute || age > time.Minute {
		t.Error(stamped)
	}
	for name, content := range map[string][]byte{"data": data, "answer": answer} {
		if err := os.WriteFile(at(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "ts", "-verify", "-data", at("data"), "-in", at("answer"), "-CAfile", at("cert"))
	if again, err := Read(answer, data); err != nil || again != stamped {
		t.Error(again, err)
	}
	if _, err := Read(answer, []byte("another")); err == nil {
		t.Error("a token about something else is taken")
	}
	first := answer
	for name, fn := range map[string]func([]byte) []byte{
		"an earlier answer": func([]byte) []byte { return first },
		"cut":               func(b []byte) []byte { return b[:len(b)-7] },
		"empty":             func([]byte) []byte { return nil },
		"no DER":            func([]byte) []byte { return []byte("<html>") },
		"huge":              func([]byte) []byte { return bytes.Repeat([]byte{0}, maxAnswer+1) },
	} {
		spoil = fn
		if _, _, err := a.Stamp(t.Context(), data); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte{0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, answer []byte) {
		if at, err := Read(answer, []byte("x")); err == nil && at.IsZero() {
			t.Fatal("no time")
		}
	})
}
