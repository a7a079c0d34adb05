package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestStoreAuditLogs(t *testing.T) {
	for _, tt := range []struct{ key, variable, want string }{
		{"", "", "INFO"},
		{"", "true", "ok"},
		{"", "True", "ok"},
		{"", "1", "INFO"},
		{"", "false", "LITELLM_STORE_AUDIT_LOGS is false"},
		{"", "maybe", "INFO"},
		{"true", "", "ok"},
		{"'true'", "", "ok"},
		{"true", "false", "ok"},
		{"false", "", "store_audit_logs: it is false"},
		{"false", "true", "store_audit_logs: it is false"}, // an explicit false wins
		{"no", "", "store_audit_logs: it is false"},
		{"os.environ/STORE", "", "store_audit_logs: the environment variable STORE is not set"},
		{"5", "", "store_audit_logs: found a whole number, expected true or false"},
	} {
		t.Run(fmt.Sprintf("%s,%s", tt.key, tt.variable), func(t *testing.T) {
			text := "litellm_settings:\n  audit_log_callbacks: [s3_v2]\n  s3_callback_params: {s3_bucket_name: b}\n"
			if tt.key != "" {
				text += "  store_audit_logs: " + tt.key + "\n"
			}
			o := testOptions("")
			o.LookupEnv = func(name string) (string, bool) {
				return tt.variable, name == storeVariable && tt.variable != ""
			}
			c, err := Parse("litellm.yaml", []byte(text), o)
			got := "ok"
			switch {
			case err != nil:
				got = err.Error()
			case strings.Contains(fmt.Sprint(c.Notes), "is not set here"):
				got = "INFO"
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	// Without callbacks there are no notes about the relay.
	if _, err := Parse("litellm.yaml", []byte("litellm_settings: {store_audit_logs: false}"), testOptions("")); err != nil {
		t.Error(err)
	}
}

func TestAnEndpointThatIsThisRelayIsRefused(t *testing.T) {
	resolve := func(host string) ([]string, error) {
		if host == "relay.example" {
			return []string{"192.0.2.1", "127.0.0.1"}, nil
		}
		return nil, errors.New("no such host")
	}
	for _, tt := range []struct {
		listen, endpoint string
		loops            bool
	}{
		{"", "http://127.0.0.1:8787", true},
		{"", "http://localhost:8787/", true},
		{"", "http://relay.example:8787", true},
		{"", "http://[::1]:8787", false}, // another socket
		{"", "http://127.0.0.1:9000", false},
		{"", "http://unknown.example:8787", false},
		{"", "https://minio.example", false},
		{"", "not a url", false},
		{"0.0.0.0:9000", "http://127.0.0.1:9000", true},
		{":9000", "http://relay.example:9000", true},
		{"relay.example:9000", "http://relay.example:9000", true},
		{"'[::]:443'", "https://localhost", true},
		{"0.0.0.0:80", "http://localhost", true},
		{"0.0.0.0:9000", "http://198.51.100.7:9000", false},
	} {
		t.Run(tt.listen+" "+tt.endpoint, func(t *testing.T) {
			text := "litellm_settings:\n  audit_log_callbacks: [s3_v2]\n  s3_callback_params: {s3_bucket_name: b, s3_endpoint_url: '" + tt.endpoint + "'}\n" +
				"tokens: [{name: a, token: 7f3a91c04be2d586-x, roles: [admin]}]\n"
			if tt.listen != "" {
				text += "listen: " + tt.listen + "\n"
			}
			o := testOptions("")
			o.LookupHost = resolve
			_, err := Parse("litellm.yaml", []byte(text), o)
			if tt.loops != (err != nil) {
				t.Fatalf("got %v, want an error: %v", err, tt.loops)
			}
			if tt.loops && (!strings.Contains(err.Error(), "litellm.yaml:3:60: litellm_settings.s3_callback_params.s3_endpoint_url: ") ||
				!strings.Contains(err.Error(), "this relay's own listener")) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The S3 endpoint is also a listener of the relay.
func TestTheRelaysOwnS3EndpointIsNoDestination(t *testing.T) {
	const keys = "keys: [{name: a, access_key_id: AKIDEXAMPLE, secret_access_key: 7f3a91c04be2d586}]"
	for _, tt := range []struct {
		s3, endpoint string
		loops        bool
	}{
		{"{" + keys + "}", "http://localhost:8788", true},
		{"{listen: '127.0.0.1:9001', " + keys + "}", "http://127.0.0.1:9001/", true},
		{"{listen: '127.0.0.1:9001', " + keys + "}", "http://127.0.0.1:8788", false},
	} {
		text := "litellm_settings:\n  audit_log_callbacks: [s3_v2]\n  s3_callback_params: {s3_bucket_name: b, s3_endpoint_url: '" + tt.endpoint + "'}\n" +
			"ingest:\n  s3: " + tt.s3 + "\n"
		_, err := Parse("litellm.yaml", []byte(text), testOptions(""))
		if tt.loops != (err != nil) || tt.loops && !strings.Contains(err.Error(), "this relay's own listener") {
			t.Errorf("%s, %s: got %v, want an error: %v", tt.s3, tt.endpoint, err, tt.loops)
		}
	}
}

// Nor for our own sinks, nor for forwarding.
func TestNoListenerOfTheRelaysIsADestination(t *testing.T) {
	const keys = "keys: [{name: a, access_key_id: AKIDEXAMPLE, secret_access_key: 7f3a91c04be2d586}]"
	for _, tt := range []struct{ s3, sink, want string }{
		{"{listen: '0.0.0.0:8788', " + keys + ", forward_to: {region: x, bucket: b, endpoint: 'http://127.0.0.1:8788'}}", "{}", "forward_to.endpoint: it is this relay's own listener (ingest.s3.listen"},
		{"{" + keys + ", forward_to: {region: x, bucket: b, endpoint: 'http://127.0.0.1:9999'}}", "{}", ""},
		{"{" + keys + "}", "{bucket: b, region: x, endpoint: 'http://localhost:8788'}", "sink.s3.endpoint: it is this relay's own listener (ingest.s3.listen"},
		{"{" + keys + "}", "{bucket: b, region: x, endpoint: 'http://127.0.0.1:8787'}", "sink.s3.endpoint: it is this relay's own listener (listen"},
		{"{" + keys + "}", "{bucket: b, region: x, endpoint: 'http://127.0.0.1:9000'}", ""},
	} {
		text := "ingest: {s3: " + tt.s3 + "}\ncallbacks: [{name: a, sink: {s3: " + tt.sink + "}}]\n"
		o := testOptions("")
		o.Sinks = nil
		_, err := Parse("relay.yaml", []byte(text), o)
		if (tt.want != "") != (err != nil) || tt.want != "" && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %s: got %v, want %q", tt.s3, tt.sink, err, tt.want)
		}
	}
}

func TestParametersOfAuditEventsWin(t *testing.T) {
	const params = "  s3_callback_params: {s3_bucket_name: requests, s3_path: p}\n"
	for _, tt := range []struct{ entry, more, want string }{
		{"s3_v2", params, "requests p"},
		{"s3_v2", params + "  s3_audit_callback_params: {s3_bucket_name: audit}\n", "audit "},
		{"{s3_v2: {s3_bucket_name: own}}", params + "  s3_audit_callback_params: {s3_bucket_name: audit}\n", "own "},
		{"{s3_v2: }", params, "requests p"},
	} {
		text := "litellm_settings:\n  store_audit_logs: true\n  audit_log_callbacks: [" + tt.entry + "]\n" + tt.more
		c, err := Parse("litellm.yaml", []byte(text), testOptions(""))
		if err != nil {
			t.Fatal(err)
		}
		var o s3Options
		if err := c.Callbacks[0].Sink.Options.Decode(&o); err != nil {
			t.Fatal(err)
		}
		if got := o.Bucket + " " + o.Prefix; got != tt.want || o.Layout != "litellm" {
			t.Errorf("%s: got %q, layout %s, want %q", tt.entry, got, o.Layout, tt.want)
		}
	}
}

// Only the relevant part of LiteLLM's file is read. Other values may be of any kind and refer
// to unset variables.
func TestOtherKeysOfLiteLLMAreIgnored(t *testing.T) {
	text := `
model_list: [{litellm_params: {api_key: os.environ/NOT_SET, 5: 6, a: 1, a: 2, t: !custom x}}]
router_settings: {1: 2}
model_list: [twice]
some_plugin: {x: os.environ/NOT_SET}
include: [more.yaml]
litsen: 127.0.0.1:1
general_settings: {master_key: os.environ/NOT_SET, alerting: [slack], 1: 2, x: {y: 1, y: 2}}
litellm_settings: {drop_params: true, drop_params: false, fallbacks: {1: 2}, 7: 8, cache_params: {password: os.environ/NOT_SET}, audit_log_callbacks: [], success_callback: [s3_v2]}
`
	c, err := Parse("litellm.yaml", []byte(text), testOptions(""))
	if err != nil {
		t.Fatal(err)
	}
	notes := fmt.Sprint(c.Notes)
	for _, want := range []string{"include is not followed", "did you mean listen?"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note says %q: %s", want, notes)
		}
	}
	if len(c.Callbacks) != 0 {
		t.Errorf("got callbacks %v", c.Callbacks)
	}
}

// Our own keys beside LiteLLM's follow our own rules.
func TestNativeKeysBesideLiteLLMs(t *testing.T) {
	_, err := Parse("litellm.yaml", []byte("litellm_settings: {}\nmanifests: signed\nlog: {level: loud}\ncallbacks: [x]\n"), testOptions(""))
	for _, want := range []string{":2:1: manifests: not in this version", ":3:14: log.level", ":4:13: callbacks[0]"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// No callback is silently skipped, whatever its name, except the logger class, which is an
// input.
func TestNamesThatNothingAnswersTo(t *testing.T) {
	for _, name := range []string{"s3v2", "datadog", "azure_sentinel", "my_module.my_callback", "auditrelay_logger.other"} {
		_, err := Parse("litellm.yaml", []byte("litellm_settings:\n  store_audit_logs: true\n  audit_log_callbacks:\n    - "+name), testOptions(""))
		if err == nil || !strings.Contains(err.Error(), "litellm.yaml:4:7: litellm_settings.audit_log_callbacks[0]: ") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	c, err := Parse("litellm.yaml", []byte("litellm_settings: {store_audit_logs: true, audit_log_callbacks: [auditrelay_logger.relay]}"), testOptions(""))
	if err != nil || len(c.Callbacks) != 1 || c.Callbacks[0].Name != storeCallback || !strings.Contains(fmt.Sprint(c.Notes), "here it is no callback") {
		t.Errorf("the logger class: %v, %v", err, c)
	}
}

func TestAVariableThatTheFileSetsForLiteLLMIsExplained(t *testing.T) {
	text := "environment_variables: {KEY: abc}\nlitellm_settings: {store_audit_logs: true, audit_log_callbacks: [s3_v2], s3_callback_params: {s3_bucket_name: os.environ/KEY}}"
	_, err := Parse("litellm.yaml", []byte(text), testOptions(""))
	if err == nil || !strings.Contains(err.Error(), "KEY is not set; environment_variables sets it on line 1, but for LiteLLM's process alone") {
		t.Errorf("got %v", err)
	}
}

func TestTranslatingKeepsReferencesAndNeedsNoSecrets(t *testing.T) {
	text := `
litellm_settings:
  store_audit_logs: true
  audit_log_callbacks: [s3_v2]
  s3_callback_params: {s3_bucket_name: "$${plain}", s3_path: a/, s3_aws_secret_access_key: os.environ/NOT_SET, s3_aws_access_key_id: "file:./none", s3_region_name: "${NOT_SET}"}
`
	native, _, err := Translate("litellm.yaml", []byte(text), testOptions(""))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`bucket: "$${plain}"`, "secret_access_key: os.environ/NOT_SET", "access_key_id: file:./none", `region: "${NOT_SET}"`, "prefix: a/"} {
		if !strings.Contains(string(native), want) {
			t.Errorf("no %q in\n%s", want, native)
		}
	}
	// Except if the value determines the choice.
	for _, settings := range []string{
		"audit_log_callbacks: [s3_v2], s3_callback_params: {s3_verify: os.environ/NOT_SET}",
		"audit_log_callbacks: [s3_v2], s3_callback_params: {s3_aws_role_name: r, s3_aws_web_identity_token: os.environ/NOT_SET}",
		"audit_log_callbacks: [os.environ/NOT_SET]",
	} {
		_, _, err = Translate("litellm.yaml", []byte("litellm_settings: {"+settings+"}"), testOptions(""))
		if err == nil || !strings.Contains(err.Error(), "depends on the reference's value") {
			t.Errorf("%s: got %v", settings, err)
		}
	}
}

func TestTranslatingOurOwnFormatChangesNothing(t *testing.T) {
	got, notes, err := Translate("relay.yaml", []byte(minimal), testOptions(""))
	if err != nil || string(got) != minimal || len(notes) != 1 {
		t.Errorf("got %q, %v, %v", got, notes, err)
	}
}

// One parameter at a time: its result, its note, or the reason for its refusal.
func TestEachS3Parameter(t *testing.T) {
	for _, tt := range []struct{ param, want, says string }{
		{"s3_region_name: eu", "region: eu", ""},
		{"s3_path: a/b", "prefix: a/b", ""},
		{"s3_path: /", "", ""},
		{"s3_endpoint_url: http://minio:9000", "endpoint: http://minio:9000", ""},
		{"s3_use_virtual_hosted_style: true", "addressing: virtual", ""},
		{"s3_use_virtual_hosted_style: false", "", ""},
		{"s3_use_ssl: true", "", ""},
		{"s3_use_ssl: false", "", "s3_use_ssl is not used, nor is it by LiteLLM"},
		{"s3_verify: true", "", ""},
		{"s3_verify: false", "insecure_skip_verify: true", "any certificate is accepted"},
		{"s3_verify: testdata/ca.pem", "ca: file:./testdata/ca.pem", ""},
		{"s3_verify: none.pem", "", "error: litellm_settings.s3_callback_params.s3_verify"},
		{"s3_aws_profile_name: p", "profile: p", ""},
		{"s3_aws_role_name: r", "arn: r", ""},
		{"s3_aws_role_name: r\n    s3_aws_session_name: s", "session_name: s", ""},
		{"s3_aws_role_name: r\n    s3_aws_external_id: x", "external_id: x", "LiteLLM's s3_v2 does not read it"},
		{"s3_aws_session_name: s", "layout: litellm", "s3_aws_session_name is not used without s3_aws_role_name"},
		{"s3_aws_role_name: ''\n    s3_aws_external_id: x", "layout: litellm", "s3_aws_external_id is not used without s3_aws_role_name"},
		{"s3_aws_web_identity_token: /run/token", "layout: litellm", "s3_aws_web_identity_token is not used without s3_aws_role_name"},
		{"s3_aws_web_identity_token: oidc/google", "layout: litellm", "s3_aws_web_identity_token is not used without s3_aws_role_name"},
		{"s3_aws_sts_endpoint: https://sts", "sts_endpoint: https://sts", ""},
		{"s3_aws_role_name: r\n    s3_aws_web_identity_token: /run/token", "web_identity_token_file: /run/token", ""},
		{"s3_aws_role_name: r\n    s3_aws_web_identity_token: os.environ/LONG_SECRET", "web_identity_token: os.environ/LONG_SECRET", ""},
		{"s3_aws_role_name: r\n    s3_aws_web_identity_token: oidc/google", "", "error: litellm_settings.s3_callback_params.s3_aws_web_identity_token: tokens fetched by LiteLLM"},
		{"s3_server_side_encryption: AES256", "type: s3", ""},
		{"s3_server_side_encryption: aws:kms", "type: kms", ""},
		{"s3_sse_kms_key_id: k", "type: kms", ""},
		{"s3_server_side_encryption: aws:kms:dsse", "", "expected AES256 or aws:kms"},
		{"s3_max_concurrent_uploads: 8", "concurrency: 8", ""},
		{"s3_batch_file_upload: true", "layout: batch", "becomes layout batch"},
		{"s3_batch_file_upload: false", "layout: litellm", ""},
		{"s3_partition_granularity: day", "layout: litellm", ""},
		{"s3_partition_granularity: hour", "partition: hour", ""},
		{"s3_partition_granularity: week", "layout: litellm", "expected day or hour: day is taken"},
		{"s3_partition_granularity: 5", "layout: litellm", "expected day or hour: day is taken"},
		{"s3_max_concurrent_uploads: '8'", "concurrency: 8", ""},
		{"s3_max_concurrent_uploads: many", "layout: litellm", "the default is taken"},
		{"s3_max_concurrent_uploads: 500", "concurrency: 256", "it makes 256"},
		{"s3_adaptive_concurrency: false", "layout: litellm", ""},
		{"s3_adaptive_concurrency: maybe", "layout: litellm", "the default is taken"},
		{"s3_adaptive_concurrency: 'true'", "concurrency: 200", "always adapt"},
		{"s3_max_adaptive_concurrency: 100", "layout: litellm", ""},
		{"s3_adaptive_concurrency: true\n    s3_max_adaptive_concurrency: 100", "concurrency: 100", "always adapt"},
		{"s3_max_retry_age_seconds: 3600", "layout: litellm", "drops nothing by age"},
		{"s3_drop_on_terminal_error: true", "layout: litellm", "becomes a dead letter"},
		{"s3_max_queue_size: 50000", "layout: litellm", "journal.quota"},
		{"s3_log_prompts_only: true", "layout: litellm", "request logs alone"},
		{"s3_something_of_next_year: {a: [1]}", "layout: litellm", "is not known to this version and not used"},
		{"bucket: c", "", "error: litellm_settings.s3_callback_params.bucket: an unknown key"},
		{"s3_region_name: ''", "", ""},
		{"s3_region_name: ", "", ""},
		{"s3_batch_size: 5", "", "s3_batch_size is not used"},
		{"s3_regoin_name: eu", "", "did you mean s3_region_name?"},
	} {
		t.Run(tt.param, func(t *testing.T) {
			text := "litellm_settings:\n  store_audit_logs: true\n  audit_log_callbacks: [s3_v2]\n  s3_callback_params:\n    s3_bucket_name: b\n    " + tt.param + "\n"
			o := testOptions("")
			c, err := Parse("litellm.yaml", []byte(text), o)
			if err != nil {
				if tt.says == "" || !strings.Contains("error: "+err.Error(), strings.TrimPrefix(tt.says, "error: ")) {
					t.Fatalf("got %v, want %q", err, tt.says)
				}
				return
			}
			if strings.HasPrefix(tt.says, "error: ") {
				t.Fatal("no error")
			}
			native, _, err := Translate("litellm.yaml", []byte(text), o)
			if err != nil || !strings.Contains(string(native), " "+tt.want) || strings.Contains(tt.says, "without s3_aws_role_name") && strings.Contains(string(native), "role:") {
				t.Errorf("got %v, no %q in\n%s", err, tt.want, native)
			}
			// In addition to the notes on the store, on LiteLLM's own remaining output, and on
			// redaction.
			if notes := fmt.Sprint(c.Notes); !strings.Contains(notes, tt.says) || (tt.says == "") != (len(c.Notes) == 3) {
				t.Errorf("got notes %s, want %q", notes, tt.says)
			}
		})
	}
}

// A plain-text secret is not printed. The translation contains a variable instead, and gives
// the same configuration once the variable is set.
func TestTranslateRepeatsNoSecret(t *testing.T) {
	const litellm = `litellm_settings:
  store_audit_logs: true
  audit_log_callbacks: [s3_v2]
  s3_callback_params: {s3_bucket_name: b, s3_region_name: eu-central-1, s3_aws_access_key_id: AKIAPLAIN,
    s3_aws_secret_access_key: PLAINSECRET0001, s3_aws_session_token: PLAINSECRET0002, s3_endpoint_url: "http://user:PLAINSECRET0003@h:9000"}
ingest: {tokens: [{name: proxy, token: PLAINSECRET0004-long-enough}]}
keys: {pseudonyms: PLAINSECRET0005-long-enough}
`
	const own = `tokens: [{name: a, token: PLAINSECRET0006-long-enough, roles: [view]}]
callbacks: [{name: archive, sink: {s3: {bucket: b, credentials: {access_key_id: a, secret_access_key: PLAINSECRET0007}}}}]
`
	for name, text := range map[string]string{"litellm": litellm, "own": own} {
		native, notes, err := Translate(name+".yaml", []byte(text), testOptions(""))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(native)+fmt.Sprint(notes), "PLAINSECRET") {
			t.Errorf("%s: a secret is printed:\n%s", name, native)
		}
		values := map[string]string{}
		for _, m := range regexp.MustCompile(`"\$\{(AUDITRELAY_[A-Z0-9_]+)\}"`).FindAllStringSubmatch(string(native), -1) {
			values[m[1]] = "the-value-of-" + m[1]
		}
		if want := strings.Count(text, "PLAINSECRET"); len(values) != want {
			t.Errorf("%s: %d variables stand for %d secrets:\n%s", name, len(values), want, native)
		}
		o := testOptions("")
		o.LookupEnv = func(name string) (string, bool) { v, ok := values[name]; return v, ok }
		if _, err := Parse("native.yaml", native, o); err != nil && !strings.Contains(err.Error(), "endpoint") {
			t.Errorf("%s: %v\n%s", name, err, native)
		}
	}
}
