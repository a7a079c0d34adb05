package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	relayhttp "auditrelay/cli/internal/http"
	"auditrelay/cli/internal/oidc"
	"auditrelay/config"
	"auditrelay/runtime"
)

// hostile is text that a browser would run if a screen forgot to escape it.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}'`

// sink delivers everything, or refuses it with a hostile message. While stuck is set, no replay
// ends.
type sink struct {
	refuse bool
	stuck  *atomic.Bool
}

func (s sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	var all []auditrelay.Payload
	for _, r := range chunk.Records {
		all = append(all, auditrelay.Payload{Key: chunk.Replay + "/" + fmt.Sprint(r.Sequence), Body: r.Data, Sequences: []uint64{r.Sequence}})
	}
	return all, nil
}

func (s sink) Deliver(_ context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	if s.stuck != nil && s.stuck.Load() && !strings.HasPrefix(p.Key, "/") {
		return auditrelay.Receipt{}, errors.New("the destination is down")
	}
	if s.refuse {
		return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: errors.New(hostile)}
	}
	return auditrelay.Receipt{Location: hostile}, nil
}

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// relay is a real runtime behind the real server, with the page.
type relay struct {
	t     *testing.T
	rt    *runtime.Runtime
	http  *httptest.Server
	clock *clock
	stuck atomic.Bool // replays of archive do not end
}

func token(role string) string { return role + "-token-0123456789" }

func newRelay(t *testing.T, roles ...config.Role) *relay {
	t.Helper()
	cfg := &config.Config{Listen: "127.0.0.1:0"}
	for _, role := range roles {
		cfg.Tokens = append(cfg.Tokens, config.Token{Name: string(role), Token: auditrelay.Secret(token(string(role))), Roles: []config.Role{role}})
	}
	return newRelayOf(t, cfg)
}

func newRelayOf(t *testing.T, cfg *config.Config) *relay {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	r := &relay{t: t, clock: &clock{time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}}
	rt, err := runtime.Open(t.Context(), runtime.Options{Logger: quiet, Callbacks: []runtime.Callback{
		{Name: "archive", Sink: sink{stuck: &r.stuck}, Chunk: auditrelay.Chunking{Age: time.Millisecond}},
		{Name: "refusing", Sink: sink{refuse: true}, Chunk: auditrelay.Chunking{Age: time.Millisecond}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.rt = rt
	var server *relayhttp.Server
	server, err = relayhttp.New(relayhttp.Options{
		Runtime: rt, Config: cfg, Logger: quiet,
		Pages: func(api http.Handler, denied relayhttp.Denied) http.Handler {
			return New(Options{API: api, Denied: denied, Logger: quiet, now: r.clock.now, Issuer: func() *oidc.Issuer { return server.Issuer() }})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.http = httptest.NewServer(server.Handler())
	t.Cleanup(func() {
		r.http.Close()
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// browser keeps cookies and does not follow redirects.
type browser struct {
	*relay
	client *http.Client
}

func (r *relay) browser() *browser {
	jar, _ := cookiejar.New(nil)
	return &browser{r, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (b *browser) do(method, path string, form url.Values, head ...string) (int, string, http.Header) {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.http.URL+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(head); i += 2 {
		if head[i] == "Host" {
			req.Host = head[i+1]
			continue
		}
		req.Header.Set(head[i], head[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(answer), resp.Header
}

func (b *browser) signIn(role string) {
	b.t.Helper()
	status, _, head := b.do("POST", "/ui/sign-in", url.Values{"token": {token(role)}})
	if status != http.StatusSeeOther || head.Get("Location") != "/ui/" {
		b.t.Fatalf("signing in as %s: %d to %q", role, status, head.Get("Location"))
	}
}

func (r *relay) submit(id, action string) {
	r.t.Helper()
	data := fmt.Sprintf(`{"id":%q,"updated_at":"2026-01-31T12:00:00+00:00","changed_by":"u","changed_by_api_key":"k",`+
		`"action":%q,"table_name":"LiteLLM_TeamTable","object_id":"o","before_value":null,"updated_values":%q}`, id, action, hostile)
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.http.URL+"/v1/events", strings.NewReader(data))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token("admin"))
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.http.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		r.t.Fatal("the event was answered ", resp.Status)
	}
	if err := r.rt.Settled(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// TestEveryScreenAsksForItsRole requests each screen and each button with every role and without a
// session.
func TestEveryScreenAsksForItsRole(t *testing.T) {
	implied := map[string][]string{
		"view": {"view"}, "auditor": {"view", "auditor"}, "comply": {"view", "auditor", "comply"}, "operate": {"view", "operate"}, "admin": {"ingest", "view", "auditor", "comply", "operate", "admin"},
	}
	r := newRelay(t, config.RoleView, config.RoleAuditor, config.RoleComply, config.RoleOperate, config.RoleAdmin)
	nobody := r.browser()
	fill := strings.NewReplacer("{$}", "", "{name}", "archive", "{id}", "1", "{sequence}", "1", "{number}", "1", "{digest}", strings.Repeat("0", 64))
	var refused sync.WaitGroup // several at a time: requests without credentials are slowed down
	slots := make(chan struct{}, 4)
	for _, sc := range screens() {
		if sc.role == "" {
			t.Errorf("%s %s asks for no role", sc.method, sc.path)
		}
		refused.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			status, text, head := nobody.do(sc.method, fill.Replace(sc.path), nil)
			if sc.stream { // the stream reports the missing session and ends
				if status != http.StatusOK || !strings.HasPrefix(text, "event: change\ndata: \n\nevent: ended\n") || strings.Count(text, "event:") != 2 {
					t.Errorf("%s %s without a session: %d %s", sc.method, sc.path, status, text)
				}
				return
			}
			if status != http.StatusSeeOther || !strings.HasPrefix(head.Get("Location"), "/ui/sign-in") {
				t.Errorf("%s %s without a session: %d to %q", sc.method, sc.path, status, head.Get("Location"))
			}
		})
	}
	refused.Wait()
	for role, has := range implied {
		b := r.browser()
		b.signIn(role)
		for _, sc := range screens() {
			if sc.stream {
				continue
			}
			may := false
			for _, h := range has {
				may = may || h == sc.role
			}
			status, _, _ := b.do(sc.method, fill.Replace(sc.path), url.Values{}, "Sec-Fetch-Site", "same-origin")
			if refused := status == http.StatusForbidden; refused == may {
				t.Errorf("%s %s as %s: %d", sc.method, sc.path, role, status)
			}
		}
	}
}

// TestTheBrowserWalksEveryScreen: the test with a real browser opens the same screens as the page
// has. This test fails until a new screen is in that list.
func TestTheBrowserWalksEveryScreen(t *testing.T) {
	text, err := os.ReadFile("../../../internal/testservers/browser/testdata/screens.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/ui/sign-in"}
	for _, sc := range screens() {
		if sc.method == http.MethodGet && !sc.stream {
			want = append(want, sc.path)
		}
	}
	slices.Sort(want)
	if got := strings.Fields(string(text)); !slices.Equal(got, want) {
		t.Errorf("internal/testservers/browser/testdata/screens.txt lists %q, the page has %q: write the list anew, and look at the screen in internal/testservers/browser", got, want)
	}
}

// TestHostileTextIsEscaped puts hostile text into every field that a sender, a destination or an
// address can choose, and checks each screen that shows it.
func TestHostileTextIsEscaped(t *testing.T) {
	r := newRelay(t, config.RoleAdmin)
	r.submit(hostile, "created")
	b := r.browser()
	b.signIn("admin")
	id := url.QueryEscape(hostile)
	shown := 0
	for _, path := range []string{
		"/ui/", "/ui/events?id=" + id, "/ui/events?data=1&id=" + id, "/ui/events?id=" + id + "x", "/ui/events?namespace=" + id + "&id=" + id,
		"/ui/callbacks/archive", "/ui/callbacks/refusing", "/ui/callbacks/" + url.PathEscape(hostile),
		"/ui/dead-letters", "/ui/undelivered", "/ui/report", "/ui/report?from=" + id + "&to=" + id, "/ui/report?from=" + time.Now().AddDate(0, 0, -1).Format(dayFormat) + "&to=" + time.Now().AddDate(0, 0, 1).Format(dayFormat), "/ui/dead-letters?callback=" + id, "/ui/dead-letters/refusing/1", "/ui/quarantine", "/ui/modules",
		"/ui/modules/" + url.PathEscape(hostile), "/ui/?notice=" + id, "/ui/?notice=replayed&n=" + id, "/ui/sign-in?next=" + id, "/ui/" + url.PathEscape(hostile),
	} {
		status, page, head := b.do("GET", path, nil)
		if status >= 500 && !strings.HasPrefix(path, "/ui/modules") { // the test has no modules
			t.Errorf("%s: %d", path, status)
		}
		if head.Get("Content-Security-Policy") != policy {
			t.Errorf("%s: no policy", path)
		}
		if strings.Contains(page, "<script>alert") || strings.Contains(page, "<img src=x") {
			t.Errorf("%s shows text unescaped", path)
		}
		if strings.Contains(page, "&lt;script&gt;alert(1)") {
			shown++
		}
		if found := regexp.MustCompile(`(?i)\sstyle=|\son[a-z]+=|<style|javascript:`).FindString(strings.ReplaceAll(page, "onerror=alert(1)", "")); found != "" {
			t.Errorf("%s holds %q, which the policy forbids", path, found)
		}
	}
	if shown < 6 {
		t.Errorf("only %d screens showed the text: the test looks at the wrong ones", shown)
	}
}

// TestSessions: a session ends after a time without requests, at a maximum age, by signing out, and
// when its token ends. Scripts and other sites cannot use its cookie.
func TestSessions(t *testing.T) {
	r := newRelay(t, config.RoleView)
	inside := func(b *browser) bool {
		status, _, _ := b.do("GET", "/ui/", nil)
		return status == http.StatusOK
	}
	b := r.browser()
	status, _, head := b.do("POST", "/ui/sign-in", url.Values{"token": {token("view")}})
	cookie := head.Get("Set-Cookie")
	if status != http.StatusSeeOther || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") || strings.Contains(cookie, token("view")) {
		t.Fatalf("%d, cookie %q", status, cookie)
	}
	if !inside(b) {
		t.Fatal("not inside after the sign-in")
	}
	r.clock.at = r.clock.at.Add(idleLimit - time.Second)
	if status, _, _ := b.do("GET", "/ui/", nil, "HX-Request", "true", "HX-Trigger", "live"); status != http.StatusOK {
		t.Fatal("the live part was refused:", status)
	}
	r.clock.at = r.clock.at.Add(time.Second)
	if inside(b) {
		t.Error("a page that refreshes by itself keeps an idle session")
	}
	b.signIn("view")
	for range int(lifeLimit / (idleLimit / 2)) {
		r.clock.at = r.clock.at.Add(idleLimit / 2)
		inside(b)
	}
	if inside(b) {
		t.Error("a session lives longer than its limit")
	}
	b.signIn("view")
	if b.do("POST", "/ui/sign-out", nil); inside(b) {
		t.Error("inside after signing out")
	}
	if status, page, _ := b.do("POST", "/ui/sign-in", url.Values{"token": {"wrong-token-0123456789"}}); status != http.StatusUnauthorized || strings.Contains(page, "wrong-token") {
		t.Errorf("a wrong token: %d", status)
	}
}

// TestCookiesAreSecureBehindAProxy: also if a proxy in front of the relay ends TLS.
func TestCookiesAreSecureBehindAProxy(t *testing.T) {
	r := newRelay(t, config.RoleView)
	for name, c := range map[string]struct {
		head   []string
		secure bool
	}{
		"https by a proxy":         {[]string{"Host", "relay.example", "Sec-Fetch-Site", "same-origin"}, true},
		"http":                     {[]string{"Host", "relay.example"}, false},
		"http on this machine":     {[]string{"Host", "127.0.0.1:8787", "Sec-Fetch-Site", "same-origin"}, false},
		"http on this machine, v6": {[]string{"Host", "[::1]:8787", "Sec-Fetch-Site", "same-origin"}, false},
		"http, localhost":          {[]string{"Host", "localhost:8787", "Sec-Fetch-Site", "same-origin"}, false},
	} {
		_, _, head := r.browser().do("POST", "/ui/sign-in", url.Values{"token": {token("view")}}, c.head...)
		if cookie := head.Get("Set-Cookie"); strings.Contains(cookie, "; Secure") != c.secure || cookie == "" {
			t.Errorf("%s: the cookie is %q", name, cookie)
		}
	}
}

// TestOnePrincipalCannotEndTheSessionsOfOthers by signing in again and again.
func TestOnePrincipalCannotEndTheSessionsOfOthers(t *testing.T) {
	r := newRelay(t, config.RoleView, config.RoleAdmin)
	admin := r.browser()
	admin.signIn("admin")
	r.clock.at = r.clock.at.Add(time.Minute)
	for range maxSessions {
		r.browser().signIn("view") // without signing out
	}
	if status, _, _ := admin.do("GET", "/ui/", nil); status != http.StatusOK {
		t.Errorf("the admin's session has ended: %d", status)
	}
	last := r.browser()
	last.signIn("view")
	if status, _, _ := last.do("GET", "/ui/", nil); status != http.StatusOK {
		t.Errorf("the newest session of the role view has ended: %d", status)
	}
}

// TestAnEndedSessionIsTold: after the end of a session, the user reads that it has ended and that
// the last form was not done, and returns to the same screen. Open pages do the same. A restart of
// the relay, another leader of a fleet and a time limit look alike: the session's id is unknown.
func TestAnEndedSessionIsTold(t *testing.T) {
	r := newRelay(t, config.RoleOperate, config.RoleComply)
	b := r.browser()
	b.signIn("operate")
	r.clock.at = r.clock.at.Add(idleLimit)
	ended := func(head http.Header, name string) string {
		t.Helper()
		to := head.Get(name)
		_, page, _ := b.do("GET", to, nil)
		if !strings.Contains(page, "Your session has ended") {
			t.Errorf("%s says nothing of the session: %s", to, page)
		}
		return page
	}
	_, _, head := b.do("GET", "/ui/callbacks/archive?a=b", nil)
	if page := ended(head, "Location"); !strings.Contains(page, `name="next" value="/ui/callbacks/archive?a=b"`) || strings.Contains(page, "not done") {
		t.Error("a screen:", page)
	}
	_, _, head = b.do("POST", "/ui/callbacks/archive/state", url.Values{"do": {"pause"}}, "Sec-Fetch-Site", "same-origin")
	if page := ended(head, "Location"); !strings.Contains(page, "What you sent last was not done") {
		t.Error("a button:", page)
	}
	status, _, head := b.do("GET", "/ui/callbacks/archive", nil, "HX-Request", "true", "HX-Trigger", "live", "HX-Current-URL", r.http.URL+"/ui/callbacks/archive?c=d")
	if page := ended(head, "HX-Redirect"); status != http.StatusNoContent || !strings.Contains(page, `value="/ui/callbacks/archive?c=d"`) {
		t.Error("a live part:", status, page)
	}
	_, _, head = b.do("GET", "/ui/", nil, "HX-Request", "true", "HX-Current-URL", "https://evil.example/ui/../x")
	if to := head.Get("HX-Redirect"); strings.Contains(to, "evil") || strings.Contains(to, "next") {
		t.Error("it would go to", to)
	}
	for path, want := range map[string]string{"/ui/live": "event: change\n", "/ui/tap/stream": "event: ended\n"} {
		if status, text, head := b.do("GET", path, nil); status != http.StatusOK || head.Get("Content-Type") != "text/event-stream" || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	// Users without a session before, and users who follow a link, do not read this.
	_, _, head = r.browser().do("GET", "/ui/callbacks/archive", nil, "Sec-Fetch-Site", "cross-site")
	if _, page, _ := b.do("GET", head.Get("Location"), nil); strings.Contains(page, "has ended") || !strings.Contains(page, `<a href="/ui/callbacks/archive">go on</a>`) {
		t.Error("by a link:", page)
	}
}

// TestOtherSitesAreRefused: forms of other sites, and requests by another name of this machine, are
// refused.
func TestOtherSitesAreRefused(t *testing.T) {
	open := newRelay(t).browser()
	if status, _, _ := open.do("GET", "/ui/", nil); status != http.StatusOK {
		t.Fatalf("on loopback without tokens: %d", status)
	}
	if status, _, _ := open.do("GET", "/ui/", nil, "Host", "evil.example:80"); status != http.StatusForbidden {
		t.Errorf("another name for this machine: %d", status)
	}
	pause := url.Values{"do": {"pause"}}
	for _, head := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
		if status, _, _ := open.do("POST", "/ui/callbacks/archive/state", pause, head...); status != http.StatusForbidden {
			t.Errorf("a form with %v: %d", head, status)
		}
	}
	if s, err := open.rt.Callback("archive"); err != nil || s.State != runtime.StateActive {
		t.Errorf("%v %v", s.State, err)
	}
	if status, _, _ := open.do("POST", "/ui/callbacks/archive/state", pause, "Sec-Fetch-Site", "same-origin"); status != http.StatusSeeOther {
		t.Errorf("the page's own form: %d", status)
	}
	if s, _ := open.rt.Callback("archive"); s.State != runtime.StatePaused {
		t.Error("the callback is", s.State)
	}
	for _, to := range []string{"https://evil.example/", "//evil.example/ui/", `/\evil.example/ui/`, "/v1/stats", "/ui/../v1"} {
		_, page, _ := open.do("GET", "/ui/sign-in?next="+url.QueryEscape(to), nil)
		if strings.Contains(page, `name="next" value="`+to) {
			t.Errorf("after the sign-in it would go to %s", to)
		}
	}
}

// TestButtons: each form does what its button says.
func TestButtons(t *testing.T) {
	r := newRelay(t, config.RoleAdmin)
	r.submit("one", "created")
	r.submit("two", "deleted")
	b := r.browser()
	b.signIn("admin")
	post := func(path string, form url.Values) string {
		t.Helper()
		status, page, head := b.do("POST", path, form, "Sec-Fetch-Site", "same-origin")
		if status != http.StatusSeeOther {
			t.Fatalf("%s %v: %d %s", path, form, status, page)
		}
		return head.Get("Location")
	}
	reason := []string{"a test"}
	day := func(n int) string { return time.Now().UTC().AddDate(0, 0, n).Format(dayFormat) }
	if status, page, _ := b.do("GET", "/ui/report?from="+day(-1)+"&to="+day(1), nil); status != http.StatusOK || !strings.Contains(page, "2 events were accepted") || !strings.Contains(page, "refused: 2") {
		t.Errorf("the report: %d %s", status, page)
	}
	if _, page, _ := b.do("GET", "/ui/undelivered", nil); !strings.Contains(page, "2 are dead letters") {
		t.Error("undelivered:", page)
	}
	to := post("/ui/dead-letters", url.Values{"callback": {"refusing"}, "do": {"discard"}, "sequence": {"1"}, "reason": reason})
	if _, page, _ := b.do("GET", to, nil); !strings.Contains(page, "1 dead letters discarded") {
		t.Errorf("%s does not say what was done", to)
	}
	if s, _ := r.rt.Callback("refusing"); s.Account.Discarded != 1 { // the record of the discard is refused too
		t.Errorf("account %+v", s.Account)
	}
	to = post("/ui/callbacks/archive/replay", url.Values{"dry_run": {"1"}})
	if _, page, _ := b.do("GET", to, nil); !strings.Contains(page, "would deliver 3 events") {
		t.Errorf("%s does not say what a replay would do", to)
	}
	to = post("/ui/dead-letters/replay", url.Values{"callback": {"refusing"}, "table": {"LiteLLM_TeamTable"}, "action": {"deleted"}, "dry_run": {"1"}})
	if _, page, _ := b.do("GET", to, nil); !strings.Contains(page, "would deliver 1 events") {
		t.Errorf("%s does not say what a replay by filter would do", to)
	}
	post("/ui/dead-letters/replay", url.Values{"callback": {"refusing"}, "action": {"deleted"}, "from": {"2026-01-01T00:00"}, "rate": {"100"}})
	if _, page, _ := b.do("GET", "/ui/dead-letters?callback=refusing", nil); !strings.Contains(page, "at most 100 a second") {
		t.Error("the replay is not shown")
	}
	r.stuck.Store(true)
	post("/ui/callbacks/archive/replay", url.Values{})
	_, page, _ := b.do("GET", "/ui/callbacks/archive", nil)
	cancel := regexp.MustCompile(`/ui/callbacks/archive/replays/[0-9a-f]+/cancel`).FindString(page)
	if to = post(cancel, url.Values{"reason": {"TICKET-5"}}); !strings.Contains(to, "replay-cancelled") {
		t.Errorf("after the replay was cancelled: %s", to)
	}
	if _, page, _ := b.do("GET", "/ui/control", nil); !strings.Contains(page, "TICKET-5") {
		t.Error("the record has no reason")
	}
	r.stuck.Store(false)
	if status, page, _ := b.do("POST", "/ui/callbacks/archive/test", url.Values{"reason": {"TICKET-6"}}, "Sec-Fetch-Site", "same-origin"); status != http.StatusOK || !strings.Contains(page, "Delivered.") || strings.Contains(page, "<script>alert") {
		t.Errorf("a test of the destination: %d %s", status, page)
	}
	if _, page, _ := b.do("GET", "/ui/callbacks/archive", nil); !strings.Contains(page, "Newest deliveries") || strings.Contains(page, "<script>alert") {
		t.Error("the callback shows no deliveries")
	}
	for _, do := range []string{"pause", "resume", "detach", "attach"} {
		post("/ui/callbacks/archive/state", url.Values{"do": {do}, "reason": reason})
	}
	if status, _, _ := b.do("POST", "/ui/dead-letters", url.Values{"callback": {"refusing"}, "do": {"discard"}, "reason": reason}, "Sec-Fetch-Site", "same-origin"); status != http.StatusBadRequest {
		t.Errorf("discarding nothing in particular: %d", status)
	}
}
