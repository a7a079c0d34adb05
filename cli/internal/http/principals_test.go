package http

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"auditrelay/config"
)

// TestUseByPrincipal: the metrics show each principal's use of each limit, and stay bounded
// under a flood of names.
func TestUseByPrincipal(t *testing.T) {
	r := newRelay(t, Options{Config: tokens([]config.Token{
		{Name: "batch", Token: tokenOf("ingest"), Roles: []config.Role{"ingest"}, Rate: config.Rate{Requests: 2, Events: 500}},
		{Name: "watch", Token: tokenOf("view"), Roles: []config.Role{"view"}},
	})})
	limited := 0
	for i := range 6 {
		status, _, _ := r.call("POST", "/v1/events", event(fmt.Sprint("e", i)), "Authorization", "Bearer "+tokenOf("ingest").Reveal(), "Content-Type", "application/json")
		if status == 429 {
			limited++
		}
	}
	if limited == 0 {
		t.Fatal("the rate refused nothing")
	}
	release, err := r.srv.Reserve(t.Context(), "batch", 100_000)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	scrape := func() string {
		t.Helper()
		status, answer, _ := r.call("GET", "/metrics", "", "Authorization", "Bearer "+tokenOf("view").Reveal())
		if status != 200 {
			t.Fatal(status, answer)
		}
		return answer
	}
	text := scrape()
	for _, want := range []string{
		`auditrelay_principal_requests_total{principal="batch"} 6`,
		fmt.Sprintf(`auditrelay_principal_limited_total{limit="rate",principal="batch"} %d`, limited),
		`auditrelay_principal_limited_total{limit="rate",principal="watch"} 0`,
		`auditrelay_principal_rate_limit{of="requests",principal="batch"} 2`,
		`auditrelay_principal_rate_limit{of="events",principal="batch"} 500`,
		`auditrelay_principal_body_memory_bytes{principal="batch"} 100000`,
		`auditrelay_principal_body_memory_limit_bytes `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics are without %s", want)
		}
	}
	for i := range 10 * maxPrincipals {
		r.srv.principals.count(fmt.Sprint("person ", i), func(u *usage) { u.requests++ })
	}
	text = scrape()
	if n := strings.Count(text, "auditrelay_principal_requests_total{"); n != maxPrincipals+1 || !strings.Contains(text, `auditrelay_principal_requests_total{principal="other"}`) {
		t.Errorf("%d principals in the metrics", n)
	}
}

// TestAddressesAreNoPrincipals: the use of a hook by unknown senders is counted by address, and
// the metrics count no address as a principal, however many there are.
func TestAddressesAreNoPrincipals(t *testing.T) {
	r := newRelay(t, Options{Config: tokens(nil)})
	r.srv.patience.busy = time.Millisecond
	release, err := r.srv.unknown.acquire(t.Context(), "192.0.2.1", r.srv.unknown.most())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, err := r.srv.acquire(t.Context(), r.srv.unknown, "192.0.2.1", 1); err == nil {
		t.Fatal("an address holds more than its share")
	}
	if n := len(r.srv.principals.all); n != 0 {
		t.Errorf("%d principals are counted", n)
	}
}
