package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestStoreAuditLogsMakesAStore(t *testing.T) {
	const s3 = "  audit_log_callbacks: [s3_v2]\n  s3_callback_params: {s3_bucket_name: b}\n"
	for _, tt := range []struct {
		name, text, variable string
		callbacks            string // name and filters of each
		says                 string // a note, or error: what
	}{
		{name: "the key", text: "litellm_settings:\n  store_audit_logs: true\n" + s3, callbacks: "s3_v2[litellm-secrets] store[litellm-store]", says: "store: none leaves it out"},
		{name: "without callbacks", text: "litellm_settings:\n  store_audit_logs: true\n", callbacks: "store[litellm-store]", says: "store: none leaves it out"},
		{name: "the variable", text: "litellm_settings:\n" + s3, variable: "true", callbacks: "s3_v2[litellm-secrets] store[litellm-store]"},
		{name: "an explicit false wins", text: "litellm_settings:\n  store_audit_logs: false\n", variable: "true", callbacks: ""},
		{name: "neither", text: "litellm_settings:\n" + s3, callbacks: "s3_v2[litellm-secrets]"},
		{name: "sqlite said", text: "store: sqlite\nlitellm_settings:\n  store_audit_logs: true\n", callbacks: "store[litellm-store]"},
		{name: "none", text: "store: none\nlitellm_settings:\n  store_audit_logs: true\n" + s3, callbacks: "s3_v2[litellm-secrets]", says: "makes no store here"},
		{name: "for nothing", text: "store: sqlite\nlitellm_settings:\n" + s3, callbacks: "s3_v2[litellm-secrets]", says: "has no effect"},
		{name: "one of one's own", text: "callbacks: [{name: store, sink: {sqlite: {}}}]\nlitellm_settings:\n  store_audit_logs: true\n", callbacks: "store[]", says: "adds no store"},
		{name: "a callback's name", text: "store: mine\ncallbacks: [{name: mine, sink: {sqlite: {}}}]\nlitellm_settings:\n  store_audit_logs: true\n", callbacks: "mine[]"},
		{name: "callbacks beside", text: "callbacks: [{name: local, sink: {stdout: {}}}]\nlitellm_settings:\n  store_audit_logs: true\n", callbacks: "local[] store[litellm-store]"},
		{name: "empty tables beside", text: "callbacks:\nfilters:\nlitellm_settings:\n  store_audit_logs: true\n", callbacks: "store[litellm-store]"},
		{name: "the filter of one's own", text: "filters: {litellm-store: {redact: {preset: pii}}}\nlitellm_settings:\n  store_audit_logs: true\n", callbacks: "store[litellm-store]"},
		{name: "postgres", text: "store: postgres\ngeneral_settings: {database_url: os.environ/DATABASE_URL}\nlitellm_settings:\n  store_audit_logs: true\n", callbacks: "store[litellm-store]", says: "in a schema of its own"},
		{name: "postgres nowhere", text: "store: postgres\nlitellm_settings:\n  store_audit_logs: true\n", says: "error: 1:8: store: there is no general_settings.database_url"},
		{name: "another word", text: "store: mysql\nlitellm_settings:\n  store_audit_logs: true\n", says: "error: 1:8: store: found \"mysql\", expected sqlite, postgres, none or the name of a callback"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions("")
			o.LookupEnv = func(name string) (string, bool) {
				if name == "DATABASE_URL" {
					return "postgres://u:hunter2@h/db", true
				}
				return tt.variable, name == storeVariable && tt.variable != ""
			}
			c, err := Parse("litellm.yaml", []byte(tt.text), o)
			if want, ok := strings.CutPrefix(tt.says, "error: "); ok {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("got %v, want %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, cb := range c.Callbacks {
				got = append(got, fmt.Sprintf("%s%v", cb.Name, cb.Filters))
			}
			if strings.Join(got, " ") != tt.callbacks {
				t.Errorf("callbacks %s, want %s", got, tt.callbacks)
			}
			if !strings.Contains(fmt.Sprint(c.Notes), tt.says) {
				t.Errorf("notes %v, want %s", c.Notes, tt.says)
			}
			native, _, err := Translate("litellm.yaml", []byte(tt.text), o)
			if err != nil || strings.Contains(string(native)+fmt.Sprint(c.Notes), "hunter2") {
				t.Fatal(err, string(native))
			}
			again, err := Parse("native.yaml", native, o)
			if err != nil || again.Digest(nil) != c.Digest(nil) {
				t.Errorf("the translation gives another configuration: %v\n%s", err, native)
			}
			for _, f := range c.Filters {
				if f.Name == storeFilter && tt.name != "the filter of one's own" && !strings.Contains(string(f.Redact.Text()), "preset: litellm") {
					t.Errorf("the store's filter is %s", f.Redact.Text())
				}
			}
		})
	}
}

func TestTheStoreThatIsNamedIsACallback(t *testing.T) {
	_, err := Parse("relay.yaml", []byte("store: stroe\ncallbacks: [{name: store, sink: {sqlite: {}}}]\n"), testOptions(""))
	if err == nil || !strings.Contains(err.Error(), `relay.yaml:1:8: store: no callback is called "stroe": did you mean store?`) {
		t.Errorf("got %v", err)
	}
}
