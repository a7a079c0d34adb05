package app

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"auditrelay/internal/verify"

	"golang.org/x/mod/sumdb/note"
)

// TestAKMSSignsProofs: with proofs.kms the relay requests signatures from the service, and
// creates no key.
func TestAKMSSignsProofs(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Input []byte `json:"input"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Header.Get("X-Vault-Token") != "token-of-the-service" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `{"data":{"signature":"vault:v1:%s"}}`, base64.StdEncoding.EncodeToString(ed25519.Sign(private, in.Input)))
	}))
	defer server.Close()
	dir := filepath.Join(t.TempDir(), "data")
	r := runFile(t, writeConfig(t, fmt.Sprintf(`
listen: 127.0.0.1:0
data_dir: %s
tokens: [{name: boss, token: token-of-the-boss, roles: [admin]}]
proofs: {kms: {url: "%s/v1/transit/sign/audit", token: token-of-the-service, name: relay.example, public_key: "%s"}}
callbacks:
  - {name: archive, sink: {memory: {}}, chunk: {age: 1ms}}
`, dir, server.URL, base64.StdEncoding.EncodeToString(public))), memorySinks)
	r.send(`{"id":"a","action":"created"}`)
	r.await("")
	status, answer := r.call("GET", "/v1/proofs?id=a", "", "token-of-the-boss")
	var proofs []struct{ File string }
	if err := json.Unmarshal([]byte(answer), &proofs); err != nil || status != 200 || len(proofs) != 1 {
		t.Fatal(status, answer, err)
	}
	key, err := note.NewEd25519VerifierKey("relay.example", public)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify.File([]byte(proofs[0].File), verify.FileOptions{Keys: []string{key}}); err != nil {
		t.Error(err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, proofKeyFile)); len(names) != 0 {
		t.Error("the relay made a key of its own:", names)
	}
}
