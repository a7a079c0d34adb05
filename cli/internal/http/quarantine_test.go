package http

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/runtime"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func (r *relay) quarantine(data, reason string) {
	r.t.Helper()
	err := r.rt.Quarantine(r.t.Context(), runtime.Quarantined{
		Data: []byte(data), Provenance: auditrelay.Provenance{Source: "s3", Principal: "litellm"}, Reason: reason, Detail: "why",
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestQuarantineOverHTTP(t *testing.T) {
	r := newRelay(t, Options{})
	r.quarantine("\xff s3cr3t", "utf8")
	r.quarantine(`{"id":"b"}`, "missing")
	r.quarantine(event("c"), "too_large")
	r.quarantine(event("d"), "too_large")
	const base = "/v1/quarantine"

	status, list, _ := r.call("GET", base, "")
	if status != 200 || strings.Contains(list, "s3cr3t") || strings.Count(list, `"number":`) != 4 || !strings.Contains(list, `"reason":"utf8"`) {
		t.Errorf("%d %s", status, list)
	}
	if some := get[[]api.QuarantineItem](r, base+"?reason=too_large&source=s3&after=3&limit=5"); len(some) != 1 || some[0].Number != 4 {
		t.Errorf("%+v", some)
	}
	if some := get[[]api.QuarantineItem](r, base+"?source=http"); len(some) != 0 {
		t.Errorf("%+v", some)
	}
	if one := get[api.QuarantineContents](r, base+"/1"); string(one.Data) != "\xff s3cr3t" || one.Detail != "why" {
		t.Errorf("%+v", one)
	}
	for _, row := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/9", "", 404},
		{"GET", "/x", "", 400},
		{"GET", "?limit=0", "", 400},
		{"GET", "?after=x", "", 400},
		{"POST", "/delete", `{"reason":"a test"}`, 400},
		{"POST", "/delete", `{"all":true,"numbers":[1],"reason":"a test"}`, 400},
		{"POST", "/delete", `{"numbers":[1]}`, 400},
		{"POST", "/delete", `{"numbers":[1],"cause":"utf8","reason":"a test"}`, 400},
		{"POST", "/delete", `{"all":true,"reason":"utf8"}`, 400},
		{"POST", "/delete", `{"numbers":[9],"reason":"a test"}`, 404},
		{"POST", "/x/replay", event("b"), 400},
		{"POST", "/9/replay", event("b"), 404},
		{"POST", "/2/replay", `{"id":"b"}`, 422},
		{"POST", "/2/replay", "", 422},
	} {
		if status, answer, _ := r.call(row.method, base+row.path, row.body); status != row.status {
			t.Errorf("%s %s %s: %d %s", row.method, row.path, row.body, status, answer)
		}
	}

	done := decodeAnswer[api.QuarantineChanged](r, "POST", base+"/replay", `{"numbers":[2,9,3]}`)
	if done.Changed != 1 || done.Events != 1 || len(done.Failed) != 2 || done.Failed[0].Number != 2 ||
		done.Failed[0].Error.Field != "action" || done.Failed[0].Error.Reason != "missing" || done.Failed[1].Error.Reason != api.ReasonNotFound {
		t.Errorf("%+v", done)
	}
	done = decodeAnswer[api.QuarantineChanged](r, "POST", base+"/replay", `{"all":true,"cause":"too_large"}`)
	if done.Changed != 1 || done.Failed != nil || done.Next != 0 {
		t.Errorf("%+v", done)
	}
	if done := decodeAnswer[api.QuarantineChanged](r, "POST", base+"/2/replay", event("b")); done.Changed != 1 || done.Events != 1 {
		t.Errorf("%+v", done)
	}
	if done := decodeAnswer[api.QuarantineChanged](r, "POST", base+"/delete", `{"numbers":[1],"reason":"a test"}`); done.Changed != 1 {
		t.Errorf("%+v", done)
	}
	if left := get[[]api.QuarantineItem](r, base); len(left) != 0 {
		t.Errorf("%+v", left)
	}
	if x := get[api.Explained](r, "/v1/events?id=b"); x.Provenance.Source != "s3" || len(x.AlsoFrom) != 1 || x.AlsoFrom[0].Source != "quarantine" || x.AlsoFrom[0].Principal != "local" {
		t.Errorf("%+v", x)
	}
}

// Many items are changed in several requests. The client continues at the position in the
// answer.
func TestQuarantineInPages(t *testing.T) {
	r := newRelay(t, Options{})
	for i := range 2 {
		items := make([]runtime.Quarantined, 600)
		for k := range items {
			items[k] = runtime.Quarantined{Data: fmt.Appendf(nil, "%d %d", i, k), Reason: "syntax"}
		}
		if err := r.rt.Quarantine(t.Context(), items...); err != nil {
			t.Fatal(err)
		}
	}
	first := decodeAnswer[api.QuarantineChanged](r, "POST", "/v1/quarantine/delete", `{"all":true,"reason":"a test"}`)
	if first.Changed != 1000 || first.Next != 1000 {
		t.Fatalf("%+v", first)
	}
	second := decodeAnswer[api.QuarantineChanged](r, "POST", "/v1/quarantine/delete", fmt.Sprintf(`{"all":true,"after":%d,"reason":"a test"}`, first.Next))
	if second.Changed != 200 || second.Next != 0 {
		t.Errorf("%+v", second)
	}
}

// Replacing received input with events requires both roles.
func TestReplacingTakesTheRoleIngest(t *testing.T) {
	const operator, both = "token-of-the-operator", "token-that-may-do-both"
	r := newRelay(t, Options{Config: tokens([]config.Token{
		{Name: "operator", Token: operator, Roles: []config.Role{"operate"}},
		{Name: "both", Token: both, Roles: []config.Role{"operate", "ingest"}},
	})})
	r.quarantine("{", "syntax")
	if status, answer, _ := r.call("POST", "/v1/quarantine/1/replay", event("a"), "Authorization", "Bearer "+operator); status != http.StatusForbidden {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer, _ := r.call("POST", "/v1/quarantine/1/replay", event("a"), "Authorization", "Bearer "+both); status != 200 {
		t.Errorf("%d %s", status, answer)
	}
}

func TestQuarantineInMetricsAndReadiness(t *testing.T) {
	rt, err := runtime.Open(t.Context(), runtime.Options{Logger: quiet(), Quarantine: runtime.QuarantineOptions{Items: 2}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
	r := serve(t, rt)
	r.quarantine("{", "syntax")
	r.quarantine("{", "syntax")
	r.quarantine("x", "conflict")
	if body := get[api.Readiness](r, "/readyz?verbose"); strings.Contains(fmt.Sprint(body.Alerts), "quarantine") {
		t.Errorf("%+v", body)
	}
	if err := rt.Quarantine(t.Context(), runtime.Quarantined{Data: []byte("y"), Reason: "syntax"}); err == nil {
		t.Fatal("it is not full")
	}
	_, scrape, _ := r.call("GET", "/metrics", "")
	for _, line := range []string{
		"auditrelay_quarantine_items 2",
		"auditrelay_quarantine_full 1",
		`auditrelay_quarantine_total{reason="syntax",source="s3"} 2`,
		`auditrelay_quarantine_total{reason="conflict",source="s3"} 1`,
		`auditrelay_source_events_total{kind="http",source="local"} 0`,
		"auditrelay_ready 1",
	} {
		if !strings.Contains(scrape, line) {
			t.Errorf("the scrape lacks %s", line)
		}
	}
	problems, err := promlint.New(strings.NewReader(scrape)).Lint()
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	body := get[api.Readiness](r, "/readyz?verbose")
	if body.Status != "ready" || !strings.Contains(fmt.Sprint(body.Alerts), "the quarantine is full") {
		t.Errorf("%+v", body)
	}
	if s := get[api.Stats](r, "/v1/stats").Quarantine; !s.Full || s.Items != 2 || s.MostItems != 2 {
		t.Errorf("%+v", s)
	}
}
