package app

import (
	"strings"
	"testing"

	"auditrelay/cli/internal/api"
)

func sourceOf(t *testing.T, list []api.Source, kind, name string) api.Source {
	t.Helper()
	for _, s := range list {
		if s.Kind == kind && s.Name == name {
			return s
		}
	}
	t.Fatalf("no source %s of kind %s in %+v", name, kind, list)
	return api.Source{}
}

// The daemon reports its listening address, and uses the tokens in force.
func TestSourcesOfARunningDaemon(t *testing.T) {
	const sender, admin = "token-of-the-sender", "token-of-the-admin"
	tokens := func(name string) string {
		return "ingest: {tokens: [{name: " + name + ", token: " + sender + "}]}\ntokens: [{name: boss, token: " + admin + ", roles: [admin]}]\n" + oneCallback
	}
	r := run(t, tokens("litellm"), memorySinks)
	_, answer := r.call("GET", "/v1/sources", "", admin)
	s := sourceOf(t, decodeText[[]api.Source](t, answer), "http", "litellm")
	if !strings.Contains(strings.Join(s.Causes, "\n"), r.address) {
		t.Errorf("%+v", s)
	}
	r.rewrite(tokens("other"))
	if status, answer := r.call("POST", "/v1/reload", "", admin); status != 200 {
		t.Fatal(answer)
	}
	_, answer = r.call("GET", "/v1/sources", "", admin)
	if list := decodeText[[]api.Source](t, answer); len(list) != 1 || list[0].Name != "other" {
		t.Errorf("%+v", list)
	}
}
