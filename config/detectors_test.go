package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay/internal/detect"
)

const rulesFile = `title = "acme"
[allowlist]
paths = ['''go\.sum''']
[[rules]]
id = "acme-deploy-key"
description = "Deploy keys"
regex = '''(?i)acme[_-]?deploy.{0,20}?\b([a-z0-9]{24})\b'''
keywords = ["acme"]
entropy = 3
  [[rules.allowlists]]
  stopwords = ["example"]
[[rules]]
id = "github-pat"
regex = '''ghp_[0-9a-zA-Z]{36}'''
[[rules]]
id = "acme-files"
path = '''\.pem$'''
`

func loadDetectors(t *testing.T, text string, files map[string]string) (*Config, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Parse("relay.yaml", []byte(text), LoadOptions{Dir: dir})
}

const someDetectors = `
detectors:
  acme-token:
    prefix: [acme_]
    alphabet: A-Za-z0-9
    length: 24..32
    entropy: 3.2
    examples: [acme_q7Zk2mXv9TbL4wRy8nDs6HcP]
    counter_examples: [acme_short]
  acme-order:
    regex: 'order ([A-Z]{3}-[0-9]{6})'
    keywords: [order]
  acme-pin:
    regex: '[0-9]{6}'
    keywords: [pin]
    under: ["*_pin"]
    group: acme
detector_files: [.acme.toml]
detector_exceptions:
  - {detector: acme-token, path: updated_values.build, reason: a build number}
callbacks:
  - {name: a, must_not_leave: {detectors: [acme-token, acme, secrets]}, sink: {stdout: {}}}
`

// An operator's rules, in YAML and in gitleaks' format, work like the shipped detectors, and
// exceptions apply where they say.
func TestDetectors(t *testing.T) {
	cfg, err := loadDetectors(t, someDetectors, map[string]string{".acme.toml": rulesFile})
	if err != nil {
		t.Fatal(err)
	}
	c := cfg.Catalogue()
	s, err := c.Set("secrets", "acme")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"use acme_q7Zk2mXv9TbL4wRy8nDs6HcP now":                        "acme-token acme_q7Zk2mXv9TbL4wRy8nDs6HcP",
		"use acme_aaaaaaaaaaaaaaaaaaaaaaaa now":                        "",
		"the order ABC-123456 of today":                                "acme-order ABC-123456",
		"ACME_DEPLOY key q7zk2mxv9tbl4wry8nds6hcp":                     "acme-deploy-key q7zk2mxv9tbl4wry8nds6hcp",
		"acme deploy example2mxv9tbl4wry8nd":                           "",
		"ghp_q7Zk2mXv9TbL4wRy8nDs6HcPq7Zk2mXv9TbL":                     "acme-github-pat ghp_q7Zk2mXv9TbL4wRy8nDs6HcPq7Zk2mXv9TbL",
		strings.Repeat("word ", 5000) + "order ABC-123456":             "acme-order ABC-123456",
		strings.Repeat("order ", 5000) + "order ABC-123456 and order":  "acme-order ABC-123456",
		strings.Repeat("order ABC-12345 ", 900) + " order ABC-123456 ": "acme-order ABC-123456",
	} {
		got := ""
		for _, f := range s.Append(nil, []byte(text), detect.Name{}) {
			got += f.Detector + " " + text[f.Start:f.End]
		}
		if got != want {
			t.Errorf("%.80q: %q, want %q", text, got, want)
		}
	}
	secret := []byte("acme_q7Zk2mXv9TbL4wRy8nDs6HcP")
	if s.Detects(secret, detect.Name{}.At(1)) || !s.Detects(secret, detect.Name{}) || c.Exceptions()[0].Used != 1 {
		t.Errorf("the exception: %+v", c.Exceptions())
	}
	pin := []byte("pin 123456")
	if !s.Detects(pin, s.Name([]byte("door_pin"))) || s.Detects(pin, s.Name([]byte("door"))) {
		t.Error("a rule that is bound to names")
	}
	plain, err := loadDetectors(t, "callbacks: []\n", nil)
	if err != nil || plain.Catalogue().Digest() == c.Digest() {
		t.Errorf("the digest does not tell: %v", err)
	}
}

// Faults are reported at their places, all at once, without event data.
func TestDetectorFaults(t *testing.T) {
	_, err := loadDetectors(t, `detectors:
  broken:
    regex: 'a(b'
  anything:
    regex: '[a-z]+'
  huge:
    regex: '((a{100}){100}){100}x'
  short: {prefix: [a], alphabet: a-z, length: 5}
  long: {prefix: [acme_], alphabet: a-z, length: many}
  wrong:
    prefix: [acme_]
    alphabet: a-z
    length: 5
    examples: [acme_abcde, nothing]
    counter_examples: [acme_fghij]
  jwt: {prefix: [acme_], alphabet: a-z, length: 5}
detector_files: [rules.toml, none.toml]
detector_exceptions:
  - {detector: nobody, path: a.b, reason: x}
  - {detector: jwt, path: "a..b"}
  - {reason: x}
  - {reason: everything, path: "**"}
  - {reason: no digest, sha256: abc}
  - {reason: one detector everywhere, path: "**", detector: jwt}
callbacks: []
`, map[string]string{"rules.toml": "[[rules]]\nid = \"x\"\nregex = 'abc'\n\n[[rules]]\nid = \"y\"\nregex = '(abc'\n"})
	var all Errors
	if !errors.As(err, &all) {
		t.Fatal(err)
	}
	text := err.Error()
	for _, want := range []string{
		"relay.yaml:3:", "detectors.broken.regex", "relay.yaml:5:", "give keywords", "relay.yaml:7:", "detectors.short.prefix", "32..40",
		"detector_files[0]: rules.toml:5: ", "detector_files[1]", "detector_exceptions[1].reason",
		"relay.yaml:19:16: detector_exceptions[0].detector: no detector is called nobody: ", "relay.yaml:20:27: detector_exceptions[1].path: ", "relay.yaml:21:5: detector_exceptions[2].path: it excepts everything",
		"relay.yaml:22:32: detector_exceptions[3].path: it excepts everything", "relay.yaml:23:33: detector_exceptions[4].sha256: expected 64",
		"relay.yaml:16:8: detectors.jwt: a detector or group has this name already",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing says %s:\n%s", want, text)
		}
	}
	_, err = loadDetectors(t, `detectors:
  wrong:
    prefix: [acme_]
    alphabet: a-z
    length: 5
    examples: [acme_abcde, nothing]
    counter_examples: [acme_fghij]
callbacks: []
`, nil)
	for _, want := range []string{"relay.yaml:6:", "examples[1]", "relay.yaml:7:", "counter_examples[0]"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %s: %v", want, err)
		}
	}
}
