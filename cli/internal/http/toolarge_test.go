package http

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/runtime"
)

// A request that can never be accepted gets 413, so its sender does not retry it. The same
// events in smaller requests are accepted.
func TestWhatCanNeverBeTakenIsTooLarge(t *testing.T) {
	lines := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "{\"id\":\"%d\",\"action\":\"created\"}\n", i)
		}
		return b.String()
	}
	large := fmt.Sprintf(`{"id":"large","action":"created","object_id":%q}`, strings.Repeat("x", 9<<20))
	o := Options{Limits: Limits{Events: 1_000_000, EventBytes: 32 << 20}}
	r := newRelayOn(t, o, runtime.Options{Journal: runtime.JournalOptions{Quota: 64 << 20}, Limits: runtime.Limits{Events: 1_000_000, EventBytes: 32 << 20}})
	small := newRelayOn(t, o, runtime.Options{Journal: runtime.JournalOptions{Quota: 16 << 20}, Limits: runtime.Limits{EventBytes: 32 << 20}})
	for _, tt := range []struct {
		name, path, body string
		relay            *relay
		want             int
	}{
		{"more events than a transaction has, all or none", "/v1/events?atomic=true", lines(auditrelay.MaxAtomic + 1), r, http.StatusRequestEntityTooLarge},
		{"the same, each by itself", "/v1/events", lines(auditrelay.MaxAtomic + 1), r, http.StatusOK},
		{"one event that the quota never has room for", "/v1/events", large, small, http.StatusRequestEntityTooLarge},
		{"one that it has room for", "/v1/events", lines(1), small, http.StatusOK},
	} {
		status, answer, head := tt.relay.call(http.MethodPost, tt.path, tt.body)
		if status != tt.want || status != http.StatusOK && head.Get("Retry-After") != "" {
			t.Errorf("%s: %d %.200s (Retry-After %q)", tt.name, status, answer, head.Get("Retry-After"))
		}
	}
}
