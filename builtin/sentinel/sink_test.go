package sentinel_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/sentinel"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/relaytest"
	"auditrelay/internal/test/secretfile"
	"auditrelay/sinktest"
)

const (
	rule   = "dcr-0123456789abcdef0123456789abcdef"
	stream = "Custom-AuditRelay_CL"
	path   = "/dataCollectionRules/" + rule + "/streams/" + stream
)

// service behaves as Microsoft documents. TestTheStandIn has the table of its behaviour.
type service struct {
	*httptest.Server
	mu     sync.Mutex
	secret string
	role   bool
	bad    string // content of rows to reject
	fault  string // the code that refuses every request
	rows   []map[string]json.RawMessage
}

func start(t testing.TB) *service {
	s := &service{secret: "first", role: true}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.URL.Path == "/tenant.example/oauth2/v2.0/token" {
			s.token(w, r)
			return
		}
		status := s.upload(r)
		w.WriteHeader(status)
		if status >= 400 {
			fmt.Fprintf(w, `{"error":{"code":%q,"message":"no"}}`, cmp.Or(s.fault, fmt.Sprintf("Code%d", status)))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "https://monitor.azure.com/.default" || r.FormValue("client_id") != "app" || r.FormValue("client_secret") != s.secret {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"error":"invalid_client","error_description":"`+r.FormValue("client_secret")+`"}`)
		return
	}
	io.WriteString(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"token of `+s.secret+`"}`)
}

const megabyte = 1 << 20

func (s *service) upload(r *http.Request) int {
	sent, err := io.ReadAll(io.LimitReader(r.Body, 2*megabyte))
	body := sent
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, bad := gzip.NewReader(bytes.NewReader(sent))
		if bad != nil {
			return http.StatusBadRequest
		}
		body, err = io.ReadAll(io.LimitReader(z, 2*megabyte))
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer token of "+s.secret:
		return http.StatusUnauthorized
	case !s.role:
		return http.StatusForbidden
	case r.URL.Path != path:
		return http.StatusNotFound
	case err != nil, r.Method != http.MethodPost, r.URL.Query().Get("api-version") != "2023-01-01", r.Header.Get("Content-Type") != "application/json":
		return http.StatusBadRequest
	case len(sent) > megabyte, len(body) > megabyte:
		return http.StatusRequestEntityTooLarge
	case !json.Valid(body), s.fault != "", s.bad != "" && bytes.Contains(body, []byte(s.bad)):
		return http.StatusBadRequest
	}
	var rows []map[string]json.RawMessage
	if json.Unmarshal(body, &rows) != nil {
		return http.StatusNoContent // and no row is stored
	}
	for _, row := range rows {
		for name, value := range row {
			if len(value) > 64<<10 {
				row[name] = value[:64<<10]
			}
		}
	}
	s.rows = append(s.rows, rows...)
	return http.StatusNoContent
}

// documents returns the events in the rows.
func (s *service) documents() (docs [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range s.rows {
		docs = append(docs, row["Event"])
	}
	return docs
}

// TestTheStandIn compares the stand-in with the service's documentation.
func TestTheStandIn(t *testing.T) {
	s := start(t)
	zipped := func(text string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, text)
		z.Close()
		return b.String()
	}
	for name, tt := range map[string]struct {
		at, token, encoding, body string
		status, rows              int
	}{
		"an array of objects is taken with 204":         {path + "?api-version=2023-01-01", "first", "", `[{"a":1},{"a":2}]`, 204, 2},
		"and compressed":                                {path + "?api-version=2023-01-01", "first", "gzip", zipped(`[{"a":1}]`), 204, 1},
		"an object alone is taken and stored nowhere":   {path + "?api-version=2023-01-01", "first", "", `{"a":1}`, 204, 0},
		"what is no JSON is refused":                    {path + "?api-version=2023-01-01", "first", "", `[{]`, 400, 0},
		"without a version":                             {path, "first", "", `[]`, 400, 0},
		"another rule":                                  {"/dataCollectionRules/x/streams/y?api-version=2023-01-01", "first", "", `[]`, 404, 0},
		"without a token":                               {path + "?api-version=2023-01-01", "", "", `[]`, 401, 0},
		"more than 1 MB":                                {path + "?api-version=2023-01-01", "first", "", `["` + strings.Repeat("x", megabyte) + `"]`, 413, 0},
		"more than 1 MB before it was compressed":       {path + "?api-version=2023-01-01", "first", "gzip", zipped(`["` + strings.Repeat("x", megabyte) + `"]`), 413, 0},
		"a value over 64 KB is taken, and is cut short": {path + "?api-version=2023-01-01", "first", "", `[{"long":"` + strings.Repeat("x", 70<<10) + `"}]`, 204, 1},
		"a token of a secret that is void is not taken": {path + "?api-version=2023-01-01", "zeroth", "", `[]`, 401, 0},
		"an empty array is taken and holds nothing":     {path + "?api-version=2023-01-01", "first", "", `[]`, 204, 0},
	} {
		s.rows = nil
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+tt.at, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/json")
		q.Header.Set("Authorization", "Bearer token of "+tt.token)
		if tt.encoding != "" {
			q.Header.Set("Content-Encoding", tt.encoding)
		}
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != tt.status || len(s.rows) != tt.rows {
			t.Errorf("%s: %d and %d rows, want %d and %d", name, answer.StatusCode, len(s.rows), tt.status, tt.rows)
		}
		for _, row := range s.rows {
			if len(row["long"]) > 64<<10 {
				t.Errorf("%s: it is whole", name)
			}
		}
	}
}

func options(url string) sentinel.Options {
	return sentinel.Options{URL: url, Rule: rule, Stream: stream, TenantID: "tenant.example", ClientID: "app", ClientSecret: "first", Authority: url,
		HTTP: httpsink.Options{AllowNetworks: []string{"loopback"}, RequestTimeout: 5 * time.Second}}
}

func newSink(t testing.TB, o sentinel.Options) *sentinel.Sink {
	t.Helper()
	s, err := sentinel.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Kit {
		file := filepath.Join(t.TempDir(), "secret")
		secretfile.Write(t, file, "first")
		s := start(t)
		proxy := faultproxy.Start(t, s.URL)
		kit := proxy.Kit(func(url string) auditrelay.Sink {
			o := options(url)
			o.ClientSecret, o.ClientSecretFile, o.MaxEvents, o.Authority = "", file, 5, s.URL // tokens come without faults
			return newSink(t, o)
		})
		kit.Read = func(*testing.T) [][]byte { return s.documents() }
		kit.Unordered, kit.Forgetful, kit.Doubles, kit.TooLarge = true, true, true, 70_000
		secretfile.Rotating(&kit, file, "second", func(secret string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.secret = secret
		})
		return kit
	})
}

func chunk(data ...string) auditrelay.Chunk {
	c := auditrelay.Chunk{Callback: "c", Journal: "j.1", From: 1, To: uint64(len(data)) + 1, MediaType: "application/json"}
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for i, d := range data {
		c.Records = append(c.Records, auditrelay.Record{Sequence: uint64(i) + 1, Time: at, Received: at.Add(time.Second), Data: []byte(d), Namespace: "litellm", Source: "http", Principal: "proxy"})
	}
	return c
}

func render(t *testing.T, s *sentinel.Sink, c auditrelay.Chunk) auditrelay.Payload {
	t.Helper()
	payloads, err := s.Render(c)
	if err != nil || len(payloads) != 1 {
		t.Fatalf("%d payloads, %v", len(payloads), err)
	}
	return payloads[0]
}

// A row has the documented columns: for LiteLLM's events, for another producer's, and for lines
// of text.
func TestRows(t *testing.T) {
	s := newSink(t, options("http://127.0.0.1:1"))
	c := chunk(`{"id":"e","action":"updated","changed_by":"ada","table_name":"T","object_id":"o"}`, `{"verb":"get","who":"eve"}`)
	c.Records[1].Mapping = &auditrelay.Mapping{Action: "verb", Actor: "who"}
	content, err := httpsink.Plain(render(t, s, c))
	want := `[{"TimeGenerated":"2026-03-01T10:00:00Z","EventTime":"2026-03-01T10:00:00Z","ReceivedTime":"2026-03-01T10:00:01Z","Journal":"j.1","Sequence":1,"Namespace":"litellm","Source":"http","Principal":"proxy","Id":"e","Action":"updated","Actor":"ada","ObjectType":"T","Object":"o","Event":{"id":"e","action":"updated","changed_by":"ada","table_name":"T","object_id":"o"}},
{"TimeGenerated":"2026-03-01T10:00:00Z","EventTime":"2026-03-01T10:00:00Z","ReceivedTime":"2026-03-01T10:00:01Z","Journal":"j.1","Sequence":2,"Namespace":"litellm","Source":"http","Principal":"proxy","Action":"get","Actor":"eve","Event":{"verb":"get","who":"eve"}}]`
	if err != nil || string(content) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, content, want)
	}
	c = chunk(`CEF:0|a "b"`)
	c.MediaType = auditrelay.MediaTypeText
	if content, err = httpsink.Plain(render(t, s, c)); err != nil || !strings.HasSuffix(string(content), `"Event":"CEF:0|a \"b\""}]`) {
		t.Errorf("%v %s", err, content)
	}
	c = chunk(`{"specversion":"1.0","id":"j.1/1","action":"updated","data":{"id":"e"}}`)
	c.MediaType = "application/cloudevents+json"
	if content, err = httpsink.Plain(render(t, s, c)); err != nil || bytes.Contains(content, []byte(`"Id":`)) || bytes.Contains(content, []byte(`"Action":`)) {
		t.Errorf("columns of a CloudEvent: %v %s", err, content)
	}
}

// A row that the service rejects is found and dead-lettered alone. A fault of rule or stream
// stalls the callback before any dead letter. A fault without a known code soon stalls it too:
// the tombstone of the first dead-lettered row is refused as well.
func TestRefusedRows(t *testing.T) {
	s := start(t)
	s.bad = "poison"
	relaytest.Isolates(t, newSink(t, options(s.URL)), s.bad)
	s = start(t)
	s.fault = "InvalidStream"
	relaytest.Stalls(t, newSink(t, options(s.URL)), 0)
	s = start(t)
	s.fault = "NobodyKnows"
	relaytest.Stalls(t, newSink(t, options(s.URL)), 16)
}

// Faults of rule, stream, role or secret stall, no event becomes a dead letter, and no error
// contains the secret.
func TestAnswers(t *testing.T) {
	for status, want := range map[int]auditrelay.ErrorKind{
		200: auditrelay.Misconfigured, 400: auditrelay.Refused, 401: auditrelay.Unauthorized, 403: auditrelay.Unauthorized, 404: auditrelay.Misconfigured,
		413: auditrelay.TooLarge, 429: auditrelay.Throttled, 500: auditrelay.Transient, 503: auditrelay.Throttled,
	} {
		service := start(t)
		proxy := faultproxy.Start(t, service.URL)
		proxy.Always(faultproxy.Answer(status, `{}`, "Retry-After", "7"))
		o := options(proxy.URL)
		o.Authority = service.URL
		s := newSink(t, o)
		_, err := s.Deliver(t.Context(), render(t, s, chunk(`{"id":"1"}`, `{"id":"2"}`)))
		if err == nil || auditrelay.KindOf(err) != want {
			t.Errorf("%d: %v", status, err)
		}
		if d, ok := errors.AsType[*auditrelay.DeliveryError](err); ok && status == 429 && d.RetryAfter != 7*time.Second {
			t.Errorf("Retry-After: %v", d.RetryAfter)
		}
		if status == 404 && !strings.Contains(err.Error(), "are url, rule and stream right?") {
			t.Errorf("a rule that is not there: %v", err)
		}
	}
	s := start(t)
	o := options(s.URL)
	o.ClientSecret = "a-wrong-secret"
	sink := newSink(t, o)
	if _, err := sink.Deliver(t.Context(), render(t, sink, chunk(`{}`))); auditrelay.KindOf(err) != auditrelay.Unauthorized || strings.Contains(err.Error(), "a-wrong-secret") {
		t.Errorf("a wrong secret: %v", err)
	}
	if err := sink.Probe(t.Context()); auditrelay.KindOf(err) != auditrelay.Unauthorized {
		t.Errorf("probe with a wrong secret: %v", err)
	}
	if err := newSink(t, options(s.URL)).Probe(t.Context()); !errors.Is(err, auditrelay.ErrNotChecked) || len(s.rows) != 0 {
		t.Errorf("probe: %v", err)
	}
}

func TestOptions(t *testing.T) {
	good := options("https://x.ingest.monitor.azure.com")
	good.Authority = ""
	for want, change := range map[string]func(*sentinel.Options){
		"url: it is required":                          func(o *sentinel.Options) { o.URL = "" },
		"url: it has a query":                          func(o *sentinel.Options) { o.URL += "?a=b" },
		"rule: expected the rule":                      func(o *sentinel.Options) { o.Rule = "dcr-1" },
		"stream: expected the rule":                    func(o *sentinel.Options) { o.Stream = "a/b" },
		"tenant_id: it is required":                    func(o *sentinel.Options) { o.TenantID = "" },
		"client_id: it is required":                    func(o *sentinel.Options) { o.ClientID = "" },
		"client_secret: client_secret_file is set too": func(o *sentinel.Options) { o.ClientSecretFile = "x" },
		"authority: an internal address":               func(o *sentinel.Options) { o.Authority = "http://10.0.0.1"; o.HTTP.AllowNetworks = nil },
		"max_request_bytes: expected 10KB to 1MB":      func(o *sentinel.Options) { o.MaxRequestBytes = 2 << 20 },
		"max_events: expected 1 to 10000":              func(o *sentinel.Options) { o.MaxEvents = 20_000 },
	} {
		o := good
		change(&o)
		if _, err := sentinel.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	good.TenantID, good.ClientID, good.ClientSecret = "", "", ""
	if _, err := sentinel.New(good); err != nil {
		t.Errorf("with Azure's own search: %v", err)
	}
}
