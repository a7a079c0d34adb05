package ui

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/config"
	"auditrelay/internal/test/oidctest"

	"github.com/oauth2-proxy/mockoidc"
)

// signInRelay is a relay with an issuer. Members of operators have role operate.
func signInRelay(t *testing.T, mock *oidctest.Issuer) *relay {
	t.Helper()
	return newRelayOf(t, &config.Config{Listen: "127.0.0.1:0", OIDC: config.OIDC{
		Issuer: mock.Issuer(), Audience: mock.ClientID,
		Grants: []config.OIDCGrant{{Claim: "groups", Value: "operators", Roles: []config.Role{config.RoleOperate}}},
		SignIn: config.OIDCSignIn{Redirect: "http://127.0.0.1/ui/callback", Secret: auditrelay.Secret(mock.ClientSecret), Scopes: []string{"email", "groups"}},
	}})
}

// atIssuer starts a sign-in and returns the issuer's answer for the page's callback.
func (b *browser) atIssuer(next string) *url.URL {
	b.t.Helper()
	status, page, head := b.do("GET", "/ui/login?next="+url.QueryEscape(next), nil)
	if status != http.StatusSeeOther {
		b.t.Fatalf("%d %s", status, page)
	}
	resp, err := b.client.Get(head.Get("Location"))
	if err != nil {
		b.t.Fatal(err)
	}
	resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		b.t.Fatalf("%v: %s", err, resp.Status)
	}
	return back
}

// TestSignInAtTheIssuer: a person signs in at the issuer and acts under their own name. Scripts
// cannot read the cookie of the attempt, and other sites cannot use the session's.
func TestSignInAtTheIssuer(t *testing.T) {
	mock := oidctest.New(t)
	r := signInRelay(t, mock)
	b := r.browser()
	if _, page, _ := b.do("GET", "/ui/sign-in?next=/ui/undelivered", nil); !strings.Contains(page, `href="/ui/login?next=%2fui%2fundelivered"`) {
		t.Error("the sign-in screen does not offer the issuer:", page)
	}
	status, _, head := b.do("GET", "/ui/login", nil)
	to, err := url.Parse(head.Get("Location"))
	if err != nil || status != http.StatusSeeOther {
		t.Fatal(status, err)
	}
	for key, want := range map[string]string{"response_type": "code", "client_id": mock.ClientID, "code_challenge_method": "S256", "redirect_uri": "http://127.0.0.1/ui/callback", "scope": "openid email groups"} {
		if got := to.Query().Get(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	for _, key := range []string{"state", "nonce", "code_challenge"} {
		if len(to.Query().Get(key)) < 43 {
			t.Errorf("%s is %q: short", key, to.Query().Get(key))
		}
	}
	if cookie := head.Get("Set-Cookie"); !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
		t.Errorf("the attempt's cookie is %q", cookie)
	}

	mock.QueueUser(&mockoidc.MockUser{Subject: "1", Email: "alice@example.com", EmailVerified: true, Groups: []string{"operators"}})
	back := b.atIssuer("/ui/undelivered")
	status, page, head := b.do("GET", back.RequestURI(), nil)
	cookies := strings.Join(head.Values("Set-Cookie"), "\n")
	if status != http.StatusOK || head.Get("Refresh") != "0; url=/ui/undelivered" || !strings.Contains(cookies, cookieName) || !strings.Contains(cookies, "SameSite=Strict") {
		t.Fatalf("%d %q %s\n%s", status, head.Get("Refresh"), cookies, page)
	}
	if status, page, _ := b.do("GET", "/ui/", nil); status != http.StatusOK || !strings.Contains(page, "alice@example.com") {
		t.Errorf("%d %s", status, page)
	}
	if status, page, _ := b.do("POST", "/ui/callbacks/archive/state", url.Values{"do": {"pause"}, "reason": {"TICKET-1"}}, "Sec-Fetch-Site", "same-origin"); status != http.StatusSeeOther {
		t.Error(status, page)
	}
	records, _, err := r.rt.OwnRecords(t.Context(), 0, 100)
	if err != nil || len(records) == 0 || !strings.Contains(string(records[len(records)-1].Data), `"changed_by":"alice@example.com"`) {
		t.Errorf("%v, %d records", err, len(records))
	}
	// An answer can be used once.
	if status, _, _ := b.do("GET", back.RequestURI(), nil); status != http.StatusForbidden {
		t.Errorf("the same answer again: %d", status)
	}
}

// TestForgedSignIns: an answer counts only in the browser that requested it, with the state, nonce
// and verifier of its attempt.
func TestForgedSignIns(t *testing.T) {
	mock := oidctest.New(t)
	r := signInRelay(t, mock)
	member := func() {
		mock.QueueUser(&mockoidc.MockUser{Subject: "1", Email: "alice@example.com", EmailVerified: true, Groups: []string{"operators"}})
	}
	replace := func(u *url.URL, key, value string) string {
		q := u.Query()
		q.Set(key, value)
		return u.Path + "?" + q.Encode()
	}
	// changed returns the browser's cookie with one part replaced.
	changed := func(b *browser, part int) string {
		here, _ := url.Parse(r.http.URL + "/ui/")
		for _, c := range b.client.Jar.Cookies(here) {
			if c.Name == attemptCookie {
				parts := strings.Split(c.Value, ".")
				parts[part] = strings.Repeat("a", 43)
				return attemptCookie + "=" + strings.Join(parts, ".")
			}
		}
		t.Fatal("no cookie")
		return ""
	}
	for name, answer := range map[string]func(b *browser) int{
		"another state": func(b *browser) int {
			member()
			status, _, _ := b.do("GET", replace(b.atIssuer(""), "state", "other"), nil)
			return status
		},
		"an empty state": func(b *browser) int {
			member()
			status, _, _ := b.do("GET", replace(b.atIssuer(""), "state", ""), nil)
			return status
		},
		"another browser": func(b *browser) int {
			member()
			status, _, _ := r.browser().do("GET", b.atIssuer("").RequestURI(), nil)
			return status
		},
		"another nonce": func(b *browser) int {
			member()
			back := b.atIssuer("")
			cookie := changed(b, 1)
			status, _, _ := r.browser().do("GET", back.RequestURI(), nil, "Cookie", cookie)
			return status
		},
		"another verifier": func(b *browser) int {
			member()
			back := b.atIssuer("")
			cookie := changed(b, 2)
			status, _, _ := r.browser().do("GET", back.RequestURI(), nil, "Cookie", cookie)
			return status
		},
		"another issuer's answer": func(b *browser) int {
			member()
			status, _, _ := b.do("GET", replace(b.atIssuer(""), "iss", "https://evil.example"), nil)
			return status
		},
		"an error": func(b *browser) int {
			member()
			back := b.atIssuer("")
			status, _, _ := b.do("GET", "/ui/callback?error=access_denied&state="+url.QueryEscape(back.Query().Get("state")), nil)
			return status
		},
		"a person without a role": func(b *browser) int {
			mock.QueueUser(&mockoidc.MockUser{Subject: "2", Email: "bob@example.com", EmailVerified: true})
			status, _, _ := b.do("GET", b.atIssuer("").RequestURI(), nil)
			return status
		},
	} {
		b := r.browser()
		if status := answer(b); status != http.StatusForbidden {
			t.Errorf("%s: %d", name, status)
		}
		if status, _, _ := b.do("GET", "/ui/", nil); status != http.StatusSeeOther {
			t.Errorf("%s: inside with %d", name, status)
		}
	}
}
