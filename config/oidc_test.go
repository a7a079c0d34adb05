package config

import (
	"strings"
	"testing"
)

// TestOIDC: a setting that would grant access by mistake is an error at its place.
func TestOIDC(t *testing.T) {
	const good = "callbacks: []\nlisten: 0.0.0.0:8787\noidc: {issuer: 'https://login.example', audience: relay, grants: [{claim: groups, value: ops, roles: [operate]}]}\n"
	if _, err := Parse("a.yaml", []byte(good), LoadOptions{}); err != nil {
		t.Errorf("an issuer in the place of tokens: %v", err)
	}
	for text, want := range map[string]string{
		"oidc: {audience: relay}": "oidc.issuer: it is required",
		"oidc: {issuer: 'http://login.example', audience: relay, grants: [{claim: a, value: b, roles: [view]}]}":                                                 "oidc.issuer: expected an https URL",
		"oidc: {issuer: 'https://login.example?x=y', audience: relay, grants: [{claim: a, value: b, roles: [view]}]}":                                            "oidc.issuer: expected an https URL",
		"oidc: {issuer: 'https://login.example', grants: [{claim: a, value: b, roles: [view]}]}":                                                                 "oidc.audience: it is required",
		"oidc: {issuer: 'https://login.example', audience: relay}":                                                                                               "oidc.grants: expected 1 to",
		"oidc: {issuer: 'https://login.example', audience: relay, grants: [{value: b, roles: [view]}]}":                                                          "oidc.grants[0].claim: it is required",
		"oidc: {issuer: 'https://login.example', audience: relay, grants: [{claim: a, roles: [view]}]}":                                                          "oidc.grants[0].value: it is required",
		"oidc: {issuer: 'https://login.example', audience: relay, grants: [{claim: a, value: b}]}":                                                               "oidc.grants[0].roles: it is required",
		"oidc: {issuer: 'https://login.example', audience: relay, grants: [{claim: a, value: b, roles: [god]}]}":                                                 "expected one of ingest, view",
		"oidc: {issuer: 'https://login.example', audience: relay, grants: [{claim: a, value: b, roles: [admin], namespace: n}]}":                                 "oidc.grants[0].roles[0]: it reaches beyond a namespace",
		"oidc: {issuer: 'https://login.example', audience: relay, algorithms: [HS256], grants: [{claim: a, value: b, roles: [view]}]}":                           "expected one of RS256",
		"oidc: {issuer: 'https://login.example', audience: relay, algorithms: [none], grants: [{claim: a, value: b, roles: [view]}]}":                            "expected one of RS256",
		"oidc: {issuer: 'https://login.example', audience: relay, leeway: 1h, grants: [{claim: a, value: b, roles: [view]}]}":                                    "oidc.leeway",
		"oidc: {issuer: 'https://login.example', audience: relay, sign_in: {redirect: 'https://relay.example/'}, grants: [{claim: a, value: b, roles: [view]}]}": "oidc.sign_in.redirect: expected the page's https URL",
		"oidc: {issuer: 'https://login.example', audience: relay, sign_in: {scopes: [email]}, grants: [{claim: a, value: b, roles: [view]}]}":                    "oidc.sign_in.redirect: it is required",
	} {
		if _, err := Parse("a.yaml", []byte("callbacks: []\n"+text+"\n"), LoadOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: without %q: %v", text, want, err)
		}
	}
}

// TestApprovals: approvals that nobody could ever give are an error.
func TestApprovals(t *testing.T) {
	const tokens = "tokens:\n  - {name: a, token: 7f3a91c04be2d5867f3a91c04be2d586, roles: [operate]}\n  - {name: b, token: c1d8e05a92b7f364c1d8e05a92b7f364, roles: [admin]}\n"
	for text, want := range map[string]string{
		tokens + "approvals: {detach: 2, discard: 2, quarantine delete: 2, within: 8h}": "",
		tokens + "approvals: {detach: 3}":                                               "approvals.detach: it needs 3 principals, and tokens name 2",
		tokens + "approvals: {keyring destroy: 2}":                                      "approvals.keyring destroy: it needs 2 principals, and tokens name 1 with the role admin",
		tokens + "approvals: {detach: 6}":                                               "approvals.detach",
		tokens + "approvals: {detach: 2, within: 1000h}":                                "approvals.within",
		strings.ReplaceAll(tokens, "name: b", "name: A") + "approvals: {detach: 2}":     "approvals.detach: it needs 2 principals, and tokens name 1",
		"approvals: {discard: 2}":                                                       "approvals.discard: it needs principals that can be told apart",
		tokens + "approvals: {destroy: 2}":                                              "approvals.destroy",
	} {
		_, err := Parse("a.yaml", []byte("callbacks: []\n"+text+"\n"), LoadOptions{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: without %q: %v", text, want, err)
		}
	}
}
