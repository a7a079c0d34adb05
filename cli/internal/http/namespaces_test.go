package http

import (
	"net/http"
	"strings"
	"testing"

	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/runtime"
)

// Ids are unique per namespace: senders of two namespaces never collide, and neither they nor
// readers learn anything about the other namespace.
func TestNamespaces(t *testing.T) {
	const usual, x, y, all = "the-usual-sender-01", "the-sender-of-x-0123", "the-sender-of-y-0123", "the-reader-of-all-01"
	r := newRelay(t, Options{Config: tokens([]config.Token{
		{Name: "usual", Token: usual, Roles: []config.Role{"ingest"}},
		{Name: "x", Token: x, Roles: []config.Role{"ingest", "comply"}, Namespace: "team-x"},
		{Name: "y", Token: y, Roles: []config.Role{"ingest", "comply"}, Namespace: "team-y"},
		{Name: "all", Token: all, Roles: []config.Role{"comply"}},
	})})
	as := func(token, method, path, body string) (int, string) {
		t.Helper()
		status, answer, _ := r.call(method, path, body, "Authorization", "Bearer "+token)
		return status, answer
	}
	for token, who := range map[string]string{usual: "u", x: "x", y: "y"} {
		body := strings.Replace(event("shared"), `"changed_by":"u"`, `"changed_by":"by-`+who+`"`, 1)
		if status, answer := as(token, "POST", "/v1/events", body); status != http.StatusOK {
			t.Errorf("%s: %d %s", who, status, answer)
		}
		if status, answer := as(token, "POST", "/v1/events", body); status != http.StatusOK || !strings.Contains(answer, `"duplicates":1`) {
			t.Errorf("%s again: %d %s", who, status, answer)
		}
		if status, answer := as(token, "POST", "/v1/events", event("shared")+"\n"); status != http.StatusConflict {
			t.Errorf("%s with another event under the id: %d %s", who, status, answer)
		}
	}
	if status, answer := as(x, "POST", "/v1/events", event("only-x")); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	r.settle()
	shown := func(token, path string) api.Explained {
		t.Helper()
		status, answer := as(token, "GET", path, "")
		if status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, answer)
			return api.Explained{}
		}
		return decodeText[api.Explained](t, answer)
	}
	if e := shown(x, "/v1/events/shared?data=true"); e.Namespace != "team-x" || e.Provenance.Principal != "x" || e.Namesakes != nil || !strings.Contains(string(e.Data), "by-x") {
		t.Errorf("the reader of x: %+v", e)
	}
	if e := shown(y, "/v1/events?id=shared"); e.Namespace != "team-y" || e.Namesakes != nil {
		t.Errorf("the reader of y: %+v", e)
	}
	if e := shown(all, "/v1/events/shared"); e.Namespace != "litellm" || len(e.Namesakes) != 2 || e.Namesakes[0].Same || e.Namesakes[1].Namespace == "litellm" {
		t.Errorf("the reader of all: %+v", e)
	}
	if e := shown(all, "/v1/events/only-x"); e.Namespace != "team-x" {
		t.Errorf("the reader of all, an event of x: %+v", e)
	}
	// An invisible event gets exactly the same answer as a missing one.
	without := func(status int, answer, id string) string {
		return http.StatusText(status) + strings.ReplaceAll(answer, id, "ID")
	}
	for _, path := range []string{"/v1/events/ID", "/v1/events?id=ID", "/v1/events/ID?namespace=team-x", "/v1/events/ID?namespace=litellm", "/v1/proofs?id=ID"} {
		status, answer := as(y, "GET", strings.Replace(path, "ID", "only-x", 1), "")
		none, nothing := as(y, "GET", strings.Replace(path, "ID", "no-such", 1), "")
		if without(status, answer, "only-x") != without(none, nothing, "no-such") {
			t.Errorf("%s: %d %s, of an id that nobody has: %d %s", path, status, answer, none, nothing)
		}
	}
	status, answer := as(y, "GET", "/v1/stored", "")
	if status != http.StatusOK || strings.Contains(answer, "by-x") || strings.Contains(answer, "only-x") || !strings.Contains(answer, "by-y") {
		t.Errorf("stored events for y: %d %s", status, answer)
	}
}

// A namespace is found again after a restart, even if it has no sender any more.
func TestNamespacesOutliveTheirSenders(t *testing.T) {
	o := runtime.Options{Dir: t.TempDir(), Logger: quiet(), Callbacks: []runtime.Callback{}}
	for restart := range 2 {
		rt, err := runtime.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if restart == 0 {
			results, err := rt.Submit(t.Context(), runtime.Submission{Data: []byte(event("a")), Namespace: "gone"})
			if err != nil || results[0].Err != nil {
				t.Fatal(results, err)
			}
			if err := rt.Quarantine(t.Context(), runtime.Quarantined{Data: []byte(event("b")), Reason: "odd", Namespace: "gone"}, runtime.Quarantined{Data: []byte(event("b")), Reason: "odd"}); err != nil {
				t.Fatal(err)
			}
		} else {
			items, err := rt.QuarantineItems(t.Context(), runtime.QuarantineQuery{})
			if err != nil || len(items) != 2 || items[0].Namespace != "gone" || items[1].Namespace != "litellm" {
				t.Fatalf("%+v, %v", items, err)
			}
			if _, err := rt.ReplayQuarantineItem(t.Context(), runtime.By{Principal: "p"}, items[0].Number, nil); err != nil {
				t.Fatal(err)
			}
			if e, err := rt.Explain(t.Context(), "", "b"); err != nil || e.Namespace != "gone" {
				t.Errorf("replayed from quarantine: %+v, %v", e, err)
			}
		}
		if e, err := rt.Explain(t.Context(), "", "a"); err != nil || e.Namespace != "gone" {
			t.Errorf("restart %d: %+v, %v", restart, e, err)
		}
		if err := rt.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
