package redact_test

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"auditrelay/config"
	"auditrelay/internal/ingest"
	"auditrelay/internal/test/producers"
)

// keyIDs are texts in the samples that identify keys, tokens and events, and are no secrets.
var keyIDs = []string{
	"AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE", "ASIAIOSFODNN7EXAMPLE", "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop", "AIDAEXAMPLEEXAMPLE01", "arn:aws:kms:eu-central-1:111122223333:key/1f0c",
	"M0bxj8Xbq2l9rjRv5Yf0Q1n2m3A4b5C6d7E8f9G0h1I=", "xJ4k_0yQk2c5Yw", "00uttidj01jqL21aM1d6", "3f1c5e0a-6b1f-4c77-9a53-c0a1b2c3d4e5",
	"hmac-sha256:5d1bde5bd2ba62c4b1fd3d3d21ca3b65d3c6e2c14c2a0f9a0e0cbf7a9f9b1a11", "hmac-sha256:7a1bde5bd2ba62c4b1fd3d3d21ca3b65d3c6e2c14c2a0f9a0e0cbf7a9f9b1a12",
}

var plantedBase64 = regexp.MustCompile(`cGxhbnRlZC[A-Za-z0-9+/]+=*`)

// TestPresetsOfProducers: the preset of each producer exposes none of the planted secrets.
// Neither it nor secrets and pii change an event's identity or the ids of keys.
func TestPresetsOfProducers(t *testing.T) {
	for _, sample := range producers.Samples() {
		s := (&config.Config{}).SchemaNamed(sample.Schema).Compiled()
		var events [][]byte
		reader := ingest.NewReader(bytes.NewReader(sample.Body), "", "", ingest.Limits{})
		for raw, err := range reader.All() {
			if err != nil {
				t.Fatal(err)
			}
			some, _ := s.Unwrap(raw.Data, 10_000)
			for _, e := range some {
				events = append(events, bytes.Clone(e))
			}
		}
		for _, preset := range []string{sample.Schema, "secrets", "pii"} {
			r := open(t, policy(t, "preset: "+preset))
			for _, event := range events {
				before, err := s.Read(event, ingest.Limits{}, func([]byte) string { return "" })
				if err != nil {
					t.Fatal(err)
				}
				out, _ := r.apply(t, event)
				after, err := s.Read(out, ingest.Limits{}, func([]byte) string { return "" })
				if err != nil || before.ID != after.ID || before.Action != after.Action || !before.Time.Equal(after.Time) {
					t.Errorf("%s, %s: %s %s %v became %s %s %v: %v", sample.Schema, preset, before.ID, before.Action, before.Time, after.ID, after.Action, after.Time, err)
				}
				for _, id := range keyIDs {
					if bytes.Count(out, []byte(id)) < bytes.Count(event, []byte(id)) {
						t.Errorf("%s, %s: the id %s is gone", sample.Schema, preset, id)
					}
				}
				if preset != sample.Schema {
					continue
				}
				text := string(out)
				for _, coded := range plantedBase64.FindAllString(text, -1) {
					plain, _ := base64.StdEncoding.DecodeString(coded)
					text += string(plain)
				}
				if at := strings.Index(text, "planted-"); at >= 0 {
					t.Errorf("%s: %s gets out of %s", sample.Schema, text[at:min(len(text), at+24)], out)
				}
			}
		}
		if gjson.ValidBytes(sample.Body) && !bytes.Contains(sample.Body, []byte("planted-")) {
			t.Errorf("%s: nothing is planted", sample.Schema)
		}
	}
}

// TestPlacesOfProducers: in each event the preset hides every text that begins with planted-,
// and keeps every text that begins with kept-: names of secrets, ids and policies.
func TestPlacesOfProducers(t *testing.T) {
	for _, c := range []struct{ preset, event string }{
		// A JSON patch of a Secret; base64 of planted-k8s-6 and -7.
		{"kubernetes", `{"requestObject":[{"op":"replace","path":"/data/kept-path","value":"cGxhbnRlZC1rOHMtNg=="},{"op":"add","path":"/data","value":{"url":"cGxhbnRlZC1rOHMtNw=="}}]}`},
		{"kubernetes", `{"requestObject":{"spec":{"containers":[{"env":[{"name":"DB_PASSWORD","value":"planted-1"},{"name":"URL","valueFrom":{"secretKeyRef":{"name":"kept-1","key":"kept-2"}}}],"envFrom":[{"secretRef":{"name":"kept-3"}}]}],"imagePullSecrets":[{"name":"kept-4"}],"volumes":[{"secret":{"secretName":"kept-5","token":"planted-2"}}]}}}`},
		{"cloudtrail", `{"eventName":"AssumeRole","responseElements":{"credentials":{"accessKeyId":"kept-1","expiration":"kept-2","sessionToken":"planted-1","secretAccessKey":"planted-2"}}}`},
		{"cloudtrail", `{"eventName":"PutSecretValue","requestParameters":{"secretId":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:kept-1","secretString":"planted-1","clientRequestToken":"kept-2"}}`},
		{"cloudtrail", `{"eventName":"GetObject","requestParameters":{"bucketName":"kept-1","key":"kept-2"}}`},
		{"cloudtrail", `{"eventName":"TagResource","requestParameters":{"tags":[{"key":"kept-1","value":"kept-2"},{"key":"password","value":"planted-1"}],"credentials":"planted-2","apiKey":"planted-3"}}`},
		{"github", `{"action":"hook.config_changed","config":{"url":"https://ci.example/planted-1"},"config_was":{"url":"https://ci.example/planted-2","secret":"planted-3"}}`},
		{"github", `{"action":"repo.create_actions_secret","key":"kept-1","repo":"kept-2"}`},
		{"github", `{"action":"created","key":{"title":"kept-1","key":"kept-2"},"client_payload":{"key":"planted-1"}}`},
		{"vault", `{"auth":{"client_token":"planted-1","token_policies":["kept-1"],"metadata":{"api_token":"planted-2"}},"request":{"client_token_accessor":"hmac-sha256:7a1bde5bd2ba62c4b1fd3d3d21ca3b65d3c6e2c14c2a0f9a0e0cbf7a9f9b1a12"},"response":{"auth":{"token_policies":["kept-2"],"client_token":"planted-3"},"wrap_info":{"token":"planted-4","wrapped_accessor":"hmac-sha256:7a1bde5bd2ba62c4b1fd3d3d21ca3b65d3c6e2c14c2a0f9a0e0cbf7a9f9b1a12"}}}`},
		{"secrets", `{"request":{"client_token_accessor":"hmac-sha256:7a1bde5bd2ba62c4b1fd3d3d21ca3b65d3c6e2c14c2a0f9a0e0cbf7a9f9b1a12"},"response":{"wrap_info":{"wrapped_accessor":"hmac-sha256:7a1bde5bd2ba62c4b1fd3d3d21ca3b65d3c6e2c14c2a0f9a0e0cbf7a9f9b1a12"}}}`},
		{"keycloak", `{"type":"REFRESH_TOKEN","details":{"token_id":"planted-1","refresh_token_id":"planted-2","updated_refresh_token_id":"planted-3","refresh_token_type":"kept-1"}}`},
		{"keycloak", `{"operationType":"ACTION","representation":"{\"type\":\"password\",\"value\":\"planted-1\",\"temporary\":true}"}`},
		{"teleport", `{"event":"session.command","sid":"kept-1","argv":["--password=planted-1"]}`},
		{"pii", `{"repository":{"full_name":"kept-1"},"pull_request":{"head":{"repo":{"full_name":"kept-2"}}},"user":{"full_name":"planted-1"}}`},
	} {
		r := open(t, policy(t, "preset: "+c.preset))
		out, _ := r.apply(t, []byte(c.event))
		text := string(out)
		for _, coded := range plantedBase64.FindAllString(text, -1) {
			plain, _ := base64.StdEncoding.DecodeString(coded)
			text += string(plain)
		}
		if at := strings.Index(text, "planted-"); at >= 0 {
			t.Errorf("%s: %s gets out of %s", c.preset, text[at:min(len(text), at+16)], out)
		}
		for _, kept := range keptTexts.FindAllString(c.event, -1) {
			if strings.Count(text, kept) < strings.Count(c.event, kept) {
				t.Errorf("%s: %s is gone: %s", c.preset, kept, out)
			}
		}
	}
}

var keptTexts = regexp.MustCompile(`kept-\w+|hmac-sha256:[0-9a-f]{64}`)
