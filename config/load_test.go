package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const minimal = "callbacks: [{name: archive, sink: {s3: {bucket: b}}}]\n"

// write writes a file to a folder of the test.
func write(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "etc/guest.wasm", "", 0o644)
	write(t, dir, "etc/tls.pem", "", 0o644)
	file := write(t, dir, "etc/relay.yaml", `
data_dir: ../data
tls: {cert: tls.pem, key: `+dir+`/etc/tls.pem}
filters: {g: {wasm: ./guest.wasm}}
callbacks: [{name: archive, filters: [g], sink: {file: {path: out/audit}}}]
`, 0o600)
	c, err := Load(file, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct{ got, want string }{
		{c.DataDir, dir + "/data"},
		{c.TLS.Cert, dir + "/etc/tls.pem"},
		{c.TLS.Key, dir + "/etc/tls.pem"},
		{c.Filters[0].Wasm, dir + "/etc/guest.wasm"},
		{c.Callbacks[0].Sink.Options.Path("out/audit"), dir + "/etc/out/audit"},
	} {
		if p.got != p.want {
			t.Errorf("got %s, want %s", p.got, p.want)
		}
	}
}

func TestAFileThatCannotBeReadIsAnError(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none.yaml"), LoadOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: got %v", err)
	}
	if _, err := Load(dir, LoadOptions{}); err == nil || !strings.Contains(err.Error(), "a directory") {
		t.Errorf("directory: got %v", err)
	}
}

// An empty pipe does not hang. A filled one works like a file.
func TestPipes(t *testing.T) {
	defer func(d time.Duration) { pipeTime = d }(pipeTime)
	pipeTime = 50 * time.Millisecond
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name, LoadOptions{}); err == nil || !strings.Contains(err.Error(), "holds nothing") {
		t.Errorf("nobody writes: got %v", err)
	}
	w, err := os.OpenFile(name, os.O_RDWR, 0) // a writer that neither writes nor closes
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := Load(name, LoadOptions{}); err == nil || !strings.Contains(err.Error(), "not filled and closed within") {
		t.Errorf("nothing is written: got %v", err)
	}
	r, filled, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := filled.WriteString(minimal); err != nil {
		t.Fatal(err)
	}
	filled.Close()
	if _, err := Load(fmt.Sprintf("/dev/fd/%d", r.Fd()), LoadOptions{}); err != nil {
		t.Errorf("a pipe that is filled: %v", err)
	}
}

// A truncated file is refused: without callbacks everything would be accepted and nothing
// delivered. Such a configuration must be explicit.
func TestAFileWithoutCallbacksIsRefused(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "{}", "listen: 127.0.0.1:0\n", "callbacks:\n", "listen: 127.0.0.1:0\ncallbacks: null\n"} {
		if _, err := Parse("relay.yaml", []byte(text), LoadOptions{}); err == nil || !strings.Contains(err.Error(), "callbacks: no callback is configured") {
			t.Errorf("%q: %v", text, err)
		}
	}
	c, err := Parse("relay.yaml", []byte("callbacks: []"), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:8787" || c.DataDir != "./data" {
		t.Errorf("got %s, %s", c.Listen, c.DataDir)
	}
	if len(c.Notes) != 1 || c.Notes[0].Line != 1 || !strings.Contains(c.Notes[0].Text, "no callback") {
		t.Errorf("got notes %v", c.Notes)
	}
}

func TestReferences(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "one", "from a file\n", 0o600)
	write(t, dir, "two-lines", "first\nsecond\r\n", 0o600)
	write(t, dir, "large", strings.Repeat("x", maxSecretFile+1), 0o600)
	tests := []struct{ value, want, err string }{
		{value: "os.environ/LONG_SECRET", want: longSecret},
		{value: "${LONG_SECRET}", want: longSecret},
		{value: "a-${BUCKET}-${BUCKET}", want: "a-audit-events-audit-events"},
		{value: "file:./one", want: "from a file"},
		{value: "file:" + dir + "/two-lines", want: "first\nsecond"},
		{value: "$${LONG_SECRET}", want: "${LONG_SECRET}"},
		{value: "$$LONG_SECRET $$ $1 pa$word $.a", want: "$LONG_SECRET $$ $1 pa$word $.a"},
		{value: "${NOT_SET:-eu-central-1}/${LONG_SECRET:-x}/${NOT_SET:-}", want: "eu-central-1/" + longSecret + "/"},
		{value: "$LONG_SECRET", err: "expected ${LONG_SECRET}; write $$"},
		{value: "logs/$LONG_SECRET", err: "expected ${NAME}"},
		{value: "logs/$(date)", err: "expected ${NAME}"},
		{value: "$$(date) $ (x)", want: "$(date) $ (x)"},
		{value: "~audit/x", err: "~ is not expanded"},
		{value: "${}", err: "looks like a reference"},
		{value: "${a b}", err: "looks like a reference"},
		{value: "${env:LONG_SECRET}", err: "looks like a reference"},
		{value: "${LONG_SECRET:?no}", err: "looks like a reference"},
		{value: "x ${LONG_SECRET", err: "looks like a reference"},
		{value: "~/x", err: "~ is not expanded"},
		{value: "x os.environ/LONG_SECRET", want: "x os.environ/LONG_SECRET"},
		{value: "file:one", want: "file:one"},
		{value: "os.environ/NOT_SET", err: "NOT_SET is not set"},
		{value: "a-${NOT_SET}-${NEITHER}", err: "NEITHER is not set"},
		{value: "os.environ/", err: "not followed by a variable's name"},
		{value: "file:./none", err: "no such file"},
		{value: "file:./large", err: "larger than 64 KiB"},
		{value: "file:" + dir, err: "not a regular file"},
		{value: "file:/dev/zero", err: "not a regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.value, func(t *testing.T) {
			text := fmt.Sprintf("callbacks: [{name: a, when: {query: %q}, sink: {x: }}]", tt.value)
			c, err := Parse("relay.yaml", []byte(text), LoadOptions{LookupEnv: environment, Dir: dir})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), "relay.yaml:1:37: callbacks[0].when.query: ") {
					t.Fatalf("got %v, want an error with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Callbacks[0].When.Query; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// References can also give numbers and booleans, if an option requires them.
func TestReferencesHaveTheKindThatIsWanted(t *testing.T) {
	env := map[string]string{"N": "7", "SIZE": "2MiB", "AGE": "3d", "YES": "true"}
	c, err := Parse("relay.yaml", []byte(`
ingest: {limits: {depth: "${N}", event_bytes: os.environ/SIZE}}
journal: {retention: {age: "${AGE}"}}
metrics: {public: os.environ/YES}
callbacks: []
`), LoadOptions{LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	if c.Ingest.Limits.Depth != 7 || c.Ingest.Limits.EventBytes != 2<<20 || c.Journal.Retention.Age.Hours() != 72 || !c.Metrics.Public {
		t.Errorf("got %+v %+v %+v", c.Ingest, c.Journal, c.Metrics)
	}
}

// A number that YAML reads as octal is an error everywhere: 010 is not 8.
func TestLeadingZeros(t *testing.T) {
	for _, text := range []string{
		"ingest: {limits: {depth: 010}}",
		"ingest: {limits: {depth: -010}}",
		"ingest: {limits: {depth: \"${N}\"}}",
		"callbacks: [{name: a, sink: {file: {path: x, rotate: {keep: 08}}}}]",
		"filters: {f: {wasm: x, config: {n: 0755}}}",
	} {
		_, err := Parse("relay.yaml", []byte(text), LoadOptions{LookupEnv: func(string) (string, bool) { return "010", true }})
		if err == nil || strings.Count(err.Error(), "leading zero") != 1 {
			t.Errorf("%s: got %v", text, err)
		}
	}
	if _, err := Parse("relay.yaml", []byte("ingest: {limits: {depth: 0x10}}\nquarantine: {bytes: 0}"), LoadOptions{}); err != nil && strings.Contains(err.Error(), "leading zero") {
		t.Error(err)
	}
}

// The YAML parser quotes its input, which may contain a secret.
func TestSyntaxErrorsRepeatNothing(t *testing.T) {
	for _, text := range []string{
		"tokens: [{name: a, token: *sk-very-secret}]",
		"tokens: [{name: a, token: !sk-very-secret x}]",
		"tokens: [{name: a, token: \"sk-very-secret\\q\"}]",
		"tokens: [{name: a, token: %sk-very-secret}]",
		"tokens: [{name: a, token: `sk-very-secret`}]",
		"tokens: {sk-very-secret",
		"a: sk-very-secret: b",
		"<<: sk-very-secret",
	} {
		_, err := Parse("relay.yaml", []byte(text), LoadOptions{})
		if err == nil || strings.Contains(err.Error(), "very-secret") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestASecretInAWorldReadableFileIsAWarning(t *testing.T) {
	const text = `
tokens: [{name: a, token: an-actual-token-in-plain-text, roles: [view]}, {name: b, token: "${LONG_SECRET}", roles: [view]}, {name: c, token: "sha256:5e9f0c2a7d1b48e6a3c05f7b92d814e60c7a3b5d9f1e2846b0d7c9a5e3f18264", roles: [view]}]
callbacks: [{name: archive, sink: {s3: {bucket: b, credentials: {access_key_id: a, secret_access_key: a-plain-secret}}}}]
`
	for _, tt := range []struct {
		mode os.FileMode
		want []string
	}{
		{0o600, nil},
		{0o640, nil},
		{0o644, []string{"tokens[0].token is a secret in plain text", "callbacks[0].sink.s3.credentials.secret_access_key is a secret in plain text"}},
	} {
		file := write(t, t.TempDir(), "relay.yaml", text, tt.mode)
		c, err := Load(file, testOptions(""))
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Notes) != len(tt.want) {
			t.Fatalf("%v: got %v", tt.mode, c.Notes)
		}
		for i, want := range tt.want {
			if n := c.Notes[i]; n.Level != slog.LevelWarn || n.Line != i+2 || !strings.HasPrefix(n.Text, want) {
				t.Errorf("got %+v, want %q on line %d", n, want, i+2)
			}
		}
		for _, verb := range []string{"%v", "%+v", "%#v"} {
			if shown := fmt.Sprintf(verb, c); strings.Contains(shown, "plain-secret") || strings.Contains(shown, "actual-token") || strings.Contains(shown, longSecret) {
				t.Errorf("%s shows a secret: %s", verb, shown)
			}
		}
	}
}

func TestListeningBeyondLoopbackNeedsTokens(t *testing.T) {
	for _, tt := range []struct {
		listen string
		ok     bool
	}{
		{"127.0.0.1:8787", true},
		{"localhost:8787", true},
		{"'[::1]:8787'", true},
		{"127.8.8.8:0", true},
		{"0.0.0.0:8787", false},
		{"':8787'", false},
		{"'[::]:8787'", false},
		{"relay.example:8787", false},
		{"192.168.1.5:8787", false},
	} {
		text := "listen: " + tt.listen + "\n" + minimal
		if _, err := Parse("relay.yaml", []byte(text), LoadOptions{}); (err == nil) != tt.ok {
			t.Errorf("%s without tokens: got %v", tt.listen, err)
		}
		text += "tokens: [{name: a, token: 7f3a91c04be2d586-x, roles: [admin]}]\n"
		if _, err := Parse("relay.yaml", []byte(text), LoadOptions{}); err != nil {
			t.Errorf("%s with tokens: got %v", tt.listen, err)
		}
	}
	for _, listen := range []string{"nowhere", "1.2.3.4", "127.0.0.1:http", "127.0.0.1:99999", "''"} {
		if _, err := Parse("relay.yaml", []byte("listen: "+listen), LoadOptions{}); err == nil || !strings.Contains(err.Error(), "host:port") {
			t.Errorf("%s: got %v", listen, err)
		}
	}
}

// TestAFleetIsEncrypted: the shared secret of relays is not sent in plain text, unless the
// operator allows it.
func TestAFleetIsEncrypted(t *testing.T) {
	for _, tt := range []struct {
		fleet string
		ok    bool
	}{
		{"address: 'http://10.0.0.1:8787'", false},
		{"address: 'http://relay-a:8787'", false},
		{"address: 'http://10.0.0.1:8787', plaintext: true", true},
		{"address: 'http://127.0.0.1:8787'", true},
		{"address: 'http://[::1]:8787'", true},
		{"address: 'http://localhost:8787'", true},
	} {
		_, err := Parse("relay.yaml", []byte("journal: {postgres: {url: postgres://h/d, fleet: {"+tt.fleet+"}}}\nproofs: {unsigned: true}\ntokens: [{name: a, token: 7f3a91c04be2d586-x, roles: [admin]}]\n"+minimal), LoadOptions{})
		if tt.ok && err != nil || !tt.ok && (err == nil || !strings.Contains(err.Error(), "plaintext: true")) {
			t.Errorf("%s: %v", tt.fleet, err)
		}
	}
}

func TestAFleetNeedsAnAddress(t *testing.T) {
	for _, host := range []string{"0.0.0.0", "[::]"} {
		_, err := Parse("relay.yaml", []byte("journal: {postgres: {url: postgres://h/d, fleet: {address: 'http://"+host+":8787', plaintext: true}}}\n"+minimal), LoadOptions{})
		if err == nil || !strings.Contains(err.Error(), "at which each machine reaches only itself") {
			t.Errorf("%s: %v", host, err)
		}
	}
	_, err := Parse("relay.yaml", []byte("listen: none\nsocket: {path: s}\njournal: {postgres: {url: postgres://h/d, fleet: {address: 'http://a:1'}}}\n"+minimal), LoadOptions{})
	if err == nil || !strings.Contains(err.Error(), "relay.yaml:1:9: listen: a fleet needs an address") {
		t.Errorf("got %v", err)
	}
}

func TestTokensOfIngestAreTokensWithThatRole(t *testing.T) {
	c, err := Parse("relay.yaml", []byte(`
tokens: [{name: admin, token: "7f3a91c04be2d586", roles: [admin]}]
ingest: {tokens: [{name: litellm, token: os.environ/LONG_SECRET}]}
callbacks: []
`), LoadOptions{LookupEnv: environment})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Tokens) != 2 || c.Tokens[1].Name != "litellm" || c.Tokens[1].Token.Reveal() != longSecret || len(c.Tokens[1].Roles) != 1 || c.Tokens[1].Roles[0] != RoleIngest {
		t.Errorf("got %+v", c.Tokens)
	}
}

// Inputs that no configuration needs are refused before they cost anything.
func TestHostileFilesAreRefused(t *testing.T) {
	merge := "a: &a {x: 1}\n" + strings.Repeat("b: {<<: [*a, *a, *a, *a]}\n", 1)
	for name, tt := range map[string]struct{ text, want string }{
		"too large":       {strings.Repeat("# comment\n", maxFile/10+1), "larger than 1 MiB"},
		"NUL":             {"listen: a\nlog: \x00", "relay.yaml:2:6: a NUL byte"},
		"not UTF-8":       {"listen: \xff", "relay.yaml:1:9: not UTF-8"},
		"UTF-16":          {"\xff\xfel\x00i\x00", "a NUL byte"},
		"deep flow":       {strings.Repeat("[", 100_000), "depth"},
		"deep and closed": {"a: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "nested deeper than 64"},
		"many values":     {"removed: [" + strings.Repeat("a,", 200_000) + "]", "more than 100000 values"},
		"many errors":     {strings.Repeat("[1]: 2\n", 500), "and 401 more"},
		"a list":          {"- a", "found a list, expected a mapping"},
		"a word":          {"listen", "found a string, expected a mapping"},
		"merges":          {merge, "an unknown key"},
		"open quote":      {"listen: 'a", "not YAML"},
		"unknown anchor":  {"listen: *nowhere", "an alias without its anchor"},
		"binary":          {"listen: !!binary aGVsbG8=", "unknown YAML tag"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("relay.yaml", []byte(tt.text), LoadOptions{})
			if _, ok := errors.AsType[Errors](err); !ok || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %.300v, want %q", err, tt.want)
			}
		})
	}
}

func TestMergesAndAliasesAreExpanded(t *testing.T) {
	c, err := Parse("relay.yaml", []byte(`
callbacks:
  - &base {name: a, sink: {s3: {bucket: one}}, retain: &r {age: 1d}}
  - {<<: *base, name: b}
  - {<<: [{name: c, in_flight: 2}, *base], retain: *r}
`), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, cb := range c.Callbacks {
		got = append(got, fmt.Sprintf("%s %s %v %d", cb.Name, cb.Sink.Type, cb.Retain.Age, cb.InFlight))
	}
	want := "a s3 24h0m0s 0, b s3 24h0m0s 0, c s3 24h0m0s 2"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAGuestsConfigurationBecomesJSON(t *testing.T) {
	c, err := Parse("relay.yaml", []byte(`
filters:
  g:
    wasm: testdata/guest.wasm
    config: {b: 1, a: [1.50, +2, 0x10, 1_000, 12345678901234567890123, 1e3], t: 2026-01-31, s: "${BUCKET}", q: "a\"<b", n: , on: yes, f: false}
callbacks: []
`), LoadOptions{LookupEnv: environment})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"b":1,"a":[1.50,2,16,1000,12345678901234567890123,1e3],"t":"2026-01-31","s":"audit-events","q":"a\"<b","n":null,"on":"yes","f":false}`
	if got := string(c.Filters[0].Config); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	_, err = Parse("relay.yaml", []byte("filters: {g: {wasm: testdata/guest.wasm, config: {a: .inf}}}"), LoadOptions{})
	if err == nil || !strings.Contains(err.Error(), "JSON has no form for") {
		t.Errorf("got %v", err)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]string{
		"30d": "720h0m0s", "1d12h": "36h0m0s", "500ms": "500ms", "0": "0s", " 1h ": "1h0m0s",
		"": "error", "d": "error", "-1d": "error", "1d-1h": "error", "106752d": "error", "106751d24h": "error", "1.5d": "error", "1 d": "error", "5": "error",
	} {
		d, err := parseDuration(text)
		got := d.String()
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// People put secrets in wrong places. The error must not put them in a log.
func TestASecretInTheWrongPlaceDoesNotShow(t *testing.T) {
	for _, text := range []string{
		"tls: {cert: os.environ/PEM, key: os.environ/PEM, client_ca: file:SECRET}",
		"tls: {cert: SECRET, key: SECRET}",
		"listen: os.environ/PEM",
		"log: {level: os.environ/PEM}",
		"keys: {SECRET: short}",
		"tokens: [{name: a, token: [SECRET], roles: [os.environ/PEM]}, SECRET, {name: os.environ/PEM, token: os.environ/PEM, roles: [view]}, {name: os.environ/PEM, token: os.environ/PEM, roles: [view]}]",
		"filters: {f: {wasm: os.environ/PEM, sha256: os.environ/PEM, grants: {emit: [os.environ/PEM], keys: [os.environ/PEM], write: ['a..${PEM}']}}}",
		"callbacks: [{name: os.environ/WORD, sink: {x: }}, {name: os.environ/WORD, sink: {x: }}, {name: a, receives: os.environ/PEM, filters: [os.environ/PEM], from: os.environ/PEM, renamed_from: os.environ/WORD, sink: os.environ/PEM}]\nremoved: [os.environ/WORD, os.environ/PEM]",
		"callbacks: [{name: os.environ/WORD, receives: both, filters: [f]}]\nfilters: {f: {wasm: testdata/guest.wasm, grants: {emit: [os.environ/WORD]}}}",
		"litellm_settings: {audit_log_callbacks: [os.environ/PEM, os.environ/WORD], store_audit_logs: os.environ/PEM, s3_callback_params: {s3_verify: os.environ/PEM, s3_server_side_encryption: os.environ/PEM}}",
		"litellm_settings: {audit_log_callbacks: [s3_v2], s3_callback_params: {s3_verify: os.environ/PEM, s3_server_side_encryption: os.environ/PEM, s3_max_concurrent_uploads: os.environ/PEM}}",
		"ingest: {limits: {depth: os.environ/PEM, event_bytes: os.environ/PEM}}\nshutdown: {deadline: os.environ/PEM}\nmetrics: {public: os.environ/PEM}",
		"journal: os.environ/PEM\ndata_dir: 5",
	} {
		const secret = "hidden-from-all-0123456789"
		text = strings.ReplaceAll(text, "SECRET", secret)
		_, err := Parse("relay.yaml", []byte(text), LoadOptions{LookupEnv: func(name string) (string, bool) {
			if name == "PEM" {
				return "-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----\n", true
			}
			return secret, name == "WORD"
		}})
		if err == nil {
			t.Errorf("no error: %s", text)
		} else if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s\nshows a secret: %v", text, err)
		}
	}
}

// A secret that looks like another program's reference is an error, at its place, without its
// value. Real forms of secrets are not.
func TestForeignSecrets(t *testing.T) {
	for _, text := range []string{
		"$splunk_token_of_prod", "%SPLUNK_TOKEN%", "{{ env \"SPLUNK_TOKEN\" }}", "prefix-{{token}}", "<your token here>", "env:SPLUNK_TOKEN", "env.SPLUNK_TOKEN", "ENV[SPLUNK_TOKEN]",
		"env://SPLUNK_TOKEN", "os.environ['SPLUNK_TOKEN']", "os.getenv(\"SPLUNK_TOKEN\")", "process.env.SPLUNK_TOKEN", "vault:secret/data/audit#token", "secrets.SPLUNK_TOKEN",
		"op://audit/splunk/token", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:splunk-AbCdEf", "arn:aws-us-gov:ssm:us-gov-west-1:1:parameter/x",
		"projects/audit/secrets/splunk/versions/latest", "ref+vault://secret/splunk#token", "ENC[AES256_GCM,data:Zm9v,iv:YmFy]", "@/run/secrets/token", "@./token", "file:token",
		"keyvault:splunk", "secretRef:splunk", "!secret splunk", "aws-sm://splunk",
	} {
		_, err := Parse("relay.yaml", []byte("callbacks: []\nkeys: {k: "+strconv.Quote(text)+"}"), LoadOptions{})
		if err == nil || !strings.Contains(err.Error(), "relay.yaml:2:11: keys.k: this looks like") || strings.Contains(err.Error(), "plunk") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{
		"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "$2a$10$9qo8uLOickgx2ZMRZo", "p%40ss%20word%of%sixteen", "environment-of-sixteen-bytes",
		"vault-token-hvs.CAESIJ", "operation:is not one, with spaces", "a<b>c of sixteen bytes", "secretive words, sixteen", "AKIA{IOSFODNN7}EXAMPLE", "pa$$word-of-16-bytes", "@bout sixteen bytes long",
	} {
		if _, err := Parse("relay.yaml", []byte("callbacks: []\nkeys: {k: "+strconv.Quote(text)+"}"), LoadOptions{}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	// The content for a guest or a detector is not checked.
	dir := t.TempDir()
	write(t, dir, "x.wasm", "\x00asm", 0o600)
	if _, err := Parse("relay.yaml", []byte(`{callbacks: [], filters: {f: {wasm: x.wasm, config: {a: "$(b)", c: "$$(d)"}}}}`), LoadOptions{Dir: dir}); err != nil {
		t.Error(err)
	}
}
