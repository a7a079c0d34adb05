// Package kms signs with keys that cannot be read because a key management service holds them.
package kms

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"auditrelay"

	"golang.org/x/mod/sumdb/note"
)

// Options select a key of the transit engine of HashiCorp Vault or OpenBao, API version 1
// (https://openbao.org/api-docs/secret/transit/, sign data). Its type must be ed25519.
type Options struct {
	// URL is the address of the key, for example
	// https://vault.example:8200/v1/transit/sign/audit.
	URL   string
	Token auditrelay.Secret
	// Name is the name in signatures, for example the relay's host. PublicKey is the public key
	// in base64 as the service prints it.
	Name, PublicKey string
	// Client sends requests. Default: a client that follows no redirect.
	Client *http.Client
}

const (
	timeout   = 5 * time.Second  // for one request
	rest      = 30 * time.Second // after a failure; until then calls fail at once
	maxAnswer = 64 << 10
)

// Transit is a signing key. It is safe for concurrent use.
type Transit struct {
	o      Options
	key    ed25519.PublicKey
	public string

	mu     sync.Mutex
	failed error
	until  time.Time
}

var defaultClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// New validates the options. It does no I/O.
func New(o Options) (*Transit, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.User != nil || !strings.Contains(u.Path, "/sign/") {
		return nil, &auditrelay.OptionError{Path: "url", Err: errors.New("expected the URL of a key's sign call, such as https://vault.example:8200/v1/transit/sign/KEY")}
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())) {
		return nil, &auditrelay.OptionError{Path: "url", Err: errors.New("expected https, since the token goes with each request")}
	}
	if o.Token == "" {
		return nil, &auditrelay.OptionError{Path: "token", Err: errors.New("it is required")}
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(o.PublicKey))
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, &auditrelay.OptionError{Path: "public_key", Err: fmt.Errorf("expected %d bytes in base64: the public key of an ed25519 key", ed25519.PublicKeySize)}
	}
	t := &Transit{o: o, key: ed25519.PublicKey(raw)}
	if t.public, err = note.NewEd25519VerifierKey(o.Name, t.key); err == nil {
		_, err = note.NewVerifier(t.public)
	}
	if err != nil {
		return nil, &auditrelay.OptionError{Path: "name", Err: errors.New("expected a name without spaces and plus signs")}
	}
	return t, nil
}

// PublicKey returns the key in the format of c2sp.org/signed-note.
func (t *Transit) PublicKey() string { return t.public }

// Sign returns the service's signature of a message after verifying it. After a failure, calls
// fail at once for 30 s.
func (t *Transit) Sign(ctx context.Context, message []byte) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Now().Before(t.until) {
		return nil, t.failed
	}
	signature, err := t.ask(ctx, message)
	if err != nil {
		t.failed, t.until = fmt.Errorf("sign with the KMS at %s: %w", t.host(), err), time.Now().Add(rest)
		return nil, t.failed
	}
	return signature, nil
}

func (t *Transit) host() string {
	u, err := url.Parse(t.o.URL)
	if err != nil {
		return "?"
	}
	return u.Host
}

func (t *Transit) ask(ctx context.Context, message []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, err := json.Marshal(map[string]string{"input": base64.StdEncoding.EncodeToString(message)})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.o.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Vault-Token", t.o.Token.Reveal())
	resp, err := cmp.Or(t.o.Client, defaultClient).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	var got struct {
		Data struct {
			Signature string `json:"signature"` // vault:v1:BASE64
		} `json:"data"`
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		return nil, errors.New("its answer is not JSON")
	}
	signature, err := base64.StdEncoding.DecodeString(got.Data.Signature[strings.LastIndexByte(got.Data.Signature, ':')+1:])
	if err != nil || !ed25519.Verify(t.key, message, signature) {
		return nil, errors.New("public_key does not verify its signature: was the key rotated there?")
	}
	return signature, nil
}
