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

// keyIDs are texts of the samples that name keys, tokens and events, and are no secrets.
var keyIDs = []string{
	"AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE", "AIDAEXAMPLEEXAMPLE01", "arn:aws:kms:eu-central-1:111122223333:key/1f0c",
	"M0bxj8Xbq2l9rjRv5Yf0Q1n2m3A4b5C6d7E8f9G0h1I=", "xJ4k_0yQk2c5Yw", "00uttidj01jqL21aM1d6", "3f1c5e0a-6b1f-4c77-9a53-c0a1b2c3d4e5",
	"hmac-sha256:5d1bde5bd2ba62c4b1fd3d3d21ca3b65d3c6e2c14c2a0f9a0e0cbf7a9f9b1a11", "hmac-sha256:7a1bde5bd2ba62c4b1fd3d3d21ca3b65d3c6e2c14c2a0f9a0e0cbf7a9f9b1a12",
}

var plantedBase64 = regexp.MustCompile(`cGxhbnRlZC[A-Za-z0-9+/]+=*`)

// TestPresetsOfProducers: the preset of each producer lets none of the planted secrets
// out, and neither it nor secrets and pii touch an event's identity or the ids of keys.
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
