package confine

import (
	"errors"
	"os"
	goruntime "runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"auditrelay"
)

func lock(o Options) (Report, error) {
	var r Report
	goruntime.GOMAXPROCS(goruntime.GOMAXPROCS(0))
	_, _ = time.Now().Zone() // reads the time zone's file once
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()

	privs := allThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
	if linksC() {
		// The filter also sets this flag on all other threads.
		privs = why(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	}
	r.set(NoNewPrivs, privs)
	r.set(ParentDeath, why(unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)))
	if o.Lifeline != nil && hungUp(o.Lifeline.Fd()) {
		return r, ErrParentGone
	}
	r.set(NotDumpable, why(unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)))
	r.set(Limits, why(setLimits(o)))
	files, network := landlock(o)
	r.set(Files, files)
	r.set(Network, network)
	r.set(Capabilities, dropCapabilities())
	now := loading
	if o.Writable != "" {
		now = writing
	}
	r.set(Calls, install(now))
	return r, nil
}

func tighten() Report { return Report{{TightCalls, install(always)}} }

// why returns the reason for an error.
func why(err error) Why {
	switch {
	case err == nil:
		return Applied
	case errors.Is(err, unix.ENOTSUP):
		return CgoBuild // only syscall.AllThreadsSyscall returns it
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return Unsupported
	}
	return Refused
}

// hungUp reports whether the other end of a pipe or socket is closed.
func hungUp(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // a descriptor
	for {
		_, err := unix.Poll(fds, 0)
		if err == nil {
			return fds[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
		}
		if !errors.Is(err, unix.EINTR) {
			return true
		}
	}
}

// setLimits lowers this process's limits. It never sets RLIMIT_NPROC, which counts all
// processes of the user; Go ends the process if it cannot start a thread.
func setLimits(o Options) error {
	limits := map[int]uint64{
		unix.RLIMIT_CORE:     0,
		unix.RLIMIT_FSIZE:    0,
		unix.RLIMIT_MEMLOCK:  0,
		unix.RLIMIT_MSGQUEUE: 0,
		unix.RLIMIT_NOFILE:   openFiles,
	}
	if o.Writable != "" {
		limits[unix.RLIMIT_FSIZE] = maxFileSize
		if o.FileSize > 0 {
			limits[unix.RLIMIT_FSIZE] = uint64(o.FileSize)
		}
	}
	if o.Memory > 0 && !raceBuild {
		// RLIMIT_DATA counts writable mappings. RLIMIT_AS counts all mappings, including shared
		// memory.
		data := max(o.Memory, auditrelay.ByteSize(minMemory))
		limits[unix.RLIMIT_DATA] = uint64(data) //nolint:gosec // positive
		limits[unix.RLIMIT_AS] = uint64(data) + uint64(max(o.Shared, 0)) + addressSpace
		if linksC() {
			limits[unix.RLIMIT_AS] += addressSpaceC
		}
	}
	if o.CPU > 0 {
		// Go ignores the signal at the soft limit. The hard limit kills the process.
		limits[unix.RLIMIT_CPU] = uint64((o.CPU + time.Second - 1) / time.Second) //nolint:gosec // positive
	}
	var failed error
	for which, most := range limits {
		var now unix.Rlimit
		err := unix.Getrlimit(which, &now)
		if err == nil {
			now.Max = min(now.Max, most) // a limit can be lowered, not raised
			now.Cur = min(now.Cur, now.Max)
			err = unix.Setrlimit(which, &now)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// dropCapabilities drops all capabilities of every thread. If there are none, it does nothing.
func dropCapabilities() Why {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err == nil && data == [2]unix.CapUserData{} {
		return Applied
	}
	data = [2]unix.CapUserData{}
	return allThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])))
}

// allThreads makes a system call on every thread of the process.
func allThreads(call, a, b uintptr) Why {
	if _, _, errno := syscall.AllThreadsSyscall(call, a, b, 0); errno != 0 {
		return why(errno)
	}
	return Applied
}

// linksC reports whether the program links C. Go then cannot reach all its threads.
func linksC() bool {
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0)
	return errors.Is(errno, unix.ENOTSUP)
}

// install puts a phase's filter on every thread. Filters add up: the strictest result applies.
func install(now phase) Why {
	m, known := machines[goruntime.GOARCH]
	if !known {
		return Unsupported
	}
	raw, err := bpf.Assemble(m.program(now, uint32(os.Getpid()), linksC())) //nolint:gosec // an id
	if err != nil {
		return Refused // a test assembles every program
	}
	code := make([]unix.SockFilter, len(raw))
	for i, c := range raw {
		code[i] = unix.SockFilter{Code: c.Op, Jt: c.Jt, Jf: c.Jf, K: c.K}
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]} //nolint:gosec // some hundred
	stuck, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	goruntime.KeepAlive(code)
	switch {
	case errno != 0:
		return why(errno)
	case stuck != 0:
		return Refused // a thread has another filter
	}
	return Applied
}
