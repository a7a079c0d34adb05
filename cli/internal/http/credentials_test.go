package http

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
)

// The ways to authenticate: a token, a token stored as its digest, one that expires, and a
// client certificate by each of its names.
func TestCredentials(t *testing.T) {
	const token, hashed, later, former = "a-token-0123456789", "a-hashed-token-0123", "a-later-token-01234", "a-former-token-0123"
	sum := sha256.Sum256([]byte(hashed))
	roles := []config.Role{config.RoleView}
	a, err := newAuth([]config.Token{
		{Name: "plain", Token: token, Roles: roles},
		{Name: "hashed", Token: auditrelay.Secret("sha256:" + hex.EncodeToString(sum[:])), Roles: roles},
		{Name: "later", Token: later, Roles: roles, Expires: time.Now().Add(time.Hour)},
		{Name: "former", Token: former, Roles: roles, Expires: time.Now().Add(-time.Second)},
		{Name: "machine", Certificate: "relay.example", Roles: roles},
		{Name: "person", Certificate: "CN=Alice,O=Example", Roles: roles},
		{Name: "service", Certificate: "spiffe://example/sender", Roles: roles},
		{Name: "left", Certificate: "left.example", Roles: roles, Expires: time.Now().Add(-time.Second)},
	})
	if err != nil {
		t.Fatal(err)
	}
	uri, _ := url.Parse("spiffe://example/sender")
	certificate := func(c x509.Certificate) *tls.ConnectionState {
		return &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{&c}}}
	}
	dns := func(name string) *tls.ConnectionState { return certificate(x509.Certificate{DNSNames: []string{name}}) }
	for _, row := range []struct {
		name, token string
		tls         *tls.ConnectionState
		head        []string
		who, reason string
	}{
		{name: "a token", token: token, who: "plain"},
		{name: "by its digest", token: hashed, who: "hashed"},
		{name: "the digest itself", token: "sha256:" + hex.EncodeToString(sum[:]), reason: api.ReasonUnauthorized},
		{name: "the bare digest", token: hex.EncodeToString(sum[:]), reason: api.ReasonUnauthorized},
		{name: "before it expires", token: later, who: "later"},
		{name: "after it expired", token: former, reason: api.ReasonUnauthorized},
		{name: "a foreign token", token: "somebody-elses-0123", reason: api.ReasonUnauthorized},
		{name: "nothing", reason: api.ReasonUnauthorized},
		{name: "a DNS name", tls: dns("relay.example"), who: "machine"},
		{name: "a subject", tls: certificate(x509.Certificate{Subject: pkix.Name{CommonName: "Alice", Organization: []string{"Example"}}}), who: "person"},
		{name: "another organization", tls: certificate(x509.Certificate{Subject: pkix.Name{CommonName: "Alice", Organization: []string{"Other"}}}), reason: api.ReasonUnauthorized},
		{name: "a URI", tls: certificate(x509.Certificate{URIs: []*url.URL{uri}}), who: "service"},
		{name: "a part of a name", tls: dns("evil.relay.example"), reason: api.ReasonUnauthorized},
		{name: "a certificate that nobody signed", tls: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{DNSNames: []string{"relay.example"}}}}, reason: api.ReasonUnauthorized},
		{name: "an expired certificate's entry", tls: dns("left.example"), reason: api.ReasonUnauthorized},
		{name: "a token goes before a certificate", token: token, tls: dns("relay.example"), who: "plain"},
		{name: "a bad token beside a certificate", token: "somebody-elses-0123", tls: dns("relay.example"), reason: api.ReasonUnauthorized},
		{name: "a browser's certificate for a foreign page", tls: dns("relay.example"), head: []string{"Sec-Fetch-Site", "cross-site"}, reason: api.ReasonCrossOrigin},
		{name: "the same by its origin", tls: dns("relay.example"), head: []string{"Origin", "https://evil.example"}, reason: api.ReasonCrossOrigin},
		{name: "a browser's certificate for our page", tls: dns("relay.example"), head: []string{"Sec-Fetch-Site", "same-origin"}, who: "machine"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/callbacks/archive/detach", nil)
		r.TLS = row.tls
		if row.token != "" {
			r.Header.Set("Authorization", "Bearer "+row.token)
		}
		for i := 0; i < len(row.head); i += 2 {
			r.Header.Set(row.head[i], row.head[i+1])
		}
		who, refused := a.identify(r)
		switch {
		case refused == nil && row.reason != "":
			t.Errorf("%s: is %q", row.name, who.name)
		case refused != nil && refused.Reason != row.reason:
			t.Errorf("%s: %s", row.name, refused.Reason)
		case refused == nil && who.name != row.who:
			t.Errorf("%s: is %q, want %q", row.name, who.name, row.who)
		}
	}
}
