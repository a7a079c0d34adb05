// Package oidc checks bearer tokens (JWT) of one OpenID Connect issuer, and signs people in
// there.
//
// It reads the issuer's keys in the background and caches them. If the issuer does not respond,
// its tokens are rejected once the cached keys are too old. Other credentials are not affected.
package oidc

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"auditrelay/config"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// Maximum size of a token, of an answer of the issuer, and of a person's name, in bytes.
const (
	MaxToken  = 16 << 10
	maxAnswer = 1 << 20
	maxName   = 256
)

// maxKeys limits the issuer's keys, since a token without a key id is tried with each.
const maxKeys = 32

const (
	// freshFor is the time after which keys are read again.
	freshFor = 15 * time.Minute
	// keysFor is how long cached keys are used if the issuer does not respond. Otherwise a key
	// that it withdrew would stay valid for ever.
	keysFor = 24 * time.Hour
	// fetchEvery is the minimum time between two reads of the keys, even if many tokens name an
	// unknown key.
	fetchEvery = 10 * time.Second
	// fetchWait limits the duration of one read.
	fetchWait = 10 * time.Second
	// patience is how long a request waits for a read.
	patience = 5 * time.Second
)

// Errors of Verify.
var (
	// ErrInvalid: the token is not valid for this relay.
	ErrInvalid = errors.New("the issuer's token is not accepted: its signature, issuer, audience or time is wrong")
	// ErrExpired: the token has expired.
	ErrExpired = errors.New("the issuer's token has expired")
	// ErrUnreachable: the issuer's keys cannot be read, so the token cannot be checked.
	ErrUnreachable = errors.New("the issuer's keys cannot be read, so that its tokens cannot be checked")
)

// Issuer is an OpenID Connect issuer. It is safe for concurrent use.
type Issuer struct {
	cfg    config.OIDC
	log    *slog.Logger
	now    func() time.Time
	client *http.Client
	expect *oidc.Config

	mu      sync.Mutex
	found   *found        // nil until the first successful read
	reading chan struct{} // closed at the end of the running read; nil if none runs
	tried   time.Time     // when the last read began
	failure error         // error of the last read
	since   time.Time     // start of failure
}

// found is the issuer's metadata.
type found struct {
	keys                []jose.JSONWebKey
	authorize, exchange string
	at                  time.Time
}

// New returns the issuer of a checked configuration. It reads its CA file and makes no request.
// A nil log means slog.Default().
func New(cfg config.OIDC, log *slog.Logger) (*Issuer, error) {
	if log == nil {
		log = slog.Default()
	}
	if len(cfg.Algorithms) == 0 {
		cfg.Algorithms = []config.OIDCAlgorithm{"RS256", "ES256"}
	}
	if len(cfg.Name) == 0 {
		cfg.Name = []string{"email", "sub"}
	}
	if cfg.Leeway == 0 {
		cfg.Leeway = 30 * time.Second
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.IdleConnTimeout = 2, 30*time.Second
	if cfg.CA != "" {
		pem, err := os.ReadFile(cfg.CA)
		if err != nil {
			return nil, fmt.Errorf("oidc.ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("oidc.ca: %s holds no certificate in PEM", cfg.CA)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	i := &Issuer{cfg: cfg, log: log, now: time.Now}
	i.client = &http.Client{Transport: bounded{transport}, Timeout: fetchWait, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > 3 || !secure(r.URL.Scheme, r.URL.Hostname()) {
			return errors.New("the issuer redirects too often, or to an address that is not https")
		}
		return nil
	}}
	var algorithms []string
	for _, a := range cfg.Algorithms {
		algorithms = append(algorithms, string(a))
	}
	// The times are checked here. go-oidc allows five minutes before nbf, and none after exp.
	i.expect = &oidc.Config{ClientID: cfg.Audience, SupportedSigningAlgs: algorithms, SkipExpiryCheck: true}
	return i, nil
}

func secure(scheme, host string) bool {
	return scheme == "https" || scheme == "http" && config.Loopback(host)
}

// bounded makes a response beyond maxAnswer fail.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// Looks reports whether a bearer token looks like a JWT.
func Looks(token string) bool {
	return strings.HasPrefix(token, "ey") && strings.Count(token, ".") == 2
}

// Person is a token's holder.
type Person struct {
	Name    string
	Subject string // issuer and sub: the same in all tokens of one person
	Claims  Claims
}

// Verify checks a token and returns its holder. It waits at most a few seconds for missing
// keys. Errors: ErrInvalid, ErrExpired, ErrUnreachable.
func (i *Issuer) Verify(ctx context.Context, token string) (*Person, error) {
	p, _, err := i.verify(ctx, token)
	return p, err
}

func (i *Issuer) verify(ctx context.Context, token string) (*Person, *oidc.IDToken, error) {
	if len(token) > MaxToken {
		return nil, nil, fmt.Errorf("%w (longer than %d bytes)", ErrInvalid, MaxToken)
	}
	keys := &keySet{Issuer: i}
	checked, err := oidc.NewVerifier(i.cfg.Issuer, keys, i.expect).Verify(ctx, token)
	switch {
	case keys.unreachable:
		return nil, nil, ErrUnreachable
	case err != nil:
		i.log.Debug("a token of the issuer was refused", "issuer", i.cfg.Issuer, "error", err)
		return nil, nil, ErrInvalid
	}
	var times struct {
		NotBefore float64 `json:"nbf"`
		IssuedAt  float64 `json:"iat"`
	}
	claims := Claims{}
	if checked.Claims(&times) != nil || checked.Claims(&claims) != nil {
		return nil, nil, ErrInvalid
	}
	now := i.now()
	latest := float64(now.Add(i.cfg.Leeway).Unix())
	switch {
	case checked.Expiry.IsZero() || checked.Expiry.Unix() == 0, times.NotBefore > latest, times.IssuedAt > latest, checked.Subject == "":
		return nil, nil, ErrInvalid
	case !now.Before(checked.Expiry.Add(i.cfg.Leeway)):
		return nil, nil, ErrExpired
	}
	name, err := i.name(claims)
	if err != nil {
		return nil, nil, err
	}
	return &Person{Name: name, Subject: i.cfg.Issuer + " " + checked.Subject, Claims: claims}, checked, nil
}

// name returns the first of the configured claims that names the person.
func (i *Issuer) name(claims Claims) (string, error) {
	for _, claim := range i.cfg.Name {
		values, err := claims.Values(claim)
		switch {
		case err != nil || len(values) > 1:
			return "", fmt.Errorf("%w (the claim %s is not a text)", ErrInvalid, claim)
		case len(values) == 0 || values[0] == "", claim == "email" && !claims.Verified():
			continue
		}
		name := values[0]
		plain := utf8.ValidString(name) && !strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) })
		if !plain || len(name) > maxName || strings.TrimSpace(name) != name || config.IsOwnPrincipal(name) {
			return "", fmt.Errorf("%w (the claim %s is a reserved name)", ErrInvalid, claim)
		}
		return name, nil
	}
	return "", fmt.Errorf("%w (it has none of the claims %s)", ErrInvalid, strings.Join(i.cfg.Name, ", "))
}

// keySet checks the signature of one token. go-oidc's own key set reads the keys again for each
// token with an unknown key, and hides why that failed.
type keySet struct {
	*Issuer
	unreachable bool
}

// VerifySignature returns the payload of a token that one of the issuer's keys signed.
func (s *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	algorithms := make([]jose.SignatureAlgorithm, len(s.cfg.Algorithms))
	for k, a := range s.cfg.Algorithms {
		algorithms[k] = jose.SignatureAlgorithm(a)
	}
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return nil, ErrInvalid
	}
	kid := signed.Signatures[0].Header.KeyID
	for again := false; ; again = true {
		keys, fresh, err := s.keys(ctx, again)
		if err != nil {
			s.unreachable = true
			return nil, err
		}
		known := false
		for k := range keys {
			if key := &keys[k]; kid == "" || key.KeyID == kid {
				known = kid != ""
				if payload, err := signed.Verify(key); err == nil {
					return payload, nil
				}
			}
		}
		if known || again || fresh {
			return nil, ErrInvalid
		}
	}
}

// keys returns the issuer's keys. With renew it first reads them again, unless the last read is
// too recent. fresh says that they were read for this call.
func (i *Issuer) keys(ctx context.Context, renew bool) (keys []jose.JSONWebKey, fresh bool, err error) {
	i.mu.Lock()
	usable := i.found != nil && i.now().Sub(i.found.at) < keysFor
	var wait <-chan struct{}
	if renew || !usable || i.now().Sub(i.found.at) >= freshFor {
		wait = i.read()
	}
	i.mu.Unlock()
	if wait != nil && (renew || !usable) {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-wait:
			fresh = true
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.found == nil || i.now().Sub(i.found.at) >= keysFor {
		return nil, false, ErrUnreachable
	}
	return i.found.keys, fresh, nil
}

// Refresh reads the keys in the background if they are old. It never blocks.
func (i *Issuer) Refresh() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.found == nil || i.now().Sub(i.found.at) >= freshFor {
		i.read()
	}
}

// read starts a read, and returns a channel that is closed at its end. It returns nil if the
// last read is too recent. The caller must hold mu.
func (i *Issuer) read() <-chan struct{} {
	if i.reading != nil {
		return i.reading
	}
	if !i.tried.IsZero() && i.now().Sub(i.tried) < fetchEvery {
		return nil
	}
	i.tried, i.reading = i.now(), make(chan struct{})
	go func() {
		// The read continues after the request that started it, since other requests wait for
		// it too.
		ctx, cancel := context.WithTimeout(context.Background(), fetchWait)
		defer cancel()
		next, err := i.fetch(ctx)
		i.mu.Lock()
		defer i.mu.Unlock()
		switch {
		case err == nil && i.failure != nil:
			i.log.Info("the OIDC issuer answers again", "issuer", i.cfg.Issuer)
		case err != nil && i.failure == nil:
			i.since = i.now()
			i.log.Warn("the OIDC issuer's keys cannot be read; its tokens are refused once the known keys are a day old (logged once)", "issuer", i.cfg.Issuer, "error", err)
		}
		if i.failure = err; err == nil {
			i.found = next
		}
		close(i.reading)
		i.reading = nil
	}()
	return i.reading
}

// Adopt copies the cached keys of another Issuer with the same URL, so that a reload of the
// configuration interrupts nobody. Call it before other methods. old may be nil.
func (i *Issuer) Adopt(old *Issuer) {
	if old == nil || old.cfg.Issuer != i.cfg.Issuer {
		return
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	i.found, i.failure, i.since = old.found, old.failure, old.since
}

// Trouble returns why the issuer does not respond, or "" if it does.
func (i *Issuer) Trouble() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.failure == nil {
		return ""
	}
	effect := "its tokens are refused"
	if i.found != nil && i.now().Sub(i.found.at) < keysFor {
		effect = "tokens by the known keys count until " + i.found.at.Add(keysFor).UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("oidc: the keys of %s cannot be read since %s; %s", i.cfg.Issuer, i.since.UTC().Format(time.RFC3339), effect)
}

// fetch reads the issuer's metadata and keys.
func (i *Issuer) fetch(ctx context.Context) (*found, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, i.client), i.cfg.Issuer)
	if err != nil {
		return nil, err
	}
	var more struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&more); err != nil {
		return nil, err
	}
	next := &found{authorize: provider.Endpoint().AuthURL, exchange: provider.Endpoint().TokenURL, at: i.now()}
	for name, address := range map[string]string{"authorization_endpoint": next.authorize, "token_endpoint": next.exchange} {
		if u, err := url.Parse(address); err != nil || address != "" && !secure(u.Scheme, u.Hostname()) {
			return nil, fmt.Errorf("%s is not an https address", name) // the client's secret is sent there
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, more.Keys, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("jwks_uri: %w", err)
	}
	if !secure(req.URL.Scheme, req.URL.Hostname()) {
		return nil, errors.New("jwks_uri is not an https address")
	}
	resp, err := i.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the keys: status %d: %w", resp.StatusCode, errors.Join(err, errors.New("no keys")))
	}
	if next.keys, err = parseKeys(body); err != nil {
		return nil, err
	}
	return next, nil
}

// parseKeys parses the keys for checking signatures.
func parseKeys(text []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("decode the keys: %w", err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// Other keys may have kinds that this program does not know.
		if json.Unmarshal(bytes.TrimSpace(raw), &key) == nil && key.Valid() && key.IsPublic() && key.Use != "enc" {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("the issuer has %d keys for signatures, expected 1 to %d", len(keys), maxKeys)
	}
	return keys, nil
}
