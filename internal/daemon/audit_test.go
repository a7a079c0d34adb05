package daemon

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const storeToken = "token-of-compliance"

// storeConfigText is a relay with a store; more goes behind.
const storeConfigText = `
tokens: [{name: auditor, token: ` + storeToken + `, roles: [comply]}, {name: boss, token: token-of-the-boss, roles: [admin]}]
callbacks:
  - {name: store, sink: {sqlite: {}}, chunk: {age: 1ms}}
`

func (r *running) send(events ...string) {
	r.t.Helper()
	if status, answer := r.call("POST", "/v1/events", strings.Join(events, "\n"), "token-of-the-boss"); status != 200 {
		r.t.Fatal(status, answer)
	}
}

// await waits until no callback has anything pending.
func (r *running) await(want string) {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		_, answer := r.call("GET", "/v1/callbacks", "", "token-of-the-boss")
		var all []struct {
			Name    string
			Account struct{ Pending, Delivered uint64 }
		}
		if err := json.Unmarshal([]byte(answer), &all); err != nil {
			r.t.Fatal(err, answer)
		}
		done := true
		for _, c := range all {
			done = done && (c.Account.Pending == 0 || want != "" && c.Name != want)
		}
		if done {
			return
		}
		time.Sleep(2 * time.Millisecond) // polling another's progress
	}
	r.t.Fatal("events are still pending\n" + r.log.String())
}

// auditPage is an answer of GET /audit.
type auditPage struct {
	Logs       []map[string]any `json:"audit_logs"`
	Total      *int64           `json:"total"`
	TotalExact *bool            `json:"total_exact"`
	Page       *int             `json:"page"`
	PageSize   int              `json:"page_size"`
	TotalPages *int             `json:"total_pages"`
	Next       *string          `json:"next_cursor"`
}

func (r *running) audit(query string) (page auditPage) {
	r.t.Helper()
	status, answer := r.call("GET", "/audit"+query, "", storeToken)
	if status != 200 {
		r.t.Fatalf("GET /audit%s: %d %s", query, status, answer)
	}
	if err := json.Unmarshal([]byte(answer), &page); err != nil {
		r.t.Fatalf("GET /audit%s: %v in %s", query, err, answer)
	}
	return page
}

func (p *auditPage) ids() string {
	var ids []string
	for _, l := range p.Logs {
		ids = append(ids, fmt.Sprint(l["id"]))
	}
	return strings.Join(ids, " ")
}

// numbered is an event of its own minute.
func numbered(n int) string {
	return fmt.Sprintf(`{"id":"e%d","updated_at":"2026-01-31T12:%02d:00+00:00","changed_by":"user-%d","changed_by_api_key":"key-%d",`+
		`"action":%q,"table_name":"LiteLLM_TeamTable","object_id":"team-%d","before_value":"{\"n\": %d}","updated_values":{"n":%d},"more":[%d]}`,
		n, n, n%3, n%2, []string{"created", "updated", "deleted"}[n%3], n%5, n, n+1, n)
}

func TestAuditEndToEnd(t *testing.T) {
	r := run(t, storeConfigText, nil)
	for n := range 12 {
		r.send(numbered(n))
	}
	r.await("")
	page := r.audit("")
	if got := page.ids(); got != "e11 e10 e9 e8 e7 e6 e5 e4 e3 e2" {
		t.Errorf("the first page: %s", got)
	}
	if *page.Total != 12 || !*page.TotalExact || *page.Page != 1 || page.PageSize != 10 || *page.TotalPages != 2 || page.Next == nil {
		t.Errorf("the first page: %+v", page)
	}
	first := page.Logs[0]
	if before, ok := first["before_value"].(map[string]any); !ok || before["n"] != 11.0 {
		t.Errorf("before_value is no object: %v", first)
	}
	if got := r.audit("?cursor=" + *page.Next); got.ids() != "e1 e0" || got.Next != nil || got.Total != nil {
		t.Errorf("behind the cursor: %+v", got)
	}
	for query, want := range map[string]string{
		"?page=2":                     "e1 e0",
		"?page=3":                     "",
		"?page_size=2&sort_order=asc": "e0 e1",
		"?action=deleted":             "e11 e8 e5 e2",
		"?changed_by=user-1&table_name=LiteLLM_TeamTable":        "e10 e7 e4 e1",
		"?changed_by_api_key=key-1&action=created":               "e9 e3",
		"?object_id=team-4":                                      "e9 e4",
		"?object_id=team":                                        "",
		"?id=e7":                                                 "e7",
		"?start_date=2026-01-31T12:09:00Z":                       "e11 e10 e9",
		"?end_date=2026-01-31T12:01:00":                          "e1 e0",
		"?start_date=2026-01-31&end_date=2026-01-31&page_size=3": "e11 e10 e9",
		"?start_date=2026-02-01":                                 "",
		"?end_date=2026-01-30":                                   "",
		"?sort_by=changed_by&sort_order=asc&page_size=5":         "e0 e3 e6 e9 e1",
		"?action=": "e11 e10 e9 e8 e7 e6 e5 e4 e3 e2",
	} {
		if got := r.audit(query); got.ids() != want {
			t.Errorf("%s: %s, want %s", query, got.ids(), want)
		}
	}
	status, answer := r.call("GET", "/audit/e3", "", storeToken)
	var one map[string]any
	if err := json.Unmarshal([]byte(answer), &one); err != nil || status != 200 || one["id"] != "e3" {
		t.Errorf("GET /audit/e3: %d %s", status, answer)
	}
	if status, answer := r.call("GET", "/audit/nobody", "", storeToken); status != 404 || !strings.Contains(answer, "ID nobody not found") {
		t.Errorf("an unknown id: %d %s", status, answer)
	}
	if _, err := filepath.Glob(filepath.Join(filepath.Dir(r.file), "data", "store", "store.db")); err != nil {
		t.Error(err)
	}
	_ = slices.Contains[[]string]
	_ = url.Values{}
	_ = http.StatusOK
}
