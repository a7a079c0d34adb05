package s3

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"auditrelay/runtime"
)

// job is one object for testdata/litellm_s3.py, sent what came of it.
type job struct {
	Key    string            `json:"key"`
	Events []json.RawMessage `json:"events"`
	Batch  bool              `json:"batch,omitempty"`
}

type sent struct {
	Key      string `json:"key"`
	Status   int    `json:"status"`
	Attempts int    `json:"attempts"`
	ETag     string `json:"etag"`
	Error    string `json:"error"`
}

// litellm sends objects as LiteLLM does.
func litellm(t *testing.T, endpoint string, jobs ...job) []sent {
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
	cmd := exec.CommandContext(t.Context(), python, "testdata/litellm_s3.py", endpoint, testBucket, "--backoff", "0")
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

// TestLiteLLMsRequests: what LiteLLM sends, header by header, and that it is taken.
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
	got := litellm(t, front.URL,
		job{Key: "team/audit_logs/2026-01-31/12-00-00_" + id + ".json", Events: raw(event(id))},
		job{Key: "team/" + batchKey, Events: raw(event("b"), `{"id":"odd"}`, event("c")), Batch: true},
	)
	for _, s := range got {
		if s.Status != http.StatusOK || s.Attempts != 1 || s.ETag == "" {
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
			`SignedHeaders=cache-control;content-disposition;content-language;content-length;content-md5;content-type;host;x-amz-content-sha256;x-amz-date, Signature=[0-9a-f]{64}`,
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

// TestLiteLLMsRetries: where the relay does not accept, LiteLLM tries three times, and
// what comes through in the end is one event.
func TestLiteLLMsRetries(t *testing.T) {
	r := newRelay(t, Options{}, runtime.Options{})
	refusals := 2
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if refusals > 0 {
			refusals--
			slowDown("not now", 0, nil).write(w, req, "1")
			return
		}
		r.h.ServeHTTP(w, req)
	}))
	defer front.Close()
	got := litellm(t, front.URL, job{Key: testKey, Events: raw(event("a"))})
	if got[0].Status != http.StatusOK || got[0].Attempts != 3 || len(r.stored()) != 1 {
		t.Errorf("%+v, %q", got, r.stored())
	}
	if err := r.rt.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	got = litellm(t, r.http.URL, job{Key: testKey, Events: raw(event("b"))})
	if got[0].Status != http.StatusServiceUnavailable || got[0].Attempts != 3 || !strings.Contains(got[0].Error, "<Code>SlowDown</Code>") {
		t.Errorf("%+v", got)
	}
}

// TestLiteLLMsPaths: it signs as botocore does in general, not as botocore does for
// S3: what S3 itself would refuse is taken here, since nobody reads a refusal.
func TestLiteLLMsPaths(t *testing.T) {
	r := newRelay(t, Options{}, runtime.Options{})
	for _, endpoint := range []string{r.http.URL, r.http.URL + "/"} {
		if got := litellm(t, endpoint, job{Key: "a%20b/" + testKey, Events: raw(event("a"))}); got[0].Status != http.StatusOK {
			t.Errorf("%s: %+v", endpoint, got)
		}
	}
}
