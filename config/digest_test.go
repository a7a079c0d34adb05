package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/internal/detect"
)

const digested = `
listen: 127.0.0.1:1
keys: {k: "${LONG_SECRET}", other: another-key-of-some-length}
filters:
  f: {wasm: testdata/guest.wasm, grants: {keys: [k]}, config: {a: 1}}
  g: {wasm: testdata/guest.wasm}
callbacks:
  - {name: a, filters: [f], when: {action: [x], table_name: [y]}, sink: {s3: {bucket: b, region: r, credentials: {secret_access_key: "${AWS_SECRET_ACCESS_KEY}"}}}}
  - {name: b, filters: [g], sink: {s3: {bucket: c}}, from: 2026-01-31T00:00:00Z}
`

func digests(t *testing.T, text string, env func(string) (string, bool), key string) (whole, a, b string) {
	t.Helper()
	c, err := Parse("relay.yaml", []byte(text), LoadOptions{LookupEnv: env})
	if err != nil {
		t.Fatal(err)
	}
	return c.Digest([]byte(key)), c.CallbackDigest([]byte(key), &c.Callbacks[0]), c.CallbackDigest([]byte(key), &c.Callbacks[1])
}

func TestDigestsFollowTheMeaningNotTheText(t *testing.T) {
	changed := func(name, value string) func(string) (string, bool) {
		return func(n string) (string, bool) {
			if n == name {
				return value, true
			}
			return environment(n)
		}
	}
	whole, a, b := digests(t, digested, environment, "key")
	if a == b || whole == a || len(a) != 64 {
		t.Fatalf("got %s, %s, %s", whole, a, b)
	}
	for _, tt := range []struct {
		name, old, new string
		env            func(string) (string, bool)
		key            string
		whole, a, b    bool // whether the digest changes
	}{
		{name: "nothing"},
		{name: "a comment", old: "callbacks:", new: "# a comment\ncallbacks:"},
		{name: "the order of keys", old: "bucket: b, region: r", new: "region: r, bucket: b"},
		{name: "the order of fields", old: "action: [x], table_name: [y]", new: "table_name: [y], action: [x]"},
		{name: "a reference's form", old: `"${LONG_SECRET}"`, new: "os.environ/LONG_SECRET"},
		{name: "a default written out", old: "listen: 127.0.0.1:1", new: "listen: 127.0.0.1:1\ndata_dir: ./data"},
		{name: "the same time elsewhere", old: "2026-01-31T00:00:00Z", new: "2026-01-31T01:00:00+01:00"},
		{name: "the listener", old: "127.0.0.1:1", new: "127.0.0.1:2", whole: true},
		{name: "the sandbox's default", old: "callbacks:", new: "guests: {sandbox: preferred}\ncallbacks:"},
		{name: "no sandbox", old: "callbacks:", new: "guests: {sandbox: off}\ncallbacks:", whole: true, a: true, b: true},
		{name: "a required sandbox", old: "callbacks:", new: "guests: {sandbox: required}\ncallbacks:", whole: true, a: true, b: true},
		{name: "a format", old: "filters: [f], when", new: "filters: [f], format: ocsf, when", whole: true, a: true},
		{name: "the default format", old: "filters: [f], when", new: "filters: [f], format: event, when"},
		{name: "one sink", old: "bucket: b", new: "bucket: d", whole: true, a: true},
		{name: "one sink's secret", env: changed("AWS_SECRET_ACCESS_KEY", "rotated"), whole: true, a: true},
		{name: "a granted key", env: changed("LONG_SECRET", "another-secret-of-some-length"), whole: true, a: true},
		{name: "a key that is not granted", old: "another-key-of", new: "still-another-key-of", whole: true},
		{name: "a guest's configuration", old: "{a: 1}", new: "{a: 2}", whole: true, a: true},
		{name: "the other's filter", old: "g: {wasm: testdata/guest.wasm}", new: "g: {wasm: testdata/guest.wasm, on_error: discard}", whole: true, b: true},
		{name: "a string for a number", old: "{a: 1}", new: `{a: "1"}`, whole: true, a: true},
		{name: "the key of the digest", key: "another", whole: true, a: true, b: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, env, key := digested, environment, "key"
			if tt.old != "" {
				text = strings.Replace(text, tt.old, tt.new, 1)
				if text == digested {
					t.Fatal("nothing was replaced")
				}
			}
			if tt.env != nil {
				env = tt.env
			}
			if tt.key != "" {
				key = tt.key
			}
			w2, a2, b2 := digests(t, text, env, key)
			if (w2 != whole) != tt.whole || (a2 != a) != tt.a || (b2 != b) != tt.b {
				t.Errorf("changed: whole %v, a %v, b %v; want %v, %v, %v", w2 != whole, a2 != a, b2 != b, tt.whole, tt.a, tt.b)
			}
		})
	}
}

// Another module under the same name changes the callback.
func TestDigestsSeeTheModule(t *testing.T) {
	dir := t.TempDir()
	text := []byte("filters: {f: {wasm: m.wasm}}\ncallbacks: [{name: a, filters: [f], sink: {x: }}]")
	var got [2][2]string
	for i, module := range []string{"one", "two"} {
		write(t, dir, "m.wasm", module, 0o600)
		c, err := Parse("relay.yaml", text, LoadOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		got[i] = [2]string{c.CallbackDigest(nil, &c.Callbacks[0]), c.Digest(nil)}
	}
	for i := range got[0] {
		if got[0][i] == got[1][i] {
			t.Errorf("digest %d is the same for another module", i)
		}
	}
}

func TestASectionsDigest(t *testing.T) {
	one, two, three := section(t, "        {a: 1, b: [x]}\n"), section(t, "        b:\n          - x\n        a: 1\n"), section(t, "        {a: 1, b: [y]}\n")
	if one.Digest(nil) != two.Digest(nil) || one.Digest(nil) == three.Digest(nil) {
		t.Error("the digest does not follow the content")
	}
	_ = (Section{}).Digest(nil) // of nothing: no panic
}

const digestedKeys = `
keys:
  k: {current: 2, versions: {1: first-secret-of-k, 2: second-secret-of-k}}
  other: secret-of-the-other-key
filters:
  f: {wasm: testdata/guest.wasm, grants: {keys: [k]}}
  n: {redact: {rules: [{names: [user], do: hmac, key: k}]}}
callbacks:
  - {name: a, filters: [f], sink: {x: }}
  - {name: b, filters: [n], sink: {x: }}
`

// The current key version is part of everything that uses it, guest or policy. Older versions
// are only part of the whole.
func TestDigestsSeeKeyVersions(t *testing.T) {
	redact := func(_ Section, keys map[string]auditrelay.Key, _ *detect.Catalogue) ([]string, error) {
		return []string{"k"}, nil
	}
	of := func(text string) (digests [3]string) {
		t.Helper()
		c, err := Parse("relay.yaml", []byte(text), LoadOptions{Redact: redact})
		if err != nil {
			t.Fatal(err)
		}
		return [3]string{c.Digest(nil), c.CallbackDigest(nil, &c.Callbacks[0]), c.CallbackDigest(nil, &c.Callbacks[1])}
	}
	before := of(digestedKeys)
	for _, tt := range []struct {
		name, old, new string
		whole, uses    bool // whether the digest changes
	}{
		{name: "the current version", old: "current: 2", new: "current: 1", whole: true, uses: true},
		{name: "the current version's secret", old: "second-secret-of-k", new: "2nd-secret-of-key-k", whole: true, uses: true},
		{name: "the current version's number", old: "current: 2, versions: {1: first-secret-of-k, 2:", new: "current: 3, versions: {1: first-secret-of-k, 3:", whole: true, uses: true},
		{name: "an older version's secret", old: "first-secret-of-k", new: "1st-secret-of-key-k", whole: true},
		{name: "an older version destroyed", old: "first-secret-of-k", new: "destroyed", whole: true},
		{name: "an older version gone", old: "1: first-secret-of-k, ", new: "", whole: true},
		{name: "a further version", old: "1: first", new: "7: seventh-secret-of-k, 1: first", whole: true},
		{name: "another key's", old: "secret-of-the-other-key", new: "secret-of-another-key", whole: true},
		{name: "version 0 written out", old: "other: secret-of-the-other-key", new: "other: {current: 0, versions: {0: secret-of-the-other-key}}"},
		{name: "the order of versions", old: "1: first-secret-of-k, 2: second-secret-of-k", new: "2: second-secret-of-k, 1: first-secret-of-k"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(digestedKeys, tt.old, tt.new, 1)
			if text == digestedKeys {
				t.Fatal("nothing was replaced")
			}
			after := of(text)
			got, want := [3]bool{}, [3]bool{tt.whole, tt.uses, tt.uses}
			for i := range got {
				got[i] = after[i] != before[i]
			}
			if got != want {
				t.Errorf("changed: whole, guest's, policy's %v, want %v", got, want)
			}
		})
	}
}

// A replaced certificate file is a change, although the configuration's text is the same.
func TestDigestSeesCertificates(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"cert", "key", "ca"} {
		write(t, dir, name, "first", 0o600)
	}
	digest := func() string {
		t.Helper()
		c, err := Parse("relay.yaml", []byte("tls: {cert: cert, key: key, client_ca: ca}\n"+minimal), LoadOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return c.Digest(nil)
	}
	before := digest()
	if digest() != before {
		t.Error("the same files, another digest")
	}
	for _, name := range []string{"cert", "ca"} {
		write(t, dir, name, "second", 0o600)
		after := digest()
		if after == before {
			t.Errorf("%s was replaced, and the digest is the same", name)
		}
		before = after
	}
}

// A certificate or key replaced under the same name changes the callback.
func TestDigestsSeeTheFilesOfSinks(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "root ca.pem")
	escaped := strings.ReplaceAll(file, " ", "%20")
	for _, sink := range []string{
		"{postgres: {url: \"postgres://u@h/d?sslmode=verify-full&sslrootcert=" + escaped + "\"}}",
		"{postgres: {url: \"postgres://u@h/d?sslcert=" + escaped + "&sslkey=/nowhere\"}}",
		"{splunk: {ca: \"" + file + "\"}}",
		"{splunk: {ca: \"root ca.pem\"}}",
		"{splunk: {token: \"" + file + "\"}}", // no file
	} {
		digest := func(content string) string {
			t.Helper()
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := Parse("relay.yaml", []byte("callbacks:\n  - {name: a, sink: "+sink+"}\n"), LoadOptions{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			c.Callbacks[0].Sink.Options.dir = dir
			return c.CallbackDigest(nil, &c.Callbacks[0])
		}
		one, same, other := digest("one"), digest("one"), digest("other")
		if changed := one != other; one != same || changed == strings.Contains(sink, "token") {
			t.Errorf("%s: the same file %v, another %v", sink, one == same, changed)
		}
	}
}
