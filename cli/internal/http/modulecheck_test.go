package http

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"auditrelay/cli/internal/api"
)

// TestOneModuleAtATime: while a module is pushed or checked, no other one is loaded into memory
// and compiled.
func TestOneModuleAtATime(t *testing.T) {
	s := &Server{pushing: make(chan struct{}, 1)}
	s.pushing <- struct{}{}
	_, err := s.postModuleCheck(httptest.NewRequest(http.MethodPost, "/v1/modules/x/check", nil), principal{}, api.CheckModule{})
	if refused, ok := err.(*api.Error); !ok || refused.Status != http.StatusServiceUnavailable || refused.RetryAfter == 0 {
		t.Errorf("got %v", err)
	}
}
