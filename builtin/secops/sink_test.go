package secops_test

import (
	"bytes"
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
	"auditrelay/builtin/secops"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/relaytest"
	"auditrelay/internal/test/secretfile"
	"auditrelay/sinktest"
)

const (
	instance = "01234567-89ab-cdef-0123-456789abcdef"
	path     = "/projects/project-1/locations/us/instances/" + instance + "/logTypes/AUDITRELAY"
)

// log is a stored log of the service.
type log struct {
	Data           []byte                            `json:"data"`
	LogEntryTime   time.Time                         `json:"logEntryTime"`
	CollectionTime time.Time                         `json:"collectionTime"`
	Namespace      string                            `json:"environmentNamespace"`
	Labels         map[string]struct{ Value string } `json:"labels"`
}

// service behaves as Google documents. TestTheStandIn has the table of its behaviour.
type service struct {
	*httptest.Server
	mu    sync.Mutex
	token string
	bad   string // content of logs to reject
	fault string // the answer that refuses every request
	logs  []log
}

func start(t testing.TB) *service {
	s := &service{token: "first"}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/token" {
			fmt.Fprintf(w, `{"access_token":"%s","token_type":"Bearer","expires_in":3600}`, s.token)
			return
		}
		status := s.call(r)
		w.WriteHeader(status)
		if status != http.StatusOK && s.fault != "" {
			io.WriteString(w, s.fault)
			return
		}
		if status != http.StatusOK {
			fmt.Fprintf(w, `{"error":{"code":%d,"status":"NO"}}`, status)
			return
		}
		io.WriteString(w, "{}\n")
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) call(r *http.Request) int {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return http.StatusBadRequest
		}
		body = z
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer "+s.token:
		return http.StatusUnauthorized
	case r.Method == http.MethodGet && r.URL.Path == path:
		return http.StatusOK
	case r.Method != http.MethodPost || r.URL.Path != path+"/logs:import":
		return http.StatusNotFound
	}
	var request struct {
		InlineSource *struct {
			Logs      []log
			Forwarder string
		} `json:"inlineSource"`
	}
	if json.NewDecoder(body).Decode(&request) != nil || request.InlineSource == nil || s.fault != "" {
		return http.StatusBadRequest
	}
	for _, l := range request.InlineSource.Logs {
		if len(l.Data) == 0 || l.LogEntryTime.IsZero() || !l.CollectionTime.After(l.LogEntryTime) || s.bad != "" && bytes.Contains(l.Data, []byte(s.bad)) {
			return http.StatusBadRequest
		}
	}
	s.logs = append(s.logs, request.InlineSource.Logs...)
	return http.StatusOK
}

// TestTheStandIn compares the stand-in with the service's documentation.
func TestTheStandIn(t *testing.T) {
	s := start(t)
	for name, tt := range map[string]struct {
		method, at, token, body string
		status, logs            int
	}{
		"logs in base64 are taken, and the answer is empty": {"POST", path + "/logs:import", "first", `{"inlineSource":{"logs":[{"data":"e30=","logEntryTime":"2026-03-01T10:00:00Z","collectionTime":"2026-03-01T10:00:01Z"}]}}`, 200, 1},
		"data is required":                 {"POST", path + "/logs:import", "first", `{"inlineSource":{"logs":[{"logEntryTime":"2026-03-01T10:00:00Z","collectionTime":"2026-03-01T10:00:01Z"}]}}`, 400, 0},
		"data is base64":                   {"POST", path + "/logs:import", "first", `{"inlineSource":{"logs":[{"data":"{}","logEntryTime":"2026-03-01T10:00:00Z","collectionTime":"2026-03-01T10:00:01Z"}]}}`, 400, 0},
		"both times are required":          {"POST", path + "/logs:import", "first", `{"inlineSource":{"logs":[{"data":"e30=","collectionTime":"2026-03-01T10:00:01Z"}]}}`, 400, 0},
		"collected after the entry's time": {"POST", path + "/logs:import", "first", `{"inlineSource":{"logs":[{"data":"e30=","logEntryTime":"2026-03-01T10:00:00Z","collectionTime":"2026-03-01T10:00:00Z"}]}}`, 400, 0},
		"a source is required":             {"POST", path + "/logs:import", "first", `{}`, 400, 0},
		"another log type":                 {"POST", path + "X/logs:import", "first", `{"inlineSource":{}}`, 404, 0},
		"another token":                    {"POST", path + "/logs:import", "other", `{"inlineSource":{}}`, 401, 0},
		"a log type can be asked for":      {"GET", path, "first", ``, 200, 0},
	} {
		s.logs = nil
		q, err := http.NewRequestWithContext(t.Context(), tt.method, s.URL+tt.at, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+tt.token)
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != tt.status || len(s.logs) != tt.logs {
			t.Errorf("%s: %d and %d logs", name, answer.StatusCode, len(s.logs))
		}
	}
}

func options(t *testing.T, api, tokens string) secops.Options {
	file := filepath.Join(t.TempDir(), "key.json")
	secretfile.ServiceAccount(t, file, tokens+"/token")
	return secops.Options{URL: api, Project: "project-1", Location: "us", Instance: instance, LogType: "AUDITRELAY", CredentialsFile: file,
		HTTP: httpsink.Options{AllowNetworks: []string{"loopback"}, RequestTimeout: 5 * time.Second}}
}

func newSink(t testing.TB, o secops.Options) *secops.Sink {
	t.Helper()
	s, err := secops.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Kit {
		s := start(t)
		proxy := faultproxy.Start(t, s.URL)
		o := options(t, "", s.URL) // tokens come without faults
		kit := proxy.Kit(func(url string) auditrelay.Sink {
			o.URL, o.MaxEvents = url, 5
			return newSink(t, o)
		})
		kit.Read = func(*testing.T) (docs [][]byte) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, l := range s.logs {
				docs = append(docs, l.Data)
			}
			return docs
		}
		kit.Unordered, kit.Forgetful, kit.Doubles, kit.TooLarge = true, true, true, 700_000
		kit.Rotate = func(t *testing.T) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.token = "second"
			secretfile.ServiceAccount(t, o.CredentialsFile, s.URL+"/token")
		}
		return kit
	})
}

func chunk(data ...string) auditrelay.Chunk {
	c := auditrelay.Chunk{Callback: "c", Journal: "j.1", From: 1, To: uint64(len(data)) + 1, MediaType: "application/json"}
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for i, d := range data {
		c.Records = append(c.Records, auditrelay.Record{Sequence: uint64(i) + 1, Time: at, Received: at.Add(time.Second), Data: []byte(d), Namespace: "litellm", Principal: "proxy"})
	}
	return c
}

func render(t *testing.T, s *secops.Sink, c auditrelay.Chunk) auditrelay.Payload {
	t.Helper()
	payloads, err := s.Render(c)
	if err != nil || len(payloads) != 1 {
		t.Fatalf("%d payloads, %v", len(payloads), err)
	}
	return payloads[0]
}

// A log is the record byte for byte, with labels that no event can choose. For a record from
// the future, the collection time is still later.
func TestLogs(t *testing.T) {
	s := start(t)
	o := options(t, s.URL, s.URL)
	o.Namespace = "prod"
	sink := newSink(t, o)
	c := chunk(`{"id": "e", "text": "\u00e9 \"<"}`, `{"verb":"get","who":"eve"}`)
	c.Records[1].Mapping = &auditrelay.Mapping{Action: "verb", Actor: "who"}
	c.Records[1].Time = c.Records[1].Received.Add(time.Minute)
	if _, err := sink.Deliver(t.Context(), render(t, sink, c)); err != nil || len(s.logs) != 2 {
		t.Fatal(err, s.logs)
	}
	for i, want := range []map[string]string{
		{"auditrelay_journal": "j.1", "auditrelay_sequence": "1", "auditrelay_namespace": "litellm", "auditrelay_principal": "proxy"},
		{"auditrelay_journal": "j.1", "auditrelay_sequence": "2", "auditrelay_namespace": "litellm", "auditrelay_principal": "proxy", "auditrelay_action": "get", "auditrelay_actor": "eve"},
	} {
		l := s.logs[i]
		if !bytes.Equal(l.Data, c.Records[i].Data) || !l.LogEntryTime.Equal(c.Records[i].Time) || l.Namespace != "prod" || len(l.Labels) != len(want) {
			t.Errorf("%s: %+v", l.Data, l)
		}
		for name, value := range want {
			if l.Labels[name].Value != value {
				t.Errorf("%s is %q, want %q", name, l.Labels[name].Value, value)
			}
		}
	}
	c = chunk("CEF:0|a \"b\"")
	c.MediaType = auditrelay.MediaTypeText
	if _, err := sink.Deliver(t.Context(), render(t, sink, c)); err != nil || string(s.logs[2].Data) != `CEF:0|a "b"` {
		t.Errorf("a line of text: %v", err)
	}
}

// A log that the service rejects is found and dead-lettered alone. An answer about anything
// other than a log stalls the callback before any dead letter. An answer without a cause soon
// stalls it too: the tombstone of the first dead-lettered log is refused as well.
func TestRefusedLogs(t *testing.T) {
	s := start(t)
	s.bad = "poison"
	relaytest.Isolates(t, newSink(t, options(t, s.URL, s.URL)), s.bad)
	violation := func(field string) string {
		return `{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R"},{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"` + field + `","description":"no"}]}]}}`
	}
	for fault, few := range map[string]uint64{
		`{"error":{"code":400,"status":"FAILED_PRECONDITION"}}`: 0,
		violation("parent"):                                  0,
		violation("inline_source.forwarder"):                 0,
		violation("inline_source.logs[0].labels[0]"):         16,
		violation("inlineSource.logs[0].data"):               16,
		`{"error":{"code":400,"status":"INVALID_ARGUMENT"}}`: 16,
	} {
		s := start(t)
		s.fault = fault
		relaytest.Stalls(t, newSink(t, options(t, s.URL, s.URL)), few)
	}
}

// Faults of instance, log type or rights stall, and no event becomes a dead letter.
func TestAnswers(t *testing.T) {
	for status, want := range map[int]auditrelay.ErrorKind{
		204: auditrelay.Misconfigured, 400: auditrelay.Refused, 401: auditrelay.Unauthorized, 403: auditrelay.Unauthorized, 404: auditrelay.Misconfigured,
		413: auditrelay.TooLarge, 429: auditrelay.Throttled, 500: auditrelay.Transient, 503: auditrelay.Throttled,
	} {
		s := start(t)
		proxy := faultproxy.Start(t, s.URL)
		proxy.Always(faultproxy.Answer(status, ""))
		sink := newSink(t, options(t, proxy.URL, s.URL))
		if _, err := sink.Deliver(t.Context(), render(t, sink, chunk(`{"id":"1"}`))); err == nil || auditrelay.KindOf(err) != want {
			t.Errorf("%d: %v", status, err)
		}
	}
	s := start(t)
	if err := newSink(t, options(t, s.URL, s.URL)).Probe(t.Context()); !errors.Is(err, auditrelay.ErrNotChecked) || !strings.Contains(err.Error(), "the log type exists") || len(s.logs) != 0 {
		t.Errorf("probe: %v", err)
	}
	o := options(t, s.URL, s.URL)
	o.LogType = "OTHER"
	if err := newSink(t, o).Probe(t.Context()); auditrelay.KindOf(err) != auditrelay.Misconfigured || errors.Is(err, auditrelay.ErrNotChecked) {
		t.Errorf("probe of another log type: %v", err)
	}
}

func TestOptions(t *testing.T) {
	good := secops.Options{Project: "project-1", Location: "europe-west3", Instance: instance, LogType: "AUDITRELAY"}
	for want, change := range map[string]func(*secops.Options){
		"project: it is required":                 func(o *secops.Options) { o.Project = "" },
		"location: it is required":                func(o *secops.Options) { o.Location = "" },
		"instance: expected the":                  func(o *secops.Options) { o.Instance = "x" },
		"log_type: expected cap":                  func(o *secops.Options) { o.LogType = "a/b" },
		"namespace: expected letters":             func(o *secops.Options) { o.Namespace = "a b" },
		"forwarder: expected projects":            func(o *secops.Options) { o.Forwarder = "f" },
		"url: tokens from Google's own search":    func(o *secops.Options) { o.URL = "http://proxy.example" },
		"max_request_bytes: expected 10KB to 2MB": func(o *secops.Options) { o.MaxRequestBytes = 1 },
		"max_events: expected 1 to 10000":         func(o *secops.Options) { o.MaxEvents = 20_000 },
		"http.compression: expected gzip or none": func(o *secops.Options) { o.HTTP.Compression = "br" },
	} {
		o := good
		change(&o)
		if _, err := secops.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := secops.New(good); err != nil {
		t.Error(err)
	}
}
