package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"auditrelay/config"
	"auditrelay/runtime"
)

// TestReportsAreFew: at the limit of concurrent reports, another one is refused.
func TestReportsAreFew(t *testing.T) {
	s := &server{reports: make(chan struct{}, 1)}
	s.reports <- struct{}{}
	v := &visit{server: s, r: httptest.NewRequest(http.MethodGet, "/ui/report?from=2026-01-01&to=2026-01-31", nil)}
	if refused := apiError(v.report()); refused == nil || refused.Status != http.StatusServiceUnavailable {
		t.Errorf("got %+v", refused)
	}
}

// TestReportTellsWhatLeft: an event that the destination refused again, or that an operator
// discarded, does not count as delivered.
func TestReportTellsWhatLeft(t *testing.T) {
	r := newRelay(t, config.RoleAdmin)
	r.submit("one", "created")
	r.submit("two", "deleted")
	b := r.browser()
	b.signIn("admin")
	by := runtime.By{Principal: "ops", Reason: "a test"}
	if n, err := r.rt.DiscardDeadLetters(t.Context(), "refusing", by, 1); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := r.rt.ReplayDeadLetters(t.Context(), "refusing", by, 2); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := r.rt.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	day := func(n int) string { return time.Now().UTC().AddDate(0, 0, n).Format(dayFormat) }
	_, page, _ := b.do("GET", "/ui/report?from="+day(-1)+"&to="+day(1), nil)
	_, row, _ := strings.Cut(page, `<th scope="row">refusing</th>`)
	row, _, _ = strings.Cut(row, "</tr>")
	if !strings.Contains(row, "dead_lettered: 3") || !strings.Contains(row, "discarded: 1") || strings.Contains(row, "delivered") {
		t.Errorf("the report says of the callback that refuses all: %s", row)
	}
}
