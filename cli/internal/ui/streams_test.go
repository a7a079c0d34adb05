package ui

import (
	"net/http"
	"testing"
	"time"

	"auditrelay/config"
)

// TestOnePrincipalCannotTakeAllLiveUpdates: others' open pages are still updated.
func TestOnePrincipalCannotTakeAllLiveUpdates(t *testing.T) {
	r := newRelay(t, config.RoleView, config.RoleAdmin)
	r.clock.at = time.Now() // the deadlines of writing are real
	open := func(b *browser) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.http.URL+"/ui/live", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp.StatusCode
	}
	view, admin := r.browser(), r.browser()
	view.signIn("view")
	admin.signIn("admin")
	for n := range maxStreams {
		if status, want := open(view), http.StatusOK; n < maxStreamsOfOne && status != want {
			t.Fatalf("page %d of the role view: %d", n+1, status)
		}
	}
	if status := open(admin); status != http.StatusOK {
		t.Errorf("the admin's first page: %d", status)
	}
}
