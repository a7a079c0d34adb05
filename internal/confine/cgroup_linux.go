package confine

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"auditrelay"
)

// Groups creates control groups (cgroup v2) below the one that the system delegated to this
// process, as systemd does for a service with Delegate=.
type Groups struct {
	dir         string // parent directory of the groups
	controllers []string
}

// Group is the control group of one process. Close it after the process has ended.
type Group struct {
	// Applied are the limits that are set, for example "memory.max=134217728".
	Applied []string

	dir  string
	file *os.File
}

const (
	groupWeight = 50  // half of the weight of the relay's own group
	groupTasks  = 512 // threads; Go ends the process if it cannot start a thread
)

// Delegated returns the Groups of this process, or nil if no group was delegated. The error
// states why a delegated group cannot be divided. If this process is in the delegated group
// itself, Delegated moves it to a group below, because only groups without processes can be
// divided.
func Delegated() (*Groups, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	mounts, err2 := os.ReadFile("/proc/self/mountinfo")
	if err != nil || err2 != nil {
		return nil, nil //nolint:nilerr // a system without control groups
	}
	g, err := delegated(ownGroup(string(own), string(mounts)), isDelegated)
	if err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	return g, nil
}

// isDelegated reports whether systemd delegated a group to its service. See
// https://systemd.io/CGROUP_DELEGATION. Only root can read trusted attributes.
func isDelegated(dir string) bool {
	var value [1]byte
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		if n, err := unix.Getxattr(dir, name, value[:]); err == nil && n == 1 && value[0] == '1' {
			return true
		}
	}
	return false
}

// ownGroup returns the directory of a process's group from its cgroup and mountinfo files in
// /proc, or "" if there is none.
func ownGroup(own, mounts string) string {
	group := ""
	for line := range strings.Lines(own) {
		if rest, ok := strings.CutPrefix(line, "0::"); ok {
			group = strings.TrimSuffix(rest, "\n")
		}
	}
	for line := range strings.Lines(mounts) {
		where, kind, _ := strings.Cut(line, " - ")
		f := strings.Fields(where)
		if group == "" || !strings.HasPrefix(kind, "cgroup2 ") || len(f) < 5 {
			continue
		}
		root, at := f[3], f[4]
		if below, ok := strings.CutPrefix(group, strings.TrimSuffix(root, "/")); ok && (below == "" || below[0] == '/') {
			return path.Join(at, below)
		}
	}
	return ""
}

// delegated prepares the groups if own, or a group that contains it, is delegated.
func delegated(own string, is func(dir string) bool) (*Groups, error) {
	if own == "" {
		return nil, nil
	}
	base := filepath.Dir(own)
	inside := is(own)
	if inside {
		base = own
	} else if !is(base) {
		return nil, nil
	}
	there, err := os.ReadFile(filepath.Join(base, "cgroup.controllers"))
	if err != nil {
		return nil, err
	}
	g := &Groups{dir: filepath.Join(base, "guests")}
	enable := ""
	for _, c := range []string{"memory", "pids", "cpu"} {
		if slices.Contains(strings.Fields(string(there)), c) {
			g.controllers = append(g.controllers, c)
			enable += " +" + c
		}
	}
	if len(g.controllers) == 0 {
		return nil, fmt.Errorf("%s has none of memory, pids and cpu", base)
	}
	if inside {
		relay := filepath.Join(base, "relay")
		if err := makeGroup(relay); err != nil {
			return nil, err
		}
		if err := set(relay, "cgroup.procs", strconv.Itoa(os.Getpid())); err != nil {
			return nil, err
		}
	}
	if err := set(base, "cgroup.subtree_control", enable[1:]); err != nil {
		return nil, err
	}
	if err := makeGroup(g.dir); err != nil {
		return nil, err
	}
	if slices.Contains(g.controllers, "cpu") {
		if err := set(g.dir, "cpu.weight", strconv.Itoa(groupWeight)); err != nil {
			return nil, err
		}
	}
	// Groups that a killed relay left are empty and can be removed. One of ours may be empty
	// because its worker is about to start.
	left, _ := filepath.Glob(filepath.Join(g.dir, "worker-*"))
	for _, dir := range left {
		if !strings.HasPrefix(filepath.Base(dir), ownWorkers()) {
			_ = os.Remove(dir)
		}
	}
	if err := set(g.dir, "cgroup.subtree_control", enable[1:]); err != nil {
		return nil, err
	}
	return g, nil
}

// ownWorkers is the prefix of the names of this process's groups.
func ownWorkers() string { return "worker-" + strconv.Itoa(os.Getpid()) + "-" }

// New creates a group for a process that may use memory bytes, shared memory included.
func (g *Groups) New(memory auditrelay.ByteSize) (*Group, error) {
	dir, err := os.MkdirTemp(g.dir, ownWorkers())
	if err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	n := &Group{dir: dir}
	limit := func(controller, file, value string) {
		if err == nil && slices.Contains(g.controllers, controller) {
			err = set(dir, file, value)
			n.Applied = append(n.Applied, file+"="+value)
		}
	}
	limit("memory", "memory.max", strconv.FormatInt(int64(memory), 10))
	limit("pids", "pids.max", strconv.Itoa(groupTasks))
	if slices.Contains(g.controllers, "memory") {
		_ = set(dir, "memory.swap.max", "0") // not available everywhere
	}
	if slices.Contains(g.controllers, "cpu") {
		n.Applied = append(n.Applied, "cpu.weight="+strconv.Itoa(groupWeight))
	}
	if err == nil {
		n.file, err = os.Open(dir)
	}
	if err != nil {
		_ = n.Close()
		return nil, fmt.Errorf("control group: %w", err)
	}
	return n, nil
}

// In makes a command start in the group.
func (n *Group) In(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(n.file.Fd())} //nolint:gosec // a descriptor
}

// Close removes the group.
func (n *Group) Close() error {
	if n.file != nil {
		_ = n.file.Close()
	}
	return os.Remove(n.dir)
}

func makeGroup(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	return nil
}

func set(dir, file, value string) error {
	return os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644)
}
