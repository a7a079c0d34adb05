package confine

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"auditrelay"
)

func TestOwnGroup(t *testing.T) {
	const v2 = "35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
	for _, c := range []struct{ name, own, mounts, want string }{
		{"systemd", "0::/system.slice/auditrelay.service\n", v2, "/sys/fs/cgroup/system.slice/auditrelay.service"},
		{"both versions", "4:memory:/a\n0::/b\n", "30 24 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n35 24 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/unified/b"},
		{"a container's own view", "0::/\n", v2, "/sys/fs/cgroup"},
		{"a part that is mounted", "0::/docker/x/y\n", "35 24 0:30 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/y"},
		{"another part", "0::/docker/xy\n", "35 24 0:30 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", ""},
		{"version 1 alone", "4:memory:/a\n", v2, ""},
		{"no mount", "0::/b\n", "", ""},
	} {
		if got := ownGroup(c.own, c.mounts); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// A tree of plain directories gets the same settings as the kernel's tree.
func TestGroupsOfADelegatedTree(t *testing.T) {
	read := func(name ...string) string {
		text, _ := os.ReadFile(filepath.Join(name...))
		return string(text)
	}
	for _, c := range []struct {
		name, controllers string
		sub               bool // the process is in a group below the delegated one
		want              []string
	}{
		{"all controllers", "cpuset cpu io memory pids\n", false, []string{"memory.max=1000", "pids.max=512", "cpu.weight=50"}},
		{"DelegateSubgroup=", "cpu memory pids", true, []string{"memory.max=1000", "pids.max=512", "cpu.weight=50"}},
		{"memory alone", "memory", false, []string{"memory.max=1000"}},
		{"none that is wanted", "hugetlb", false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := t.TempDir()
			own := base
			if c.sub {
				own = filepath.Join(base, "relay")
			}
			if err := os.MkdirAll(filepath.Join(base, "guests", "worker-left"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := set(base, "cgroup.controllers", c.controllers); err != nil {
				t.Fatal(err)
			}
			g, err := delegated(own, func(dir string) bool { return dir == base })
			if c.want == nil {
				if g != nil || err == nil {
					t.Fatalf("got %+v, %v", g, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if moved := read(base, "relay", "cgroup.procs"); (moved == strconv.Itoa(os.Getpid())) == c.sub {
				t.Errorf("moved: %q", moved)
			}
			if _, err := os.Stat(filepath.Join(base, "guests", "worker-left")); err == nil {
				t.Error("what a killed relay left is still there")
			}
			if enabled := read(base, "guests", "cgroup.subtree_control"); !strings.Contains(enabled, "+memory") || read(base, "cgroup.subtree_control") != enabled {
				t.Errorf("enabled: %q", enabled)
			}
			n, err := g.New(1000)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(n.Applied, c.want) || read(n.dir, "memory.max") != "1000" {
				t.Errorf("got %v, want %v", n.Applied, c.want)
			}
			// The group of a process that is about to start remains when another module is loaded.
			// The kernel removes a group with its files; a plain folder must be empty.
			ours, err := os.MkdirTemp(g.dir, ownWorkers())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := delegated(own, func(dir string) bool { return dir == base }); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(ours); err != nil {
				t.Error(err)
			}
		})
	}
	if g, err := delegated(t.TempDir(), func(string) bool { return false }); g != nil || err != nil {
		t.Errorf("not delegated: got %+v, %v", g, err)
	}
}

// In the kernel's own tree, a process starts in its group. The group is removed after the end of
// the process. If this process's group is delegated, the kernel also ends a process that exceeds
// its limits.
func TestAProcessStartsInItsGroup(t *testing.T) {
	g, err := Delegated()
	if err != nil {
		t.Fatal(err)
	}
	if g == nil {
		t.Log("no control group with controllers is delegated here: limits are not tested")
		g = &Groups{dir: undelegated(t)}
	}
	start := func(memory auditrelay.ByteSize, what string) (*exec.Cmd, *Group) {
		n, err := g.New(memory)
		if err != nil {
			t.Fatal(err)
		}
		cmd, _, err := Start(func() (*exec.Cmd, error) {
			cmd := exec.Command("/proc/self/exe", "confined", `{"Attempt":"`+what+`"}`)
			n.In(cmd)
			return cmd, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return cmd, n
	}
	cmd, n := start(1<<30, "wait")
	if in, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/cgroup"); !strings.Contains(string(in), filepath.Base(n.dir)) {
		t.Errorf("it is in %s, want %s", in, n.dir)
	}
	for _, limit := range n.Applied {
		file, want, _ := strings.Cut(limit, "=")
		in := n.dir
		if file == "cpu.weight" {
			in = g.dir // one weight for all workers
		}
		if has, err := os.ReadFile(filepath.Join(in, file)); err != nil || strings.TrimSpace(string(has)) != want {
			t.Errorf("%s: the kernel has %q, %v", limit, has, err)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if !slices.Contains(g.controllers, "memory") {
		return
	}
	cmd, n = start(64<<20, "grow") // by 512 MiB
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it took 512 MiB of 64: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// undelegated creates a group below this process's own, without controllers.
func undelegated(t *testing.T) string {
	own, _ := os.ReadFile("/proc/self/cgroup")
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	dir := ownGroup(string(own), string(mounts))
	if dir == "" {
		t.Skip("no cgroup v2 is mounted")
	}
	base, err := os.MkdirTemp(dir, "auditrelay-test-")
	if err != nil {
		t.Skip("no group can be made here: ", err)
	}
	t.Cleanup(func() { _ = os.Remove(base) })
	return base
}

// A delegated group that cannot be divided causes an error, and is not treated as undelegated.
func TestADelegatedGroupThatCannotBeDividedIsTold(t *testing.T) {
	base := t.TempDir()
	if err := set(base, "cgroup.controllers", "memory pids cpu"); err != nil {
		t.Fatal(err)
	}
	if err := set(base, "guests", "a file where the workers' group would be"); err != nil {
		t.Fatal(err)
	}
	if g, err := delegated(base, func(dir string) bool { return dir == base }); g != nil || err == nil {
		t.Errorf("got %+v, %v", g, err)
	}
}
