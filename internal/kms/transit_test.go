package kms

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"auditrelay"

	"golang.org/x/mod/sumdb/note"
)

// standIn responds like the transit engine.
type standIn struct {
	key   ed25519.PrivateKey
	asked atomic.Int64
	spoil func(w http.ResponseWriter) bool
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	if s.spoil != nil && s.spoil(w) {
		return
	}
	if r.Header.Get("X-Vault-Token") != "a-token" || r.Method != http.MethodPost || r.URL.Path != "/v1/transit/sign/audit" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	var in struct {
		Input []byte `json:"input"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"signature": "vault:v1:" + base64.StdEncoding.EncodeToString(ed25519.Sign(s.key, in.Input))}})
}

func newTransit(t *testing.T) (*Transit, *standIn) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &standIn{key: private}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	k, err := New(Options{URL: server.URL + "/v1/transit/sign/audit", Token: "a-token", Name: "relay.example", PublicKey: base64.StdEncoding.EncodeToString(public)})
	if err != nil {
		t.Fatal(err)
	}
	return k, s
}

func TestTransitSigns(t *testing.T) {
	k, _ := newTransit(t)
	message := []byte("origin\n1\nroot\n")
	signature, err := k.Sign(t.Context(), message)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(k.PublicKey())
	if err != nil || !v.Verify(message, signature) || v.Name() != "relay.example" {
		t.Error(err)
	}
}

// TestTransitFails: after a failure, the service gets no requests for a while. Errors contain no
// token, and another key's signature is refused.
func TestTransitFails(t *testing.T) {
	for name, spoil := range map[string]func(w http.ResponseWriter) bool{
		"refused":      func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusForbidden); return true },
		"no JSON":      func(w http.ResponseWriter) bool { _, _ = w.Write([]byte("<html>")); return true },
		"no signature": func(w http.ResponseWriter) bool { _, _ = w.Write([]byte(`{"data":{}}`)); return true },
	} {
		k, s := newTransit(t)
		s.spoil = spoil
		for range 3 {
			if _, err := k.Sign(t.Context(), []byte("x")); err == nil || strings.Contains(err.Error(), "a-token") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if s.asked.Load() != 1 {
			t.Errorf("%s: %d requests", name, s.asked.Load())
		}
	}
	k, s := newTransit(t)
	_, s.key, _ = ed25519.GenerateKey(rand.Reader)
	if _, err := k.Sign(t.Context(), []byte("x")); err == nil || !strings.Contains(err.Error(), "was the key rotated") {
		t.Error(err)
	}
}

// TestTransitRests: after 30 s the service gets a request again.
func TestTransitRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		k, err := New(Options{URL: "https://vault.example/v1/transit/sign/audit", Token: "a-token", Name: "relay.example", PublicKey: base64.StdEncoding.EncodeToString(make([]byte, 32)),
			Client: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { asked++; return nil, errors.New("no route") })}})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			_, _ = k.Sign(t.Context(), nil)
		}
		time.Sleep(rest) // by the test's own clock
		_, _ = k.Sign(t.Context(), nil)
		if asked != 2 {
			t.Errorf("asked %d times", asked)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestNewRefuses(t *testing.T) {
	good := Options{URL: "https://vault.example/v1/transit/sign/audit", Token: "t", Name: "relay", PublicKey: base64.StdEncoding.EncodeToString(make([]byte, 32))}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for path, spoil := range map[string]func(o *Options){
		"url":        func(o *Options) { o.URL = "http://vault.example/v1/transit/sign/audit" },
		"token":      func(o *Options) { o.Token = "" },
		"name":       func(o *Options) { o.Name = "a+b" },
		"public_key": func(o *Options) { o.PublicKey = "AAAA" },
	} {
		o := good
		spoil(&o)
		_, err := New(o)
		if wrong, ok := errors.AsType[*auditrelay.OptionError](err); !ok || wrong.Path != path {
			t.Errorf("%s: %v", path, err)
		}
	}
}
