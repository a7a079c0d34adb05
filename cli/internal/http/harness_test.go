package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/config"
	"auditrelay/runtime"
)

// relay is a real runtime on a journal in memory behind a real server.
type relay struct {
	t    *testing.T
	rt   *runtime.Runtime
	srv  *Server
	http *httptest.Server
	sink *memorySink
}

func newRelay(t *testing.T, o Options, callbacks ...runtime.Callback) *relay {
	t.Helper()
	return newRelayOn(t, o, runtime.Options{Callbacks: callbacks})
}

// newRelayOn is like newRelay, on a runtime with options.
func newRelayOn(t *testing.T, o Options, options runtime.Options) *relay {
	t.Helper()
	r := &relay{t: t, sink: &memorySink{}}
	if options.Callbacks == nil {
		options.Callbacks = []runtime.Callback{{Name: "archive", Sink: r.sink}}
	}
	options.Logger = quiet()
	rt, err := runtime.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
	r.serve(rt, o)
	return r
}

// serve returns a relay on a runtime opened by the test, without tokens.
func serve(t *testing.T, rt *runtime.Runtime) *relay {
	t.Helper()
	r := &relay{t: t}
	r.serve(rt, Options{})
	return r
}

func (r *relay) serve(rt *runtime.Runtime, o Options) {
	r.t.Helper()
	o.Runtime, o.Logger = rt, quiet()
	if o.Config == nil {
		o.Config = tokens(nil)
	}
	srv, err := New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	srv.failures.delay = 0 // the tests cause many failures from one address
	r.rt, r.srv = rt, srv
	r.http = httptest.NewServer(srv.Handler())
	r.t.Cleanup(r.http.Close)
}

// tokens returns a configuration with tokens.
func tokens(given []config.Token) *config.Config {
	return &config.Config{Listen: "127.0.0.1:0", Tokens: given}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// memorySink acknowledges everything, or fails with the error in err.
type memorySink struct {
	err atomic.Pointer[error]
	had atomic.Bool // it reports every payload as already present and not compared
}

func (s *memorySink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	var payloads []auditrelay.Payload
	for _, r := range chunk.Records {
		payloads = append(payloads, auditrelay.Payload{Key: fmt.Sprintf("%s-%d", chunk.Replay, r.Sequence), Body: r.Data, Sequences: []uint64{r.Sequence}})
	}
	return payloads, nil
}

func (s *memorySink) Deliver(_ context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	if err := s.err.Load(); err != nil {
		return auditrelay.Receipt{}, *err
	}
	return auditrelay.Receipt{Location: "memory/" + p.Key, Duplicate: s.had.Load(), Unverified: s.had.Load()}, nil
}

func (s *memorySink) fail(kind auditrelay.ErrorKind) {
	var err error = &auditrelay.DeliveryError{Kind: kind, Err: errors.New("the destination says no")}
	s.err.Store(&err)
}

func event(id string) string {
	return fmt.Sprintf(`{"id":%q,"updated_at":"2026-01-31T12:00:00+00:00","changed_by":"u","changed_by_api_key":"k",`+
		`"action":"created","table_name":"LiteLLM_TeamTable","object_id":"o","before_value":null,"updated_values":"{}"}`, id)
}

// call makes a request. head contains pairs of header names and values.
func (r *relay) call(method, path, body string, head ...string) (int, string, http.Header) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.http.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(head); i += 2 {
		if head[i] == "Host" {
			req.Host = head[i+1]
			continue
		}
		req.Header.Set(head[i], head[i+1])
	}
	resp, err := r.http.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(answer), resp.Header
}

// get decodes the body of a 200.
func get[T any](r *relay, path string) T {
	r.t.Helper()
	return decodeAnswer[T](r, http.MethodGet, path, "")
}

func decodeAnswer[T any](r *relay, method, path, body string) T {
	r.t.Helper()
	status, answer, _ := r.call(method, path, body)
	if status != http.StatusOK {
		r.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return decodeText[T](r.t, answer)
}

func decodeText[T any](t *testing.T, answer string) T {
	t.Helper()
	var v T
	if err := json.NewDecoder(bytes.NewReader([]byte(answer))).Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	return v
}

func (r *relay) settle() {
	r.t.Helper()
	if err := r.rt.Settled(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func callbackOf(name string, sink auditrelay.Sink) runtime.Callback {
	return runtime.Callback{Name: name, Sink: sink, Chunk: auditrelay.Chunking{Age: time.Millisecond}}
}
