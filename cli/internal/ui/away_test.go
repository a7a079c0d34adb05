package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestAway: while no relay leads the fleet, a browser gets a page that reloads itself. The page
// says whether a form that the user sent took effect. Other clients get no page.
func TestAway(t *testing.T) {
	for _, test := range []struct {
		method, path, accept string
		sent                 bool
		want, not            string // empty: no page
	}{
		{http.MethodGet, "/ui/", "text/html,*/*", false, "No relay leads the fleet", "What you sent"},
		{http.MethodPost, "/ui/reload", "text/html", false, "What you sent was not done", "loads itself"},
		{http.MethodPost, "/ui/reload", "text/html", true, "It is not known whether", "loads itself"},
		{http.MethodGet, "/ui/live", "text/event-stream", false, "", ""},
		{http.MethodGet, "/v1/stats", "text/html", false, "", ""},
	} {
		r, w := httptest.NewRequest(test.method, test.path, nil), httptest.NewRecorder()
		r.Header.Set("Accept", test.accept)
		if did := Away(w, r, "no relay <leads>", test.sent); did != (test.want != "") {
			t.Errorf("%v: answered: %v", test, did)
			continue
		}
		page := w.Body.String()
		if test.want == "" {
			if page != "" {
				t.Errorf("%v: %s", test, page)
			}
			continue
		}
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Content-Security-Policy") != policy || !strings.Contains(page, test.want) || strings.Contains(page, test.not) || !strings.Contains(page, "No relay &lt;leads&gt;.") {
			t.Errorf("%v: %d %s", test, w.Code, page)
		}
		if again := w.Header().Get("Refresh") != ""; again != (test.method == http.MethodGet) {
			t.Errorf("%v: it loads itself again: %v", test, again)
		}
	}
}
