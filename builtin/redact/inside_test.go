package redact_test

import (
	"strings"
	"testing"
)

// A value in an object or array under a telling name is a secret for the gate alone and for a
// filter that has detectors only, as it is for a filter that masks the whole object by its name.
func TestSecretsInsideObjectsOfATellingName(t *testing.T) {
	inspector := secretsGate(t)
	filters := map[string]*redactor{"litellm": open(t, policy(t, `{preset: litellm}`)), "secrets": open(t, policy(t, `{preset: secrets}`))}
	for _, event := range []string{
		`{"password":{"value":"hunter2pw"}}`,
		`{"a":{"password":{"current":"hunter2pw"}}}`,
		`{"password":{"old":{"text":"hunter2pw"}}}`,
		`{"dbPassword":{"0":"hunter2pw"}}`,
		`{"password":[{"value":"hunter2pw"}]}`,
		`{"password":{"values":["hunter2pw"]}}`,
		`{"credentials":["hunter2pw","b"]}`,
		`{"credentials":{"value":"hunter2pw"}}`,
		`{"credentials":{"primary":"hunter2pw"}}`,
		`{"secrets":[{"name":"billing","value":"hunter2pw"}]}`,
		`{"client_secret":{"a":{"b":"hunter2pw"}}}`,
		`{"updated_values":"{\"password\":{\"value\":\"hunter2pw\"}}"}`,
		`{"updated_values":"{\"password\":\"{\\\"value\\\":\\\"hunter2pw\\\"}\"}"}`,
		`{"token":{"value":"q7Zk2mXv9TbL4wRyhunter2pw"}}`,
		`{"api_key":{"eu":"q7Zk2mXv9TbL4wRyhunter2pw"}}`,
	} {
		inspector.Forget()
		if inspector.Document([]byte(event)) == nil {
			t.Errorf("passes the gate: %s", event)
		}
		for name, filter := range filters {
			if out, _ := filter.apply(t, []byte(event)); strings.Contains(string(out), "hunter2pw") {
				t.Errorf("passes %s: %s", name, out)
			}
		}
	}
}

// What is about a secret stays, in an object as in a name: password.policy is password_policy.
func TestCleanInsideObjectsOfATellingName(t *testing.T) {
	inspector := secretsGate(t)
	filter := open(t, policy(t, `{preset: secrets}`))
	for _, event := range []string{
		`{"password":{"min_length":12,"pattern":"[a-z0-9]{8,}","changed_at":"2026-01-31T12:00:00Z","policy":"strict2024"}}`,
		`{"volumes":[{"name":"tls","secret":{"secretName":"web-tls-2024","defaultMode":420,"items":[{"key":"tls.crt","path":"my/tls1.crt"}]}}]}`,
		`{"secretRef":{"name":"db-1-auth","namespace":"team-a1"}}`,
		`{"credentials":{"type":"oauth2","username":"jane99","host":"db1.example.com","region":"eu-central-1","updated_at":"2026-01-31T12:00:00Z"}}`,
		`{"token":{"id":"tok_20260131","owner":"u1234567","model":"gpt-4o-2024-08-06","created_at":"2026-01-31T12:00:00Z","expires_in":3600}}`,
		`{"token":{"sub":"user-60c72b2f9b1d8e001c8e4b1a","iss":"https://issuer.example/tenant-1","aud":"api://7f3c2b1a9d8e4f60"}}`,
		`{"tokens":{"prompt":"8f1d2c3b4a59687765","total":120}}`,
		`{"headers":{"x-request":"abc12345"},"key":{"kind":"primary2024","team":"team-12345"}}`,
		`{"secret_scanning_alert":{"number":42,"state":"open2","html_url":"https://github.example/acme/app/security/42","secret_type":"acme_token_v2"}}`,
		`{"password":{"required":true,"value":null},"secret":{"value":""}}`,
	} {
		inspector.Forget()
		if err := inspector.Document([]byte(event)); err != nil {
			t.Errorf("the gate refuses %s: %v", event, err)
		}
		if out, _ := filter.apply(t, []byte(event)); string(out) != event {
			t.Errorf("the filter changes %s to %s", event, out)
		}
	}
}
