// Package oidctest is an OpenID Connect issuer for tests: mockoidc, with tokens of any content.
package oidctest

import (
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/oauth2-proxy/mockoidc"
)

// Issuer is a running issuer.
type Issuer struct {
	*mockoidc.MockOIDC
	t *testing.T
	// Fetched counts the requests for its keys. If Down is set, it answers with 503.
	Fetched atomic.Int64
	Down    atomic.Bool
}

// New starts an issuer that ends with the test.
func New(t *testing.T) *Issuer {
	t.Helper()
	server, err := mockoidc.NewServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Keypair.KeyID(); err != nil { // it is computed once, without a lock
		t.Fatal(err)
	}
	i := &Issuer{MockOIDC: server, t: t}
	err = server.AddMiddleware(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == mockoidc.JWKSEndpoint {
				i.Fetched.Add(1)
			}
			if i.Down.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(l, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// Claims returns the claims of a valid token, replaced by other or, for nil values, removed.
func (i *Issuer) Claims(other map[string]any) map[string]any {
	now := time.Now()
	all := map[string]any{"iss": i.Issuer(), "aud": i.ClientID, "sub": "1234", "email": "alice@example.com", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(all, other)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// Token returns a token signed by the issuer.
func (i *Issuer) Token(other map[string]any) string {
	i.t.Helper()
	kid, err := i.Keypair.KeyID()
	if err != nil {
		i.t.Fatal(err)
	}
	return i.Sign(jose.RS256, i.Keypair.PrivateKey, kid, i.Claims(other))
}

// Sign returns a token signed by any key.
func (i *Issuer) Sign(by jose.SignatureAlgorithm, key any, kid string, claims any) string {
	i.t.Helper()
	options := &jose.SignerOptions{}
	options.WithType("JWT")
	if kid != "" {
		options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: by, Key: key}, options)
	if err != nil {
		i.t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		i.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}
