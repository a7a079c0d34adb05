package http

import (
	"encoding/json"
	"maps"
	"testing"

	"auditrelay/config"
)

// TestEveryDenialIsOnRecord: also if the handler requires the role, for a part of the route's
// output. A probe without a token is no denial.
func TestEveryDenialIsOnRecord(t *testing.T) {
	r := newRelay(t, Options{Config: tokens([]config.Token{
		{Name: "boss", Token: tokenOf("admin"), Roles: []config.Role{"admin"}},
		{Name: "v", Token: tokenOf("view"), Roles: []config.Role{"view"}},
		{Name: "o", Token: tokenOf("operate"), Roles: []config.Role{"operate"}},
		{Name: "c", Token: tokenOf("comply"), Roles: []config.Role{"comply"}},
		{Name: "i", Token: tokenOf("ingest"), Roles: []config.Role{"ingest"}},
	})})
	if status, answer, _ := r.call("POST", "/v1/events", event("a"), "Authorization", "Bearer "+tokenOf("admin").Reveal()); status != 200 {
		t.Fatal(answer)
	}
	for _, c := range []struct {
		role               config.Role
		method, path, body string
		status             int
	}{
		{"view", "POST", "/v1/callbacks/archive/pause", "{}", 403},
		{"view", "GET", "/v1/events/a?data=true", "", 403},
		{"operate", "POST", "/v1/quarantine/1/replay", "{}", 403},
		{"comply", "POST", "/v1/reconcile", `{"repair":true,"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}`, 403},
		{"ingest", "GET", "/readyz?verbose", "", 200},
		{"unknown", "GET", "/readyz?verbose", "", 200},
		{"view", "GET", "/readyz?verbose", "", 200},
		{"", "GET", "/readyz?verbose", "", 200},
	} {
		var as []string
		if c.role != "" {
			as = []string{"Authorization", "Bearer " + tokenOf(c.role).Reveal()}
		}
		if status, answer, _ := r.call(c.method, c.path, c.body, as...); status != c.status {
			t.Errorf("%s %s as %s: %d %s", c.method, c.path, c.role, status, answer)
		}
	}
	begun, _ := r.denials()
	r.srv.denials.tell()
	_, got := r.denials()
	want := map[string]int{"v forbidden": 2, "o forbidden": 1, "c forbidden": 1, "i forbidden": 1, " unauthorized": 1}
	if !maps.Equal(got, want) {
		t.Errorf("on record are %v, want %v", got, want)
	}
	for who := range want {
		if begun[who] != 1 {
			t.Errorf("of %s %d are on record before the end of the minute, want one: a crash would lose them", who, begun[who])
		}
	}
}

// denials returns the own records of denied requests, by name and reason: how many begun ones,
// and the number of requests in the others.
func (r *relay) denials() (begun, requests map[string]int) {
	r.t.Helper()
	records, _, err := r.rt.OwnRecords(r.t.Context(), 0, 100)
	if err != nil {
		r.t.Fatal(err)
	}
	begun, requests = map[string]int{}, map[string]int{}
	for _, e := range records {
		var o struct {
			By      string                        `json:"changed_by"`
			Object  string                        `json:"object_id"`
			After   struct{ Requests int }        `json:"updated_values"`
			Control struct{ Act, Outcome string } `json:"control"`
		}
		if err := json.Unmarshal(e.Data, &o); err != nil {
			r.t.Fatal(err)
		}
		switch who := o.By + " " + o.Object; {
		case o.Control.Act != "deny":
		case o.Control.Outcome == "begun":
			begun[who]++
		default:
			requests[who] += o.After.Requests
		}
	}
	return begun, requests
}
