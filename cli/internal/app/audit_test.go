package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const storeToken = "token-of-compliance"

// storeConfigText is a relay with a store. More can be appended.
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
		time.Sleep(2 * time.Millisecond) // poll progress elsewhere
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

func (r *relay) audit(query string) auditPage {
	r.t.Helper()
	status, answer, _ := r.call("GET", "/audit"+query, "")
	if status != 200 {
		r.t.Fatalf("GET /audit%s: %d %s", query, status, answer)
	}
	return decodeText[auditPage](r.t, answer)
}

func (p *auditPage) ids() string {
	var ids []string
	for _, l := range p.Logs {
		ids = append(ids, fmt.Sprint(l["id"]))
	}
	return strings.Join(ids, " ")
}

// numbered returns an event with its own minute.
func numbered(n int) string {
	return fmt.Sprintf(`{"id":"e%d","updated_at":"2026-01-31T12:%02d:00+00:00","changed_by":"user-%d","changed_by_api_key":"key-%d",`+
		`"action":%q,"table_name":"LiteLLM_TeamTable","object_id":"team-%d","before_value":"{\"n\": %d}","updated_values":{"n":%d},"more":[%d]}`,
		n, n, n%3, n%2, []string{"created", "updated", "deleted"}[n%3], n%5, n, n+1, n)
}

func TestAuditEndToEnd(t *testing.T) {
	// Own records of the readings here go elsewhere.
	r := run(t, storeConfigText+"  - {name: own, sink: {memory: {}}}\ncontrol: {callback: own, only: true}\n", memorySinks)
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
	if _, err := os.Stat(filepath.Join(filepath.Dir(r.file), "data", "store", "store.db")); err != nil {
		t.Error(err)
	}
}

// The answers that a client sees, as documentation.
func TestAuditAnswers(t *testing.T) {
	r := run(t, storeConfigText, nil)
	r.send(
		`{"id":"a","updated_at":"2026-01-31T12:00:00.250000+00:00","changed_by":"u<1>","changed_by_api_key":"k","action":"updated","table_name":"LiteLLM_TeamTable","object_id":"o","before_value":" {\"a\" : 1.0e+2,\n \"b\":\"\\u00e9\"} ","updated_values":"[1, 2]","object_alias":"x"}`,
		`{"id":"b","updated_at":"2026-01-31T12:01:00Z","action":"deleted","before_value":"*** no JSON","updated_values":"null","auditrelay_record":"forged"}`,
		`{"id":"c","updated_at":"2026-01-30T00:00:00Z","action":"created","before_value":"{\"n\":NaN}","updated_values":{"deep":"{\"stays\":\"text\"}"}}`,
	)
	r.await("")
	var b strings.Builder
	for _, query := range []string{
		"?end_date=2026-01-31T23:59:59Z", "?page_size=1&end_date=2026-02-01&sort_order=asc", "?page=2&action=nothing", "/a", "/none%20of%20%22them%22", "/" + strings.Repeat("x", 300),
		"?page=0&page_size=101&sort_by=data&sort_order=up&start_date=1&end_date=2026-13-01&exact_total=maybe&cursor=AAAA&limit=5&action=a&action=b",
		"?start_date=2026-02-01&end_date=2026-01-01", "?cursor=x&page=2", "?%zz", "?changed_by=" + strings.Repeat("x", 1025), "?id=%ff",
		"/export", "/export?format=xml&page=2", "/export?format=csv&ending=2",
	} {
		status, answer := r.call("GET", "/audit"+query, "", storeToken)
		fmt.Fprintf(&b, "GET /audit%.80s\n%d %s\n", query, status, scrubbed.ReplaceAllString(answer, "$1$2"))
	}
	goldenText(t, "testdata/audit.txt", b.String())
}

// scrubbed matches values that differ between runs.
var scrubbed = regexp.MustCompile(`("journal":|"received":|"next_cursor":)"[^"]*"()`)

// goldenText compares got with a file, or writes the file if requested.
func goldenText(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs; got:\n%s", file, got)
	}
}

// A cursor continues where its page ended, whatever was added meanwhile.
func TestCursorsAcrossInserts(t *testing.T) {
	r := run(t, storeConfigText, nil)
	for n := range 9 {
		r.send(numbered(n))
	}
	r.await("")
	for _, tt := range []struct{ query, want string }{
		{"?page_size=3", "e8 e7 e6 e5 e4 e3 e2 e1 e0"},
		{"?page_size=2&sort_order=asc&changed_by=user-1", "e1 e4 e7"},
		{"?page_size=2&sort_by=action", "e7 e4 e1 e8 e5 e2 e6 e3 e0"},
		{"?page_size=4&sort_by=object_id&sort_order=asc", "e0 e5 e1 e6 e2 e7 e3 e8 e4"},
	} {
		var got []string
		page := r.audit(tt.query)
		for extra := 0; ; extra++ {
			got = append(got, page.ids())
			if page.Next == nil {
				break
			}
			// Newer than all, or of another user: before the cursor in every order except one.
			r.send(strings.NewReplacer(`"e50"`, fmt.Sprintf(`"x-%d-%s"`, extra, url.QueryEscape(tt.query)), "12:50", "13:00", "user-2", "user-9", "team-0", "a-team").Replace(numbered(50)))
			r.await("")
			page = r.audit(tt.query + "&cursor=" + *page.Next)
		}
		all := strings.Join(got, " ")
		for _, id := range strings.Fields(tt.want) {
			if strings.Count(" "+all+" ", " "+id+" ") != 1 {
				t.Errorf("%s: %s stands there %d times in %s", tt.query, id, strings.Count(all, id), all)
			}
		}
		var own []string
		for _, id := range strings.Fields(all) {
			if len(id) == 2 && id[0] == 'e' { // the relay's own ids are longer
				own = append(own, id)
			}
		}
		if got := strings.Join(own, " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.query, got, tt.want)
		}
	}
}

// A cursor that was changed, or that belongs to another search, is refused or harmless.
func TestCursorsThatAreTamperedWith(t *testing.T) {
	r := run(t, storeConfigText, nil)
	for n := range 5 {
		r.send(numbered(n))
	}
	r.await("")
	cursor := *r.audit("?page_size=2").Next
	for _, query := range []string{"?page_size=2&action=created&cursor=", "?sort_order=asc&cursor=", "?sort_by=id&cursor=", "?end_date=2026-01-31&cursor="} {
		if status, answer := r.call("GET", "/audit"+query+cursor, "", storeToken); status != 400 || !strings.Contains(answer, "another order") {
			t.Errorf("%s: %d %s", query, status, answer)
		}
	}
	for i := range cursor {
		changed := []byte(cursor)
		changed[i] = map[bool]byte{true: 'B', false: 'A'}[changed[i] == 'A']
		status, answer := r.call("GET", "/audit?cursor="+string(changed), "", storeToken)
		if status != 400 && status != 200 {
			t.Errorf("byte %d: %d %s", i, status, answer)
		}
	}
	for _, text := range []string{"", "A", cursor + "A", cursor[1:], strings.Repeat("A", 1000), cursor + "="} {
		if status, _ := r.call("GET", "/audit?cursor="+text, "", storeToken); text != "" && status != 400 {
			t.Errorf("%q: %d", text, status)
		}
	}
}

// A dead letter's tombstone is searched like any other record, and replaced when it is
// replayed.
func TestTombstonesInTheStore(t *testing.T) {
	const leaks = `
tokens: [{name: auditor, token: ` + storeToken + `, roles: [comply]}, {name: boss, token: token-of-the-boss, roles: [admin]}]
callbacks:
  - {name: store, sink: {sqlite: {}}, chunk: {age: 1ms}%s}
`
	r := run(t, fmt.Sprintf(leaks, ", must_not_leave: {paths: [more]}"), nil)
	r.send(numbered(1))
	r.await("")
	var page auditPage // the account shows the dead letter before its tombstone is delivered
	r.until(func() bool { page = r.audit("?end_date=2026-12-31&action=updated"); return len(page.Logs) > 0 })
	if len(page.Logs) != 1 || page.Logs[0]["auditrelay_tombstone"] != true || page.Logs[0]["action"] != "updated" || page.Logs[0]["object_id"] != "" {
		t.Fatalf("the tombstone: %+v", page.Logs)
	}
	if status, _ := r.call("GET", "/audit/e1", "", storeToken); status != 404 {
		t.Errorf("the event behind a tombstone: %d", status)
	}
	r.rewrite(fmt.Sprintf(leaks, ""))
	if status, answer := r.call("POST", "/v1/reload", "", "token-of-the-boss"); status != 200 {
		t.Fatal(answer)
	}
	if status, answer := r.call("POST", "/v1/callbacks/store/dead-letters/replay", `{"all":true}`, "token-of-the-boss"); status != 200 || !strings.Contains(answer, "1") {
		t.Fatal(answer)
	}
	r.until(func() bool {
		page := r.audit("?table_name=LiteLLM_TeamTable")
		return page.ids() == "e1"
	})
	for _, l := range r.audit("").Logs {
		if l["auditrelay_tombstone"] == true {
			t.Errorf("the tombstone stayed: %v", l)
		}
	}
}

// until waits for progress elsewhere.
func (r *running) until(done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatal("it does not come to pass\n" + r.log.String())
		}
	}
}

func TestWithoutAStore(t *testing.T) {
	r := run(t, oneCallback, memorySinks)
	for _, path := range []string{"/audit", "/audit/a", "/audit/export?format=csv"} {
		if status, answer := r.call("GET", path, "", ""); status != http.StatusNotImplemented || !strings.Contains(answer, "sqlite") {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	if status, answer := r.call("POST", "/v1/store/rebuild", "", ""); status != http.StatusNotImplemented {
		t.Errorf("rebuild: %d %s", status, answer)
	}
}
