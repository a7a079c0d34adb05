package http

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/runtime"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func TestOperating(t *testing.T) {
	r := newRelay(t, Options{})
	for _, id := range []string{"a", "b", "c"} {
		if status, answer, _ := r.call("POST", "/v1/events", event(id)); status != 200 {
			t.Fatal(answer)
		}
	}
	r.settle()

	callbacks := get[[]api.CallbackStatus](r, "/v1/callbacks")
	want := api.Account{Assigned: 3, Delivered: 3, Balanced: true}
	if len(callbacks) != 1 || callbacks[0].Account != want {
		t.Fatalf("%+v", callbacks)
	}
	if s := decodeAnswer[api.CallbackStatus](r, "POST", "/v1/callbacks/archive/pause", ""); s.State != string(runtime.StatePaused) {
		t.Errorf("after pause: %s", s.State)
	}
	if s := decodeAnswer[api.CallbackStatus](r, "POST", "/v1/callbacks/archive/resume", ""); s.State != string(runtime.StateActive) {
		t.Errorf("after resume: %s", s.State)
	}

	dry := decodeAnswer[api.ReplayStarted](r, "POST", "/v1/callbacks/archive/replay", `{"from":2,"dry_run":true}`)
	if diff := cmp.Diff(api.ReplayStarted{From: 2, To: 6, Events: 4}, dry); diff != "" {
		t.Error(diff)
	}
	if started := decodeAnswer[api.ReplayStarted](r, "POST", "/v1/callbacks/archive/replay", `{"from":2}`); started.ID == "" {
		t.Errorf("%+v", started)
	}
	for _, body := range []string{`{"from":"x"}`, `{"unknown":1}`, `{} {}`} {
		if status, answer, _ := r.call("POST", "/v1/callbacks/archive/replay", body); status != 400 {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}

	e := get[api.Explained](r, "/v1/events/b")
	if e.Sequence != 2 || e.Data != nil || len(e.Callbacks) == 0 || e.Callbacks[0].Outcome != auditrelay.Delivered {
		t.Errorf("%+v", e)
	}
	if e := get[api.Explained](r, "/v1/events/b?data=true"); string(e.Data) != event("b") {
		t.Errorf("data: %s", e.Data)
	}
	for _, id := range []string{"a/b", "..", "a//b", "a b?c#d%", "é"} {
		r.call("POST", "/v1/events", event(id))
		if e := get[api.Explained](r, "/v1/events?id="+url.QueryEscape(id)); e.ID != id {
			t.Errorf("%q: %+v", id, e)
		}
	}
	if status, answer, _ := r.call("GET", "/v1/events/zzz", ""); status != 404 || !strings.Contains(answer, api.ReasonNotSeen) {
		t.Error(status, answer)
	}
}

func TestDeadLetters(t *testing.T) {
	r := newRelay(t, Options{})
	r.sink.fail(auditrelay.Refused)
	for _, id := range []string{"a", "b", "c"} {
		if status, answer, _ := r.call("POST", "/v1/events", event(id)); status != 200 {
			t.Fatal(answer)
		}
	}
	// Their tombstones are refused too; the dead-lettered events are not.
	r.settleDead(3)
	const base = "/v1/callbacks/archive/dead-letters"
	letters := get[[]api.DeadLetter](r, base+"?limit=2")
	if len(letters) != 2 || letters[0].Sequence != 1 || letters[0].Cause != auditrelay.CauseRefused {
		t.Fatalf("%+v", letters)
	}
	if rest := get[[]api.DeadLetter](r, base+"?after=2"); len(rest) != 1 || rest[0].ID != "c" {
		t.Errorf("%+v", rest)
	}
	if l := get[api.DeadLetter](r, base+"/2"); string(l.Data) != event("b") || l.ID != "b" {
		t.Errorf("%+v %s", l, l.Data)
	}
	if status, _, _ := r.call("GET", base+"/99", ""); status != 404 {
		t.Error(status)
	}
	for _, bad := range []string{`{}`, `{"reason":"r"}`, `{"all":true,"sequences":[1],"reason":"r"}`, `{"sequences":[1]}`, `{"sequences":[1],"reason":" "}`} {
		if status, answer, _ := r.call("POST", base+"/discard", bad); status != 400 {
			t.Errorf("%s: %d %s", bad, status, answer)
		}
	}
	if n := decodeAnswer[api.Changed](r, "POST", base+"/discard", `{"sequences":[1],"reason":"TICKET-1: a test"}`); n.Changed != 1 {
		t.Errorf("%+v", n)
	}
	r.sink.err.Store(nil)
	if n := decodeAnswer[api.Changed](r, "POST", base+"/replay", `{"all":true}`); n.Changed != 2 {
		t.Errorf("%+v", n)
	}
}

// TestDeadLettersBetweenScrapesAreCounted: a dead letter that appears and disappears before the
// first scrape, or between two, is counted, also after a restart of the scraper only.
func TestDeadLettersBetweenScrapesAreCounted(t *testing.T) {
	r := newRelay(t, Options{})
	total := func(want int) {
		t.Helper()
		_, scrape, _ := r.call("GET", "/metrics", "")
		line := fmt.Sprintf(`auditrelay_callback_outcomes_total{callback="archive",outcome="dead_lettered"} %d`+"\n", want)
		if !strings.Contains(scrape, line) {
			t.Errorf("no line %s", line)
		}
	}
	for i := range 3 {
		r.sink.fail(auditrelay.Refused)
		r.call("POST", "/v1/events", event(fmt.Sprint("dead-", i)))
		r.settleDead(1)
		r.sink.err.Store(nil)
		if n := decodeAnswer[api.Changed](r, "POST", "/v1/callbacks/archive/dead-letters/discard", `{"all":true,"reason":"a test"}`); n.Changed != 1 {
			t.Fatalf("%+v", n)
		}
		r.settleDead(0)
		if i > 0 {
			total(i + 1)
		}
	}
}

// TestWhatTheDestinationHadIsShown: if the destination already had a payload and did not
// compare it, explain, the callback's status and the metrics show that.
func TestWhatTheDestinationHadIsShown(t *testing.T) {
	r := newRelay(t, Options{})
	r.sink.had.Store(true)
	r.call("POST", "/v1/events", event("a"))
	r.settle()
	if _, answer, _ := r.call("GET", "/v1/events/a", ""); !strings.Contains(answer, `"duplicate":true`) || !strings.Contains(answer, `"unverified":true`) {
		t.Errorf("explain: %s", answer)
	}
	if s := get[api.CallbackStatus](r, "/v1/callbacks/archive"); s.Duplicates != 1 || s.Unverified != 1 {
		t.Errorf("the status: %+v", s)
	}
	_, scrape, _ := r.call("GET", "/metrics", "")
	for _, line := range []string{`auditrelay_callback_unverified_payloads_total{callback="archive"} 1`, `auditrelay_callback_duplicate_payloads_total{callback="archive"} 1`} {
		if !strings.Contains(scrape, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
}

// settleDead waits until n events are dead letters.
func (r *relay) settleDead(n uint64) {
	r.t.Helper()
	r.settle()
	status, err := r.rt.Callback("archive")
	if err != nil || status.Account.DeadLettered != n {
		r.t.Fatalf("%+v, %v", status, err)
	}
}

// A scrape is well formed, shows the accounts, and has no label chosen by a producer.
func TestMetrics(t *testing.T) {
	r := newRelay(t, Options{Version: api.Version{Version: "v1"}})
	r.call("POST", "/v1/events", event("a"))
	r.call("POST", "/v1/events", "{}")
	r.call("GET", "/v1/events/some-event-id", "")
	r.call("GET", "/nowhere/at/all", "")
	r.settle()
	status, scrape, _ := r.call("GET", "/metrics", "")
	if status != 200 {
		t.Fatal(scrape)
	}
	for _, line := range []string{
		`auditrelay_callback_assigned_total{callback="archive"} 1`,
		`auditrelay_callback_outcomes{callback="archive",outcome="delivered"} 1`,
		`auditrelay_callback_outcomes_total{callback="archive",outcome="delivered"} 1`,
		`auditrelay_callback_outcomes_total{callback="archive",outcome="dead_lettered"} 0`,
		`auditrelay_callback_delivery_seconds_count{callback="archive"} 1`,
		`auditrelay_callback_delivery_seconds_bucket{callback="archive",le="60"} 1`,
		`auditrelay_journal_quota_bytes 0`, `auditrelay_journal_reserve_bytes`,
		`auditrelay_callback_pending{callback="archive"} 0`,
		`auditrelay_callback_balanced{callback="archive"} 1`,
		`auditrelay_callback_state{callback="archive",state="active"} 1`,
		`auditrelay_events_accepted_total 1`,
		`auditrelay_events_rejected_total 1`,
		`auditrelay_http_events_total{result="refused"} 1`,
		`auditrelay_http_requests_total{method="GET",route="/v1/events/{id}",status="404"} 1`,
		`auditrelay_http_request_seconds_count{method="POST",route="/v1/events"} 2`,
		`auditrelay_ready 1`,
		`version="v1"`,
	} {
		if !strings.Contains(scrape, line) {
			t.Errorf("the scrape lacks %s", line)
		}
	}
	for _, stranger := range []string{"some-event-id", "nowhere"} {
		if strings.Contains(scrape, stranger) {
			t.Errorf("a client chose a label: %s", stranger)
		}
	}
	problems, err := promlint.New(strings.NewReader(scrape)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestDestinationsWordsNeedComply: a destination may quote its events. The roles view and
// operate show an attempt's codes; comply also shows its texts.
func TestDestinationsWordsNeedComply(t *testing.T) {
	var given []config.Token
	for _, role := range []config.Role{"ingest", "view", "operate", "comply"} {
		given = append(given, config.Token{Name: string(role), Token: tokenOf(role), Roles: []config.Role{role}})
	}
	r := newRelay(t, Options{Config: tokens(given)})
	as := func(role config.Role) []string { return []string{"Authorization", "Bearer " + tokenOf(role).Reveal()} }
	var failure error = &auditrelay.DeliveryError{Kind: auditrelay.Refused, Status: 422, Answer: "no: WORDS", Err: errors.New("status 422: ERROR")}
	r.sink.err.Store(&failure)
	if status, answer, _ := r.call("POST", "/v1/events", event("a"), as("ingest")...); status != 200 {
		t.Fatal(answer)
	}
	r.settle()
	for _, path := range []string{"/v1/deliveries", "/v1/deliveries?id=a", "/v1/deliveries?state=replaced&callback=archive", "/v1/callbacks/archive", "/v1/events/a"} {
		for _, role := range []config.Role{"view", "operate", "comply"} {
			_, answer, _ := r.call("GET", path, "", as(role)...)
			if !strings.Contains(answer, `"status":422`) || !strings.Contains(answer, `"kind":"refused"`) {
				t.Errorf("%s as %s shows no attempt: %s", path, role, answer)
			}
			if shown := strings.Contains(answer, "WORDS"); shown != (role == "comply") {
				t.Errorf("%s as %s: the destination's words are shown: %v", path, role, shown)
			}
		}
	}
	_, answer, _ := r.call("POST", "/v1/callbacks/archive/test", "", as("operate")...)
	if !strings.Contains(answer, `"status":422`) || strings.Contains(answer, "WORDS") {
		t.Errorf("a test as operate: %s", answer)
	}
	for _, query := range []string{"state=unknown", "after=x", "limit=0", "limit=1001", "nothing=1"} {
		if status, answer, _ := r.call("GET", "/v1/deliveries?"+query, "", as("view")...); status != 400 {
			t.Errorf("%s: %d %s", query, status, answer)
		}
	}
}

// TestBodiesThatAreNotTheirPaths: the error speaks of the body's own fields, not of Go's types.
func TestBodiesThatAreNotTheirPaths(t *testing.T) {
	r := newRelay(t, Options{})
	for body, want := range map[string]string{
		`[1]`:                        "found array, expected an object",
		`{"reason": 5}`:              "reason: found number, expected a string",
		`{"reason": "x", "from": 1}`: `unknown field \"from\"`,
		`{"reason": "x"`:             "not JSON: it ends too early",
		`{"reason": "x"} {}`:         "more than one value",
	} {
		status, answer, _ := r.call("POST", "/v1/callbacks/archive/pause", body)
		if status != 400 || !strings.Contains(answer, "takes: "+want+`"`) {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
}
