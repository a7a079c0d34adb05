package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestShippedSchemas(t *testing.T) {
	names := SchemaNames()
	if want := "cloudtrail github gitlab keycloak kubernetes okta teleport vault"; strings.Join(names, " ") != want {
		t.Errorf("%q", names)
	}
	for _, name := range names {
		s, err := shippedSchema(name)
		if err != nil || s.Compiled() == nil || s.Namespace != name || s.Auth.Header == "" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestSchemasAndHooks(t *testing.T) {
	const good = "callbacks: []\ntokens: [{name: t, token: a-token-of-enough-bytes, roles: [ingest], schema: shop}]\ningest:\n" +
		"  tokens: [{name: u, token: a-token-of-enough-more, schema: vault}]\n" +
		"  schemas: {shop: {action: [verb, =x], id: '{a}/{b}'}, github: {action: =own}}\n" +
		"  hooks: {okta: {secrets: [a-secret-of-enough-bytes]}, x: {schema: shop, secrets: [a-secret-of-enough-bytes], auth: {header: X-A, hmac: sha1}}, github: {secrets: [another-secret-of-bytes]}}\n"
	c, err := Parse("a.yaml", []byte(good), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	okta, x, github := c.Ingest.Hooks[0], c.Ingest.Hooks[1], c.Ingest.Hooks[2]
	if okta.Schema != "okta" || okta.Auth.Challenge == "" || x.Auth.HMAC != "sha1" || github.Auth.Header != "Authorization" || c.Tokens[1].Schema != "vault" {
		t.Errorf("%+v", c.Ingest.Hooks)
	}
	if c.SchemaNamed("github") != &c.Ingest.Schemas[1] || c.SchemaNamed("none") != nil || c.SchemaNamed("") != nil {
		t.Error("the configuration's schema does not replace the shipped one")
	}
	for text, want := range map[string]string{
		"ingest: {schemas: {shop: {id: a}}}":                                                     "ingest.schemas.shop.action: it is required",
		"ingest: {schemas: {shop: {action: [a, '{b']}}}":                                         "1:39: ingest.schemas.shop.action[1]: a { without its }",
		"ingest: {schemas: {shop: {action: {a: b}}}}":                                            "ingest.schemas.shop.action: found a mapping",
		"ingest: {schemas: {shop: {action: a, namespace: auditrelay}}}":                          "ingest.schemas.shop.namespace: the relay's own records",
		"ingest: {schemas: {auditrelay: {action: a}}}":                                           "ingest.schemas.auditrelay: it is a namespace as well: the relay's own records",
		"ingest: {schemas: {emitted: {action: a}}}":                                              "ingest.schemas.emitted: it is a namespace as well",
		"ingest: {schemas: {Shop: {action: a}}}":                                                 "not a name",
		"ingest: {hooks: {shop: {secrets: [a-secret-of-enough-bytes]}}}":                         "ingest.hooks.shop: there is no schema of this name",
		"ingest: {hooks: {okto: {schema: okto, secrets: [a-secret-of-enough-]}}}":                "ingest.hooks.okto.schema: there is no schema of this name; define it under ingest.schemas, or use one of cloudtrail, github, gitlab, keycloak, kubernetes, okta, teleport, vault: did you mean okta?",
		"ingest: {hooks: {okta: {secrets: [short]}}}":                                            "ingest.hooks.okta.secrets[0]: it can be guessed",
		"ingest: {hooks: {okta: {namespace: x}}}":                                                "ingest.hooks.okta.secrets: it is required",
		"ingest: {hooks: {okta: {secrets: [a-secret-of-enough-bytes], auth: {hmac: md5}}}}":      "expected one of sha256, sha512, sha1",
		"ingest: {hooks: {okta: {secrets: [a-secret-of-enough-bytes], auth: {prefix: x}}}}":      "it needs hmac",
		"ingest: {hooks: {okta: {secrets: [a-secret-of-enough-bytes], auth: {challenge: x}}}}":   "challenge and answer go together",
		"ingest: {hooks: {okta: {secrets: [a-secret-of-enough-bytes], auth: {header: 'a: b'}}}}": "not the name of a header",
		"tokens: [{name: t, token: a-token-of-enough-bytes, roles: [ingest], schema: shop}]":     "tokens[0].schema: there is no schema of this name",
		"ingest: {tokens: [{name: t, token: a-token-of-enough-bytes, schema: shop}]}":            "ingest.tokens[0].schema: there is no schema of this name",
	} {
		_, err := Parse("a.yaml", []byte(text+"\ncallbacks: []\n"), LoadOptions{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), "a-secret-of-enough") {
			t.Errorf("a secret is told: %v", err)
		}
	}
}

// TestConditionsOnOtherProducersEvents: their actions and types are not held against LiteLLM's. A
// field that no event has is still named.
func TestConditionsOnOtherProducersEvents(t *testing.T) {
	for name, in := range map[string]string{
		"a hook":        "ingest: {hooks: {kubernetes: {secrets: [a-secret-of-enough-bytes]}}}",
		"a socket":      "ingest: {sockets: {vault: {listen: 'unix:/run/vault.sock'}}}",
		"a schema":      "ingest: {schemas: {shop: {action: verb}}}",
		"ingest.tokens": "ingest: {tokens: [{name: k, token: 3f9a61c0d7e24b58a1b0, schema: kubernetes}]}",
		"tokens":        "tokens: [{name: k, token: 3f9a61c0d7e24b58a1b0, roles: [ingest], schema: kubernetes}]",
		"LiteLLM alone": "ingest: {tokens: [{name: k, token: 3f9a61c0d7e24b58a1b0}]}",
	} {
		c, err := Parse("a.yaml", []byte(in+"\ncallbacks: [{name: a, when: {action: [delete, db.drop], tablename: secrets, table_name: LiteLLM_TeamTabel}, sink: {stdout: {}}}]\n"), testOptions(""))
		if c == nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		notes := fmt.Sprint(c.Notes)
		if got, want := strings.Contains(notes, "no event of LiteLLM's has the"), name == "LiteLLM alone"; got != want || !strings.Contains(notes, "did you mean table_name?") {
			t.Errorf("%s: %s", name, notes)
		}
	}
}
