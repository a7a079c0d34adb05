package confine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"
	"golang.org/x/sys/unix"

	"auditrelay"
	"auditrelay/internal/confine"
)

// attempt is a way to break out.
type attempt struct {
	try func(task) error
	// loading says how the attempt ends before Tighten: "killed" by the filter, "error" by Landlock
	// or a limit, or "" if it succeeds.
	loading        string
	needsPrivilege bool // it may also fail without a lock
	needsOutside   bool // it reaches things that namespaces hide
}

// refused reports whether a child ended as expected.
func (a attempt) refused(how string, r result) bool {
	switch how {
	case "killed":
		return r.signal == syscall.SIGSYS && r.said == ""
	case "error":
		// Without Landlock, its attempts succeed.
		return r.code == 3 && r.said != "done" || strings.HasPrefix(r.said, "no landlock")
	}
	return r.said == "done"
}

var attempts = map[string]attempt{
	"read the password file": {loading: "error", try: func(task) error { _, err := os.ReadFile("/etc/passwd"); return err }},
	"list a directory":       {loading: "error", try: func(task) error { f, err := os.Open("/"); _ = f; return err }},
	"write a file": {loading: "error", try: func(w task) error {
		return os.WriteFile(filepath.Join(w.dir(), "file"), []byte("text"), 0o600)
	}},
	"open a socket": {loading: "killed", try: func(task) error { return second(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)) }},
	"open a local socket": {loading: "killed", try: func(task) error {
		return second(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0))
	}},
	"connect": {loading: "killed", needsOutside: true, try: connect},
	"run a program": {loading: "killed", try: func(task) error {
		return second(syscall.ForkExec("/proc/self/exe", []string{"x", "confined", `{"Attempt":"orphan"}`}, &syscall.ProcAttr{}))
	}},
	"become another program": {loading: "killed", try: func(task) error {
		return unix.Exec("/proc/self/exe", []string{"x", "confined", `{"Attempt":"done"}`}, nil)
	}},
	"fork": {loading: "killed", try: func(task) error {
		pid, _, errno := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
		if pid == 0 && errno == 0 {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		return asError(errno)
	}},
	"trace": {loading: "killed", try: func(task) error {
		_, _, errno := unix.Syscall(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0)
		return asError(errno)
	}},
	"signal the parent": {loading: "killed", needsOutside: true, needsPrivilege: true, try: func(w task) error { return unix.Kill(w.Parent, 0) }},
	"signal a thread of the parent": {loading: "killed", needsOutside: true, needsPrivilege: true, try: func(w task) error {
		return unix.Tgkill(w.Parent, w.Parent, 0)
	}},
	"read the parent's memory": {loading: "killed", needsOutside: true, needsPrivilege: true, try: func(w task) error {
		var there [8]byte
		local := []unix.Iovec{{Base: &there[0], Len: 8}}
		return second(unix.ProcessVMReadv(w.Parent, local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0))
	}},
	"map executable memory": {try: func(task) error {
		return second(unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON))
	}},
	"make memory executable": {try: func(task) error {
		page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		return unix.Mprotect(page, unix.PROT_READ|unix.PROT_EXEC)
	}},
	"an anonymous file": {loading: "killed", try: func(task) error { return second(unix.MemfdCreate("x", 0)) }},
	"be dumpable again": {loading: "killed", try: func(task) error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }},
	"change the user":   {loading: "killed", try: func(task) error { return unix.Setuid(os.Getuid()) }},
	"raise a limit": {loading: "killed", try: func(task) error {
		var now unix.Rlimit
		return errors.Join(unix.Getrlimit(unix.RLIMIT_CORE, &now), unix.Setrlimit(unix.RLIMIT_CORE, &now))
	}},
	"a namespace":      {loading: "killed", needsPrivilege: true, try: func(task) error { return unix.Unshare(unix.CLONE_NEWUSER) }},
	"an io_uring":      {loading: "killed", needsPrivilege: true, try: func(task) error { return call(unix.SYS_IO_URING_SETUP, 1, 0) }},
	"a BPF program":    {loading: "killed", needsPrivilege: true, try: func(task) error { return call(unix.SYS_BPF, 0, 0) }},
	"a userfaultfd":    {loading: "killed", needsPrivilege: true, try: func(task) error { return call(unix.SYS_USERFAULTFD, 0, 0) }},
	"a call of 32 bit": {loading: "killed", needsPrivilege: true, try: func(task) error { return call(0x40000000|unix.SYS_GETPID, 0, 0) }},
}

// connect does not use package net, which would link C.
func connect(w task) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	return unix.Connect(fd, &unix.SockaddrInet4{Port: w.Port, Addr: [4]byte{127, 0, 0, 1}})
}

func call(number, a, b uintptr) error {
	_, _, errno := unix.Syscall(number, a, b, 0)
	return asError(errno)
}

func asError(errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

func second[T any](_ T, err error) error { return err }

func (w task) dir() string { return w.Writable + w.ReadOnly }

// child is the confined process. Exit code 3 means that an attempt failed with an error.
func child(text string) int {
	var w task
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		fmt.Println(err)
		return 1
	}
	switch w.Attempt {
	case "done":
		fmt.Println("done")
		return 0
	case "orphan":
		return orphan()
	case "parent":
		return parent(w)
	}
	live := prepare()
	var report confine.Report
	if w.Lock {
		o := confine.Options{Memory: auditrelay.ByteSize(w.Memory), CPU: w.CPU, Lifeline: os.Stdin, Writable: w.Writable}
		if w.ReadOnly != "" {
			o.ReadOnly = []string{w.ReadOnly}
		}
		var err error
		if report, err = confine.Lock(o); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	if w.Tighten {
		report = report.Join(confine.Tighten())
	}
	return act(w, report, live)
}

func act(w task, report confine.Report, live func() error) int {
	var err error
	switch w.Attempt {
	case "report":
		fmt.Println(report)
		return 0
	case "live":
		if err = live(); err == nil {
			fmt.Println("alive", report)
			return 0
		}
	case "wait":
		fmt.Print("locked")
		time.Sleep(time.Minute)
	case "grow":
		grow()
	case "spin":
		for n := 0; ; n++ {
			spun.Store(int64(n))
		}
	case "files":
		err = files(w.Dir)
	default:
		a := attempts[w.Attempt]
		if w.Lock && !w.Tighten && a.loading == "error" && !report.Has(confine.Files) {
			fmt.Println("no landlock:", report)
			return 0
		}
		err = a.try(w)
	}
	if err != nil {
		fmt.Println(err)
		return 3
	}
	fmt.Println("done")
	return 0
}

var spun atomic.Int64

func grow() {
	var all [][]byte
	for range 512 {
		piece := make([]byte, 1<<20)
		for i := 0; i < len(piece); i += 4096 {
			piece[i] = 1
		}
		all = append(all, piece)
		goruntime.KeepAlive(all)
	}
}

// files does the same file operations as the compiler's cache.
func files(dir string) error {
	f, err := os.CreateTemp(dir, "x")
	if err != nil {
		return err
	}
	_, err = f.WriteString("text")
	to := filepath.Join(dir, "sub")
	return errors.Join(err, f.Sync(), f.Close(), os.Mkdir(to, 0o700), os.Rename(f.Name(), filepath.Join(to, "y")), os.RemoveAll(to))
}

func orphan() int {
	r, w, err := os.Pipe()
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		_, err = confine.Lock(confine.Options{Lifeline: r})
	}
	fmt.Println(err)
	return 1
}

// parent starts a confined process with its own output and waits for a kill.
func parent(w task) int {
	text, _ := json.Marshal(task{Attempt: "wait", Lock: true, Tighten: true})
	describe := func() (*exec.Cmd, error) {
		cmd := exec.Command("/proc/self/exe", "confined", string(text))
		cmd.Stdout = os.Stdout
		_, err := cmd.StdinPipe()
		return cmd, err
	}
	cmd, err := describe()
	if w.Lock {
		_, _, err = confine.Start(describe)
	} else if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for {
		time.Sleep(time.Hour)
	}
}

// prepare compiles a module, since later that is impossible, and returns a function that tests what
// a worker needs.
func prepare() func() error {
	ctx := context.Background()
	engine := wazero.NewRuntime(ctx)
	// f adds its two arguments.
	module, err := engine.CompileModule(ctx, []byte("\x00asm\x01\x00\x00\x00"+
		"\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x03\x02\x01\x00\x05\x03\x01\x00\x01"+
		"\x07\x05\x01\x01f\x00\x00\x0a\x09\x01\x07\x00\x20\x00\x20\x01\x6a\x0b"))
	return func() error {
		if err != nil {
			return err
		}
		var wg sync.WaitGroup
		errs := make(chan error, 64)
		for i := range 8 {
			wg.Go(func() {
				goruntime.LockOSThread() // a thread each
				live, err := engine.InstantiateModule(ctx, module, wazero.NewModuleConfig().WithName(fmt.Sprint(i)))
				if err != nil {
					errs <- err
					return
				}
				for n := range 200 {
					got, err := live.ExportedFunction("f").Call(ctx, uint64(n), 1) //nolint:gosec // small
					if err != nil || got[0] != uint64(n+1) {                       //nolint:gosec // small
						errs <- fmt.Errorf("f(%d, 1) = %v, %w", n, got, err)
						return
					}
					_ = make([]byte, 64<<10)
				}
				<-time.After(5 * time.Millisecond)
				goruntime.GC()
				_, _ = live.Memory().Grow(4)
				errs <- live.Close(ctx)
			})
		}
		wg.Wait()
		for range len(errs) {
			if err := <-errs; err != nil {
				return err
			}
		}
		r, w := left()
		_, err := w.Write([]byte("x"))
		_, err2 := r.Read(make([]byte, 1))
		_ = time.Now().Format(time.RFC3339)
		return errors.Join(err, err2, w.Close(), r.Close())
	}
}

// left returns a pipe that was opened before.
var left = sync.OnceValues(func() (*os.File, *os.File) {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	return r, w
})

func init() { left() } //nolint:gochecknoinits // before anything is confined
