package http

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
)

// The authorization of every route, with every role and every invalid credential. A row lists
// the roles with access; all others get 403. Without a token, or with one that is expired,
// rotated away, malformed or from elsewhere, each route that requires a token answers 401.
// Tokens confined to a namespace see only that namespace, through the routes in scoped.
func TestEveryRouteAgainstEveryRole(t *testing.T) {
	everyone := []config.Role{"", "ingest", "relay", "view", "auditor", "comply", "operate", "admin"}
	viewers := []config.Role{"view", "auditor", "comply", "operate", "admin"}
	operators := []config.Role{"operate", "admin"}
	rows := []struct {
		method, path string
		allowed      []config.Role
	}{
		{"GET", "/healthz", everyone},
		{"GET", "/readyz", everyone},
		{"GET", "/metrics", viewers},
		{"POST", "/v1/events", []config.Role{"ingest", "relay", "admin"}},
		{"POST", "/v1/hooks/archive", everyone}, // 404: a hook checks its own secret, see TestAHookLetsNobodyElseIn
		{"GET", "/v1/hooks/archive", everyone},
		{"GET", "/v1/events/a", viewers},
		{"GET", "/v1/events/a?data=true", []config.Role{"comply", "admin"}},
		{"GET", "/v1/events", viewers},
		{"GET", "/v1/events?id=a&data=true", []config.Role{"comply", "admin"}},
		{"GET", "/v1/proofs", []config.Role{"auditor", "comply", "admin"}},
		{"GET", "/v1/receipts", viewers},
		{"GET", "/v1/receipts?callback=archive", viewers},
		{"POST", "/v1/pseudonyms", []config.Role{"comply", "admin"}},
		{"GET", "/v1/stored", []config.Role{"comply", "admin"}},
		{"POST", "/v1/reconcile", []config.Role{"comply", "admin"}},
		{"GET", "/v1/stats", viewers},
		{"GET", "/v1/sources", viewers},
		{"GET", "/v1/version", viewers},
		{"GET", "/v1/principal", everyone[1:]},
		{"GET", "/v1/callbacks", viewers},
		{"GET", "/v1/callbacks/archive", viewers},
		{"POST", "/v1/callbacks/archive/pause", operators},
		{"POST", "/v1/callbacks/archive/resume", operators},
		{"POST", "/v1/callbacks/archive/detach", operators},
		{"POST", "/v1/callbacks/archive/attach", operators},
		{"POST", "/v1/callbacks/archive/replay", operators},
		{"POST", "/v1/callbacks/archive/test", operators},
		{"DELETE", "/v1/callbacks/archive/replays/a", operators},
		{"GET", "/v1/deliveries", viewers},
		{"GET", "/v1/callbacks/archive/dead-letters", viewers},
		{"GET", "/v1/callbacks/archive/dead-letters/1", []config.Role{"comply", "admin"}},
		{"POST", "/v1/callbacks/archive/dead-letters/discard", operators},
		{"POST", "/v1/callbacks/archive/dead-letters/replay", operators},
		{"GET", "/v1/dead-letter-replays", viewers},
		{"DELETE", "/v1/dead-letter-replays/a", operators},
		{"GET", "/v1/quarantine", viewers},
		{"GET", "/v1/quarantine/1", []config.Role{"comply", "admin"}},
		{"POST", "/v1/quarantine/replay", operators},
		{"POST", "/v1/quarantine/delete", operators},
		{"POST", "/v1/quarantine/1/replay", []config.Role{"admin"}}, // or operate with ingest
		{"GET", "/v1/policies", viewers},
		{"GET", "/v1/configurations/0123456789", []config.Role{"comply", "admin"}},
		{"GET", "/v1/policy-history", []config.Role{"view", "comply", "operate", "admin", "auditor"}},
		{"GET", "/v1/completeness", []config.Role{"view", "comply", "operate", "admin", "auditor"}},
		{"POST", "/v1/shadows", []config.Role{"admin"}},
		{"GET", "/v1/shadows", []config.Role{"view", "auditor", "comply", "operate", "admin"}},
		{"GET", "/v1/shadows/archive", []config.Role{"view", "auditor", "comply", "operate", "admin"}},
		{"POST", "/v1/shadows/archive/use", []config.Role{"admin"}},
		{"DELETE", "/v1/shadows/archive", []config.Role{"operate", "admin"}},
		{"POST", "/v1/rollouts", []config.Role{"admin"}},
		{"GET", "/v1/rollouts", []config.Role{"view", "auditor", "comply", "operate", "admin"}},
		{"POST", "/v1/rollouts/archive/promote", []config.Role{"admin"}},
		{"POST", "/v1/rollouts/archive/rollback", []config.Role{"operate", "admin"}},
		{"POST", "/v1/filters/archive/policy", []config.Role{"admin"}},
		{"POST", "/v1/policies/diff", []config.Role{"comply", "admin"}},
		{"GET", "/v1/tap", []config.Role{"comply", "admin"}},
		{"POST", "/v1/try", []config.Role{"comply", "admin"}},
		{"GET", "/v1/policies/0123456789", viewers},
		{"POST", "/v1/backup", []config.Role{"admin"}},
		{"POST", "/v1/reload", []config.Role{"admin"}},
		{"GET", "/audit", []config.Role{"comply", "admin"}},
		{"GET", "/audit/a", []config.Role{"comply", "admin"}},
		{"GET", "/audit/export", []config.Role{"comply", "admin"}},
		{"POST", "/v1/store/rebuild", []config.Role{"admin"}},
		{"POST", "/v1/modules", []config.Role{"admin"}},
		{"GET", "/v1/modules", viewers},
		{"GET", "/v1/modules/0123456789", viewers},
		{"GET", "/v1/searches", []config.Role{"comply", "admin"}},
		{"POST", "/v1/searches", []config.Role{"comply", "admin"}},
		{"DELETE", "/v1/searches", []config.Role{"comply", "admin"}},
		{"POST", "/v1/modules/0123456789/check", []config.Role{"admin"}},
		{"GET", "/v1/modules/0123456789/content", []config.Role{"admin"}},
		{"DELETE", "/v1/modules/0123456789", []config.Role{"admin"}},
		{"GET", "/v1/filters", viewers},
		{"POST", "/v1/filters/archive/module", []config.Role{"admin"}},
		{"POST", "/v1/filters/archive/reset", operators},
		{"GET", "/v1/fleet", viewers},
		{"POST", "/v1/fleet/archive/drain", operators},
		{"POST", "/v1/fleet/archive/undrain", operators},
		{"POST", "/v1/verifications", []config.Role{"auditor", "comply", "admin"}},
		{"GET", "/v1/approvals", viewers},
		{"POST", "/v1/approvals/a/approve", operators},
		{"POST", "/v1/approvals/a/reject", operators},
		{"GET", "/v1/control", []config.Role{"auditor", "comply", "admin"}},
		{"GET", "/v1/keyring", []config.Role{"admin"}},
		{"DELETE", "/v1/keyring/1", []config.Role{"admin"}},
	}
	var given []config.Token
	for _, role := range everyone[1:] {
		given = append(given, config.Token{Name: string(role), Token: tokenOf(role), Roles: []config.Role{role}})
	}
	const expired, rotated = "an-expired-token-0123", "a-rotated-token-01234"
	hour := time.Now().Add(time.Hour)
	given = append(given,
		config.Token{Name: "former", Token: expired, Roles: []config.Role{"admin"}, Expires: time.Now().Add(-time.Second)},
		config.Token{Name: "now", Token: "the-new-token-0123456", Roles: []config.Role{"admin"}, Expires: hour},
		config.Token{Name: "confined", Token: "a-confined-token-0123", Roles: []config.Role{"ingest", "comply"}, Namespace: "team-x"})
	scoped := []string{"POST /v1/events", "GET /v1/events/a", "GET /v1/events/a?data=true", "GET /v1/events", "GET /v1/events?id=a&data=true",
		"GET /v1/proofs", "GET /v1/stored", "GET /v1/version", "GET /v1/principal", "GET /audit", "GET /audit/a", "GET /audit/export"}
	r := newRelay(t, Options{Config: tokens(given)})
	for _, row := range rows {
		free := slices.Contains(row.allowed, "") // without any credential
		for name, head := range map[string]string{
			"expired": "Bearer " + expired, "rotated": "Bearer " + rotated, "foreign": "Bearer somebody-elses-token", "empty": "Bearer ",
			"another scheme": "Basic YTpi", "a prefix": "Bearer the-new-token", "two": "Bearer the-new-token-0123456 the-new-token-0123456",
			"not UTF-8": "Bearer \xff\xfe", "long": "Bearer " + strings.Repeat("a", 8000),
		} {
			if status, answer, _ := r.call(row.method, row.path, "", "Authorization", head); (status == http.StatusUnauthorized) == free {
				t.Errorf("%s %s with a credential that is %s: %d %s", row.method, row.path, name, status, answer)
			}
		}
		status, answer, _ := r.call(row.method, row.path, "", "Authorization", "Bearer a-confined-token-0123")
		if in := status != http.StatusUnauthorized && status != http.StatusForbidden; in != (free || slices.Contains(scoped, row.method+" "+row.path)) {
			t.Errorf("%s %s confined to a namespace: %d %s", row.method, row.path, status, answer)
		}
	}
	for _, row := range rows {
		for _, role := range everyone {
			var head []string
			want := http.StatusUnauthorized
			if role != "" {
				head = []string{"Authorization", "Bearer " + tokenOf(role).Reveal()}
				want = http.StatusForbidden
			}
			status, answer, _ := r.call(row.method, row.path, "", head...)
			refused := status == http.StatusUnauthorized || status == http.StatusForbidden
			if slices.Contains(row.allowed, role) == refused || refused && status != want {
				t.Errorf("%s %s as %q: %d %s", row.method, row.path, role, status, answer)
			}
		}
	}
	// The table above covers all routes.
	for _, rt := range r.srv.table() {
		known := slices.ContainsFunc(rows, func(row struct {
			method, path string
			allowed      []config.Role
		}) bool {
			path := strings.NewReplacer("{name}", "archive", "{callback}", "archive", "{id}", "a", "{sequence}", "1", "{number}", "1", "{digest}", "0123456789", "{period}", "1").Replace(rt.path)
			return row.method == rt.method && row.path == path
		})
		if !known {
			t.Errorf("%s %s is not in the table above", rt.method, rt.path)
		}
	}
}

func tokenOf(role config.Role) auditrelay.Secret {
	return auditrelay.Secret("a-long-token-for-" + string(role))
}

func TestTokens(t *testing.T) {
	r := newRelay(t, Options{Config: tokens([]config.Token{{Name: "v", Token: "sixteen-bytes-xx", Roles: []config.Role{"view"}}})})
	rows := []struct {
		name, authorization string
		status              int
	}{
		{"right", "Bearer sixteen-bytes-xx", 200},
		{"scheme in any case", "bearer sixteen-bytes-xx", 200},
		{"wrong", "Bearer sixteen-bytes-xy", 401},
		{"cut", "Bearer sixteen-bytes-x", 401},
		{"longer", "Bearer sixteen-bytes-xxx", 401},
		{"empty", "Bearer ", 401},
		{"no scheme", "sixteen-bytes-xx", 401},
		{"another scheme", "Basic sixteen-bytes-xx", 401},
	}
	for _, row := range rows {
		status, answer, head := r.call("GET", "/v1/callbacks", "", "Authorization", row.authorization)
		if status != row.status {
			t.Errorf("%s: %d %s", row.name, status, answer)
		}
		if status == 401 && head.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: a 401 without WWW-Authenticate", row.name)
		}
		if strings.Contains(answer, "sixteen") {
			t.Errorf("%s: the answer holds the token: %s", row.name, answer)
		}
	}
}

// The old and the new token of one client have the same name and roles during a rotation.
func TestTwoTokensOfOneName(t *testing.T) {
	roles := []config.Role{"ingest", "view"}
	a, err := newAuth([]config.Token{{Name: "proxy", Token: "7f3a91c04be2d586", Roles: roles}, {Name: "proxy", Token: "c1d8e05a92b7f364", Roles: roles}})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"7f3a91c04be2d586", "c1d8e05a92b7f364"} {
		r := httptest.NewRequest(http.MethodGet, "/v1/callbacks", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		if who, refused := a.identify(r); refused != nil || who.name != "proxy" {
			t.Errorf("%s: %v, %v", token, who.name, refused)
		}
	}
}

func TestBadTokensAreRefusedAtStart(t *testing.T) {
	good := config.Token{Name: "a", Token: "0123456789abcdef", Roles: []config.Role{"view"}}
	rows := []struct {
		name  string
		given []config.Token
		want  string
	}{
		{"short", []config.Token{{Name: "a", Token: "short", Roles: []config.Role{"view"}}}, "shorter than"},
		{"no name", []config.Token{{Token: "0123456789abcdef", Roles: []config.Role{"view"}}}, "needs a name"},
		{"no roles", []config.Token{{Name: "a", Token: "0123456789abcdef"}}, "no roles"},
		{"unknown role", []config.Token{{Name: "a", Token: "0123456789abcdef", Roles: []config.Role{"god"}}}, `unknown role "god"`},
		{"name twice, with other roles", []config.Token{good, {Name: "a", Token: "fedcba9876543210", Roles: []config.Role{"admin"}}}, "taken"},
		{"value twice", []config.Token{good, {Name: "b", Token: good.Token, Roles: good.Roles}}, `same value as token "a"`},
	}
	for _, row := range rows {
		_, err := newAuth(row.given)
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "0123456789abcdef") {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// Without tokens, requests that a foreign page causes in a browser are refused: DNS rebinding
// shows in Host, a foreign page in Origin.
func TestBrowsersAreHeldOffWithoutTokens(t *testing.T) {
	r := newRelay(t, Options{})
	own := strings.TrimPrefix(r.http.URL, "http://")
	rows := []struct {
		name   string
		head   []string
		status int
	}{
		{"plain", nil, 200},
		{"localhost", []string{"Host", "localhost:8787"}, 200},
		{"ipv6", []string{"Host", "[::1]:8787"}, 200},
		{"another loopback address", []string{"Host", "127.9.9.9"}, 200},
		{"rebound name", []string{"Host", "evil.example"}, 403},
		{"name that begins alike", []string{"Host", "127.0.0.1.evil.example"}, 403},
		{"own page", []string{"Origin", "http://" + own}, 200},
		{"foreign page", []string{"Origin", "http://evil.example"}, 403},
		{"another port's page", []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"sandboxed page", []string{"Origin", "null"}, 403},
		{"foreign image", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"typed by the user", []string{"Sec-Fetch-Site", "none"}, 200},
	}
	for _, row := range rows {
		if status, answer, _ := r.call("GET", "/v1/callbacks", "", row.head...); status != row.status {
			t.Errorf("%s: %d %s", row.name, status, answer)
		}
	}
}

func TestListeningBeyondLoopbackNeedsTokens(t *testing.T) {
	rows := []struct {
		address   string
		open, bad bool
	}{
		{"127.0.0.1:8787", true, false},
		{"localhost:8787", true, false},
		{"[::1]:8787", true, false},
		{":8787", true, true},
		{"0.0.0.0:8787", true, true},
		{"[::]:8787", true, true},
		{"10.0.0.1:8787", true, true},
		{"relay.example:8787", true, true},
		{"0.0.0.0:8787", false, false},
		{"no port", false, true},
	}
	for _, row := range rows {
		if err := checkListen(row.address, row.open); (err != nil) != row.bad {
			t.Errorf("%s, without tokens %v: %v", row.address, row.open, err)
		}
	}
}

func TestReadinessTellsWhyToThoseWhoMayKnow(t *testing.T) {
	r := newRelay(t, Options{Config: tokens([]config.Token{
		{Name: "v", Token: tokenOf("view"), Roles: []config.Role{"view"}},
		{Name: "i", Token: tokenOf("ingest"), Roles: []config.Role{"ingest"}},
	})})
	if err := r.rt.Close(); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		path   string
		role   config.Role
		status int
		says   bool
	}{
		{"/readyz", "", 503, false},
		{"/readyz?verbose", "", 401, false},
		{"/readyz?verbose", "ingest", 403, false},
		{"/readyz?verbose", "view", 503, true},
	} {
		var head []string
		if row.role != "" {
			head = []string{"Authorization", "Bearer " + tokenOf(row.role).Reveal()}
		}
		status, answer, _ := r.call("GET", row.path, "", head...)
		if status != row.status || strings.Contains(answer, "shutting down") != row.says {
			t.Errorf("%s as %q: %d %s", row.path, row.role, status, answer)
		}
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	r := newRelay(t, Options{})
	if status, _, _ := r.call("GET", "/v2", ""); status != 404 {
		t.Error(status)
	}
	status, _, head := r.call("PUT", "/v1/events", "")
	if status != 405 || head.Get("Allow") != "POST, GET" {
		t.Error(status, head.Get("Allow"))
	}
	if _, answer, _ := r.call("GET", "/v1/callbacks/none", ""); !strings.Contains(answer, api.ReasonNotFound) {
		t.Error(answer)
	}
}
