package config

import (
	"strings"
	"testing"
)

// TestOIDC: what would open the door by mistake is an error where it stands.
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
