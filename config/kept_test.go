package config_test

import (
	"strings"
	"testing"

	"auditrelay/config"
)

// A callback's text contains it and its filters, but no other callback and no secret.
func TestACallbacksText(t *testing.T) {
	const file = "auditrelay.yaml"
	text := `listen: 127.0.0.1:0
filters:
  mine: {redact: {preset: litellm}}
  other: {redact: {preset: none}}
callbacks:
  - {name: one, filters: [mine], sink: {webhook: {url: "https://u:hunter2@one.example/", headers: {Authorization: Bearer abcdefghijklmnop}}}}
  - {name: two, filters: [other], sink: {file: {path: out/two.ndjson}}}
`
	cfg, err := config.Parse(file, []byte(text), config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := cfg.CallbackText("one")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"name: one", "mine:", "preset: litellm", "(hidden)"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	for _, no := range []string{"hunter2", "abcdefghijklmnop", "two", "none", "listen"} {
		if strings.Contains(string(got), no) {
			t.Errorf("%q is in\n%s", no, got)
		}
	}
	whole, err := cfg.Text()
	if err != nil || !strings.Contains(string(whole), "name: two") || strings.Contains(string(whole), "hunter2") {
		t.Errorf("%s%v", whole, err)
	}
	if none, err := cfg.CallbackText("three"); len(none) != 0 || err != nil {
		t.Errorf("%s%v", none, err)
	}
}
