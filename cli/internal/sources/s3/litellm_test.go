package s3

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"auditrelay/internal/test/litellm"
	"auditrelay/runtime"
)

// job is one object for testdata/litellm_s3.py. sent is its result.
type job struct {
	Key    string            `json:"key"`
	Events []json.RawMessage `json:"events"`
	Batch  bool              `json:"batch,omitempty"`
}

type sent struct {
	Key    string `json:"key"`
	Status int    `json:"status"`
	ETag   string `json:"etag"`
	Error  string `json:"error"`
}

// put sends objects like LiteLLM.
func put(t *testing.T, endpoint string, jobs ...job) []sent {
	t.Helper()
	return sendAs(t, http.MethodPut, endpoint, jobs...)
}

func sendAs(t *testing.T, method, endpoint string, jobs ...job) []sent {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no python3")
		}
		t.Skip("SKIPPED, NOT CHECKED AGAINST LITELLM'S REQUESTS: no python3")
	}
	var in, out bytes.Buffer
	for _, j := range jobs {
		if err := json.NewEncoder(&in).Encode(j); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/litellm_s3.py", endpoint, testBucket, "--method", method)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+testID, "AWS_SECRET_ACCESS_KEY="+testSecret, "AWS_REGION=us-west-2")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	var all []sent
	for line := range bytes.Lines(out.Bytes()) {
		var s sent
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if len(all) != len(jobs) {
		t.Fatalf("%d results of %d", len(all), len(jobs))
	}
	return all
}

func raw(events ...string) (all []json.RawMessage) {
	for _, e := range events {
		all = append(all, json.RawMessage(e))
	}
	return all
}

// TestLiteLLMsRequests: LiteLLM's requests, header by header, are accepted.
func TestLiteLLMsRequests(t *testing.T) {
	r := newRelay(t, Options{Buckets: []string{testBucket}, Region: "us-west-2"}, runtime.Options{})
	var mu sync.Mutex
	var seen []*http.Request
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		seen = append(seen, req)
		mu.Unlock()
		r.h.ServeHTTP(w, req)
	}))
	defer front.Close()
	id := "0b6f0f5e-5d34-4c4a-9d3c-2f6e4c1d7a55"
	got := put(t, front.URL,
		job{Key: "team/audit_logs/2026-01-31/12-00-00_" + id + ".json", Events: raw(event(id))},
		job{Key: "team/" + batchKey, Events: raw(event("b"), `{"id":"odd"}`, event("c")), Batch: true},
	)
	for _, s := range got {
		if s.Status != http.StatusOK || s.ETag == "" {
			t.Errorf("%+v", s)
		}
	}
	ids := []string{}
	for _, data := range r.stored() {
		var e struct{ ID string }
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	if !slices.Equal(ids, []string{id, "b", "c"}) {
		t.Errorf("stored: %q", ids)
	}
	if q := r.quarantined(); !slices.Equal(q, []string{`missing: {"id": "odd"}`}) {
		t.Errorf("in quarantine: %q", q)
	}

	want := map[string]string{
		"Content-Type":         `application/json`,
		"Content-Md5":          `[A-Za-z0-9+/]{22}==`,
		"X-Amz-Content-Sha256": `[0-9a-f]{64}`,
		"Content-Language":     `en`,
		"Content-Disposition":  `inline; filename="audit-` + id + `\.json"`,
		"Cache-Control":        `private, immutable, max-age=31536000, s-maxage=0`,
		"X-Amz-Date":           `\d{8}T\d{6}Z`,
		"Authorization": `AWS4-HMAC-SHA256 Credential=` + testID + `/\d{8}/us-west-2/s3/aws4_request, ` +
			`SignedHeaders=cache-control;content-disposition;content-language;content-md5;content-type;host;x-amz-content-sha256;x-amz-date, Signature=[0-9a-f]{64}`,
		"Content-Length": `\d+`, "Accept": `\*/\*`, "Accept-Encoding": `gzip, deflate`, "Connection": `keep-alive`, "User-Agent": `litellm/.*`,
	}
	first := seen[0]
	if first.Method != http.MethodPut || first.RequestURI != "/"+testBucket+"/team/audit_logs/2026-01-31/12-00-00_"+id+".json" || first.Proto != "HTTP/1.1" {
		t.Errorf("%s %s %s", first.Method, first.RequestURI, first.Proto)
	}
	for name, form := range want {
		if !regexp.MustCompile(`^(?:` + form + `)$`).MatchString(first.Header.Get(name)) {
			t.Errorf("%s: %q", name, first.Header.Get(name))
		}
	}
	for name := range first.Header {
		if want[name] == "" {
			t.Errorf("a header that LiteLLM does not send: %s", name)
		}
	}
}

// TestThePostByAnotherHand: LiteLLM's second try, signed by Python.
func TestThePostByAnotherHand(t *testing.T) {
	r := newRelay(t, Options{}, runtime.Options{})
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPost} {
		if got := sendAs(t, method, r.http.URL, job{Key: testKey, Events: raw(event("a"))}); got[0].Status != http.StatusOK {
			t.Errorf("%s: %+v", method, got)
		}
	}
	if len(r.stored()) != 1 {
		t.Errorf("stored %q", r.stored())
	}
}

// logger returns one version of LiteLLM's logger in front of a relay.
func logger(r *relay, version litellm.Version, transport litellm.Transport) *litellm.Logger {
	return &litellm.Logger{Version: version, Transport: transport, Endpoint: r.http.URL, Bucket: testBucket,
		AccessKeyID: testID, Secret: testSecret, Second: time.Millisecond, Timeout: 30 * time.Second}
}

func eachVersion(t *testing.T, fn func(t *testing.T, version litellm.Version, transport litellm.Transport)) {
	for _, version := range litellm.Versions {
		for _, transport := range litellm.Transports {
			t.Run(version.String()+","+transport.String(), func(t *testing.T) { fn(t, version, transport) })
		}
	}
}

// TestEachVersionWhileTheRelayCannotAccept: while requests are held, no version loses an event.
// Without the hold the older versions lose it, and the present one sends it again.
func TestEachVersionWhileTheRelayCannotAccept(t *testing.T) {
	eachVersion(t, func(t *testing.T, version litellm.Version, transport litellm.Transport) {
		r, sink := blocked(t, Options{Hold: time.Minute})
		l := logger(r, version, transport)
		l.Log("a", event("a"))
		flushed := make(chan struct{})
		go func() {
			l.Flush(t.Context())
			close(flushed)
		}()
		for deadline := time.Now().Add(20 * time.Second); r.h.counts.Held() == 0 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		sink.open.Store(true)
		<-flushed
		if !slices.Equal(l.Done(), []string{"a"}) {
			t.Errorf("held: done %q, lost %q", l.Done(), l.Lost())
		}

		r, sink = blocked(t, Options{})
		l = logger(r, version, transport)
		l.Log("a", event("a"))
		l.Flush(t.Context())
		sink.open.Store(true)
		if version != litellm.Present {
			if !slices.Equal(l.Lost(), []string{"a"}) {
				t.Errorf("answered with 503: done %q, lost %q", l.Done(), l.Lost())
			}
			return
		}
		for deadline := time.Now().Add(20 * time.Second); len(l.Done()) == 0 && time.Now().Before(deadline); {
			l.Flush(t.Context())
		}
		if !slices.Equal(l.Done(), []string{"a"}) || len(r.stored()) != 2 {
			t.Errorf("answered with 503: done %q, stored %q", l.Done(), r.stored())
		}
	})
}

// TestEachVersionsBrokenConnections: if the version sends again, the event is stored once, also
// if it had arrived before the connection broke.
func TestEachVersionsBrokenConnections(t *testing.T) {
	eachVersion(t, func(t *testing.T, version litellm.Version, transport litellm.Transport) {
		for name, tt := range map[string]struct {
			through bool // the relay accepted it, and the answer was lost
			as      litellm.Break
		}{
			"reset": {false, litellm.Reset}, "reset after it came through": {true, litellm.Reset},
			"closed after the body": {false, litellm.ClosedAfter}, "closed after it came through": {true, litellm.ClosedAfter},
		} {
			r := newRelay(t, Options{}, runtime.Options{})
			broken := false
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if broken {
					r.h.ServeHTTP(w, req)
					return
				}
				broken = true
				if tt.through {
					r.h.ServeHTTP(httptest.NewRecorder(), req)
				} else {
					_, _ = io.Copy(io.Discard, req.Body)
				}
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					panic(err)
				}
				if tt.as == litellm.Reset {
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
				conn.Close()
			}))
			l := logger(r, version, transport)
			l.Endpoint = front.URL
			l.Log("a", event("a"))
			l.Flush(t.Context())
			again := transport.Again(tt.as)
			if done := len(l.Done()) == 1; done != again {
				t.Errorf("%s: done %v, want %v", name, done, again)
			}
			l.Flush(t.Context()) // events that the present version has queued again
			front.Close()
			if want := again || tt.through || version == litellm.Present; (len(r.stored()) == 1) != want || len(r.quarantined()) != 0 {
				t.Errorf("%s: stored %q", name, r.stored())
			}
		}
	})
}

// TestABatchUnderAnotherKey: the present version gives a repeated batch a new name. Its events
// are stored once.
func TestABatchUnderAnotherKey(t *testing.T) {
	r := newRelay(t, Options{}, runtime.Options{})
	var keys []string
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		keys = append(keys, req.URL.Path)
		if len(keys) == 1 { // it arrives, and the answer says otherwise
			r.h.ServeHTTP(httptest.NewRecorder(), req)
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		r.h.ServeHTTP(w, req)
	}))
	defer front.Close()
	l := logger(r, litellm.Present, litellm.AIOHTTP)
	l.Endpoint, l.Batch = front.URL, true
	for _, id := range []string{"a", "b"} {
		l.Log(id, event(id))
	}
	l.Flush(t.Context())
	l.Log("c", event("c"))
	l.Flush(t.Context())
	if len(keys) != 2 || keys[0] == keys[1] || len(l.Done()) != 3 {
		t.Fatalf("keys %q, done %q", keys, l.Done())
	}
	if got := r.stored(); len(got) != 3 || len(r.quarantined()) != 0 {
		t.Errorf("stored %q", got)
	}
}

// TestRefusedRequestLogsDoNotHoldUpAuditEvents: the present version, configured to drop
// permanently refused objects, drops the request log, and the audit event is accepted.
func TestRefusedRequestLogsDoNotHoldUpAuditEvents(t *testing.T) {
	r := newRelay(t, Options{}, runtime.Options{})
	l := logger(r, litellm.Present, litellm.AIOHTTP)
	l.DropTerminal = true
	l.Log("a", event("a"))
	l.LogRequest("chat", requestLog)
	l.Flush(t.Context())
	if !slices.Equal(l.Done(), []string{"a"}) || !slices.Equal(l.Lost(), []string{"chat"}) || l.Waiting() != 0 {
		t.Errorf("done %q, lost %q, waiting %d", l.Done(), l.Lost(), l.Waiting())
	}
}

// TestLiteLLMsPaths: LiteLLM signs like botocore in general, not like botocore for S3. S3
// itself would refuse some of these requests; the endpoint accepts them, since the sender
// cannot see a refusal.
func TestLiteLLMsPaths(t *testing.T) {
	r := newRelay(t, Options{}, runtime.Options{})
	for _, endpoint := range []string{r.http.URL, r.http.URL + "/"} {
		if got := put(t, endpoint, job{Key: "a%20b/" + testKey, Events: raw(event("a"))}); got[0].Status != http.StatusOK {
			t.Errorf("%s: %+v", endpoint, got)
		}
	}
}

// TestAKillOfEachVersion: events waiting for the flush are only in LiteLLM's memory.
func TestAKillOfEachVersion(t *testing.T) {
	eachVersion(t, func(t *testing.T, version litellm.Version, transport litellm.Transport) {
		r := newRelay(t, Options{}, runtime.Options{})
		l := logger(r, version, transport)
		l.Log("a", event("a"))
		l.Flush(t.Context())
		l.Log("b", event("b")) // LiteLLM ends here, by a signal or normally, without a flush
		if got := r.stored(); !slices.Equal(got, []string{event("a")}) {
			t.Errorf("stored %q", got)
		}
	})
}
