package app

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/internal/test/pgtest"

	"golang.org/x/mod/sumdb/note"
)

const (
	fleetToken   = "a-token-of-the-fleet"
	limitedToken = "a-token-with-a-rate-0123"
)

// fleetKey signs the proofs of all relays.
var fleetKey = sync.OnceValue(func() string {
	key, _, _ := note.GenerateKey(rand.Reader, "fleet.example") // never fails
	return key
})

// fleetOn starts relays of one fleet, by name.
func fleetOn(t *testing.T, server *pgtest.Server, rest string, names ...string) map[string]*running {
	t.Helper()
	all := map[string]*running{}
	key := fleetKey()
	for _, name := range names {
		address := freeAddress(t)
		all[name] = runFile(t, writeConfig(t, fmt.Sprintf(`listen: %s
data_dir: %s
tokens: [{name: boss, token: %s, roles: [admin, auditor]}, {name: limited, token: %s, roles: [ingest], rate: {events: 1}}]
proofs: {key: "%s"}
journal: {postgres: {url: "%s", takeover: 2s, fleet: {name: %s, address: "http://%s"}}}
%s`, address, filepath.Join(t.TempDir(), name), fleetToken, limitedToken, key, server.URL("owner", "postgres"), name, address, rest)), memorySinks)
	}
	return all
}

// freeAddress returns an unused address.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// fleetOf waits until a relay's view of the fleet satisfies ok.
func fleetOf(t *testing.T, r *running, what string, ok func(api.Fleet) bool) api.Fleet {
	t.Helper()
	var f api.Fleet
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		status, answer := r.call("GET", "/v1/fleet", "", fleetToken)
		if status == 200 {
			f = api.Fleet{}
			if err := json.Unmarshal([]byte(answer), &f); err != nil {
				t.Fatal(err)
			}
			if ok(f) {
				return f
			}
		}
		if time.Now().After(until) {
			t.Fatalf("not in time: %s; the fleet: %+v\n%s", what, f, r.log)
		}
	}
}

func ledBy(name string) func(api.Fleet) bool {
	return func(f api.Fleet) bool { return f.Leader == name }
}

// TestFleet: each relay of a fleet answers for the leader, and changes made on one relay
// survive a change of the leader.
func TestFleet(t *testing.T) {
	server := pgtest.Start(t, "fsync = on", "wal_sync_method = fdatasync")
	relays := fleetOn(t, server, `filters: {secrets: {redact: {rules: [{names: [password], do: mask}]}}}
callbacks: [{name: one, filters: [secrets], sink: {memory: {}}, chunk: {age: 1ms}}]
`, "a")
	a := relays["a"]
	fleetOf(t, a, "a leads", ledBy("a"))
	b := fleetOn(t, server, `filters: {secrets: {redact: {rules: [{names: [password], do: mask}]}}}
callbacks: [{name: one, filters: [secrets], sink: {memory: {}}, chunk: {age: 1ms}}]
`, "b")["b"]
	f := fleetOf(t, b, "b sees both", func(f api.Fleet) bool { return f.Leader == "a" && len(f.Relays) == 2 })
	if !f.Agree || f.Relay != "b" || f.Relays[0].State != "leads" || f.Relays[1].State != "standby" || f.Epoch == 0 {
		t.Errorf("the fleet: %+v", f)
	}

	// Every route, on a relay that does not lead.
	if status, answer := b.call("POST", "/v1/events", event("e1"), fleetToken); status != 200 {
		t.Fatalf("an event sent to b: %d %s", status, answer)
	}
	if status, answer := a.call("GET", "/v1/events/e1", "", fleetToken); status != 200 {
		t.Errorf("it is not on a: %d %s", status, answer)
	}
	for _, r := range []*running{a, b} {
		if status, answer := r.call("GET", "/v1/callbacks", "", fleetToken); status != 200 || !strings.Contains(answer, `"relay":"a"`) {
			t.Errorf("callbacks: %d %s", status, answer)
		}
		if status, _ := r.call("GET", "/v1/fleet", "", ""); status != 401 {
			t.Errorf("the fleet without a token: %d", status)
		}
		if status, _ := r.call("POST", "/v1/events", event("e2"), "a-token-that-nobody-has"); status != 401 {
			t.Errorf("an event with a wrong token: %d", status)
		}
	}
	// A token's rate limit applies to all relays together.
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintln(&many, event(fmt.Sprint("many", i)))
	}
	if status, answer := b.call("POST", "/v1/events", many.String(), limitedToken); status != 200 {
		t.Errorf("many events at once, sent to b: %d %.500s", status, answer)
	}
	if status, answer := a.call("POST", "/v1/events", event("e3"), limitedToken); status != 429 {
		t.Errorf("one more, sent to a: %d %s", status, answer)
	}
	for _, tt := range []struct {
		of            *running
		has, hasNever string
	}{
		{a, "auditrelay_fleet_leads 1", "auditrelay_fleet_leads 0"},
		{a, "auditrelay_callback_pending", "auditrelay_fleet_agree 0"},
		{b, "auditrelay_fleet_leads 0", "auditrelay_callback_pending"}, // otherwise it would be counted twice
		{b, `auditrelay_fleet_relays{state="standby"} 1`, "auditrelay_ready"},
	} {
		if status, answer := tt.of.call("GET", "/metrics", "", fleetToken); status != 200 || !strings.Contains(answer, tt.has) || strings.Contains(answer, tt.hasNever) {
			t.Errorf("the metrics, expected %s and no %s: %d\n%s", tt.has, tt.hasNever, status, answer)
		}
	}
	if status, _ := b.call("GET", "/metrics", "", ""); status != 401 {
		t.Errorf("the metrics without a token: %d", status)
	}
	status, answer := b.call("POST", "/v1/filters/secrets/policy", `{"policy": "rules: [{names: [password], do: remove}]"}`, fleetToken)
	var used api.PolicyUsed
	if err := json.Unmarshal([]byte(answer), &used); err != nil || status != 200 || !used.Changed {
		t.Fatalf("use another policy: %d %s", status, answer)
	}

	if status, answer := b.call("POST", "/v1/searches", `{"name": "mine", "query": "action=deleted"}`, fleetToken); status != 200 {
		t.Fatalf("save a search: %d %s", status, answer)
	}

	// a gives up the lead: the selected policy is in force on b at once, and the saved searches
	// exist there.
	if status, answer := b.call("POST", "/v1/fleet/nobody/drain", `{}`, fleetToken); status != 404 {
		t.Errorf("drain of a relay that is not there: %d %s", status, answer)
	}
	if _, answer := b.call("GET", "/v1/control", "", fleetToken); !regexp.MustCompile(`"object_id":"nobody"[^\n]*"outcome":"failed"`).MatchString(answer) {
		t.Errorf("the failed drain is not on record as failed: %s", answer)
	}
	// The answer has the state after the act.
	for _, one := range [][2]string{{"drain", `"drained"`}, {"undrain", `"standby"`}} {
		act, state := one[0], one[1]
		if status, answer := b.call("POST", "/v1/fleet/b/"+act, `{"reason": "a test"}`, fleetToken); status != 200 || !strings.Contains(answer, state) {
			t.Errorf("%s of b: %d %s", act, status, answer)
		}
	}
	if status, answer := b.call("POST", "/v1/fleet/a/drain", `{"reason": "a test"}`, fleetToken); status != 200 {
		t.Fatalf("drain: %d %s", status, answer)
	}
	f = fleetOf(t, b, "b leads", ledBy("b"))
	if f.Relays[0].State != "drained" {
		t.Errorf("the fleet: %+v", f)
	}
	inForce := func(r *running) {
		t.Helper()
		if status, answer := r.call("GET", "/v1/policies", "", fleetToken); status != 200 || !strings.Contains(answer, used.Digest) {
			t.Errorf("the policies in force: %d %s", status, answer)
		}
		if status, answer := r.call("GET", "/v1/searches", "", fleetToken); status != 200 || !strings.Contains(answer, "mine") {
			t.Errorf("the saved searches: %d %s", status, answer)
		}
	}
	inForce(b)
	fleetOf(t, a, "a sees b lead", ledBy("b"))
	inForce(a)
	if status, answer := a.call("POST", "/v1/events", event("e1"), fleetToken); status != 200 || !strings.Contains(answer, `"duplicate":true`) {
		t.Errorf("the same event, sent to a: %d %s", status, answer)
	}

	// b stops: a leads again although it was drained, and has b's policy.
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	fleetOf(t, a, "a leads again", ledBy("a"))
	inForce(a)
	if status, answer := a.call("GET", "/v1/control", "", fleetToken); status != 200 || !strings.Contains(answer, "a test") {
		t.Errorf("the drain is not on record: %d %s", status, answer)
	}
	fleetOf(t, a, "a sees that b is gone", func(f api.Fleet) bool { return len(f.Relays) == 2 && f.Relays[1].State == "gone" })

	// b restarts: no relay is gone.
	fleetOn(t, server, `filters: {secrets: {redact: {rules: [{names: [password], do: mask}]}}}
callbacks: [{name: one, filters: [secrets], sink: {memory: {}}, chunk: {age: 1ms}}]
`, "b")
	f = fleetOf(t, a, "a sees b again", func(f api.Fleet) bool { return f.Relays[len(f.Relays)-1].State == "standby" })
	if len(f.Relays) != 2 {
		t.Errorf("the fleet after a restart of b: %+v", f)
	}
}

// TestFleetPutsTheNewestFirst: a relay with a newer configuration leads. If it cannot, those
// with the older one do.
func TestFleetPutsTheNewestFirst(t *testing.T) {
	server := pgtest.Start(t, "fsync = on", "wal_sync_method = fdatasync")
	a := fleetOn(t, server, "callbacks: [{name: one, sink: {memory: {}}}, {name: two, sink: {memory: {}}}]\n", "a")["a"]
	fleetOf(t, a, "a leads", ledBy("a"))
	b := fleetOn(t, server, "callbacks: [{name: one, sink: {memory: {}}}, {name: two, sink: {memory: {}}}, {name: three, sink: {memory: {}}}]\n", "b")["b"]
	fleetOf(t, a, "b leads", func(f api.Fleet) bool { return f.Leader == "b" && !f.Agree })
	if status, _ := a.call("GET", "/v1/callbacks/three", "", fleetToken); status != 200 {
		t.Errorf("the new callback: %d", status)
	}
	// a's configuration lacks callback three without listing it as removed.
	if status, answer := b.call("POST", "/v1/fleet/b/drain", `{}`, fleetToken); status != 200 {
		t.Fatalf("drain: %d %s", status, answer)
	}
	f := fleetOf(t, b, "b leads again", func(f api.Fleet) bool {
		return f.Leader == "b" && len(f.Relays) == 2 && f.Relays[0].State == "failed"
	})
	if !strings.Contains(f.Relays[0].Failure, "three") {
		t.Errorf("why a failed: %+v", f.Relays[0])
	}
	if err := a.stop(); err == nil || !strings.Contains(err.Error(), "three") {
		t.Errorf("a ended with %v", err)
	}
	a.stop = func() error { return nil } // as it should
}

// TestFleetOverTLS: relays forward requests to a leader with a certificate of fleet.ca, and to
// no other.
func TestFleetOverTLS(t *testing.T) {
	server := pgtest.Start(t, "fsync = on", "wal_sync_method = fdatasync")
	dir := t.TempDir()
	right, wrong := newAuthority(t), newAuthority(t)
	right.issue(t, dir, "relay", 1)
	for name, a := range map[string]*authority{"right": right, "wrong": wrong} {
		if err := os.WriteFile(filepath.Join(dir, name), a.pem, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(right.pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(client.CloseIdleConnections)
	start := func(name, ca string) *running {
		address := freeAddress(t)
		r := runFile(t, writeConfig(t, fmt.Sprintf(`listen: %s
data_dir: %s
tls: {cert: %s, key: %s}
tokens: [{name: boss, token: %s, roles: [admin]}]
proofs: {key: "%s"}
journal: {postgres: {url: "%s", takeover: 2s, fleet: {name: %s, address: "https://%s", ca: %s}}}
callbacks: [{name: one, sink: {memory: {}}, chunk: {age: 1ms}}]
`, address, filepath.Join(dir, "data-"+name), filepath.Join(dir, "relay.pem"), filepath.Join(dir, "relay.key"), fleetToken, fleetKey(),
			server.URL("owner", "postgres"), name, address, filepath.Join(dir, ca))), memorySinks)
		r.scheme, r.client = "https", client
		return r
	}
	fleetOf(t, start("a", "right"), "a leads", ledBy("a"))
	trusts, distrusts := start("b", "right"), start("c", "wrong")
	for _, r := range []*running{trusts, distrusts} {
		fleetOf(t, r, "a leads", ledBy("a"))
	}
	if status, answer := trusts.call("POST", "/v1/events", event("e1"), fleetToken); status != 200 {
		t.Errorf("an event over TLS: %d %s", status, answer)
	}
	if status, answer := distrusts.call("POST", "/v1/events", event("e2"), fleetToken); status != 503 {
		t.Errorf("an event by a relay that does not trust the leader: %d %s", status, answer)
	}
	if !strings.Contains(distrusts.log.String(), "unknown authority") {
		t.Errorf("the log does not say why:\n%s", distrusts.log)
	}
}

// TestFleetOnThePage: the page of any relay shows the fleet. Acts on it go to the leader, and a
// rollout continues with the next one.
func TestFleetOnThePage(t *testing.T) {
	server := pgtest.Start(t, "fsync = on", "wal_sync_method = fdatasync")
	rest := `filters: {secrets: {redact: {rules: [{names: [password], do: mask}]}}}
callbacks: [{name: one, filters: [secrets], sink: {memory: {}}, chunk: {age: 1ms}}]
`
	relays := fleetOn(t, server, rest, "a")
	fleetOf(t, relays["a"], "a leads", ledBy("a"))
	maps.Copy(relays, fleetOn(t, server, rest, "b"))
	a, b := relays["a"], relays["b"]
	both := func(leader string) {
		t.Helper()
		for _, r := range relays { // each answers for itself
			fleetOf(t, r, "both are seen, and "+leader+" leads", func(f api.Fleet) bool { return f.Leader == leader && len(f.Relays) == 2 })
		}
	}
	both("a")
	if status, answer := b.call("POST", "/v1/rollouts", `{"filter":"secrets","policy":"rules: [{names: [password], do: remove}]","share":0.5}`, fleetToken); status != 200 {
		t.Fatal(status, answer)
	}

	signIn := func(r *running) func(method, path string, form url.Values) (int, string) {
		t.Helper()
		jar, _ := cookiejar.New(nil)
		client := &http.Client{Jar: jar}
		do := func(method, path string, form url.Values) (int, string) {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), method, r.scheme+"://"+r.address+path, strings.NewReader(form.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Sec-Fetch-Site", "same-origin")
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode, string(text)
		}
		if status, text := do("POST", "/ui/sign-in", url.Values{"token": {fleetToken}}); status != 200 || !strings.Contains(text, "Overview") {
			t.Fatalf("sign in on %s: %d %s", r.address, status, text)
		}
		return do
	}
	shows := func(r *running, leader string) {
		t.Helper()
		do := signIn(r)
		if _, text := do("GET", "/ui/", nil); !strings.Contains(text, leader+` leads <a href="/ui/fleet">a fleet of 2 relays</a>`) {
			t.Error("the overview does not show the fleet")
		}
		_, text := do("GET", "/ui/fleet", nil)
		for _, want := range []string{leader + " leads: it has the journal", a.address, b.address, "Drain " + leader} {
			if !strings.Contains(text, want) {
				t.Errorf("the fleet as %s shows it lacks %q", r.address, want)
			}
		}
		if _, text := do("GET", "/ui/rollouts", nil); !strings.Contains(text, "judges 50 % of the events") {
			t.Error("the rollout is not shown:", text)
		}
	}
	shows(a, "a")
	shows(b, "a")
	kept := signIn(b)
	if status, text := signIn(b)("POST", "/ui/fleet/a/drain", url.Values{"reason": {"a test"}}); status != 200 && status != 503 { // the leader may be gone before the next screen
		t.Fatal(status, text)
	}
	both("b")
	// A signed-in user is told why the session ended, and continues at the same place.
	if _, text := kept("POST", "/ui/rollouts/secrets/back", url.Values{}); !strings.Contains(text, "Your session has ended") || !strings.Contains(text, "What you sent last was not done") {
		t.Error("a button after another relay took the lead:", text)
	}
	if _, text := kept("GET", "/ui/rollouts", nil); !strings.Contains(text, "Your session has ended") || !strings.Contains(text, `name="next" value="/ui/rollouts"`) {
		t.Error("a screen after another relay took the lead:", text)
	}
	if status, text := kept("POST", "/ui/sign-in", url.Values{"token": {fleetToken}, "next": {"/ui/rollouts"}}); status != 200 || !strings.Contains(text, "judges 50 % of the events") {
		t.Error("signed in anew:", status, text)
	}
	shows(b, "b")
	shows(a, "b")
	if _, text := signIn(a)("GET", "/ui/control", nil); !strings.Contains(text, "drain") || !strings.Contains(text, "a test") {
		t.Error("the drain is not on record")
	}
	for i := range 40 {
		if status, answer := a.call("POST", "/v1/events", fmt.Sprintf(`{"id":"p%d","action":"created","password":"x"}`, i), fleetToken); status != 200 {
			t.Fatal(status, answer)
		}
	}
	settled := false
	for until := time.Now().Add(20 * time.Second); !settled && time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		_, answer := a.call("GET", "/v1/callbacks", "", fleetToken)
		settled = strings.Contains(answer, `"pending":0`)
	}
	status, answer := a.call("GET", "/v1/rollouts", "", fleetToken)
	var all []api.Rollout
	if err := json.Unmarshal([]byte(answer), &all); err != nil || status != 200 || len(all) != 1 || all[0].State != "running" || all[0].Counts[0].Judged == 0 || all[0].Counts[0].Judged == 40 {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer := a.call("POST", "/v1/rollouts/secrets/promote", `{}`, fleetToken); status != 200 || !strings.Contains(answer, `"state":"promoted"`) {
		t.Errorf("%d %s", status, answer)
	}
}

// TestARelayThatTakesOver answers for itself until it leads, however long that takes.
func TestARelayThatTakesOver(t *testing.T) {
	server := pgtest.Start(t, "fsync = on", "wal_sync_method = fdatasync")
	rest := "callbacks: [{name: one, sink: {memory: {}}, chunk: {age: 1ms}}]\n"
	a := fleetOn(t, server, rest, "a")["a"]
	fleetOf(t, a, "a leads", ledBy("a"))
	b := fleetOn(t, server, rest, "b")["b"]
	fleetOf(t, b, "b sees both", func(f api.Fleet) bool { return f.Leader == "a" && len(f.Relays) == 2 })
	if status, answer := a.call("POST", "/v1/events", event("e1"), fleetToken); status != 200 { // it is done with its start
		t.Fatal(status, answer)
	}
	db := server.Connect(t, "owner", "postgres")
	db.Exec("BEGIN; LOCK TABLE auditrelay.files") // which the next leader reads first
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	waiting := "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'auditrelay.files'::regclass"
	look := server.Connect(t, "owner", "postgres")
	for until := time.Now().Add(20 * time.Second); look.Exec(waiting)[0] == "0"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("b does not take over:\n%s", b.log)
		}
	}
	client := &http.Client{Timeout: 5 * time.Second}
	if resp, err := client.Get("http://" + b.address + "/healthz"); err != nil {
		t.Errorf("while it takes over: %v", err)
	} else if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Errorf("while it takes over: %d", resp.StatusCode)
	}
	db.Exec("COMMIT")
	fleetOf(t, b, "b leads", ledBy("b"))
}

// TestAPlannedChangeOfTheLeader: a sender to a relay that hands over, takes over or does
// neither waits, and gets no error about the stop or the missing leader.
func TestAPlannedChangeOfTheLeader(t *testing.T) {
	server := pgtest.Start(t, "fsync = on", "wal_sync_method = fdatasync")
	rest := "callbacks: [{name: one, sink: {memory: {}}, chunk: {age: 1ms}}]\n"
	a := fleetOn(t, server, rest, "a")["a"]
	fleetOf(t, a, "a leads", ledBy("a"))
	others := fleetOn(t, server, rest, "b", "c")
	b := others["b"]
	fleetOf(t, b, "b sees all", func(f api.Fleet) bool { return f.Leader == "a" && len(f.Relays) == 3 })
	fleetOf(t, others["c"], "c sees all", func(f api.Fleet) bool { return f.Leader == "a" && len(f.Relays) == 3 })
	addresses := []string{a.address, b.address, others["c"].address}
	var senders sync.WaitGroup
	sending, stop := context.WithCancel(t.Context())
	defer stop()
	for s := range 6 {
		senders.Go(func() {
			for i := 0; sending.Err() == nil; i++ {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addresses[s%3]+"/v1/events", strings.NewReader(event(fmt.Sprintf("e%d-%d", s, i))))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+fleetToken)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					continue // a closed idle connection
				}
				answer, err := io.ReadAll(resp.Body)
				if resp.Body.Close(); err == nil && resp.StatusCode != http.StatusOK && !strings.Contains(string(answer), "does not answer") {
					t.Errorf("event %d: %d %s", i, resp.StatusCode, answer)
				}
			}
		})
	}
	if status, answer := b.call("POST", "/v1/fleet/a/drain", `{}`, fleetToken); status != 200 {
		t.Fatalf("drain: %d %s", status, answer)
	}
	moved := func(f api.Fleet) bool { return f.Leader == "b" || f.Leader == "c" }
	for _, r := range []*running{a, b, others["c"]} {
		fleetOf(t, r, "another relay leads", moved)
	}
	// A stop of the leader alone is a planned change too.
	leader := fleetOf(t, a, "another relay leads", moved).Leader
	if err := others[leader].stop(); err != nil {
		t.Error(err)
	}
	fleetOf(t, a, "the next relay leads", func(f api.Fleet) bool { return f.Leader != leader && f.Leader != "" })
	stop()
	senders.Wait()
}
