package browser

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// postgres starts a server and returns its URL. It ends with the test, which is skipped
// where there is none and fails where CI is set.
func postgres(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("AUDITRELAY_TEST_PG")
	if debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin"); bin == "" && len(debian) > 0 { // the pattern is right
		bin = debian[len(debian)-1]
	}
	if _, err := os.Stat(filepath.Join(bin, "initdb")); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("Postgres is missing")
		}
		t.Skip("Postgres is missing: scripts/install-test-tools")
	}
	dir, err := os.MkdirTemp("", "pg") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			u, err = user.Lookup("nobody")
		}
		if err != nil {
			t.Fatal(err)
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(dir, int(uid), int(gid))); err != nil {
			t.Fatal(err)
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	program := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(bin, name), args...)
		c.Dir, c.SysProcAttr = dir, attr
		return c
	}
	data := filepath.Join(dir, "data")
	if out, err := program("initdb", "-D", data, "-U", "owner", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	server := program("postgres", "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "max_connections=30", "-c", "wal_sync_method=fdatasync")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT)
		_ = server.Wait() // it was ended
	})
	for deadline := time.Now().Add(time.Minute); program("pg_isready", "-h", dir, "-U", "owner").Run() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("Postgres does not answer")
		}
	}
	return fmt.Sprintf("host=%s user=owner dbname=postgres", dir)
}

// fleet starts relays that share a journal, by name.
func fleet(t *testing.T, names ...string) (all []*relay) {
	t.Helper()
	database := postgres(t)
	key := filepath.Join(t.TempDir(), "proof.key")
	if out, err := exec.Command(os.Getenv("AUDITRELAY_BIN"), "proof", "keygen", "--name", "fleet.example", "--out", key).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	secret, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		l.Close()
		all = append(all, startOn(t, fmt.Sprintf(`listen: %s
%sproofs: {key: "%s"}
journal: {postgres: {url: "%s", takeover: 2s, fleet: {name: %s, address: "http://%s"}}}
callbacks: [{name: one, chunk: {age: 1ms}, sink: {webhook: {url: "http://127.0.0.1:9/", http: {allow_networks: [loopback]}}}}]
`, address, tokens(), strings.TrimSpace(string(secret)), database, name, address)))
	}
	return all
}

// TestFleetsScreens: the screen of the fleet on a relay that does not lead, a drain, and what
// an open page says when another relay takes the lead.
func TestFleetsScreens(t *testing.T) {
	if _, err := exec.LookPath("chromium"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("chromium is missing")
		}
		t.Skip("chromium is missing")
	}
	relays := fleet(t, "alpha", "beta")
	p := relays[1].open()
	p.signIn("admin")
	p.visit("/ui/")
	p.sees("a fleet of 2 relays")
	p.visit("/ui/fleet")
	p.sees("alpha leads: it has the journal")
	p.sees("standby")
	p.checked("fleet")

	// Another relay takes the lead while the page is open.
	relays[0].run("", "fleet", "drain", "alpha", "--reason", "a test")
	p.sees("Your session has ended")
	p.forgive("[object Event]") // the connection for changes broke, as it had to
	p.checked("session-ended")
	p.do(chromedp.SendKeys(chromedp.CSS("input[name=token]"), token("admin")))
	p.click("Sign in")
	p.sees("beta leads")
	p.sees("drained")
	p.checked("fleet-drained")
	p.click("Let alpha lead again")
	p.sees("The relay may lead again.")
	p.sees("standby")
	p.fill("form[action$='/beta/drain'] input[name=reason]", "back again")
	p.click("Drain beta: another relay is to lead")
	for deadline := time.Now().Add(time.Minute); !strings.Contains(p.text(), "Your session has ended"); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(p.text())
		}
		p.visit("/ui/fleet")
	}
	p.do(chromedp.SendKeys(chromedp.CSS("input[name=token]"), token("operate")))
	p.click("Sign in")
	p.sees("alpha leads")
	command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{})
	p.do(chromedp.EmulateViewport(360, 740))
	p.narrow()
}
