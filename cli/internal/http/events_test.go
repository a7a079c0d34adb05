package http

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/config"

	"github.com/google/go-cmp/cmp"

	"github.com/klauspost/compress/zstd"
)

// The answers of POST /v1/events by input. Each row starts with the accepted event "old".
func TestPostEvents(t *testing.T) {
	unequal := strings.Replace(event("old"), "created", "deleted", 1)
	rows := []struct {
		name, query, contentType, body string
		status                         int
		results                        string // of each event: new, dup, or the reason
		reason                         string // of the whole answer
	}{
		{"one object", "", "application/json", event("a"), 200, "new", ""},
		{"one object, no type", "", "", event("a"), 200, "new", ""},
		{"array", "", "application/json", "[" + event("a") + "," + event("b") + "]", 200, "new new", ""},
		{"ndjson", "", "application/x-ndjson", event("a") + "\n" + event("b") + "\n", 200, "new new", ""},
		{"ndjson without its type", "", "application/json", event("a") + "\n" + event("b"), 200, "new new", ""},
		{"the same again", "", "application/json", event("old"), 200, "dup", ""},
		{"the same twice in one body", "", "", "[" + event("a") + "," + event("a") + "]", 200, "new dup", ""},
		{"another one with its id", "", "application/json", unequal, 409, "conflict", ""},
		{"mixed", "", "", event("a") + "\n" + `{"id":7}` + "\n" + unequal, 207, "new wrong_type conflict", ""},
		{"a broken line harms no other", "", "application/x-ndjson", event("a") + "\n{\"id\n" + event("b"), 207, "new syntax new", ""},
		{"all bad", "", "", "[{},{}]", 422, "missing missing", ""},
		{"no json", "", "application/json", "hello", 400, "not_object", ""},
		{"cut short", "", "application/json", event("a")[:40], 400, "syntax", ""},
		{"array cut short after one", "", "application/json", "[" + event("a") + `,{"id`, 207, "new", "truncated"},
		{"nothing", "", "application/json", "", 400, "", "no_events"},
		{"form", "", "application/x-www-form-urlencoded", event("a"), 415, "", "media_type"},
		{"unknown action is kept", "", "", strings.Replace(event("a"), "created", "exploded", 1), 200, "new", ""},

		{"atomic", "?atomic=true", "", event("a") + "\n" + event("old"), 200, "new dup", ""},
		{"atomic with a bad one", "?atomic=true", "", event("a") + "\n{}\n" + event("b"), 422, "atomic missing atomic", ""},
		{"atomic with a broken line", "?atomic=true", "application/x-ndjson", event("a") + "\n{\"id\n" + event("b"), 422, "atomic syntax atomic", ""},
		{"atomic with a conflict", "?atomic=true", "", event("a") + "\n" + unequal, 409, "atomic conflict", ""},
		{"atomic cut short", "?atomic=true", "application/json", "[" + event("a") + `,{"id`, 400, "atomic", "truncated"},
		{"atomic, badly asked", "?atomic=perhaps", "", event("a"), 400, "", "bad_request"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRelay(t, Options{})
			if status, answer, _ := r.call("POST", "/v1/events", event("old")); status != 200 {
				t.Fatal(answer)
			}
			var head []string
			if row.contentType != "" {
				head = []string{"Content-Type", row.contentType}
			}
			status, body, _ := r.call("POST", "/v1/events"+row.query, row.body, head...)
			var answer api.Submitted
			if err := json.Unmarshal([]byte(body), &answer); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			var results []string
			stored := uint64(1)
			for i, res := range answer.Results {
				if res.Index != i {
					t.Errorf("result %d has index %d", i, res.Index)
				}
				switch {
				case res.Error != nil:
					results = append(results, res.Error.Reason)
				case res.Duplicate:
					results = append(results, "dup")
				default:
					results = append(results, "new")
					stored++
				}
			}
			reason := ""
			if answer.Error != nil {
				reason = answer.Error.Reason
			}
			if status != row.status || strings.Join(results, " ") != row.results || reason != row.reason {
				t.Errorf("got %d %q %q, want %d %q %q\n%s", status, results, reason, row.status, row.results, row.reason, body)
			}
			if got := r.rt.Stats().Head - 1; got != stored {
				t.Errorf("%d events are stored, the answers say %d", got, stored)
			}
		})
	}
}

func TestEventsAreTakenCompressed(t *testing.T) {
	r := newRelay(t, Options{})
	status, answer, _ := r.call("POST", "/v1/events", gzipped(event("a")), "Content-Encoding", "gzip", "Content-Type", "application/json")
	if status != 200 {
		t.Fatal(status, answer)
	}
	for name, body := range map[string]string{"damaged": "no gzip", "cut short": gzipped(event("b"))[:40]} {
		if status, answer, _ := r.call("POST", "/v1/events", body, "Content-Encoding", "gzip"); status != 400 {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	if status, answer, _ := r.call("POST", "/v1/events", string(encoder.EncodeAll([]byte(event("z")), nil)), "Content-Encoding", "zstd"); status != 200 {
		t.Error(status, answer)
	}
	if status, answer, _ := r.call("POST", "/v1/events", event("c"), "Content-Encoding", "br"); status != 415 {
		t.Error(status, answer)
	}
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

// An oversized body is refused unread if its length is declared, and otherwise at the limit.
// The answer lists the events that were durable by then.
func TestBodiesAreBounded(t *testing.T) {
	r := newRelay(t, Options{Limits: Limits{BodyBytes: 4000, Events: 5, EventBytes: 1000}})
	six := strings.Repeat(event("a")+"\n", 6)
	long := strings.Replace(event("b"), `"u"`, `"`+strings.Repeat("u", 1000)+`"`, 1)
	spaces := strings.Repeat(" ", 5000)
	bomb := gzipped(event("c") + "\n" + strings.Repeat(" ", 1<<20))
	rows := []struct {
		name, body string
		head       []string
		status     int
		reason     string
	}{
		{"declared", spaces, nil, 413, "too_large"},
		{"bomb", bomb, []string{"Content-Encoding", "gzip"}, 207, "body_too_large"},
		{"too many", six, nil, 207, "too_many_events"},
		{"one too large", long, nil, 413, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			status, body, _ := r.call("POST", "/v1/events", row.body, row.head...)
			var answer api.Submitted
			if err := json.Unmarshal([]byte(body), &answer); err != nil {
				t.Fatal(err)
			}
			reason := ""
			if answer.Error != nil {
				reason = answer.Error.Reason
			}
			if status != row.status || reason != row.reason {
				t.Errorf("got %d %s, want %d %s: %s", status, reason, row.status, row.reason, body)
			}
		})
	}
}

// Large bodies become durable in slices, and every event has its result.
func TestLargeBodyGoesInSlices(t *testing.T) {
	r := newRelay(t, Options{})
	var body strings.Builder
	const n = 3*sliceEvents + 17
	for i := range n {
		body.WriteString(event(fmt.Sprint("e", i)) + "\n")
	}
	status, answer, _ := r.call("POST", "/v1/events", body.String())
	var got api.Submitted
	if err := json.Unmarshal([]byte(answer), &got); err != nil {
		t.Fatal(err)
	}
	if status != 200 || got.Accepted != n || len(got.Results) != n {
		t.Fatalf("%d: %d accepted, %d results", status, got.Accepted, len(got.Results))
	}
	for i, res := range got.Results {
		if res.Index != i || res.ID != fmt.Sprint("e", i) || res.Sequence != uint64(i+1) {
			t.Fatalf("result %d: %+v", i, res)
		}
	}
}

func TestProvenanceIsRecorded(t *testing.T) {
	r := newRelay(t, Options{Config: tokens([]config.Token{{Name: "proxy", Token: "0123456789abcdef", Roles: []config.Role{config.RoleIngest}}})})
	if status, answer, _ := r.call("POST", "/v1/events", event("a"), "Authorization", "Bearer 0123456789abcdef"); status != 200 {
		t.Fatal(answer)
	}
	e, err := r.rt.Event(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	want := auditrelay.Provenance{Source: "http", Principal: "proxy", Address: "127.0.0.1"}
	if diff := cmp.Diff(want, e.Provenance); diff != "" {
		t.Error(diff)
	}
}

// A relay that cannot accept tells when to retry.
func TestUnavailableSaysWhen(t *testing.T) {
	r := newRelay(t, Options{})
	if err := r.rt.Close(); err != nil {
		t.Fatal(err)
	}
	status, answer, head := r.call("POST", "/v1/events", event("a"))
	if status != http.StatusServiceUnavailable || head.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q: %s", status, head.Get("Retry-After"), answer)
	}
	if status, _, _ := r.call("GET", "/readyz", ""); status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d", status)
	}
	if status, _, _ := r.call("GET", "/healthz", ""); status != http.StatusOK {
		t.Errorf("healthz: %d", status)
	}
}

// The hand-written encoder writes the same as encoding/json.
func TestAppendSubmitted(t *testing.T) {
	want := api.Submitted{
		Accepted: 2, Duplicates: 1, Refused: 1,
		Results: []api.Result{
			{Index: 0, ID: "plain", Sequence: 7},
			{Index: 1, ID: "q\"\\\n\x01é\u2028<", Sequence: 1 << 60, Duplicate: true, UnknownAction: true},
			{Index: 2, Error: &api.Error{Field: "a.b", Reason: "missing", Message: "no"}},
		},
		Error: &api.Error{Reason: "truncated", Message: "cut"},
	}
	var got api.Submitted
	if err := json.Unmarshal(appendSubmitted(nil, &want), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
