package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Bouncer starts a PgBouncer in front of the server, with settings in addition to the defaults
// of tests. It returns a role's connection string through it. It ends with the test.
//
// If PgBouncer is missing, the test is skipped, or fails if CI=true.
func (s *Server) Bouncer(t testing.TB, role, database string, settings ...string) (url string) {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer"
		if _, err := os.Stat(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal("no PgBouncer")
			}
			t.Skip("SKIPPED, nothing is tested: no PgBouncer: install Debian's pgbouncer (scripts/install-test-tools)")
		}
	}
	dir, err := os.MkdirTemp("", "pgb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := fmt.Sprintf("[databases]\n* = host=%s user=%s\n[pgbouncer]\nlisten_addr=\nunix_socket_dir=%s\nauth_type=any\nlogfile=%s\n", s.dir, role, dir, filepath.Join(dir, "log"))
	for _, line := range settings {
		conf += line + "\n"
	}
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	if s.as != nil {
		if err := os.Chown(dir, int(s.as.uid), int(s.as.gid)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-q", file)
	become(cmd, s.as)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(stopSignals["immediate"])
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("PgBouncer's log:\n%s", log[max(0, len(log)-4096):])
		}
	})
	url = fmt.Sprintf("host=%s port=6432 user=%s dbname=%s", dir, role, database)
	for range 200 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		pg, err := pgconn.Connect(ctx, url)
		if err == nil {
			_ = pg.Close(ctx)
		}
		cancel()
		if err == nil {
			return url
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatal("PgBouncer does not answer")
	return ""
}
