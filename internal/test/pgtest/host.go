package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Host is the environment of a server, if it is not the whole test machine. The zero value is
// the whole machine.
type Host struct {
	// Disk is the size in MiB of the server's own file system, which Fill fills.
	Disk int
	// Clock gives the server its own clock, which StepClock sets.
	Clock bool
}

// clockLibrary is the library in Debian's package faketime that changes a program's clock.
const clockLibrary = "/usr/lib/*/faketime/libfaketime.so.1"

// StartOn is like Start, on a host. The server's standbys get the same kind of host. If the
// host cannot be created, the test is skipped, or fails if CI=true.
func StartOn(t testing.TB, host Host, settings ...string) *Server {
	t.Helper()
	if err := host.possible(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED, nothing is tested: %v", err)
	}
	return start(t, host, settings)
}

// possible returns why a host cannot be created.
func (h Host) possible() error {
	if h.Clock {
		if found, _ := filepath.Glob(clockLibrary); len(found) == 0 { // the pattern is right
			return errors.New("no libfaketime: install Debian's faketime (scripts/install-test-tools)")
		}
	}
	if h.Disk == 0 {
		return nil
	}
	dir, err := os.MkdirTemp("", "pgdisk")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	if err := mount(dir, 1); err != nil {
		return err
	}
	return unmount(dir)
}

func mount(dir string, mib int) error {
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mib), "none", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("this account cannot mount a file system in memory: %w: %s", err, out)
	}
	return nil
}

func unmount(dir string) error {
	out, err := exec.Command("umount", "--lazy", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("unmount %s: %w: %s", dir, err, out)
	}
	return nil
}

// ballast fills the disk.
func (s *Server) ballast() string { return filepath.Join(s.dir, "ballast") }

// Fill fills the server's disk until Free.
func (s *Server) Fill(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile(s.ballast(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		n, err := f.Write(block)
		if errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil || n == 0 {
			t.Fatalf("fill the server's disk: %d, %v", n, err)
		}
	}
}

// Free frees the disk, and restarts the server if it has ended meanwhile. It returns when the
// server answers.
func (s *Server) Free(t testing.TB) {
	t.Helper()
	if err := os.Remove(s.ballast()); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		c, err := s.TryConnect("owner", "postgres")
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-s.ended:
			s.Restart(t)
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatal("the server does not answer")
}

// StepClock sets a server's clock to this distance from the true time. Sessions notice within a
// second.
func (s *Server) StepClock(t testing.TB, by time.Duration) {
	t.Helper()
	next := s.clock() + ".next"
	if err := os.WriteFile(next, fmt.Appendf(nil, "%+d", int(by.Seconds())), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, s.clock()); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) clock() string { return filepath.Join(s.dir, "clock") }

// clockEnv makes a process read its time from the clock of its host.
func (s *Server) clockEnv(t testing.TB) []string {
	if !s.host.Clock {
		return nil
	}
	if _, err := os.Stat(s.clock()); err != nil {
		s.StepClock(t, 0)
	}
	library, _ := filepath.Glob(clockLibrary) // it was there
	return []string{"LD_PRELOAD=" + library[0], "FAKETIME_TIMESTAMP_FILE=" + s.clock(), "FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"}
}

// Processes of a server.
const (
	Receiver = "walreceiver" // receives the primary's log; if stopped, it makes a standby slow
	Writer   = "walwriter"   // writes the log if no session waits for it
)

// Signal signals a process of the server. It reports whether the process exists.
func (s *Server) Signal(t testing.TB, process string, signal os.Signal) bool {
	t.Helper()
	c := s.Connect(t, "owner", "postgres")
	defer c.Close()
	found := c.Exec("SELECT pid FROM pg_stat_activity WHERE backend_type = '" + process + "'")
	if len(found) == 0 {
		return false
	}
	var pid int
	if _, err := fmt.Sscan(strings.TrimSpace(found[0]), &pid); err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	return p.Signal(signal) == nil
}
