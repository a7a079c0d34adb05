package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay/config"
)

// No secret is shown, in any place. References to secrets are.
func TestShowHidesSecrets(t *testing.T) {
	dir := writeFiles(t, `-- a.yaml --
tokens: [{name: t, token: 7d2f9a4c1be8063f5a91c7de20b4863f, roles: [view]}, {name: u, token: "${TOKEN}", roles: [view]}]
ingest: {tokens: [{name: l, token: 1c9e4b7a20d5f8361e7ab4905cd2f683}]}
keys: {people: 0d34b3b9a1f04bd2e7c5, old: {current: 2, versions: {1: 5c0fa9e0d7f84419ab21, 2: "file:./secret"}}}
-- b.yaml --
filters:
  guest: {wasm: ./x.wasm, config: {api_key: hunter2hunter2, pins: [1], passwords: [swordfish, 12345], deep: [{note: "ghp_0123456789abcdefghijABCDEFGHIJ456789"}], url: "postgres://u:swordfish@h/db"}}
callbacks:
  - {name: a, filters: [guest], sink: {kept: {url: "https://u:swordfish@h/", hook: "https://hooks.example/x?key=marlin-of-1&v=1", none: "a?b://c", options: {password: swordfish, plain: text}}}}
-- secret --
0d34b3b9a1f04bd2e7c5-of-a-file
-- x.wasm --
`)
	o := config.LoadOptions{LookupEnv: func(name string) (string, bool) { return "e4f60be18f5442cfa1f90d5a7a3b6c7d", name == "TOKEN" }}
	text, _, err := config.Show(dir, o, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"7d2f", "1c9e", "0d34", "5c0f", "hunter2", "swordfish", "marlin", "12345", "ghp_", "e4f6", "of-a-file"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s is shown:\n%s", secret, text)
		}
	}
	for _, line := range []string{`token: "(hidden)"`, `token: "${TOKEN}"`, `"2": file:./secret`, `api_key: "(hidden)"`, "plain: text", `hook: "https://hooks.example/x?(hidden)"`, `none: "a?b://c"`, "#   window: 1048576", "    # roles:"} {
		if strings.Contains(string(text), line) == (line == "    # roles:") {
			t.Errorf("%s:\n%s", line, text)
		}
	}
}

// For a configuration without plain-text secrets, the output is the same configuration.
func TestShownIsTheSame(t *testing.T) {
	files, err := filepath.Glob("testdata/native/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	dir := writeFiles(t, strings.NewReplacer("7d2f9a4c1be8063f5a91c7de20b4863f", `"${T}"`, "0123456789abcdef01234567", `"${T}"`).Replace(severalFiles))
	o := config.LoadOptions{LookupEnv: func(string) (string, bool) { return "e4f60be18f5442cfa1f90d5a7a3b6c7d", true }}
	tried := 0
	for _, file := range append(files, dir) {
		o.Dir = config.Dir(file)
		want, err := config.Load(file, o)
		if err != nil {
			continue
		}
		for _, defaults := range []bool{false, true} {
			text, _, err := config.Show(file, o, defaults)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "(hidden)") {
				continue
			}
			tried++
			got, err := config.Parse(file, text, o)
			if err != nil || got.Digest(nil) != want.Digest(nil) {
				t.Errorf("%s, defaults %v: %v\n%s", file, defaults, err, text)
			}
		}
	}
	if tried < 4 {
		t.Errorf("only %d configurations without secrets", tried)
	}
}

func TestShowOfLiteLLMsConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "litellm.yaml")
	if err := os.WriteFile(file, []byte("litellm_settings:\n  store_audit_logs: true\n  audit_log_callbacks: [s3_v2]\n  s3_callback_params: {s3_bucket_name: logs, s3_region_name: eu-central-1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, _, err := config.Show(file, config.LoadOptions{}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"# From audit_log_callbacks, line 3.", "bucket: logs", "preset: litellm"} {
		if !strings.Contains(string(text), line) {
			t.Errorf("%s is missing in\n%s", line, text)
		}
	}
}
