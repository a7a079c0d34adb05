package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/http"
	"auditrelay/config"
	"auditrelay/runtime"
)

// relay is a daemon's parts assembled by a test: a runtime on a journal in memory behind the
// server.
type relay struct {
	t    *testing.T
	rt   *runtime.Runtime
	http *httptest.Server
}

// newRelay opens the runtime. serve starts the server.
func newRelay(t *testing.T, sink auditrelay.Sink) *relay {
	t.Helper()
	rt, err := runtime.Open(t.Context(), runtime.Options{Logger: quiet(), Callbacks: []runtime.Callback{
		{Name: "archive", Sink: sink, Chunk: auditrelay.Chunking{Age: time.Millisecond}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
	return &relay{t: t, rt: rt}
}

func (r *relay) serve(o http.Options) {
	r.t.Helper()
	o.Runtime, o.Logger, o.Config = r.rt, quiet(), &config.Config{Listen: "127.0.0.1:0"}
	server, err := http.New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.http = httptest.NewServer(server.Handler())
	r.t.Cleanup(r.http.Close)
}

func (r *relay) call(method, path, body string) (int, string, nethttp.Header) {
	r.t.Helper()
	req, err := nethttp.NewRequestWithContext(r.t.Context(), method, r.http.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
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

func (r *relay) settle() {
	r.t.Helper()
	if err := r.rt.Settled(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func decodeText[T any](t *testing.T, answer string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(answer), &v); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	return v
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// memorySink acknowledges everything unless it is down.
type memorySink struct{ down atomic.Bool }

func (s *memorySink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	var payloads []auditrelay.Payload
	for _, r := range chunk.Records {
		payloads = append(payloads, auditrelay.Payload{Key: fmt.Sprintf("%s-%d", chunk.Replay, r.Sequence), Body: r.Data, Sequences: []uint64{r.Sequence}})
	}
	return payloads, nil
}

func (s *memorySink) Deliver(_ context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	if s.down.Load() {
		return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Transient, Err: errors.New("down")}
	}
	return auditrelay.Receipt{Location: "memory/" + p.Key}, nil
}

func event(id string) string {
	return fmt.Sprintf(`{"id":%q,"updated_at":"2026-01-31T12:00:00+00:00","changed_by":"u","changed_by_api_key":"k",`+
		`"action":"created","table_name":"LiteLLM_TeamTable","object_id":"o","before_value":null,"updated_values":"{}"}`, id)
}
