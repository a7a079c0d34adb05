package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/internal/test/pgtest"
)

const (
	complyToken   = "a-token-of-compliance-01"
	confinedToken = "a-token-of-one-namespace"
	viewToken     = "a-token-that-may-view-01"
	slowToken     = "a-token-with-a-rate-of-1"
)

// readers starts a fleet of a, which leads, and b, with a store in Postgres.
func readers(t *testing.T, server *pgtest.Server) (a, b *running) {
	t.Helper()
	rest := fmt.Sprintf(`store: store
callbacks: [{name: store, sink: {postgres: {url: "%s", schema: store}}, chunk: {age: 1ms}, backoff: {initial: 1ms, max: 10ms}}]
`, server.URL("owner", "postgres"))
	text := func(name string) (address, file string) {
		address = freeAddress(t)
		return address, fmt.Sprintf(`listen: %s
data_dir: %s
tokens:
  - {name: boss, token: %s, roles: [admin, auditor]}
  - {name: auditor, token: %s, roles: [comply]}
  - {name: tenant, token: %s, roles: [comply, ingest], namespace: acme}
  - {name: viewer, token: %s, roles: [view]}
  - {name: slow, token: %s, roles: [comply], rate: {requests: 1}}
audit: {cors_origins: ["https://auditors.example"]}
proofs: {key: "%s"}
journal: {postgres: {url: "%s", takeover: 2s, fleet: {name: %s, address: "http://%s"}}}
%s`, address, t.TempDir(), fleetToken, complyToken, confinedToken, viewToken, slowToken, fleetKey(), server.URL("owner", "postgres"), name, address, rest)
	}
	_, file := text("a")
	a = runFile(t, writeConfig(t, file), memorySinks)
	fleetOf(t, a, "a leads", ledBy("a"))
	_, file = text("b")
	b = runFile(t, writeConfig(t, file), memorySinks)
	both := func(f api.Fleet) bool { return f.Leader == "a" && len(f.Relays) == 2 && f.Agree }
	fleetOf(t, a, "a sees both", both)
	fleetOf(t, b, "b sees both", both)
	return a, b
}

// ask makes a request and returns the response without its date, and its trailers.
func ask(t *testing.T, r *running, path, token string, head ...string) (status int, header http.Header, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.scheme+"://"+r.address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	header = resp.Header.Clone()
	header.Del("Date")
	for name, values := range resp.Trailer {
		header["trailer "+name] = values
	}
	return resp.StatusCode, header, string(text)
}

// ownReads returns how many requests a follower answered from the store itself.
func ownReads(t *testing.T, r *running) (n int) {
	t.Helper()
	_, text := r.call("GET", "/metrics", "", fleetToken)
	for _, m := range regexp.MustCompile(`(?m)^auditrelay_fleet_reads_total\{.*\} (\d+)$`).FindAllStringSubmatch(text, -1) {
		var one int
		fmt.Sscan(m[1], &one)
		n += one
	}
	return n
}

// TestAFollowerAnswersTheAuditAPI: a follower's answers are those of the leader, byte for byte,
// and the leader decides about them and has them on record.
func TestAFollowerAnswersTheAuditAPI(t *testing.T) {
	server := pgtest.Start(t, "fsync = on", "wal_sync_method = fdatasync")
	a, b := readers(t, server)
	for n := range 30 {
		r, token := a, fleetToken
		if n%3 == 0 {
			token = confinedToken
		}
		if status, answer := r.call("POST", "/v1/events", numbered(n), token); status != 200 {
			t.Fatal(status, answer)
		}
	}
	a.until(func() bool {
		_, text := a.call("GET", "/audit?table_name=LiteLLM_TeamTable", "", complyToken)
		return strings.Contains(text, `"total":30,`)
	})
	from := ownReads(t, b)
	paths := []string{
		"/audit?table_name=LiteLLM_TeamTable", "/audit?table_name=LiteLLM_TeamTable&page_size=7&page=2&sort_order=asc", "/audit?changed_by=user-4",
		"/audit/e3", "/audit/e4", "/audit/nothing", "/audit?nothing=1", "/audit?page_size=1000", "/audit/" + strings.Repeat("x", 2000),
		"/audit/export?format=ndjson&table_name=LiteLLM_TeamTable", "/audit/export?format=csv&table_name=LiteLLM_TeamTable&sort_by=object_id", "/audit/export?format=xml",
	}
	own := 0
	for _, token := range []string{complyToken, confinedToken} {
		for _, path := range paths {
			status, header, body := ask(t, a, path, token, "Origin", "https://auditors.example")
			otherStatus, otherHeader, otherBody := ask(t, b, path, token, "Origin", "https://auditors.example")
			own++
			if status != otherStatus || body != otherBody || fmt.Sprint(header) != fmt.Sprint(otherHeader) {
				t.Errorf("%s\non a: %d %v %.300s\non b: %d %v %.300s", path, status, header, body, otherStatus, otherHeader, otherBody)
			}
		}
	}
	if got := ownReads(t, b) - from; got != own {
		t.Errorf("b answered %d requests itself, want %d\n%s", got, own, b.log)
	}
	if _, _, body := ask(t, b, "/audit?table_name=LiteLLM_TeamTable", confinedToken); !strings.Contains(body, `"total":10,`) || strings.Contains(body, `"namespace":"default"`) {
		t.Errorf("a confined token sees %s", body)
	}
	// A cursor of one relay is valid on the other.
	var page struct {
		Next string `json:"next_cursor"`
	}
	_, _, first := ask(t, a, "/audit?table_name=LiteLLM_TeamTable&page_size=7", complyToken)
	if err := json.Unmarshal([]byte(first), &page); err != nil {
		t.Fatal(err)
	}
	if status, _, body := ask(t, b, "/audit?table_name=LiteLLM_TeamTable&page_size=7&cursor="+page.Next, complyToken); status != 200 || strings.Contains(body, `"total"`) {
		t.Errorf("behind the cursor: %d %s", status, body)
	}
}

// TestAFollowersReadingsAreOnRecord: each reading is on record with its reader before the
// answer, and so is a denial. No client can get a grant.
func TestAFollowersReadingsAreOnRecord(t *testing.T) {
	server := pgtest.Start(t, "fsync = on", "wal_sync_method = fdatasync")
	a, b := readers(t, server)
	if status, answer := b.call("POST", "/v1/events", numbered(1), fleetToken); status != 200 {
		t.Fatal(status, answer)
	}
	a.until(func() bool { status, _ := a.call("GET", "/audit/e1", "", fleetToken); return status == 200 })
	control := func() string {
		t.Helper()
		status, text := a.call("GET", "/v1/control?limit=1000", "", fleetToken)
		if status != 200 {
			t.Fatal(status, text)
		}
		return text
	}
	count := func(pattern string) int { return len(regexp.MustCompile(pattern).FindAllString(control(), -1)) }

	begun := `"changed_by":"auditor"[^\n]*"table_name":"auditrelay_export"[^\n]*"outcome":"begun"`
	ended := `"changed_by":"auditor"[^\n]*"table_name":"auditrelay_export"[^\n]*"outcome":"done"`
	single := `"changed_by":"auditor"[^\n]*"table_name":"auditrelay_reading"`
	if n := count(begun) + count(ended) + count(single); n != 0 {
		t.Fatalf("records at the beginning: %s", control())
	}
	if status, _, body := ask(t, b, "/audit/e1", complyToken); status != 200 {
		t.Fatal(status, body)
	}
	if n := count(single); n != 1 {
		t.Errorf("%d readings are on record: %s", n, control())
	}
	if status, _, body := ask(t, b, "/audit/export?format=ndjson&table_name=LiteLLM_TeamTable", complyToken); status != 200 || !strings.Contains(body, `"records":1`) {
		t.Fatal(status, body)
	}
	if count(begun) != 1 || count(ended) != 1 {
		t.Errorf("the export is not on record: %s", control())
	}
	if n := ownReads(t, b); n != 2 {
		t.Errorf("b answered %d requests itself", n)
	}
	if status, _, _ := ask(t, b, "/audit", viewToken); status != http.StatusForbidden {
		t.Errorf("without the role: %d", status)
	}
	if status, _, _ := ask(t, b, "/audit", "a-token-that-nobody-has"); status != http.StatusUnauthorized {
		t.Errorf("with an unknown token: %d", status)
	}
	if denied := `"changed_by":"viewer"[^\n]*"table_name":"auditrelay_request"`; count(denied) == 0 {
		t.Errorf("the denial is not on record: %s", control())
	}
	if n := ownReads(t, b); n != 2 {
		t.Errorf("b answered a denied request itself")
	}
	// A rate holds for all relays together.
	limited := 0
	for i := range 6 {
		if status, _, _ := ask(t, []*running{a, b}[i%2], "/audit/e1", slowToken); status == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited == 0 {
		t.Error("six requests at a rate of one a second were all answered")
	}
	// A client's own header has no effect, at either relay.
	for _, r := range []*running{a, b} {
		status, header, body := ask(t, r, "/audit/e1", complyToken, "Auditrelay-Grant", strings.Repeat("0", 64), "Auditrelay-Fleet", "guess", "Auditrelay-Peer", "198.51.100.7")
		if r == a && (status != 200 || !strings.Contains(body, `"id":"e1"`)) || header.Get("Auditrelay-Grant") != "" {
			t.Errorf("with headers of the fleet: %d %v %s", status, header, body)
		}
		status, header, body = ask(t, r, "/audit/e1", complyToken, "Auditrelay-Grant", strings.Repeat("0", 64))
		if status != 200 || !strings.Contains(body, `"id":"e1"`) || header.Get("Auditrelay-Grant") != "" {
			t.Errorf("with the header of a grant: %d %v %s", status, header, body)
		}
	}
}

// TestAFollowerWithoutALeaderShowsNothing: a reading that cannot be recorded is not shown.
func TestAFollowerWithoutALeaderShowsNothing(t *testing.T) {
	server := pgtest.Start(t, "fsync = on", "wal_sync_method = fdatasync")
	a, b := readers(t, server)
	if status, answer := b.call("POST", "/v1/events", numbered(1), fleetToken); status != 200 {
		t.Fatal(status, answer)
	}
	b.until(func() bool { status, _ := b.call("GET", "/audit/e1", "", complyToken); return status == 200 })
	// The leader cannot commit, so it cannot record.
	db := server.Connect(t, "owner", "postgres")
	db.Exec("BEGIN; LOCK TABLE auditrelay.state IN ACCESS EXCLUSIVE MODE; LOCK TABLE auditrelay.frames IN ACCESS EXCLUSIVE MODE")
	type answer struct {
		status int
		body   string
	}
	got := make(chan answer, 1)
	go func() {
		status, _, body := ask(t, b, "/audit/e1", complyToken)
		got <- answer{status, body}
	}()
	select {
	case one := <-got:
		if one.status != http.StatusServiceUnavailable || strings.Contains(one.body, "user-1") {
			t.Errorf("a reading that is not on record: %d %s", one.status, one.body)
		}
	case <-time.After(30 * time.Second):
		t.Error("no answer")
	}
	db.Exec("ROLLBACK")
	if err := a.stop(); err != nil {
		t.Log(err) // it may have given up
		a.stop = func() error { return nil }
	}
	fleetOf(t, b, "b leads", ledBy("b"))
	b.until(func() bool { status, _ := b.call("GET", "/audit/e1", "", complyToken); return status == 200 })
}
