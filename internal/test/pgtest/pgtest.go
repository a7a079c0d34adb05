// Package pgtest starts real Postgres servers for tests, each in its own folder.
//
// It searches the programs in AUDITRELAY_TEST_PG, in Debian's folders and in PATH. If they are
// missing, the test is skipped, or fails if CI=true.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Server is one running server. It ends with the test.
type Server struct {
	dir     string // for data and socket
	bin     string
	as      *account // nil: the user of the test
	host    Host
	process *exec.Cmd     // nil while it is stopped
	ended   chan struct{} // closed when process has ended
}

// account is the user of the server, which refuses to run as root.
type account struct{ uid, gid uint32 }

// Table creates LiteLLM's table.
const Table = `CREATE TABLE "LiteLLM_AuditLog" (id text PRIMARY KEY, updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
	changed_by text NOT NULL DEFAULT '', changed_by_api_key text NOT NULL DEFAULT '', action text NOT NULL, table_name text NOT NULL,
	object_id text NOT NULL, before_value jsonb, updated_values jsonb)`

// Start starts a server with settings in addition to the defaults of tests.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	return start(t, Host{}, settings)
}

func start(t testing.TB, host Host, settings []string) *Server {
	t.Helper()
	bin, err := programs()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED, nothing is tested: %v", err)
	}
	s := place(t, bin, host)
	s.run(t, "initdb", "-D", s.data(), "-U", "owner", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	settings = append([]string{
		"listen_addresses = ''", "unix_socket_directories = '" + s.dir + "'", "fsync = off", "shared_buffers = 32MB",
		"max_connections = 30", "autovacuum = off",
	}, settings...)
	s.set(t, settings...)
	s.Restart(t)
	return s
}

// place creates the folder of a server, which is removed after the test.
func place(t testing.TB, bin string, host Host) *Server {
	t.Helper()
	var err error
	s := &Server{bin: bin, host: host}
	// A socket needs a short path, and t.TempDir's is too long.
	if s.dir, err = os.MkdirTemp("", "pg"); err != nil {
		t.Fatal(err)
	}
	if host.Disk > 0 {
		if err := mount(s.dir, host.Disk); err != nil {
			t.Fatal(err)
		}
	}
	s.endWith(t)
	if os.Getuid() == 0 {
		if s.as, err = serverAccount(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(s.dir, int(s.as.uid), int(s.as.gid)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Standby starts a server that follows s until Promote.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	standby := place(t, s.bin, s.host)
	standby.Follow(t, s)
	return standby
}

// Follow makes a stopped server, whatever its content, the standby of another one.
func (s *Server) Follow(t testing.TB, primary *Server) {
	t.Helper()
	if err := os.RemoveAll(s.data()); err != nil {
		t.Fatal(err)
	}
	s.run(t, "pg_basebackup", "-h", primary.dir, "-U", "owner", "-D", s.data(), "-X", "stream", "-c", "fast", "-R", "--no-sync")
	s.set(t, "unix_socket_directories = '"+s.dir+"'") // the last one counts
	s.Restart(t)
}

// Synchronous makes each commit on s wait for the standby.
func (s *Server) Synchronous(t testing.TB) {
	t.Helper()
	db := s.Connect(t, "owner", "postgres")
	defer db.Close()
	db.Exec("ALTER SYSTEM SET synchronous_standby_names = '*'")
	db.Exec("SELECT pg_reload_conf()")
	for range 300 {
		if n := db.Exec("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"); n[0] == "1" {
			return
		}
		db.Exec("SELECT pg_logical_emit_message(false, 'test', '')") // the standby answers and is detected
		<-time.After(50 * time.Millisecond)
	}
	t.Fatal("the standby is not synchronous")
}

// Catch waits until a standby has replayed everything in s.
func (s *Server) Catch(t testing.TB, standby *Server) {
	t.Helper()
	at := s.Connect(t, "owner", "postgres").Exec("SELECT pg_current_wal_lsn()")[0]
	there := standby.Connect(t, "owner", "postgres")
	for range 400 {
		if there.Exec("SELECT pg_last_wal_replay_lsn() >= '" + at + "'")[0] == "t" {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatal("the standby does not catch up")
}

// Cut ends a standby's connection to its server. Later commits do not reach it.
func (s *Server) Cut(t testing.TB) {
	t.Helper()
	c := s.Connect(t, "owner", "postgres")
	c.Exec("ALTER SYSTEM SET primary_conninfo = ''")
	c.Exec("SELECT pg_reload_conf()")
	for range 400 {
		if c.Exec("SELECT count(*) FROM pg_stat_wal_receiver")[0] == "0" {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatal("the standby still follows")
}

// Promote makes a standby accept writes.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if got := s.Connect(t, "owner", "postgres").Exec("SELECT pg_promote()"); got[0] != "t" {
		t.Fatal("it is not promoted")
	}
}

// set adds lines to the settings.
func (s *Server) set(t testing.TB, settings ...string) {
	t.Helper()
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintln(conf, strings.Join(settings, "\n"))
	if err = errors.Join(err, conf.Close()); err != nil {
		t.Fatal(err)
	}
}

// endWith ends the server with the test.
func (s *Server) endWith(t testing.TB) {
	t.Cleanup(func() {
		if s.process != nil {
			s.Stop(t, "immediate")
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			t.Logf("the server's log:\n%s", log[max(0, len(log)-4096):])
		}
		if s.host.Disk > 0 {
			if err := unmount(s.dir); err != nil {
				t.Error(err)
			}
		}
		if err := os.RemoveAll(s.dir); err != nil {
			t.Error(err)
		}
	})
}

func programs() (string, error) {
	candidates := []string{os.Getenv("AUDITRELAY_TEST_PG")}
	debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is right
	slices.SortFunc(debian, func(a, b string) int { return version(b) - version(a) })
	candidates = append(candidates, debian...)
	if p, err := exec.LookPath("initdb"); err == nil {
		candidates = append(candidates, filepath.Dir(p))
	}
	for _, dir := range candidates {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); dir != "" && err == nil {
			return dir, nil
		}
	}
	return "", errors.New("no Postgres: install Debian's postgresql (scripts/install-test-tools), or name the folder of initdb and postgres in AUDITRELAY_TEST_PG")
}

func version(dir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	return n
}

func serverAccount() (*account, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err, err2); err != nil {
			return nil, err
		}
		return &account{uint32(uid), uint32(gid)}, nil
	}
	return nil, errors.New("no account for the server: neither postgres nor nobody exists")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) run(t testing.TB, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	become(cmd, s.as)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// Restart starts the server after a Stop; it returns when it answers.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data())
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.Env = append(os.Environ(), s.clockEnv(t)...)
	become(cmd, s.as)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // an immediate stop is no clean exit
	}()
	s.process, s.ended = cmd, ended
	for range 300 {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		pg, err := pgconn.Connect(ctx, s.URL("owner", "postgres"))
		if err == nil {
			_ = pg.Close(ctx)
		}
		cancel()
		if err == nil {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatal("the server does not answer")
}

// Stop stops the server. mode is smart, fast or immediate.
func (s *Server) Stop(t testing.TB, mode string) {
	t.Helper()
	if err := s.process.Process.Signal(stopSignals[mode]); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	<-s.ended
	s.process = nil
}

// Copy copies the data of a stopped server. Swap restores the copy.
func (s *Server) Copy(t testing.TB) {
	t.Helper()
	s.cp(t, "-a", s.data(), filepath.Join(s.dir, "copy"))
}

// Swap replaces the data of a stopped server with the data of Copy.
func (s *Server) Swap(t testing.TB) {
	t.Helper()
	if err := os.Rename(s.data(), filepath.Join(s.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(s.dir, "copy"), s.data()); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) cp(t testing.TB, args ...string) {
	t.Helper()
	cmd := exec.Command("cp", args...)
	become(cmd, s.as)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
}

// Hosts returns a role's connection string for the server and others that may replace it.
func (s *Server) Hosts(role, database string, others ...*Server) string {
	hosts := s.dir
	for _, other := range others {
		hosts += "," + other.dir
	}
	return fmt.Sprintf("host=%s user=%s dbname=%s target_session_attrs=read-write", hosts, role, database)
}

// URL returns the connection string of a role.
func (s *Server) URL(role, database string) string {
	return fmt.Sprintf("host=%s user=%s dbname=%s", s.dir, role, database)
}

// Socket returns the path of the server's socket.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }

// Conn is one connection used directly by a test.
type Conn struct {
	t  testing.TB
	pg *pgconn.PgConn
}

// Connect connects as a role. The connection ends with the test.
func (s *Server) Connect(t testing.TB, role, database string) *Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pg, err := pgconn.Connect(ctx, s.URL(role, database))
	if err != nil {
		t.Fatal(err)
	}
	c := &Conn{t, pg}
	t.Cleanup(c.Close)
	return c
}

// TryConnect is like Connect, for a server that may have no free connection. The caller closes
// it.
func (s *Server) TryConnect(role, database string) (*Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pg, err := pgconn.Connect(ctx, s.URL(role, database))
	return &Conn{pg: pg}, err
}

// Close ends the connection.
func (c *Conn) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.pg.Close(ctx) // the server may be gone
}

// Exec runs statements and returns the rows of the last one, with values joined by "|".
func (c *Conn) Exec(sql string) []string {
	c.t.Helper()
	results, err := c.pg.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		c.t.Fatalf("%.200s: %v", sql, err)
	}
	var rows []string
	if len(results) > 0 {
		for _, row := range results[len(results)-1].Rows {
			rows = append(rows, string(bytes.Join(row, []byte("|"))))
		}
	}
	return rows
}
