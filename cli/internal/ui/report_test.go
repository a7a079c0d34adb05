package ui

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestReportsAreFew: a further report is refused while as many are made as may be.
func TestReportsAreFew(t *testing.T) {
	s := &server{reports: make(chan struct{}, 1)}
	s.reports <- struct{}{}
	v := &visit{server: s, r: httptest.NewRequest(http.MethodGet, "/ui/report?from=2026-01-01&to=2026-01-31", nil)}
	if refused := apiError(v.report()); refused == nil || refused.Status != http.StatusServiceUnavailable {
		t.Errorf("got %+v", refused)
	}
}
