package socket

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay/cli/internal/sources"
	"auditrelay/cli/internal/sources/intake"
	"auditrelay/config"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"
)

// shortDir returns a directory with a name short enough for a socket.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// relay is a Source with its runtime.
type relay struct {
	t      testing.TB
	rt     *runtime.Runtime
	source *Source
	path   string // of the socket lines
	stop   func()
}

const testEventBytes = 100 << 10

// newRelay runs a source with the socket lines and more options, beside other sockets.
func newRelay(t testing.TB, o runtime.Options, more, others string) *relay {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	o.Limits.EventBytes = testEventBytes
	rt, err := runtime.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close() })
	r := &relay{t: t, rt: rt, path: filepath.Join(shortDir(t), "s")}
	r.source = NewSource(&sources.Host{Runtime: rt, Door: memory{}, Logger: o.Logger, Limits: ingest.Limits{EventBytes: testEventBytes, BodyBytes: 1 << 20, Events: 10_000}})
	change, err := r.prepare(fmt.Sprintf("lines: {listen: 'unix:%s', schema: plain%s}%s", r.path, more, others))
	if err != nil {
		t.Fatal(err)
	}
	change.Apply()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.source.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	r.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(r.stop)
	return r
}

func (r *relay) prepare(sockets string) (sources.Change, error) {
	cfg, err := config.Parse("relay.yaml", []byte("ingest: {schemas: {plain: {id: id, action: action}, wrapped: {id: id, action: action, unwrap: all}}, sockets: {"+sockets+"}}\ncallbacks: []\n"), config.LoadOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	return r.source.Prepare(r.t.Context(), cfg)
}

func (r *relay) dial() net.Conn {
	r.t.Helper()
	conn, err := net.Dial("unix", r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (r *relay) known(id string) bool {
	_, err := r.rt.Explain(r.t.Context(), "plain", id)
	return err == nil
}

func (r *relay) count(what intake.Result) uint64 {
	return r.source.counts.All()[intake.Of{Name: "lines", Result: what}]
}

func (r *relay) until(what string, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("not in time: %s; %v %v", what, r.source.counts.All(), r.source.refused.get())
		}
		<-time.After(2 * time.Millisecond) // poll progress elsewhere
	}
}

// items returns the items in quarantine as "reason data".
func (r *relay) items() (items []string) {
	r.t.Helper()
	list, err := r.rt.QuarantineItems(r.t.Context(), runtime.QuarantineQuery{})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, it := range list {
		whole, err := r.rt.QuarantineItem(r.t.Context(), it.Number)
		if err != nil {
			r.t.Fatal(err)
		}
		if it.Provenance.Source != "socket" || it.Provenance.Principal != "socket:lines" || it.Namespace != "plain" && it.Namespace != "litellm" {
			r.t.Errorf("%+v in %s", it.Provenance, it.Namespace)
		}
		items = append(items, it.Reason+" "+string(whole.Data))
	}
	return items
}

func line(id string) string { return fmt.Sprintf(`{"id":%q,"action":"created"}`+"\n", id) }

func long(id string, bytes int) string {
	return fmt.Sprintf(`{"id":%q,"action":"created","more":%q}`+"\n", id, strings.Repeat("x", bytes))
}

// memory is a Door without limits.
type memory struct{}

func (memory) Serve(context.Context, net.Listener, http.Handler) error { return nil }
func (memory) Reserve(context.Context, string, int64) (func(), error)  { return func() {}, nil }
func (memory) Inflate(context.Context, string, int64) (func(), error)  { return func() {}, nil }

func dialTCP(t testing.TB, d *door) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", d.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
