package elastic_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/elastic"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/internal/gate"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/logstore"
	"auditrelay/internal/test/secretfile"
	"auditrelay/sinktest"
)

const (
	key   = "VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw"
	index = "logs-audit-default"
)

// cluster behaves like the documented bulk API: one result for each item, 409 for an existing
// id. TestARealStore uses a real store.
type cluster struct {
	*httptest.Server
	mu     sync.Mutex
	key    string
	refuse string
	status int    // of refused items
	kind   string // type of their error
	reason string
	brief  bool   // reasons are only returned on request
	more   string // added to the results of accepted items
	ids    map[string]bool
	docs   [][]byte
}

func start(t testing.TB) *cluster {
	c := &cluster{key: key, ids: map[string]bool{}, status: 400, kind: "document_parsing_exception"}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if r.Header.Get("Authorization") != "ApiKey "+c.key {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path != "/"+index+"/_bulk" {
			io.WriteString(w, `{"name":"node"}`)
			return
		}
		c.bulk(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *cluster) bulk(w http.ResponseWriter, r *http.Request) {
	var in io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(in)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		in = z
	}
	body, err := io.ReadAll(in)
	if err != nil || !bytes.HasSuffix(body, []byte("\n")) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	failed, reason := false, c.reason
	if c.brief && !strings.Contains(r.URL.Query().Get("filter_path"), "error.reason") {
		reason = ""
	}
	var items []string
	for i := 0; i+1 < len(lines); i += 2 {
		var action struct {
			Create struct {
				ID string `json:"_id"`
			}
		}
		if json.Unmarshal(lines[i], &action) != nil || action.Create.ID == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		status, kind := 201, ""
		switch {
		case c.refuse != "" && bytes.Contains(lines[i+1], []byte(c.refuse)):
			status, kind = c.status, c.kind
		case c.ids[action.Create.ID]:
			status, kind = 409, "version_conflict_engine_exception"
		default:
			c.ids[action.Create.ID] = true
			c.docs = append(c.docs, lines[i+1])
		}
		failed = failed || status != 201
		more := ""
		if c.more != "" && bytes.Contains(lines[i+1], []byte(`"event-2"`)) {
			more = "," + c.more
		}
		items = append(items, fmt.Sprintf(`{"create":{"status":%d,"error":{"type":%q,"reason":%q}%s}}`, status, kind, reason, more))
	}
	fmt.Fprintf(w, `{"errors":%v,"items":[%s]}`, failed, strings.Join(items, ","))
}

// documents returns the stored documents, without the sink's @timestamp.
func (c *cluster) documents() (docs [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.docs {
		_, rest, _ := bytes.Cut(d, []byte(`",`))
		docs = append(docs, append([]byte("{"), rest...))
	}
	return docs
}

func options(url string) elastic.Options {
	return elastic.Options{URL: url, Index: index, APIKey: key, HTTP: httpsink.Options{AllowNetworks: []string{"loopback"}, RequestTimeout: 5 * time.Second}}
}

func newSink(t testing.TB, o elastic.Options) *elastic.Sink {
	t.Helper()
	s, err := elastic.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Kit {
		file := filepath.Join(t.TempDir(), "key")
		secretfile.Write(t, file, key)
		c := start(t)
		proxy := faultproxy.Start(t, c.URL)
		kit := proxy.Kit(func(url string) auditrelay.Sink {
			o := options(url)
			o.APIKey, o.APIKeyFile, o.MaxEvents = "", file, 5
			return newSink(t, o)
		})
		kit.Read = func(*testing.T) [][]byte { return c.documents() }
		kit.Unordered = true
		kit.TooLarge = 5_000_000
		kit.Refuse = func(t *testing.T, record string) auditrelay.Sink {
			c.refuse = strings.TrimPrefix(record, "{")
			return kit.New(t)
		}
		secretfile.Rotating(&kit, file, "another", func(secret string) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.key = secret
		})
		return kit
	})
}

func chunk(n int) auditrelay.Chunk {
	c := auditrelay.Chunk{Callback: "c", Journal: "j.1", From: 1, To: uint64(n) + 1}
	now := time.Now()
	for i := range n {
		c.Records = append(c.Records, auditrelay.Record{Sequence: uint64(i) + 1, ID: fmt.Sprint(i), Time: now, TimeFrom: auditrelay.TimeOfEvent, Received: now,
			Data: fmt.Appendf(nil, `{"id":"event-%d","action":"created","note":"a \"quoted\" text"}`, i)})
	}
	return c
}

func render(t *testing.T, s *elastic.Sink, c auditrelay.Chunk) []auditrelay.Payload {
	t.Helper()
	payloads, err := s.Render(c)
	if err != nil {
		t.Fatal(err)
	}
	return payloads
}

// Each item's status decides. Refused items are reported. If one must be retried, none counts
// as delivered.
func TestItems(t *testing.T) {
	for status, want := range map[int]auditrelay.ErrorKind{429: auditrelay.Throttled, 503: auditrelay.Throttled, 500: auditrelay.Transient, 404: auditrelay.Misconfigured, 403: auditrelay.Unauthorized} {
		c := start(t)
		c.refuse, c.status = `"event-2"`, status
		s := newSink(t, options(c.URL))
		p := render(t, s, chunk(4))[0]
		if _, err := s.Deliver(t.Context(), p); auditrelay.KindOf(err) != want || err == nil {
			t.Errorf("%d of an item: %v, want %v", status, err, want)
		}
		c.refuse = ""
		if _, err := s.Deliver(t.Context(), p); err != nil || len(c.documents()) != 4 {
			t.Errorf("%d: afterwards %v, %d documents", status, err, len(c.documents()))
		}
	}
}

// A result that says the document is not in the index is no delivery, even with a success
// status.
func TestStatusesOfSuccessThatAreNone(t *testing.T) {
	for more, want := range map[string]string{
		`"failure_store":"used"`:                      "the failure store",
		`"failure_store":"failed"`:                    "the failure store",
		`"result":"noop"`:                             "a pipeline dropped it",
		`"failure_store":"not_applicable_or_unknown"`: "",
		`"result":"created"`:                          "",
	} {
		c := start(t)
		c.more = more
		s := newSink(t, options(c.URL))
		_, err := s.Deliver(t.Context(), render(t, s, chunk(4))[0])
		named, ok := errors.AsType[*auditrelay.RecordErrors](err)
		if want == "" && err != nil || want != "" && (!ok || len(named.Records) != 1 || named.Records[0].Sequence != 3 || !strings.Contains(named.Records[0].Err.Error(), want)) {
			t.Errorf("%s: %v, want %q", more, err, want)
		}
	}
}

// A missing ingest pipeline and other setting faults stall. The same error type for a document
// dead-letters that document. No reason is reported, since it may quote a document.
func TestASettingAtFault(t *testing.T) {
	for reason, want := range map[string]string{
		"pipeline with id [audit] does not exist":                    "the ingest pipeline does not exist",
		"no write index is defined for alias [audit].":               "the alias has no write index",
		"field [secret-of-an-event] not present as part of path [x]": "",
	} {
		c := start(t)
		c.refuse, c.kind, c.reason = `"event-1"`, "illegal_argument_exception", reason
		s := newSink(t, options(c.URL))
		_, err := s.Deliver(t.Context(), render(t, s, chunk(3))[0])
		named, ok := errors.AsType[*auditrelay.RecordErrors](err)
		switch {
		case err == nil || strings.Contains(err.Error(), "secret-of"):
			t.Errorf("%s: %v", reason, err)
		case want == "" && (!ok || len(named.Records) != 1 || named.Records[0].Sequence != 2):
			t.Errorf("%s: %v", reason, err)
		case want != "" && (ok || auditrelay.KindOf(err) != auditrelay.Misconfigured || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", reason, err, want)
		}
	}
}

// An answer that is too long to read halves the payload. Existing documents are not doubled.
func TestALongAnswer(t *testing.T) {
	c := start(t)
	c.refuse, c.kind, c.reason = `"event-`, "document_parsing_exception", strings.Repeat("x", 40_000)
	s := newSink(t, options(c.URL))
	if _, err := s.Deliver(t.Context(), render(t, s, chunk(2))[0]); auditrelay.KindOf(err) != auditrelay.TooLarge {
		t.Errorf("%v", err)
	}
}

// A reason that quotes a long value makes the answer too long to read, but stalls nothing: the
// document is dead-lettered, and the others are stored.
func TestALongValueInAReason(t *testing.T) {
	for _, n := range []int{1, 3} {
		c := start(t)
		c.brief, c.refuse, c.kind, c.reason = true, `"event-0"`, "document_parsing_exception", "Preview of field's value: '"+strings.Repeat("x", 200_000)+"'"
		s := newSink(t, options(c.URL))
		_, err := s.Deliver(t.Context(), render(t, s, chunk(n))[0])
		named, ok := errors.AsType[*auditrelay.RecordErrors](err)
		if !ok || len(named.Records) != 1 || named.Records[0].Sequence != 1 || len(c.documents()) != n-1 {
			t.Errorf("of %d: %v, %d documents", n, err, len(c.documents()))
		}
	}
}

// A document quoted by the reason of its refusal cannot imitate a setting fault.
func TestAForgedReason(t *testing.T) {
	for kind, reason := range map[string]string{
		"document_parsing_exception": "failed to parse field [n]. Preview of field's value: 'this action would add [1] shards'",
		"illegal_argument_exception": "value [this action would add [1] total shards] is no number",
		"fail_processor_exception":   "pipeline with id [audit] does not exist",
	} {
		c := start(t)
		c.refuse, c.kind, c.reason = `"event-1"`, kind, reason
		s := newSink(t, options(c.URL))
		_, err := s.Deliver(t.Context(), render(t, s, chunk(3))[0])
		if named, ok := errors.AsType[*auditrelay.RecordErrors](err); !ok || len(named.Records) != 1 || named.Records[0].Sequence != 2 {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// A closed index refuses every document, so none of them is at fault.
func TestAnIndexThatTakesNothing(t *testing.T) {
	for _, kind := range []string{"index_closed_exception", "invalid_index_name_exception", "index_not_found_exception", "cluster_block_exception"} {
		c := start(t)
		c.refuse, c.kind = `"action"`, kind
		s := newSink(t, options(c.URL))
		if _, err := s.Deliver(t.Context(), render(t, s, chunk(2))[0]); auditrelay.KindOf(err) != auditrelay.Misconfigured || !strings.Contains(err.Error(), kind) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// An existing document counts as delivered only if it is the same. A replay with other filters,
// or another callback with the same index, has other documents.
func TestAnotherDocumentOfTheSameEvent(t *testing.T) {
	c := start(t)
	first, other := chunk(1), chunk(1)
	other.Records[0].Data = []byte(`{"id":"event-0","action":"created","note":"whole"}`)
	first.Records[0].Time, first.Records[0].Received = time.Unix(1767225600, 0), time.Unix(1767225600, 0)
	other.Records[0].Time, other.Records[0].Received = first.Records[0].Time, first.Records[0].Received
	for i, chunk := range []auditrelay.Chunk{first, other, first} {
		s := newSink(t, options(c.URL))
		if _, err := s.Deliver(t.Context(), render(t, s, chunk)[0]); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if n := len(c.documents()); n != 2 {
		t.Errorf("%d documents, want both, each once", n)
	}
}

// A key that may only write to the index must not request the cluster's information.
func TestProbeOfAKeyForTheIndex(t *testing.T) {
	for status, want := range map[int]bool{403: true, 401: false, 404: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		if err := newSink(t, options(server.URL)).Probe(t.Context()); errors.Is(err, auditrelay.ErrNotChecked) != want {
			t.Errorf("%d: %v", status, err)
		}
		server.Close()
	}
}

// The gate takes no id for a personal number or a secret, for any digest.
func TestTheGateTakesIDs(t *testing.T) {
	g, err := gate.New(gate.Options{Detectors: []string{"secrets", "pii"}})
	if err != nil {
		t.Fatal(err)
	}
	s, c := newSink(t, options("https://elastic.example")), chunk(1000)
	c.Journal = "0123456789abcdef.fedcba9876543210"
	i := g.Inspector()
	for _, p := range render(t, s, c) {
		records := c.Records[p.Sequences[0]-1 : p.Sequences[len(p.Sequences)-1]]
		if err := i.Payload(&p, records); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDocuments(t *testing.T) {
	c := chunk(4)
	c.Records[3].Data = []byte(`{"id":"1","@timestamp":"2026-03-01T10:00:00Z"}`) // as from another producer
	c.Records[1].Data = []byte(`{}`)
	c.Records[2].Data = []byte(`{"@timestamp":"2026-03-01T10:00:00Z","ecs":{}}`)
	s := newSink(t, options("https://elastic.example"))
	content, err := httpsink.Plain(render(t, s, c)[0])
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(content), "\n")
	if len(lines) != 9 || !regexp.MustCompile(`^{"create":{"_id":"j\.1-1-[a-p]{16}"}}$`).MatchString(lines[0]) || lines[7] != string(c.Records[3].Data) || !strings.HasPrefix(lines[1], `{"@timestamp":"`) || lines[5] != `{"@timestamp":"2026-03-01T10:00:00Z","ecs":{}}` {
		t.Errorf("%s", content)
	}
	for _, n := range []int{1, 3, 5} {
		if !json.Valid([]byte(lines[n])) {
			t.Errorf("%s", lines[n])
		}
	}
	c.MediaType = auditrelay.MediaTypeText
	if _, err := s.Render(c); err == nil {
		t.Error("lines of text were taken")
	}
}

// A real log store with this API has every event, with equal content, through faults.
func TestARealStore(t *testing.T) {
	store := logstore.Start(t)
	to, _ := url.Parse(store.URL)
	// The store has the API without an index in the path.
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.URL.Path = "/insert/elasticsearch/_bulk"
		query := r.Out.URL.Query()
		query.Set("_msg_field", "id")
		query.Set("_time_field", "@timestamp")
		r.Out.URL.RawQuery = query.Encode()
	}})
	defer front.Close()
	proxy := faultproxy.Start(t, front.URL)
	proxy.Script(faultproxy.Pass, faultproxy.Answer(500, ""), faultproxy.Pass, faultproxy.Answer(429, "", "Retry-After", "1"), faultproxy.Torn(100), faultproxy.Answer(502, "<html>"), faultproxy.Pass)
	o := options(proxy.URL)
	o.MaxEvents = 20
	s := newSink(t, o)
	c := chunk(200)
	for _, p := range render(t, s, c) {
		for attempt := 0; ; attempt++ {
			_, err := s.Deliver(t.Context(), p)
			if err == nil {
				break
			}
			if kind := auditrelay.KindOf(err); kind != auditrelay.Transient && kind != auditrelay.Throttled || attempt > 10 {
				t.Fatal(err)
			}
		}
	}
	seen := map[string]bool{}
	for _, l := range store.Await(t, 200) {
		if l["action"] != "created" || l["note"] != `a "quoted" text` {
			t.Fatalf("another content: %v", l)
		}
		if at, err := time.Parse(time.RFC3339Nano, l["_time"]); err != nil || time.Since(at) > time.Hour {
			t.Fatalf("its time is %s", l["_time"])
		}
		seen[l["_msg"]] = true
	}
	if len(seen) != 200 {
		t.Errorf("%d of 200 events are there", len(seen))
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]elastic.Options{
		"url: it is required":                   {Index: index},
		"index: expected small":                 {URL: "https://e.example", Index: "Logs"},
		"pipeline: expected":                    {URL: "https://e.example", Index: index, Pipeline: "a/b"},
		"username: api_key is set too":          {URL: "https://e.example", Index: index, APIKey: "k", Username: "u"},
		"password: username is missing":         {URL: "https://e.example", Index: index, Password: "p"},
		"password: it is required":              {URL: "https://e.example", Index: index, Username: "u"},
		"max_events: expected 1 to 10000":       {URL: "https://e.example", Index: index, MaxEvents: 20000},
		"max_request_bytes: expected 10KB to 5": {URL: "https://e.example", Index: index, MaxRequestBytes: 1},
	} {
		if _, err := elastic.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
