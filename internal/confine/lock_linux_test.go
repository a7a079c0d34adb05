package confine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"auditrelay/internal/confine"
)

// TestMain lets the test's own program act as the confined process.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "confined" {
		os.Exit(child(os.Args[2]))
	}
	os.Exit(m.Run())
}

// task is the order to a child.
type task struct {
	Attempt  string
	Lock     bool
	Tighten  bool
	ReadOnly string
	Writable string
	Dir      string // for the attempt "files"
	Port     int    // of a listener of the parent
	Parent   int
	Memory   int64
	CPU      time.Duration
}

// program copies the test's program to a place where every user may run it.
func program(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "confine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data, err := os.ReadFile(self)
	to := filepath.Join(dir, "program")
	if err := errors.Join(err, os.Chmod(dir, 0o755), os.WriteFile(to, data, 0o755)); err != nil { //nolint:gosec // for another user
		t.Fatal(err)
	}
	return to
}

// user is the user of the children.
type user struct {
	name       string
	credential *syscall.Credential
	apart      bool // in namespaces
}

// users returns the user of the test, with and without namespaces. If that is root, it also returns
// a user without privilege.
func users() []user {
	all := []user{{"self", nil, false}, {"self in namespaces", nil, true}}
	if os.Getuid() == 0 {
		nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
		all = append(all, user{"nobody", nobody, false}, user{"nobody in namespaces", nobody, true})
	}
	return all
}

// result says how a child ended.
type result struct {
	said   string
	signal syscall.Signal
	code   int
}

func (r result) String() string {
	return fmt.Sprintf("exit %d, signal %d, %.300q", r.code, int(r.signal), r.said)
}

func runChild(t *testing.T, self string, u user, w task) result {
	t.Helper()
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for a child that does not end
	defer cancel()
	var out bytes.Buffer
	var lifeline io.Closer
	describe := func() (*exec.Cmd, error) {
		cmd := exec.CommandContext(ctx, self, "confined", string(text))
		cmd.Env = []string{"GOTRACEBACK=none"}
		cmd.Dir, cmd.WaitDelay = "/", 5*time.Second
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: u.credential}
		lifeline, err = cmd.StdinPipe()
		return cmd, err
	}
	var cmd *exec.Cmd
	if u.apart {
		var r confine.Report
		cmd, r, err = confine.Start(describe)
		if err == nil && !r.Has(confine.Namespaces) {
			t.Logf("%s: no namespaces here: %s", u.name, r)
		}
	} else if cmd, err = describe(); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer lifeline.Close()
	_ = cmd.Wait()
	if ctx.Err() != nil {
		return result{said: "it did not end"}
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	r := result{said: strings.TrimSpace(out.String()), code: status.ExitStatus()}
	if status.Signaled() {
		r.signal = status.Signal()
	}
	return r
}

// linksC reports whether this program, and so the child, links a C library.
func linksC() bool {
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0)
	return errno != 0
}

// listen opens a port without package net, which would link C.
func listen(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 64)); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return at.(*unix.SockaddrInet4).Port
}

// TestWhatIsRefused makes a process try to break out in each phase. Without a lock every attempt
// must succeed, or the test would prove nothing.
func TestWhatIsRefused(t *testing.T) {
	self := program(t)
	port := listen(t)
	for _, u := range users() {
		t.Run(u.name, func(t *testing.T) {
			for name, a := range attempts {
				dir := t.TempDir()
				if err := errors.Join(os.Chmod(dir, 0o777), os.Chmod(filepath.Dir(dir), 0o755)); err != nil { //nolint:gosec // for another user
					t.Fatal(err)
				}
				w := task{Attempt: name, Port: port, Parent: os.Getpid(), Writable: dir}
				free := w
				if got := runChild(t, self, u, free); got.said != "done" && !a.needsPrivilege && !(u.apart && a.needsOutside) {
					t.Errorf("%s without a lock: %s", name, got)
				}
				w.Writable, w.ReadOnly, w.Lock = "", dir, true
				if got := runChild(t, self, u, w); !a.refused(a.loading, got) {
					t.Errorf("%s while loading: %s", name, got)
				}
				w.Tighten = true
				if got := runChild(t, self, u, w); !a.refused("killed", got) && !(linksC() && a.loading == "error" && got.code == 3) {
					t.Errorf("%s after loading: %s", name, got)
				}
			}
		})
	}
}

// TestItLivesOn runs everything that a worker needs under both filters: threads, goroutines,
// timers, the collector, reads and writes, and a compiled module.
func TestItLivesOn(t *testing.T) {
	self := program(t)
	for _, u := range users() {
		got := runChild(t, self, u, task{Attempt: "live", Lock: true, Tighten: true, ReadOnly: "/tmp", Memory: 512 << 20})
		report, err := confine.Parse(strings.TrimPrefix(got.said, "alive "))
		if err != nil || !strings.HasPrefix(got.said, "alive ") {
			t.Errorf("%s: %s", u.name, got)
			continue
		}
		t.Logf("%s: %s", u.name, report)
		if !report.Holds() {
			t.Errorf("%s: it does not hold: %s", u.name, report)
		}
		for _, s := range report.Missing() {
			if s.Measure != confine.Namespaces && s.Why == confine.Refused {
				t.Errorf("%s: %s was refused", u.name, s.Measure)
			}
		}
	}
}

func TestLimitsEnd(t *testing.T) {
	self := program(t)
	for i, u := range users() {
		if got := runChild(t, self, u, task{Attempt: "grow", Lock: true, Tighten: true, Memory: 160 << 20}); got.said == "done" || got.said == "it did not end" || got.signal == syscall.SIGSYS {
			t.Errorf("%s: memory: %s", u.name, got)
		}
		if i > 0 {
			continue // a second of processor time each
		}
		if got := runChild(t, self, u, task{Attempt: "spin", Lock: true, Tighten: true, CPU: time.Second}); got.signal != syscall.SIGKILL {
			t.Errorf("%s: processor time: %s", u.name, got)
		}
	}
}

// A process with one writable directory writes there and nowhere else.
func TestOneDirectoryCanBeWritten(t *testing.T) {
	self := program(t)
	for _, u := range users() {
		dir, other := t.TempDir(), t.TempDir()
		for _, d := range []string{dir, other} {
			if err := errors.Join(os.Chmod(d, 0o777), os.Chmod(filepath.Dir(d), 0o755)); err != nil { //nolint:gosec // for another user
				t.Fatal(err)
			}
		}
		if got := runChild(t, self, u, task{Attempt: "files", Lock: true, Writable: dir, Dir: dir}); got.said != "done" {
			t.Errorf("%s: %s", u.name, got)
		}
		if cgo := runChild(t, self, u, task{Attempt: "files", Lock: true, Writable: dir, Dir: other}); cgo.said == "done" && landlocked(t, self, u) {
			t.Errorf("%s: elsewhere: %s", u.name, cgo)
		}
	}
}

func landlocked(t *testing.T, self string, u user) bool {
	t.Helper()
	got := runChild(t, self, u, task{Attempt: "report", Lock: true})
	r, err := confine.Parse(got.said)
	if err != nil {
		t.Fatalf("%s: %s", u.name, got)
	}
	return r.Has(confine.Files)
}

// The child ends when its parent ends, even if the parent ended first.
func TestItDiesWithItsParent(t *testing.T) {
	self := program(t)
	for _, u := range users() {
		// The lifeline of this child is closed before it locks.
		if got := runChild(t, self, u, task{Attempt: "orphan"}); got.said != confine.ErrParentGone.Error() {
			t.Errorf("%s: %s", u.name, got)
		}
		// The middle process starts a confined one, which holds the write end of its pipe and never
		// ends by itself. Then the middle process is killed. The pipe closes when both have ended.
		text, _ := json.Marshal(task{Attempt: "parent", Lock: u.apart})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, self, "confined", string(text))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: u.credential}
		out, err := cmd.StdoutPipe()
		if err := errors.Join(err, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		word := make([]byte, 6)
		if _, err := io.ReadFull(out, word); err != nil || string(word) != "locked" {
			t.Fatalf("%s: %q, %v", u.name, word, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = out.(*os.File).SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadAll(out); err != nil {
			t.Errorf("%s: it outlives its parent: %v", u.name, err)
		}
		_ = cmd.Wait()
	}
}
