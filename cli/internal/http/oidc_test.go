package http

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/internal/test/oidctest"
)

// oidcOf returns a configuration that grants roles by claims of an issuer.
func oidcOf(mock *oidctest.Issuer, given ...config.Token) *config.Config {
	cfg := tokens(given)
	cfg.OIDC = config.OIDC{Issuer: mock.Issuer(), Audience: mock.ClientID, Grants: []config.OIDCGrant{
		{Claim: "groups", Value: "operators", Roles: []config.Role{"operate"}},
		{Claim: "groups", Value: "auditors", Roles: []config.Role{"auditor"}},
		{Claim: "realm.roles", Value: "admin", Roles: []config.Role{"admin"}},
		{Claim: "email", Value: "chief@example.com", Roles: []config.Role{"admin"}},
		{Claim: "org", Value: "acme", Roles: []config.Role{"view"}, Namespace: "team-acme"},
		{Claim: "org", Value: "umbrella", Roles: []config.Role{"view"}, Namespace: "team-umbrella"},
	}}
	return cfg
}

// TestClaimsGiveRoles: a token of the issuer grants exactly what its claims say, and the own
// record names the person.
func TestClaimsGiveRoles(t *testing.T) {
	mock := oidctest.New(t)
	r := newRelay(t, Options{Config: oidcOf(mock)})
	for _, row := range []struct {
		name   string
		claims map[string]any
		status int
		roles  string
	}{
		{"one group", map[string]any{"groups": []string{"others", "operators"}}, 200, "view operate"},
		{"a text", map[string]any{"groups": "auditors"}, 200, "view auditor"},
		{"two groups", map[string]any{"groups": []string{"auditors", "operators"}}, 200, "view auditor operate"},
		{"a nested claim", map[string]any{"realm": map[string]any{"roles": []string{"admin"}}}, 200, "ingest view auditor comply operate admin"},
		{"a namespace", map[string]any{"org": "acme"}, 200, "view"},
		{"an email", map[string]any{"email": "chief@example.com"}, 200, "ingest view auditor comply operate admin"},
		{"an email that the issuer does not stand for", map[string]any{"email": "chief@example.com", "email_verified": false}, 403, ""},
		{"no claim", nil, 403, ""},
		{"an empty list", map[string]any{"groups": []string{}}, 403, ""},
		{"a value that begins alike", map[string]any{"groups": "operators2"}, 403, ""},
		{"a value in other letters", map[string]any{"groups": "Operators"}, 403, ""},
		{"values in one text", map[string]any{"groups": "auditors operators"}, 403, ""},
		{"two namespaces", map[string]any{"org": []string{"acme", "umbrella"}}, 403, ""},
		{"a namespace and none", map[string]any{"org": "acme", "groups": "operators"}, 403, ""},
		{"a number", map[string]any{"groups": 7}, 401, ""},
		{"a list of other things", map[string]any{"groups": []any{"operators", 7}}, 401, ""},
		{"an object", map[string]any{"groups": map[string]any{"operators": true}}, 401, ""},
		{"another program's token", map[string]any{"groups": "operators", "aud": "other"}, 401, ""},
		{"a huge token", map[string]any{"groups": "operators", "more": strings.Repeat("a", 20_000)}, 401, ""},
	} {
		status, answer, head := r.call("GET", "/v1/principal", "", "Authorization", "Bearer "+mock.Token(row.claims))
		if status != row.status || (status == 401) != (head.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: %d %s", row.name, status, answer)
		}
		var who api.Principal
		name, _ := row.claims["email"].(string)
		if status == 200 && (json.Unmarshal([]byte(answer), &who) != nil || who.Name != cmp.Or(name, "alice@example.com") || strings.Join(who.Roles, " ") != row.roles) {
			t.Errorf("%s: %s", row.name, answer)
		}
	}
	operator := "Bearer " + mock.Token(map[string]any{"groups": "operators"})
	if status, answer, _ := r.call("POST", "/v1/callbacks/archive/pause", `{"reason":"TICKET-1"}`, "Authorization", operator); status != 200 {
		t.Fatal(status, answer)
	}
	if status, answer, _ := r.call("POST", "/v1/backup", "", "Authorization", operator); status != 403 {
		t.Error(status, answer)
	}
	records, _, err := r.rt.OwnRecords(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	last := string(records[len(records)-1].Data)
	for _, part := range []string{`"changed_by":"alice@example.com"`, `"act":"pause"`, `"with":"oidc ` + mock.Issuer() + `"`} {
		if !strings.Contains(last, part) {
			t.Errorf("the own record is without %s: %s", part, last)
		}
	}
}

// TestASilentIssuerOpensNothing: while the issuer does not answer, its tokens are refused, all
// other credentials work, and /readyz?verbose reports it.
func TestASilentIssuerOpensNothing(t *testing.T) {
	mock := oidctest.New(t)
	mock.Down.Store(true)
	r := newRelay(t, Options{Config: oidcOf(mock, config.Token{Name: "v", Token: tokenOf("view"), Roles: []config.Role{"view"}})})
	head := []string{"Authorization", "Bearer " + mock.Token(map[string]any{"groups": "operators"})}
	if status, answer, _ := r.call("GET", "/v1/callbacks", "", head...); status != http.StatusServiceUnavailable {
		t.Error(status, answer)
	}
	static := []string{"Authorization", "Bearer " + tokenOf("view").Reveal()}
	if status, answer, _ := r.call("GET", "/v1/callbacks", "", static...); status != 200 {
		t.Error(status, answer)
	}
	if status, answer, _ := r.call("GET", "/readyz?verbose", "", static...); status != 200 || !strings.Contains(answer, "oidc: the keys of "+mock.Issuer()+" cannot be read") {
		t.Error(status, answer)
	}
	// Without an issuer's answer, local access is not free either.
	if status, answer, _ := r.call("GET", "/v1/callbacks", ""); status != 401 {
		t.Error(status, answer)
	}
}

// TestAReloadKeepsTheKeys: a reload does not interrupt users with a token of the issuer.
func TestAReloadKeepsTheKeys(t *testing.T) {
	mock := oidctest.New(t)
	cfg := oidcOf(mock)
	r := newRelay(t, Options{Config: cfg})
	head := []string{"Authorization", "Bearer " + mock.Token(map[string]any{"groups": "operators"})}
	if status, answer, _ := r.call("GET", "/v1/callbacks", "", head...); status != 200 {
		t.Fatal(status, answer)
	}
	mock.Down.Store(true)
	change, err := r.srv.Prepare(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	change.Apply()
	if status, answer, _ := r.call("GET", "/v1/callbacks", "", head...); status != 200 {
		t.Error(status, answer)
	}
}
