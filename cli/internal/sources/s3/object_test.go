package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"
)

// TestWhatCountsAsAnAuditObject: the key forms of audit events in LiteLLM's versions, and no
// other object in a folder of that name.
func TestWhatCountsAsAnAuditObject(t *testing.T) {
	long := strings.Repeat("n", 119)
	hex64 := strings.Repeat("0123456789abcdef", 4)
	for key, want := range map[string]kind{
		"audit_logs/2026-01-31/12-00-00_a.json":                                    auditObject,
		"audit_logs/2026-01-31/12-00-00_0b6f0f5e-5d34-4c4a-9d3c-2f6e4c1d7a55.json": auditObject,
		"some/prefix/audit_logs/2026-01-31/12-00-00_a.json":                        auditObject,
		"audit_logs/2026-01-31/07/12-00-00_a.json":                                 auditObject, // by the hour
		"audit_logs/2026-01-31/12-00-00_" + long + "_" + hex64:                     auditObject, // truncated
		"audit_logs/2026-01-31/12-00-00_" + long + "_" + hex64 + ".json":           auditObject,
		"audit_logs/audit_logs/2026-01-31/12-00-00_a.json":                         auditObject,
		batchKey:        auditBatch,
		"p/" + batchKey: auditBatch,
		"audit_logs/2026-01-31/batch_12-00-00_0123456789abcdef0123456789abcdeg.jsonl": otherObject,
		"audit_logs/2026-01-31/time-12-00-00-000001_chatcmpl-1.json":                  otherObject, // a team's request log
		"2026-01-31/time-12-00-00-000001_chatcmpl-1.json":                             otherObject,
		"audit_logs/12-00-00_a.json":                                                  otherObject,
		"audit_logs/prompts/12-00-00_a.json":                                          otherObject,
		"audit_logs/2026-01-31/12-00-00_a.txt":                                        otherObject,
		"audit_logs/2026-01-31/x/y/12-00-00_a.json":                                   otherObject,
		"my_audit_logs/2026-01-31/12-00-00_a.json":                                    otherObject,
		"audit_logs": otherObject, "x/audit_logs": otherObject, "audit_logs/": otherObject,
	} {
		if got := kindOf(key); got != want {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
}

const requestLog = `{"id":"chatcmpl-1","call_type":"acompletion","messages":[{"role":"user","content":"a secret prompt"}],"response":{}}`

// TestRequestLogsOfATeamCalledAuditLogs: they are neither events nor in quarantine.
func TestRequestLogsOfATeamCalledAuditLogs(t *testing.T) {
	for _, key := range []string{"audit_logs/2026-01-31/time-12-00-00-000001_chatcmpl-1.json", batchKey, "other/x.json"} {
		r := newRelay(t, Options{}, runtime.Options{})
		_, err := r.put(t.Context(), key, requestLog+"\n"+requestLog)
		if codeOf(err) != "InvalidRequest" {
			t.Errorf("%s: %v", key, err)
		}
		for _, hint := range []string{"s3_audit_callback_params", "forward_to", "discard_other_objects"} {
			if err != nil && !strings.Contains(err.Error(), hint) {
				t.Errorf("%s: the answer does not name %s: %v", key, hint, err)
			}
		}
		r.nothing()
	}
}

// TestABatchOfBothKinds: a team named audit_logs has its request logs in the folder of the
// audit events, and LiteLLM makes one batch of a folder. In any order, each event is accepted,
// no request log is, and none is in quarantine.
func TestABatchOfBothKinds(t *testing.T) {
	withNaN := `{"id":"chatcmpl-2","call_type":"acompletion","response_cost":NaN,"messages":["a secret prompt"]}`
	prompts := `{"id":"chatcmpl-3","messages":[{"role":"user","content":"a secret prompt"}]}`
	bad := `{"id":"no action"}`
	for name, lines := range map[string][]string{
		"a log first": {requestLog, event("a"), withNaN, event("b")}, "an event first": {event("a"), prompts, event("b"), requestLog},
		"windows": {requestLog + "\r", event("a"), event("b") + "\r", "", withNaN}, "bad": {event("a"), bad, event("b"), requestLog},
	} {
		server, to := gateway(t, "logs")
		to.Bucket = "logs"
		for option, o := range map[string]Options{"none": {}, "forward": {Forward: &to}, "discard": {DiscardOther: true}} {
			r := newRelay(t, o, runtime.Options{})
			var err error
			for range 2 { // like a retrying client
				if _, err = r.put(t.Context(), batchKey, strings.Join(lines, "\n")); (err != nil) != (option == "none") || err != nil && codeOf(err) != "InvalidRequest" {
					t.Errorf("%s, %s: %v", name, option, err)
				}
			}
			if got := r.stored(); !slices.Equal(got, []string{event("a"), event("b")}) {
				t.Errorf("%s, %s: the relay holds %q", name, option, got)
			}
			if kept := strings.Join(r.quarantined(), " "); strings.Contains(kept, "prompt") || strings.Contains(kept, "no action") != (name == "bad") {
				t.Errorf("%s, %s: in quarantine: %s", name, option, kept)
			}
			if objects, _ := r.h.counts.Discarded(); (objects > 0) != (option == "discard") {
				t.Errorf("%s, %s: %d discarded", name, option, objects)
			}
		}
		passed := string(server.Objects(t, "logs")[batchKey])
		for _, line := range lines {
			isLog := strings.Contains(line, "a secret prompt")
			if line != "" && line != bad && strings.Contains(passed, line) != isLog {
				t.Errorf("%s: the bucket holds %q", name, passed)
			}
		}
	}
	// Batches of one kind pass unchanged.
	whole := requestLog + "\n\n" + withNaN + "\n"
	server, to := gateway(t, "logs")
	to.Bucket = "logs"
	r := newRelay(t, Options{Forward: &to}, runtime.Options{})
	if _, err := r.put(t.Context(), batchKey, whole); err != nil || string(server.Objects(t, "logs")[batchKey]) != whole {
		t.Errorf("request logs alone: %v", err)
	}
	r.nothing()
}

// TestDiscardOtherObjects: they get 200, are counted, and are logged once. Audit events are
// unaffected, and unsigned requests are refused as before.
func TestDiscardOtherObjects(t *testing.T) {
	var log bytes.Buffer
	r := newRelay(t, Options{DiscardOther: true, Logger: slog.New(slog.NewTextHandler(&log, nil))}, runtime.Options{})
	for _, key := range []string{"audit_logs/2026-01-31/time-12-00-00-000001_chatcmpl-1.json", batchKey, "other/x.json"} {
		if _, err := r.put(t.Context(), key, requestLog); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	r.nothing()
	if _, err := r.put(t.Context(), testKey, event("a")); err != nil || len(r.stored()) != 1 {
		t.Errorf("an audit event: %v", err)
	}
	if objects, size := r.h.counts.Discarded(); objects != 3 || size != uint64(3*len(requestLog)) {
		t.Errorf("counted %d objects, %d bytes", objects, size)
	}
	if n := strings.Count(log.String(), "discard_other_objects"); n != 1 {
		t.Errorf("said %d times: %s", n, log.String())
	}
	if _, err := New(Options{Runtime: r.rt, DiscardOther: true, Keys: []Key{{Name: "k", AccessKeyID: testID, Secret: testSecret}},
		Forward: &Forward{Region: "x", Bucket: "b"}}); err == nil {
		t.Error("both discarded and passed on")
	}
}

// TestThePostOfAPut: if the connection of a PUT broke, LiteLLM sends it again as a POST with
// the PUT's headers and signature, perhaps beside the first: one event. A POST signed as such
// stays a POST.
func TestThePostOfAPut(t *testing.T) {
	r := newRelay(t, Options{}, runtime.Options{})
	send := func(method, path, body string, tamper func(*http.Request)) answer {
		req := unsigned(t, r, http.MethodPut, path, body)
		resign(t, s3Signer(), req, body)
		req.Method = method
		if tamper != nil {
			tamper(req)
		}
		return r.do(req)
	}
	path := "/" + testBucket + "/" + testKey
	for range 2 {
		for _, method := range []string{http.MethodPost, http.MethodPut} {
			if a := send(method, path, event("a"), nil); a.status != http.StatusOK || a.head.Get("ETag") == "" {
				t.Errorf("%s: %d %s", method, a.status, a.body)
			}
		}
	}
	if got := r.stored(); len(got) != 1 || len(r.quarantined()) != 0 {
		t.Errorf("stored %q", got)
	}
	for name, tamper := range map[string]func(*http.Request){
		"another path":   func(r *http.Request) { r.URL.Path += "x" },
		"another header": func(r *http.Request) { r.Header.Set("X-Amz-Date", "20260131T120000Z") },
		"another query":  func(r *http.Request) { r.URL.RawQuery = "uploads=" },
	} {
		if a := send(http.MethodPost, path, event("b"), tamper); a.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	req := unsigned(t, r, http.MethodPost, path, event("b"))
	resign(t, s3Signer(), req, event("b"))
	if a := r.do(req); a.code() != "NotImplemented" {
		t.Errorf("a POST that was signed as one: %d %s", a.status, a.body)
	}
	if got := r.stored(); len(got) != 1 {
		t.Errorf("stored %q", got)
	}
}

// stuck is a sink that delivers once it is released.
type stuck struct{ open atomic.Bool }

func (*stuck) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	var all []auditrelay.Payload
	for _, r := range c.Records {
		all = append(all, auditrelay.Payload{Key: fmt.Sprint(r.Sequence), Body: r.Data, Sequences: []uint64{r.Sequence}})
	}
	return all, nil
}

func (s *stuck) Deliver(context.Context, auditrelay.Payload) (auditrelay.Receipt, error) {
	if !s.open.Load() {
		return auditrelay.Receipt{}, errors.New("not now")
	}
	return auditrelay.Receipt{}, nil
}

// blocked returns a relay that accepts nothing until its sink is released.
func blocked(t *testing.T, o Options) (*relay, *stuck) {
	t.Helper()
	sink := &stuck{}
	r := newRelay(t, o, runtime.Options{Callbacks: []runtime.Callback{{
		Name: "required", Sink: sink, Retain: auditrelay.Retain{Bytes: 1, Then: auditrelay.RetainBlock},
		Chunk: auditrelay.Chunking{Age: time.Millisecond}, Backoff: auditrelay.Backoff{Initial: time.Millisecond, Max: time.Millisecond},
	}}})
	if _, err := r.put(t.Context(), testKey, event("first")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); r.rt.Ready() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the relay accepts what its required callback cannot hold")
		}
	}
	return r, sink
}

// TestARequestIsHeldWhileTheRelayCannotAccept: it is accepted once the relay can.
func TestARequestIsHeldWhileTheRelayCannotAccept(t *testing.T) {
	r, sink := blocked(t, Options{Hold: time.Minute})
	answered := make(chan error, 1)
	go func() {
		_, err := r.put(t.Context(), testKey, event("a"))
		answered <- err
	}()
	for deadline := time.Now().Add(20 * time.Second); r.h.counts.Held() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the request is not held")
		}
	}
	select {
	case err := <-answered:
		t.Fatalf("answered with %v while nothing is accepted", err)
	default:
	}
	sink.open.Store(true)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if got := r.rt.Stats().Accepted; got != 2 {
		t.Errorf("%d accepted", got)
	}
}

// TestTheHoldIsBounded: afterwards it gets 503. Without a hold, or while the relay stops, it
// gets 503 at once.
func TestTheHoldIsBounded(t *testing.T) {
	for _, hold := range []time.Duration{0, 50 * time.Millisecond} {
		r, sink := blocked(t, Options{Hold: hold})
		begun := time.Now()
		if _, err := r.put(t.Context(), testKey, event("a")); codeOf(err) != "SlowDown" || time.Since(begun) < hold {
			t.Errorf("held for %v of %v: %v", time.Since(begun), hold, err)
		}
		sink.open.Store(true)
	}
	r := newRelay(t, Options{Hold: time.Hour}, runtime.Options{})
	if err := r.rt.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.put(t.Context(), testKey, event("a")); codeOf(err) != "SlowDown" {
		t.Error(err)
	}
}

// TestNoAuditObjectIsRefusedForGood: LiteLLM drops an object for certain codes with 400 or 403.
// An object of audit events never gets those while it may be accepted later.
func TestNoAuditObjectIsRefusedForGood(t *testing.T) {
	failing := runtime.Options{Ingest: []runtime.Step{{Name: "f", Filter: failingFilter{}}}}
	for _, tt := range []struct {
		name, body, code string
		status           int
		options          Options
		engine           runtime.Options
	}{
		{"a filter failed", event("b"), "InvalidRequest", 422, Options{}, failing},
		{"no event behind filters", `{"id":"odd"}`, "InvalidRequest", 422, Options{}, failing},
		{"too large for an object", event("a"), "EntityTooLarge", 413, Options{Limits: ingest.Limits{BodyBytes: 10}}, runtime.Options{}},
		{"too large for quarantine", `{"id":"odd"}`, "EntityTooLarge", 413, Options{}, runtime.Options{Quarantine: runtime.QuarantineOptions{ItemBytes: 5}}},
	} {
		r := newRelay(t, tt.options, tt.engine)
		req := unsigned(t, r, http.MethodPut, "/"+testBucket+"/"+testKey, tt.body)
		resign(t, s3Signer(), req, tt.body)
		if a := r.do(req); a.code() != tt.code || a.status != tt.status {
			t.Errorf("%s: %d %s", tt.name, a.status, a.body)
		}
	}
}

// TestRefusalsAreLoggedForEachProducer: refusals of one producer do not suppress those of
// another, and none can fill the log.
func TestRefusalsAreLoggedForEachProducer(t *testing.T) {
	var log bytes.Buffer
	keys := []Key{{Name: "first", AccessKeyID: "FIRST", Secret: testSecret}, {Name: "second", AccessKeyID: "SECOND", Secret: testSecret}}
	r := newRelay(t, Options{Keys: keys, Logger: slog.New(slog.NewTextHandler(&log, nil))}, runtime.Options{})
	for range 3 {
		for _, k := range keys {
			for _, path := range []string{"/" + testBucket + "/other.json", "/Bad_Bucket/x"} {
				req := unsigned(t, r, http.MethodPut, path, "x")
				signWith(t, s3Signer(), req, k.AccessKeyID, testSecret, sha256Hex([]byte("x")), time.Now())
				r.do(req)
			}
		}
		r.do(unsigned(t, r, http.MethodPut, "/"+testBucket+"/"+testKey, "x"))
	}
	for text, want := range map[string]int{"key=first": 2, "key=second": 2, "code=AccessDenied": 1, "was refused": 5} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%q stands %d times in the log, want %d:\n%s", text, got, want, log.String())
		}
	}
	log.Reset()
	for i := range 2 * maxTold {
		r.h.told.mu.Lock()
		r.h.due(refusal{fmt.Sprint("address ", i), "AccessDenied"})
		r.h.told.mu.Unlock()
	}
	if len(r.h.told.last) > maxTold || strings.Count(log.String(), "too many producers") != 1 {
		t.Errorf("%d remembered, logged: %s", len(r.h.told.last), log.String())
	}
}
