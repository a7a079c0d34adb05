package app

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay/internal/test/pgtest"
)

// stuckServer forwards to a Postgres until it has forwarded a number of answer bytes. Then it
// hangs and keeps its connections open.
type stuckServer struct {
	dir string

	mu    sync.Mutex
	moved *sync.Cond
	left  int64
}

func newStuckServer(t *testing.T, to *pgtest.Server) *stuckServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "stuck") // a socket needs a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const name = ".s.PGSQL.5432"
	l, err := net.Listen("unix", filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	host, _, _ := strings.Cut(strings.TrimPrefix(to.URL("owner", "postgres"), "host="), " ")
	s := &stuckServer{dir: dir}
	s.moved = sync.NewCond(&s.mu)
	s.after(1 << 40)
	t.Cleanup(func() { s.after(1 << 40) })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", filepath.Join(host, name))
			if err != nil {
				client.Close()
				continue
			}
			go func() {
				io.Copy(server, client)
				server.Close()
			}()
			go func() {
				io.Copy(client, io.TeeReader(server, s))
				client.Close()
			}()
		}
	}()
	return s
}

func (s *stuckServer) after(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = bytes
	s.moved.Broadcast()
}

func (s *stuckServer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.left < int64(len(p)) {
		s.moved.Wait()
	}
	s.left -= int64(len(p))
	return len(p), nil
}

// An export from a database that hangs in the middle ends in time and is visibly truncated, so
// no client takes it for complete.
func TestAnExportFromAServerThatStandsStill(t *testing.T) {
	stuck := newStuckServer(t, pgtest.Start(t))
	t.Setenv("STORE_URL", "host="+stuck.dir+" user=owner dbname=postgres sslmode=disable")
	r := run(t, strings.Replace(storeConfigText, "{sqlite: {}}", "{postgres: {url: os.environ/STORE_URL, keep: {age: 30d}}}", 1), nil)
	for n := range 40 {
		r.send(strings.Replace(numbered(n), `"more"`, `"long":"`+strings.Repeat("x", 20<<10)+`","more"`, 1))
	}
	r.await("")
	if body, trailer, err := r.export("?format=ndjson&table_name=LiteLLM_TeamTable"); err != nil || trailer.Get(trailerRecords) != "40" {
		t.Fatalf("while the server runs: %v, %d bytes", err, len(body))
	}
	stuck.after(400 << 10)
	begun := time.Now()
	body, trailer, err := r.export("?format=ndjson&table_name=LiteLLM_TeamTable")
	if took := time.Since(begun); err == nil || trailer.Get(trailerComplete) == "true" || strings.Contains(body, "auditrelay_export") || len(body) == 0 || took > 20*time.Second {
		t.Errorf("after %v: %v, %d bytes, %v", took, err, len(body), trailer)
	}
}
