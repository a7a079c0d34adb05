package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay/config"
)

// TestADirectoryOfAnotherConfigurationIsRedacted: if an earlier revision ran with a file that
// is not LiteLLM's, nothing was delivered unredacted, so nothing continues so.
func TestADirectoryOfAnotherConfigurationIsRedacted(t *testing.T) {
	const file = "litellm_settings:\n  audit_log_callbacks: [s3_v2]\n  s3_callback_params: {s3_bucket_name: audit-events, s3_region_name: us-east-1, s3_aws_access_key_id: AKIAEXAMPLE, s3_aws_secret_access_key: a-secret, s3_endpoint_url: \"http://127.0.0.1:1\"}\nshutdown: {deadline: 100ms}\n"
	for name, tt := range map[string]struct {
		before string
		more   string
		want   string
	}{
		"LiteLLM's file": {before: file + "litellm_redaction: none\n", want: config.RedactionKept},
		"another":        {before: oneCallback, more: "removed: [one]\n", want: "preset"},
	} {
		t.Run(name, func(t *testing.T) {
			sinks := memorySinks
			r := run(t, tt.before, sinks)
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			// An earlier revision wrote no such file.
			dir := filepath.Join(filepath.Dir(r.file), "data")
			if err := os.Remove(filepath.Join(dir, redactionFile)); err != nil {
				t.Fatal(err)
			}
			r.rewrite(tt.more + file)
			r = runFile(t, r.file, sinks)
			if got := dataDir(dir).redaction(); got != tt.want {
				t.Errorf("redaction %q, want %q", got, tt.want)
			}
			if _, text := r.call("GET", "/v1/policies", "", ""); strings.Contains(text, "litellm-secrets") != (tt.want == "preset") {
				t.Errorf("the policies in force: %s", text)
			}
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			r = runFile(t, r.file, sinks) // the decision stays
			if _, text := r.call("GET", "/v1/policies", "", ""); strings.Contains(text, "litellm-secrets") != (tt.want == "preset") {
				t.Errorf("the policies at the next start: %s", text)
			}
		})
	}
}
