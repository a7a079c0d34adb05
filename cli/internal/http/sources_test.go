package http

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
	"auditrelay/config"

	"github.com/prometheus/client_golang/prometheus"
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

// A source without events is reported with possible causes, until events arrive.
func TestASilentSourceSaysSo(t *testing.T) {
	const quietOne, loud, admin = "token-of-the-quiet-one", "token-of-the-loud-one", "token-of-the-admin"
	bucket, table := &otherSource{kind: "s3"}, &otherSource{kind: "postgres"}
	bucket.senders.Expect("bucket")
	table.senders.Seen("LiteLLM_AuditLog", 3)
	r := newRelay(t, Options{Sources: sources.Set{bucket, table}, Config: tokens([]config.Token{
		{Name: "quiet", Token: quietOne, Roles: []config.Role{"ingest"}},
		{Name: "loud", Token: loud, Roles: []config.Role{"ingest", "view"}},
		{Name: "boss", Token: admin, Roles: []config.Role{"admin"}},
	})})
	r.call("POST", "/v1/events", event("a")+"\n{}", "Authorization", "Bearer "+loud)
	r.call("POST", "/v1/events", event("b"), "Authorization", "Bearer not-a-token-of-ours")

	ask := func(path string) (int, string) {
		status, answer, _ := r.call("GET", path, "", "Authorization", "Bearer "+admin)
		return status, answer
	}
	status, answer := ask("/v1/sources")
	list := decodeText[[]api.Source](t, answer)
	if status != 200 || len(list) != 4 {
		t.Fatalf("%d %s", status, answer)
	}
	if s := sourceOf(t, list, "http", "loud"); s.Silent || s.Events != 2 || s.LastSeen.IsZero() || s.Causes != nil {
		t.Errorf("%+v", s)
	}
	if s := sourceOf(t, list, "postgres", "LiteLLM_AuditLog"); s.Silent || s.Events != 3 {
		t.Errorf("%+v", s)
	}
	s := sourceOf(t, list, "http", "quiet")
	causes := strings.Join(s.Causes, "\n")
	if !s.Silent || s.Since.IsZero() || !strings.HasPrefix(causes, "LiteLLM without its enterprise licence") {
		t.Errorf("%+v", s)
	}
	for _, want := range []string{"store_audit_logs", "this relay listens on", "1 requests with events were refused"} {
		if !strings.Contains(causes, want) {
			t.Errorf("%q is not in %s", want, causes)
		}
	}
	if s := sourceOf(t, list, "s3", "bucket"); !strings.Contains(strings.Join(s.Causes, "\n"), "a cause of s3's own") {
		t.Errorf("%+v", s)
	}

	// Like auditrelay callbacks, it waits before it reports a cause.
	if _, answer := ask("/readyz?verbose"); strings.Contains(answer, "no events seen") {
		t.Errorf("a source that has just begun: %s", answer)
	}
	r.srv.silentAfter = 0
	status, answer = ask("/readyz?verbose")
	body := decodeText[api.Readiness](t, answer)
	alerts := fmt.Sprint(body.Alerts)
	if status != 200 || body.Status != "ready" || len(body.Sources) != 4 || !strings.Contains(alerts, "source quiet (http): no events seen") || strings.Contains(alerts, "loud") {
		t.Errorf("%d %s", status, answer)
	}
	// A client without the role only learns that the relay is ready.
	for _, head := range [][]string{nil, {"Authorization", "Bearer " + quietOne}} {
		status, answer, _ := r.call("GET", "/readyz?verbose", "", head...)
		if status != http.StatusOK || strings.Contains(answer, "quiet") || !strings.Contains(answer, `"ready"`) {
			t.Errorf("%d %s", status, answer)
		}
	}

	r.call("POST", "/v1/events", event("c"), "Authorization", "Bearer "+quietOne)
	if _, answer := ask("/v1/sources"); sourceOf(t, decodeText[[]api.Source](t, answer), "http", "quiet").Silent {
		t.Error(answer)
	}
	// Other tokens: a removed sender is no longer awaited, and the others stay.
	change, err := r.srv.Prepare(t.Context(), tokens([]config.Token{
		{Name: "loud", Token: loud, Roles: []config.Role{"ingest", "view"}},
		{Name: "fresh", Token: "token-of-a-fresh-one", Roles: []config.Role{"ingest"}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	change.Apply()
	_, answer, _ = r.call("GET", "/v1/sources", "", "Authorization", "Bearer "+loud)
	list = decodeText[[]api.Source](t, answer)
	if sourceOf(t, list, "http", "loud").Events != 2 || !sourceOf(t, list, "http", "fresh").Silent || len(list) != 4 {
		t.Errorf("%+v", list)
	}
}

// otherSource is an input besides the server's own.
type otherSource struct {
	kind    string
	senders sources.Senders
}

func (s *otherSource) Kind() string { return s.kind }
func (s *otherSource) Prepare(context.Context, *config.Config) (sources.Change, error) {
	return sources.Change{Apply: func() {}, Discard: func() {}}, nil
}
func (s *otherSource) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (s *otherSource) Stop()                         {}
func (s *otherSource) Status() []api.Source          { return s.senders.Status(s.kind) }
func (s *otherSource) Silence() []string             { return []string{"a cause of " + s.kind + "'s own"} }
func (s *otherSource) Metrics() prometheus.Collector { return nil }

func TestWithoutTokensLocalClientsAreTheSource(t *testing.T) {
	r := newRelay(t, Options{})
	if s := sourceOf(t, get[[]api.Source](r, "/v1/sources"), "http", "local"); !s.Silent || !strings.Contains(strings.Join(s.Causes, "\n"), "no request with events was refused") {
		t.Errorf("%+v", s)
	}
	r.call("POST", "/v1/events", event("a"))
	if s := sourceOf(t, get[[]api.Source](r, "/v1/sources"), "http", "local"); s.Silent || s.Events != 1 {
		t.Errorf("%+v", s)
	}
}

// A sender of refused or temporarily unacceptable events is not silent.
func TestWhatIsRefusedWasSeen(t *testing.T) {
	for name, ask := range map[string]func(r *relay) int{
		"odd": func(r *relay) int { status, _, _ := r.call("POST", "/v1/events", "{}"); return status },
		"another type": func(r *relay) int {
			status, _, _ := r.call("POST", "/v1/events", "a=b", "Content-Type", "text/html")
			return status
		},
		"an empty body": func(r *relay) int { status, _, _ := r.call("POST", "/v1/events", ""); return status },
		"not now": func(r *relay) int {
			closeRuntime(r)
			status, _, _ := r.call("POST", "/v1/events", event("a"))
			return status
		},
		"an empty array": func(r *relay) int { status, _, _ := r.call("POST", "/v1/events", "[]"); return status },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRelay(t, Options{})
			status := ask(r)
			want := uint64(1)
			if name == "an empty array" {
				want = 0
			}
			if s := r.srv.sources.List()[0]; s.Events != want || (status == http.StatusOK) != (want == 0) {
				t.Errorf("%d, %+v", status, s)
			}
		})
	}
}

func closeRuntime(r *relay) {
	r.t.Helper()
	if err := r.rt.Close(); err != nil {
		r.t.Fatal(err)
	}
}
