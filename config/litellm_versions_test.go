package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestCallbackNames: for a name that LiteLLM has and the relay lacks, the error tells what
// LiteLLM does with it and what to write. A typo is reported as one.
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

// TestFilesOfLiteLLMsWithoutAuditCallbacks: they load, with a note about that.
func TestFilesOfLiteLLMsWithoutAuditCallbacks(t *testing.T) {
	for text, want := range map[string]string{
		"litellm_settings:\n  success_callback: [s3_v2]\n  s3_callback_params: {s3_bucket_name: b, s3_region_name: os.environ/NOT_SET}\n": "success_callback is for request logs",
		"litellm_settings: {}\n":                                         "lists no audit_log_callbacks",
		"litellm_settings:\n":                                            "without litellm_settings",
		"litellm_settings:\n  audit_log_callback: [s3_v2]\n":             "litellm_settings.audit_log_callback is ignored, here and by LiteLLM: did you mean audit_log_callbacks?",
		"litellm_settings: {litellm_redaction: none}\n":                  "litellm_settings.litellm_redaction is ignored: put litellm_redaction beside litellm_settings",
		"litellm_settings: {store: none}\n":                              "litellm_settings.store is ignored: put store beside litellm_settings",
		"include: [models.yaml]\n":                                       "include is not followed",
		"mcp_servers: {x: {url: y}}\n":                                   "without litellm_settings",
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

// TestWhatIsNoConfiguration: the translation does not call it the relay's own.
func TestWhatIsNoConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "litellm.yaml: the file is empty",
		"# a comment\n":                          "litellm.yaml: the file is empty",
		"hello world\n":                          "litellm.yaml:1:1: found a string, expected a mapping",
		"[a, b]\n":                               "litellm.yaml:1:1: found a list, expected a mapping",
		"\n{}\n":                                 "litellm.yaml:2:1: neither LiteLLM's configuration nor the relay's",
		"proxy_config: {litellm_settings: {}}\n": "proxy_config of its Helm chart",
		"kind: ConfigMap\ndata: {config.yaml: 'model_list: []'}": "neither LiteLLM's configuration nor the relay's",
		"include: [a.yaml]\nlisten: 127.0.0.1:1\n":               "",
	} {
		_, _, err := Translate("litellm.yaml", []byte(text), testOptions(""))
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestVariablesOfLiteLLMsFile: environment_variables of the file is LiteLLM's environment, also
// for its own switches, and takes precedence over the relay's.
func TestVariablesOfLiteLLMsFile(t *testing.T) {
	for _, tt := range []struct{ table, environment, want string }{
		{"{LITELLM_STORE_AUDIT_LOGS: 'true'}", "", "a store"},
		{"{LITELLM_STORE_AUDIT_LOGS: true}", "false", "a store"},
		{"{LITELLM_STORE_AUDIT_LOGS: os.environ/OTHER}", "", "a store"},
		{"{LITELLM_STORE_AUDIT_LOGS: 'false'}", "true", "litellm.yaml:4:51: environment_variables.LITELLM_STORE_AUDIT_LOGS: it is false, and audit_log_callbacks lists callbacks (line 2)"},
		{"{LITELLM_STORE_AUDIT_LOGS: '1'}", "", "no store"},
		{"{S3_PARTITION_GRANULARITY: hour}", "", "partition: hour"},
		{"{S3_PARTITION_GRANULARITY: week}", "", "expected day or hour"},
		{"{}", "true", "a store"},
		{"{}", "yes", "no store"},
	} {
		text := "litellm_settings:\n  audit_log_callbacks: [s3_v2]\n  s3_callback_params: {s3_bucket_name: b}\nenvironment_variables: " + tt.table + "\n"
		o := testOptions("")
		o.LookupEnv = func(name string) (string, bool) {
			values := map[string]string{storeVariable: tt.environment, "OTHER": "true"}
			return values[name], values[name] != ""
		}
		native, notes, err := Translate("litellm.yaml", []byte(text), o)
		got := fmt.Sprint(string(native), notes, err)
		if strings.Contains(got, "name: store") {
			got += " a store"
		} else {
			got += " no store"
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s, %q: %s", tt.table, tt.environment, got)
		}
		if strings.Contains(got, "is not set here") && strings.Contains(got, " a store") {
			t.Errorf("%s: the variable is called not set", tt.table)
		}
	}
}

const asItStands = "litellm_settings:\n  store_audit_logs: true\n  audit_log_callbacks: [s3_v2]\n  s3_callback_params: {s3_bucket_name: b}\n"

// TestLiteLLMsCallbacksAreRedacted: unless the file says otherwise, or the data directory
// belongs to a revision that delivered unredacted. The note matches the behaviour, and so does
// the translation.
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
