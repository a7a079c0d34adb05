package crashtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditrelay/internal/test/litellm"
)

// plantedNames are the names of secrets in LiteLLM's events, by table. Those of settings and
// single sign-on exist since summer.
var plantedNames = map[string]string{
	"LiteLLM_VerificationToken": "key token api_key password langfuse_secret_key langfuse_secret langsmith_api_key arize_api_key arize_space_key posthog_api_key",
	"LiteLLM_ProxyModelTable": "api_key aws_access_key_id aws_secret_access_key aws_session_token aws_web_identity_token azure_ad_token azure_password client_secret " +
		"vertex_credentials oci_key oci_fingerprint oci_tenancy zen_api_key hf_token Authorization x-api-key Ocp-Apim-Subscription-Key",
	"LiteLLM_ConfigOverrides": "vault_token approle_role_id approle_secret_id client_cert client_key HCP_VAULT_APPROLE_SECRET_ID HCP_VAULT_CLIENT_KEY",
	"LiteLLM_CacheConfig":     "password sentinel_password gcp_service_account redis_password redis_url",
	"LiteLLM_ToolTable":       "auth_value authentication_token webhook_url IBM_GUARDRAILS_AUTH_TOKEN auth_token clientsecret gitlab_access_token bitbucket_access_token integration_token",
	"LiteLLM_Config": "master_key database_url litellm_license alert_to_webhook_url OPENAI_API_KEY DATABASE_URL DIRECT_URL REDIS_URL LITELLM_MASTER_KEY LITELLM_SALT_KEY " +
		"LITELLM_LICENSE SLACK_WEBHOOK_URL WEBHOOK_URL SENTRY_DSN OTEL_HEADERS OTEL_EXPORTER_OTLP_HEADERS GENERIC_LOGGER_HEADERS GENERIC_SSO_HEADERS DD_APP_KEY " +
		"ARIZE_SPACE_KEY SUPABASE_KEY AZURE_STORAGE_ACCOUNT_KEY FOCUS_S3_SECRET_KEY CYBERARK_CLIENT_KEY GOOGLE_APPLICATION_CREDENTIALS CIRCLE_OIDC_TOKEN_V2",
	"LiteLLM_SSOConfig": "google_client_secret microsoft_client_secret generic_client_secret",
}

// plantedEvents returns the events of one version, each with one secret without its own form,
// and these secrets.
func plantedEvents(version litellm.Version, prefix string) (events map[string]string, secrets []string) {
	events = map[string]string{}
	plant := func() string {
		secret := fmt.Sprintf("zq7m-%s%d-kw", strings.ReplaceAll(prefix, "-", ""), len(secrets))
		secrets = append(secrets, secret)
		return secret
	}
	add := func(table, object string, values any) {
		id := fmt.Sprintf("%s%d", prefix, len(events))
		text, err := json.Marshal(values)
		if err != nil {
			panic(err) // texts only
		}
		data, err := json.Marshal(map[string]any{"id": id, "updated_at": "2026-10-01T00:00:00+00:00", "changed_by": "admin", "changed_by_api_key": "",
			"action": "updated", "table_name": table, "object_id": object, "before_value": string(text), "updated_values": string(text)})
		if err != nil {
			panic(err)
		}
		events[id] = string(data)
	}
	for table, names := range plantedNames {
		if version == litellm.Seed && (table == "LiteLLM_Config" || table == "LiteLLM_SSOConfig") {
			continue
		}
		for _, name := range strings.Fields(names) {
			add(table, "o", map[string]any{name: plant(), "metadata": map[string]any{"n": "None"}})
		}
	}
	add("LiteLLM_ToolTable", "o", map[string]any{"args": []string{"--api-key", plant()}, "url": "https://user:" + plant() + "@mcp.example/?api_key=" + plant()})
	if version != litellm.Present { // before July 2026 it contained the raw key of /key/update
		key := "sk-" + strings.Repeat("aB3x", 5) + strings.ReplaceAll(prefix, "-", "")
		secrets = append(secrets, key)
		add("LiteLLM_VerificationToken", key, map[string]any{"key_alias": "a"})
	}
	return events, secrets
}

// TestNoPlantedNameLeaves: events that each version sends with each of its names, over either
// of its HTTP clients, leave the whole program without the secrets.
func TestNoPlantedNameLeaves(t *testing.T) {
	dir, listen, s3Listen := t.TempDir(), address(t), address(t)
	config := filepath.Join(dir, "auditrelay.yaml")
	write(t, config, fmt.Sprintf(`
data_dir: %s
ingest: {s3: {listen: %s, keys: [{name: litellm, access_key_id: AKIDEXAMPLE, secret_access_key: a-secret-of-sufficient-length}]}}
filters: {no-secrets: {redact: {preset: litellm}}}
callbacks: [{name: files, filters: [no-secrets], sink: {file: {path: %s}}}]
`, filepath.Join(dir, "data"), s3Listen, filepath.Join(dir, "out", "events.ndjson")))
	r := startRelay(t, listen, config)
	var planted []string
	all := 0
	for _, version := range litellm.Versions {
		for _, transport := range litellm.Transports {
			l := &litellm.Logger{Version: version, Transport: transport, Endpoint: "http://" + s3Listen, Bucket: "audit",
				AccessKeyID: "AKIDEXAMPLE", Secret: "a-secret-of-sufficient-length", Batch: transport == litellm.HTTPX}
			events, secrets := plantedEvents(version, fmt.Sprintf("%v-%v-", version, transport))
			for id, event := range events {
				l.Log(id, event)
			}
			l.Flush(t.Context())
			if len(l.Done()) != len(events) {
				t.Errorf("%v, %v: %d of %d events are acknowledged", version, transport, len(l.Done()), len(events))
			}
			planted, all = append(planted, secrets...), all+len(events)
		}
	}
	r.settle(t, time.Minute)
	r.kill()
	files, err := filepath.Glob(filepath.Join(dir, "out", "*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, text...)
	}
	if n := bytes.Count(out, []byte(`"changed_by":"admin"`)); n != all { // own records have another value
		t.Errorf("%d of %d events came out", n, all)
	}
	for _, secret := range planted {
		if bytes.Contains(out, []byte(secret)) {
			t.Errorf("%s left", secret)
		}
	}
	t.Logf("%d events, %d secrets", all, len(planted))
}
