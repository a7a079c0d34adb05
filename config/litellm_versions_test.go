package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestCallbackNames: a name that LiteLLM has and the relay lacks is told what LiteLLM
// does with it and what to write; a typo is told as one.
func TestCallbackNames(t *testing.T) {
	for name, want := range map[string][]string{
		"azure_sentinel": {"LiteLLM delivers audit events to", "callbacks: [{name: archive"},
		"datadog":        {"request logs alone", "callbacks: [{name: archive"},
		"s3":             {"request logs alone"},
		"gcs_bucket":     {"request logs alone"},
		"splunk_hec":     {"request logs alone"},
		"my_splunk":      {"callback_settings (line 1)", "does not resolve for audit events"},
		"s3v2":           {"nothing answers", "did you mean s3_v2?"},
		"azure_sentinal": {"nothing answers", "did you mean azure_sentinel?"},
		"mine.callback":  {"WebAssembly module"},
	} {
		text := "callback_settings: {my_splunk: {callback_type: generic_api}}\nlitellm_settings:\n  audit_log_callbacks:\n    - " + name
		_, err := Parse("litellm.yaml", []byte(text), testOptions(""))
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) || !strings.Contains(err.Error(), "litellm.yaml:4:7: ") {
				t.Errorf("%s: %v, want %q", name, err, w)
			}
		}
	}
}

// TestFilesOfLiteLLMsWithoutAuditCallbacks: they load, and say what they are.
func TestFilesOfLiteLLMsWithoutAuditCallbacks(t *testing.T) {
	for text, want := range map[string]string{
		"litellm_settings:\n  success_callback: [s3_v2]\n  s3_callback_params: {s3_bucket_name: b, s3_region_name: os.environ/NOT_SET}\n": "success_callback is for request logs",
		"litellm_settings: {}\n": "lists no audit_log_callbacks",
		"model_list:\n  - {model_name: x, litellm_params: {model: y}}\n": "without litellm_settings",
		"general_settings: {master_key: sk-1234}\n":                      "without litellm_settings",
		"router_settings: {num_retries: 2}\nlisten: 127.0.0.1:9999\n":    "without litellm_settings",
	} {
		c, err := Parse("litellm.yaml", []byte(text), testOptions(""))
		if err != nil || len(c.Callbacks) != 0 || !strings.Contains(fmt.Sprint(c.Notes), want) {
			t.Errorf("%s: %v, %v", text, err, c)
		}
	}
}

const asItStands = "litellm_settings:\n  store_audit_logs: true\n  audit_log_callbacks: [s3_v2]\n  s3_callback_params: {s3_bucket_name: b}\n"

// TestLiteLLMsCallbacksAreRedacted: unless the file says otherwise, or the data directory
// is of a revision that delivered unredacted. What is said is what is done, and the
// translation does the same.
func TestLiteLLMsCallbacksAreRedacted(t *testing.T) {
	asked := ""
	kept := func(dir string) (bool, bool) { asked = dir; return true, false }
	for _, tt := range []struct {
		name, more string
		keeps      func(string) (bool, bool)
		redacts    bool
		says       string
	}{
		{"by default", "", nil, true, "redacted by preset litellm"},
		{"a new data directory", "", func(string) (bool, bool) { return false, false }, true, "redacted by preset litellm"},
		{"asked for", "litellm_redaction: preset\n", kept, true, "redacted by preset litellm"},
		{"opted out", "litellm_redaction: none\n", nil, false, "litellm_redaction is none: s3_v2 delivers events as they came"},
		{"one that was warned of", "data_dir: ./relay\n", func(string) (bool, bool) { return true, true }, false, "INFO s3_v2 delivers events as they came"},
		{"an old data directory", "data_dir: ./relay\n", kept, false, "WARN s3_v2 delivers events as they came, secrets included, since this data directory did so before"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions("/etc/relay")
			o.KeepsUnredacted = tt.keeps
			c, err := Parse("litellm.yaml", []byte(tt.more+asItStands), o)
			if err != nil {
				t.Fatal(err)
			}
			cb := c.Callbacks[0]
			if got := len(cb.Filters) == 1 && cb.Filters[0] == redactFilter && len(cb.MustNotLeave.Detectors) == 1; got != tt.redacts {
				t.Errorf("filters %v, must_not_leave %v", cb.Filters, cb.MustNotLeave)
			}
			if !strings.Contains(fmt.Sprint(c.Notes), tt.says) {
				t.Errorf("it says %v", c.Notes)
			}
			native, _, err := Translate("litellm.yaml", []byte(tt.more+asItStands), o)
			if err != nil || strings.Contains(string(native), "must_not_leave:") != tt.redacts {
				t.Errorf("%v, the translation:\n%s", err, native)
			}
			again, err := Parse("native.yaml", native, testOptions("/etc/relay"))
			if err != nil || again.Digest(nil) != c.Digest(nil) {
				t.Errorf("the translation loads as something else: %v", err)
			}
		})
	}
	if asked != "/etc/relay/relay" {
		t.Errorf("asked about %s", asked)
	}
	_, err := Parse("litellm.yaml", []byte("litellm_redaction: off\n"+asItStands), testOptions(""))
	if err == nil || !strings.Contains(err.Error(), "1:20: litellm_redaction: found") {
		t.Errorf("got %v", err)
	}
}
