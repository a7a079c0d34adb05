// Package producers contains our own sample events in the forms of producers other than
// LiteLLM. Texts that begin with planted- mark the places of secrets in such events. Some are
// in base64.
package producers

import (
	"embed"
	"fmt"
	"time"
)

//go:embed samples
var files embed.FS

// Sample is one request of a producer.
type Sample struct {
	Schema string
	Body   []byte
	Events []Event
}

// Event is what the shipped schema reads from one event of a sample.
type Event struct {
	ID, Action string
	Time       time.Time
	Actor      string
	Object     string
	ObjectType string
}

func at(offset time.Duration) time.Time {
	return time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC).Add(offset)
}

// Samples returns one sample for each shipped schema, ordered by name.
func Samples() []Sample {
	samples := []Sample{
		{Schema: "cloudtrail", Events: []Event{
			{"22222222-aaaa-4bbb-8ccc-000000000001", "CreateAccessKey", at(0), "arn:aws:iam::111122223333:user/jane", "ci", "iam.amazonaws.com"},
			{"22222222-aaaa-4bbb-8ccc-000000000002", "GenerateDataKey", at(time.Second), "cloudtrail.amazonaws.com", "arn:aws:kms:eu-central-1:111122223333:key/1f0c", "kms.amazonaws.com"},
			{"22222222-aaaa-4bbb-8ccc-000000000003", "AssumeRole", at(2 * time.Second), "arn:aws:sts::111122223333:assumed-role/ops/jane", "111122223333", "sts.amazonaws.com"},
			{"22222222-aaaa-4bbb-8ccc-000000000004", "PutSecretValue", at(3 * time.Second), "arn:aws:sts::111122223333:assumed-role/ops/jane", "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop", "secretsmanager.amazonaws.com"},
		}},
		{Schema: "github", Events: []Event{
			{"xJ4k_0yQk2c5Yw", "hook.create", at(123 * time.Millisecond), "octo-jane", "shop/api", "create"},
			{"xJ4k_0yQk2c5Yx", "org.add_member", at(time.Second), "octo-jane", "octo-kim", "add"},
		}},
		{Schema: "gitlab", Events: []Event{
			{"7c1f8a3e-51e2-4d27-8b6f-3f3a5d0c9a10", "project_access_token_created", at(250 * time.Millisecond), "Jane Doe", "deploy", "ProjectAccessToken"},
		}},
		{Schema: "keycloak", Events: []Event{
			{"5b3e0c1a-0f6e-4a51-8a55-01a2b3c4d5e6", "LOGIN", at(456 * time.Millisecond), "jane", "f:1:jane", "LOGIN_EVENT"},
			{"9f1b2c3d-77aa-4c5e-8d11-aabbccddeeff", "UPDATE", at(time.Second), "root", "clients/web", "CLIENT"},
		}},
		{Schema: "kubernetes", Events: []Event{
			{"8f2d4c1e-77aa-4b5e-9c35-0d9d7c7e1a01/ResponseComplete", "update", at(200 * time.Millisecond), "jane@shop.example", "shop/db", "secrets"},
			{"8f2d4c1e-77aa-4b5e-9c35-0d9d7c7e1a02/RequestReceived", "get", at(time.Second), "system:anonymous", "/healthz", "nonresource"},
			{"8f2d4c1e-77aa-4b5e-9c35-0d9d7c7e1a03/ResponseComplete", "create", at(2 * time.Second), "ci-admin", "shop/ci", "serviceaccounts/token"},
		}},
		{Schema: "okta", Events: []Event{
			{"e790999a-1550-11f1-9d4a-0b4f0c9d7a11", "user.account.privilege.grant", at(5 * time.Millisecond), "jane@shop.example", "kim@shop.example", "User"},
			{"e790999a-1550-11f1-9d4a-0b4f0c9d7a12", "system.api_token.create", at(time.Second), "ops@shop.example", "unknown", "Token"},
		}},
		{Schema: "teleport", Events: []Event{
			{"3a7f6f0e-4c8b-4d2a-9f3b-0c1d2e3f4a5b", "user.login", at(789 * time.Millisecond), "jane", "shop.teleport.example", "T1000I"},
			{"3a7f6f0e-4c8b-4d2a-9f3b-0c1d2e3f4a5c", "session.command", at(time.Second), "jane", "db-1", "T4000I"},
		}},
		{Schema: "vault", Events: []Event{
			{"3f1c5e0a-6b1f-4c77-9a53-c0a1b2c3d4e5/request", "update", at(123456789), "oidc-jane", "secret/data/db", "kv"},
			{"3f1c5e0a-6b1f-4c77-9a53-c0a1b2c3d4e5/response", "update", at(200 * time.Millisecond), "oidc-jane", "secret/data/db", "kv"},
		}},
	}
	for i := range samples {
		body, err := files.ReadFile("samples/" + samples[i].Schema + ".json")
		if err != nil {
			panic(fmt.Sprintf("the sample of %s: %v", samples[i].Schema, err)) // it is embedded
		}
		samples[i].Body = body
	}
	return samples
}
