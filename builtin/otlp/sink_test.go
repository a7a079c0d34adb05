package otlp_test

import (
	"compress/gzip"
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

	"google.golang.org/protobuf/encoding/protowire"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/otlp"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/logstore"
	"auditrelay/internal/test/secretfile"
	"auditrelay/sinktest"
)

// receiver stores the bodies of log records. It reads messages by the field numbers that the sink
// writes, so it cannot find a wrong number. TestARealStore can.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	token  string
	answer []byte // the body of a response with status 200
	refuse string
	docs   [][]byte
}

func start(t testing.TB) *receiver {
	r := &receiver{token: "first"}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if q.Header.Get("Authorization") != "Bearer "+r.token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		z, err := gzip.NewReader(q.Body)
		if err != nil || q.URL.Path != "/v1/logs" || q.Header.Get("Content-Type") != "application/x-protobuf" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body, err := io.ReadAll(z)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		var docs [][]byte
		for _, scope := range fields(t, 2, fields(t, 1, [][]byte{body})) {
			for _, text := range fields(t, 1, fields(t, 5, fields(t, 2, [][]byte{scope}))) {
				if r.refuse != "" && string(text) == r.refuse {
					w.WriteHeader(http.StatusBadRequest)
					return
				}
				docs = append(docs, text)
			}
		}
		r.docs = append(r.docs, docs...)
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.Write(r.answer)
	}))
	t.Cleanup(r.Close)
	return r
}

// fields returns the contents of a field of messages.
func fields(t testing.TB, field protowire.Number, messages [][]byte) (all [][]byte) {
	for _, data := range messages {
		for len(data) > 0 {
			number, kind, n := protowire.ConsumeTag(data)
			size := protowire.ConsumeFieldValue(number, kind, data[max(n, 0):])
			if n < 0 || size < 0 {
				t.Errorf("no message: %x", data)
				return nil
			}
			if number == field && kind == protowire.BytesType {
				content, _ := protowire.ConsumeBytes(data[n:])
				all = append(all, content)
			}
			data = data[n+size:]
		}
	}
	return all
}

func options(url string) otlp.Options {
	return otlp.Options{URL: url, Token: "first", HTTP: httpsink.Options{AllowNetworks: []string{"loopback"}, RequestTimeout: 5 * time.Second}}
}

func newSink(t testing.TB, o otlp.Options) *otlp.Sink {
	t.Helper()
	s, err := otlp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Kit {
		file := filepath.Join(t.TempDir(), "token")
		secretfile.Write(t, file, "first")
		r := start(t)
		proxy := faultproxy.Start(t, r.URL)
		kit := proxy.Kit(func(url string) auditrelay.Sink {
			o := options(url)
			o.Token, o.TokenFile, o.MaxEvents = "", file, 5
			return newSink(t, o)
		})
		kit.Read = func(*testing.T) [][]byte {
			r.mu.Lock()
			defer r.mu.Unlock()
			return append([][]byte(nil), r.docs...)
		}
		kit.Unordered, kit.Forgetful, kit.Doubles, kit.TooLarge = true, true, true, 3_000_000
		kit.Refuse = func(t *testing.T, record string) auditrelay.Sink {
			r.refuse = record
			return kit.New(t)
		}
		secretfile.Rotating(&kit, file, "second", func(secret string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.token = secret
		})
		return kit
	})
}

func chunk(n int) auditrelay.Chunk {
	c := auditrelay.Chunk{Callback: "c", Journal: "j.1", From: 1, To: uint64(n) + 1}
	now := time.Now()
	for i := range n {
		c.Records = append(c.Records, auditrelay.Record{Sequence: uint64(i) + 1, Time: now, TimeFrom: auditrelay.TimeOfEvent, Received: now, Action: "created",
			Data: fmt.Appendf(nil, `{"id":"event-%d","changed_by":"ada","object_id":"team-1","table_name":"T","note":"a \"quoted\" text"}`, i)})
	}
	return c
}

func render(t *testing.T, s *otlp.Sink, c auditrelay.Chunk) []auditrelay.Payload {
	t.Helper()
	payloads, err := s.Render(c)
	if err != nil {
		t.Fatal(err)
	}
	return payloads
}

// A response of 200 may reject some records without naming them, so each record of the payload is
// named. A warning alone is success. A body that is not OTLP is no success.
func TestPartialSuccess(t *testing.T) {
	partial := func(rejected uint64, text string) []byte {
		m := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), rejected)
		m = protowire.AppendString(protowire.AppendTag(m, 2, protowire.BytesType), text)
		return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), m)
	}
	for name, tt := range map[string]struct {
		answer []byte
		want   string // "": delivered
	}{
		"nothing":         {nil, ""},
		"a warning":       {partial(0, "slow down"), ""},
		"JSON":            {[]byte(`{"partialSuccess":{}}`), ""},
		"all":             {partial(3, "secret of an event"), "all 3 records of the request rejected"},
		"some":            {partial(2, "secret of an event"), "2 of 3 records rejected without naming them"},
		"some, in JSON":   {[]byte(`{"partialSuccess":{"rejectedLogRecords":"1"}}`), "1 of 3 records rejected without naming them"},
		"JSON without":    {[]byte(`{}`), ""},
		"other JSON":      {[]byte(`{"error":"log in first"}`), "the response is not OTLP"},
		"something else":  {[]byte("ok"), "the response is not OTLP"},
		"half an answer":  {partial(2, "text")[:5], "the response is not OTLP"},
		"half an integer": {[]byte{0x0a, 0x02, 0x08, 0x80}, "the response is not OTLP"},
	} {
		r := start(t)
		r.answer = tt.answer
		s := newSink(t, options(r.URL))
		_, err := s.Deliver(t.Context(), render(t, s, chunk(3))[0])
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// With isolate, the engine halves the payload until the rejected record is alone.
func TestIsolate(t *testing.T) {
	r := start(t)
	m := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
	r.answer = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), m)
	o := options(r.URL)
	o.Isolate = true
	s := newSink(t, o)
	p := render(t, s, chunk(2))[0]
	if _, err := s.Deliver(t.Context(), p); auditrelay.KindOf(err) != auditrelay.Refused {
		t.Fatalf("%v", err)
	}
	first, _, err := s.Split(p)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Deliver(t.Context(), first)
	if named, ok := errors.AsType[*auditrelay.RecordErrors](err); !ok || len(named.Records) != 1 || named.Records[0].Sequence != 1 {
		t.Errorf("alone: %v", err)
	}
}

// A record of another producer has its mapped fields as attributes.
func TestMappedFields(t *testing.T) {
	s := newSink(t, options("https://collector.example:4318"))
	c := chunk(1)
	c.Records[0].Data = []byte(`{"verb":"get","who":"ada","what":{"name":"db","kind":"secrets"},"uid":7}`)
	c.Records[0].Mapping = &auditrelay.Mapping{ID: "uid", Action: "verb", Actor: "who", Object: "what.name", ObjectType: "what.kind"}
	content, err := httpsink.Plain(render(t, s, c)[0])
	if want := `"user.id":"ada","audit.object.id":"db","audit.object.type":"secrets","audit.action":"get","audit.id":"7"`; err != nil || !strings.Contains(string(content), want) {
		t.Errorf("%v: no %s in %s", err, want, content)
	}
}

// A real log store reads the messages and has each complete record.
func TestARealStore(t *testing.T) {
	store := logstore.Start(t)
	proxy := faultproxy.Start(t, store.URL+"/insert/opentelemetry")
	proxy.Script(faultproxy.Pass, faultproxy.Answer(503, "", "Retry-After", "1"), faultproxy.Pass, faultproxy.Torn(50), faultproxy.Answer(502, "<html>"), faultproxy.Pass)
	o := options(proxy.URL)
	o.MaxEvents, o.Resource = 20, map[string]string{"deployment.environment": "prod"}
	s := newSink(t, o)
	for _, p := range render(t, s, chunk(200)) {
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
		var n int
		fmt.Sscan(l["auditrelay.sequence"], &n)
		want := map[string]string{"user.id": "ada", "audit.object.id": "team-1", "audit.object.type": "T", "auditrelay.journal": "j.1", "service.name": "auditrelay", "deployment.environment": "prod",
			"_msg": fmt.Sprintf(`{"id":"event-%d","changed_by":"ada","object_id":"team-1","table_name":"T","note":"a \"quoted\" text"}`, n-1)}
		for name, value := range want {
			if l[name] != value {
				t.Fatalf("%s is %q, want %q: %v", name, l[name], value, l)
			}
		}
		if at, err := time.Parse(time.RFC3339Nano, l["_time"]); err != nil || time.Since(at) > time.Hour {
			t.Fatalf("its time is %s", l["_time"])
		}
		seen[l["_msg"]] = true
	}
	if len(seen) != 200 {
		t.Errorf("%d of 200 records are there", len(seen))
	}
}

// Grafana Loki accepts logs with 204, and refuses a request without records with 422.
func TestAsLokiAnswers(t *testing.T) {
	status := http.StatusNoContent
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer server.Close()
	s := newSink(t, options(server.URL))
	if _, err := s.Deliver(t.Context(), render(t, s, chunk(1))[0]); err != nil {
		t.Error(err)
	}
	status = http.StatusUnprocessableEntity
	if err := s.Probe(t.Context()); !errors.Is(err, auditrelay.ErrNotChecked) {
		t.Error(err)
	}
	status = http.StatusAccepted
	s = newSink(t, options(server.URL))
	if _, err := s.Deliver(t.Context(), render(t, s, chunk(1))[0]); auditrelay.KindOf(err) != auditrelay.Misconfigured || err == nil {
		t.Errorf("202: %v", err)
	}
}

func TestProbe(t *testing.T) {
	r := start(t)
	if err := newSink(t, options(r.URL)).Probe(t.Context()); err != nil || len(r.docs) != 0 {
		t.Errorf("%v, %d stored", err, len(r.docs))
	}
	o := options(r.URL)
	o.Token = "wrong"
	if err := newSink(t, o).Probe(t.Context()); auditrelay.KindOf(err) != auditrelay.Unauthorized {
		t.Errorf("with a wrong token: %v", err)
	}
}

func TestOptions(t *testing.T) {
	const url = "https://collector.example:4318"
	for want, o := range map[string]otlp.Options{
		"url: it is required":                     {},
		"url: it has a query":                     {URL: url + "?a=b"},
		"token: token_file is set too":            {URL: url, Token: "a", TokenFile: "b"},
		"headers.Content-Type: not a header name": {URL: url, Headers: map[string]auditrelay.Secret{"Content-Type": "x"}},
		"headers.X-Key: its value contains":       {URL: url, Headers: map[string]auditrelay.Secret{"X-Key": "a\nb"}},
		"resource.service.name: expected":         {URL: url, Resource: map[string]string{"service.name": "x"}},
		"max_events: expected 1 to 10000":         {URL: url, MaxEvents: 20000},
		"max_request_bytes: expected 10KB":        {URL: url, MaxRequestBytes: 1},
	} {
		if _, err := otlp.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
