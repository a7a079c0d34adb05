package s3_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/builtin/s3"
	"auditrelay/internal/test/faultproxy"
)

// bare hides the machine's own AWS configuration from a test.
func bare(t *testing.T) {
	t.Helper()
	for _, name := range []string{"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION",
		"AWS_DEFAULT_REGION", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CA_BUNDLE"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
}

// sts responds like STS and records the requests.
func sts(t *testing.T, status int) (endpoint string, asked *url.Values) {
	asked = &url.Values{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		*asked = r.PostForm
		w.WriteHeader(status)
		if status != http.StatusOK {
			fmt.Fprintf(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you: %s</Message></Error></ErrorResponse>`, r.Header.Get("Authorization"))
			return
		}
		action := r.PostForm.Get("Action")
		fmt.Fprintf(w, `<%sResponse><%[1]sResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>`+
			`<SecretAccessKey>s</SecretAccessKey><SessionToken>role-token</SessionToken>`+
			`<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></%[1]sResult></%[1]sResponse>`, action)
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

func TestCredentials(t *testing.T) {
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte("from-file"), 0o600); err != nil {
		t.Fatal(err)
	}
	const role = "arn:aws:iam::123456789012:role/audit"
	static := s3.Credentials{AccessKeyID: "AKIASTATIC", SecretAccessKey: "s"}
	for _, tc := range []struct {
		name   string
		change func(c *s3.Credentials)
		env    map[string]string
		key    string // the key that signed the request
		token  string // the session token
		asked  map[string]string
	}{
		{name: "static", change: func(c *s3.Credentials) { *c = static }, key: "AKIASTATIC"},
		{name: "static with session token", key: "AKIASTATIC", token: "t",
			change: func(c *s3.Credentials) { *c = static; c.SessionToken = "t" }},
		{name: "environment", change: func(c *s3.Credentials) {}, key: "AKIAENV",
			env: map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s"}},
		{name: "role with external id", key: "ASIAROLE", token: "role-token",
			change: func(c *s3.Credentials) {
				endpoint := c.STSEndpoint
				*c = static
				c.STSEndpoint = endpoint
				c.Role = s3.Role{ARN: role, ExternalID: "ext", SessionName: "me"}
			},
			asked: map[string]string{"Action": "AssumeRole", "RoleArn": role, "ExternalId": "ext", "RoleSessionName": "me"}},
		{name: "web identity", key: "ASIAROLE", token: "role-token",
			change: func(c *s3.Credentials) { c.Role = s3.Role{ARN: role, WebIdentityToken: "jwt"} },
			asked:  map[string]string{"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": "jwt", "RoleSessionName": "auditrelay"}},
		{name: "web identity from a file", key: "ASIAROLE", token: "role-token",
			change: func(c *s3.Credentials) { c.Role = s3.Role{ARN: role, WebIdentityTokenFile: tokenFile} },
			asked:  map[string]string{"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": "from-file"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bare(t)
			for name, value := range tc.env {
				t.Setenv(name, value)
			}
			endpoint, asked := sts(t, http.StatusOK)
			proxy := fake(t)
			o := options(proxy.URL, "bucket")
			o.Credentials = s3.Credentials{STSEndpoint: endpoint}
			tc.change(&o.Credentials)
			if _, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o)); err != nil {
				t.Fatal(err)
			}
			sent := proxy.Requests()[0].Header
			if got := sent.Get("Authorization"); !strings.Contains(got, "Credential="+tc.key+"/") {
				t.Errorf("signed by %s, want %s", got, tc.key)
			}
			if got := sent.Get("X-Amz-Security-Token"); got != tc.token {
				t.Errorf("the session token is %q, want %q", got, tc.token)
			}
			for name, want := range tc.asked {
				if got := asked.Get(name); got != want {
					t.Errorf("STS was asked for %s %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestCredentialsThatCannotBeHad(t *testing.T) {
	bare(t)
	refusing, _ := sts(t, http.StatusForbidden)
	failing, _ := sts(t, http.StatusInternalServerError)
	role := s3.Role{ARN: "arn:aws:iam::123456789012:role/audit"}
	static := s3.Credentials{AccessKeyID: "AKIASTATIC", SecretAccessKey: "hidden-secret", Role: role}
	with := func(endpoint string) s3.Credentials { c := static; c.STSEndpoint = endpoint; return c }
	for _, tc := range []struct {
		name        string
		credentials s3.Credentials
		kind        auditrelay.ErrorKind
		answer      string
	}{
		{"none anywhere", s3.Credentials{}, auditrelay.Unauthorized, ""},
		{"an unknown profile", s3.Credentials{Profile: "nobody"}, auditrelay.Unauthorized, ""},
		{"a role that is refused", with(refusing), auditrelay.Unauthorized, "not you: AWS4-HMAC-SHA256 [hidden]"},
		{"an STS that fails", with(failing), auditrelay.Transient, "not you: AWS4-HMAC-SHA256 [hidden]"},
		{"an STS out of reach", with("http://127.0.0.1:1"), auditrelay.Transient, ""},
		{"no token file", s3.Credentials{Role: s3.Role{ARN: role.ARN, WebIdentityTokenFile: "/does/not/exist"}}, auditrelay.Unauthorized, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			proxy := fake(t)
			o := options(proxy.URL, "bucket")
			o.Credentials = tc.credentials
			_, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o))
			if err == nil || auditrelay.KindOf(err) != tc.kind {
				t.Fatalf("%v, %v; want %v", err, auditrelay.KindOf(err), tc.kind)
			}
			if !strings.Contains(err.Error(), "get credentials") || strings.Contains(err.Error(), "hidden-secret") || strings.Contains(err.Error(), "not you") {
				t.Errorf("the error is %v", err)
			}
			if d, ok := errors.AsType[*auditrelay.DeliveryError](err); !ok || d.Answer != tc.answer {
				t.Errorf("the answer is %q, want %q", d.Answer, tc.answer)
			}
			if n := len(proxy.Requests()); n != 0 {
				t.Errorf("%d requests without credentials", n)
			}
		})
	}
}

func TestARegionIsNeeded(t *testing.T) {
	bare(t)
	o := s3.Options{Bucket: "bucket", Credentials: s3.Credentials{AccessKeyID: "a", SecretAccessKey: "s"}}
	if _, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o)); auditrelay.KindOf(err) != auditrelay.Misconfigured {
		t.Errorf("%v", err)
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"etag"`)
	}))
	t.Cleanup(server.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for _, tc := range []struct {
		name string
		tls  s3.TLS
		ok   bool
	}{
		{"an unknown certificate", s3.TLS{}, false},
		{"the CA of one's own", s3.TLS{CA: ca}, true},
		{"any certificate", s3.TLS{InsecureSkipVerify: true}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := options(server.URL, "bucket")
			o.TLS = tc.tls
			_, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o))
			if (err == nil) != tc.ok || err != nil && !strings.Contains(err.Error(), "certificate") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestCredentialsAreReadAgain: the sink reads its credentials again after each response that a
// store may give to an unknown key, and after Refresh, but not after other responses.
func TestCredentialsAreReadAgain(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer faultproxy.Fault
		again  bool
	}{
		{"403 InvalidAccessKeyId", faultproxy.S3Error(403, "InvalidAccessKeyId"), true},
		{"404 without a code", faultproxy.Answer(404, ""), true},
		{"404 NoSuchKey", faultproxy.S3Error(404, "NoSuchKey"), true},
		{"404 NoSuchBucket", faultproxy.S3Error(404, "NoSuchBucket"), true},
		{"400 with a code of its own", faultproxy.S3Error(400, "XAdminInvalidAccessKey"), true},
		{"401 without a code", faultproxy.Answer(401, ""), true},
		{"501 NotImplemented", faultproxy.S3Error(501, "NotImplemented"), true},
		{"503 SlowDown", faultproxy.S3Error(503, "SlowDown"), false},
		{"500", faultproxy.S3Error(500, "InternalError"), false},
		{"400 BadDigest", faultproxy.S3Error(400, "BadDigest"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bare(t)
			file := filepath.Join(t.TempDir(), "credentials")
			write := func(key string) {
				text := "[default]\naws_access_key_id = " + key + "\naws_secret_access_key = s\n"
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("AKIAOLD")
			proxy := fake(t, tc.answer)
			o := options(proxy.URL, "bucket")
			o.Credentials = s3.Credentials{SharedFile: file}
			sink := newSink(t, o)
			if _, err := sink.Deliver(t.Context(), payloadFor(t, o)); err == nil {
				t.Fatal("the refusal counted as delivered")
			}
			write("AKIANEW")
			if _, err := sink.Deliver(t.Context(), payloadFor(t, o)); err != nil {
				t.Fatal(err)
			}
			want := map[bool]string{true: "AKIANEW", false: "AKIAOLD"}[tc.again]
			if got := proxy.Requests()[1].Header.Get("Authorization"); !strings.Contains(got, "Credential="+want+"/") {
				t.Errorf("the second request was signed by %s, want %s", got, want)
			}
			sink.Refresh()
			if _, err := sink.Deliver(t.Context(), payloadFor(t, o)); err != nil {
				t.Fatal(err)
			}
			if got := proxy.Requests()[2].Header.Get("Authorization"); !strings.Contains(got, "Credential=AKIANEW/") {
				t.Errorf("after Refresh it was signed by %s", got)
			}
		})
	}
}
