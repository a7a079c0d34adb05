package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestCredentialsThatAreNotSet: LiteLLM's documented file names variables that are unset on a
// machine with a role. LiteLLM then uses the default credentials, and so does the relay. If the
// rest of the file would get another meaning, it is still an error.
func TestCredentialsThatAreNotSet(t *testing.T) {
	const both = "s3_aws_access_key_id: os.environ/ID, s3_aws_secret_access_key: os.environ/SECRET"
	for _, tt := range []struct {
		params, env, more, warned, err string
	}{
		{params: both, warned: "ID is not set: as in LiteLLM, the usual AWS credentials are used"},
		{params: both + ", s3_aws_session_token: os.environ/TOKEN", warned: "ID is not set: as in LiteLLM"},
		{params: both, env: "ID SECRET"},
		{params: both, env: "ID", err: "SECRET is not set"},
		{params: both, env: "SECRET", err: "ID is not set"},
		{params: "s3_aws_access_key_id: AKIAEXAMPLE, s3_aws_secret_access_key: os.environ/SECRET", err: "SECRET is not set"},
		{params: both, more: "environment_variables: {ID: a, SECRET: b}\n", err: "ID is not set; environment_variables sets it"},
		{params: "s3_endpoint_url: os.environ/ENDPOINT", err: "ENDPOINT is not set"},
		{params: both + ", s3_region_name: os.environ/REGION", err: "REGION is not set"},
	} {
		text := tt.more + "litellm_settings:\n  audit_log_callbacks: [s3_v2]\n  s3_callback_params: {s3_bucket_name: b, " + tt.params + "}\n"
		c, err := Parse("litellm.yaml", []byte(text), LoadOptions{LookupEnv: func(name string) (string, bool) {
			return "the-value-of-" + name, strings.Contains(" "+tt.env+" ", " "+name+" ")
		}})
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s (%s): %v", tt.params, tt.env, err)
			}
		case err != nil:
			t.Errorf("%s (%s): %v", tt.params, tt.env, err)
		case strings.Contains(fmt.Sprint(c.Notes), "as in LiteLLM, the usual") != (tt.warned != "") || !strings.Contains(fmt.Sprint(c.Notes), tt.warned):
			t.Errorf("%s (%s): %v", tt.params, tt.env, c.Notes)
		}
	}
}
