package confine

// phase states until when a system call is allowed.
type phase int

const (
	always    phase = iota // also while guests run
	loading                // until Tighten
	writing                // until Tighten, and only with a writable directory
	tolerated              // never; the process gets ENOSYS and continues
)

// call is a system call that does not kill the process.
type call struct {
	name         string
	amd64, arm64 uint32 // system call numbers
	until        phase
	// tried means that a C library may make the call at any time and handles an error. In a
	// program that links C the call is refused without killing the process.
	tried bool
	arg   *condition // condition on one argument; any other value kills
}

// condition applies to the low 32 bits of an argument. All checked arguments are ints, or flags
// of which the kernel reads only those bits.
type condition struct {
	arg     int
	tight   bool     // checked only after Tighten
	oneOf   []uint32 // allowed values; nil for any
	self    bool     // must be the process's own id
	with    uint32   // bits that must be set
	without uint32   // bits that must not be set
}

const (
	protExec  = 0x4
	prSetVMA  = 0x53564d41
	cloneNeed = 0x10900 // CLONE_VM, CLONE_SIGHAND, CLONE_THREAD: a thread, not a process
	// cloneMay are the flags that Go and C libraries use to start threads.
	cloneMay = 0x3d0f00
)

// calls is the whole list, the frequent ones first. Each number can be checked against the
// kernel's tables. A test checks those of the processor it runs on.
var calls = []call{
	// What a worker always does: wait, read, answer.
	{name: "futex", amd64: 202, arm64: 98},
	{name: "read", amd64: 0, arm64: 63},
	{name: "write", amd64: 1, arm64: 64},
	{name: "epoll_pwait", amd64: 281, arm64: 22},
	{name: "sched_yield", amd64: 24, arm64: 124},
	{name: "nanosleep", amd64: 35, arm64: 101},
	{name: "clock_gettime", amd64: 228, arm64: 113}, // needed if the vDSO has no clock
	{name: "clock_nanosleep", amd64: 230, arm64: 115},
	{name: "restart_syscall", amd64: 219, arm64: 128},

	// Go's memory management. After Tighten no memory becomes executable.
	{name: "madvise", amd64: 28, arm64: 233},
	{name: "mmap", amd64: 9, arm64: 222, arg: &condition{arg: 2, tight: true, without: protExec}},
	{name: "munmap", amd64: 11, arm64: 215},
	{name: "mprotect", amd64: 10, arm64: 226, arg: &condition{arg: 2, tight: true, without: protExec}},
	{name: "prctl", amd64: 157, arm64: 167, arg: &condition{oneOf: []uint32{prSetVMA}}}, // names memory mappings

	// Go's threads and the signals among them.
	{name: "clone", amd64: 56, arm64: 220, arg: &condition{with: cloneNeed, without: ^uint32(cloneMay)}},
	{name: "tgkill", amd64: 234, arm64: 131, arg: &condition{self: true}},
	{name: "gettid", amd64: 186, arm64: 178},
	{name: "getpid", amd64: 39, arm64: 172},
	{name: "rt_sigaction", amd64: 13, arm64: 134},
	{name: "rt_sigprocmask", amd64: 14, arm64: 135},
	{name: "rt_sigreturn", amd64: 15, arm64: 139},
	{name: "sigaltstack", amd64: 131, arm64: 132},
	{name: "sched_getaffinity", amd64: 204, arm64: 123},
	{name: "getrandom", amd64: 318, arm64: 278},
	{name: "rseq", amd64: 334, arm64: 293}, // without it glibc ends the process when it starts a thread
	{name: "exit", amd64: 60, arm64: 93},
	{name: "exit_group", amd64: 231, arm64: 94},

	// Closing and unmapping, which the garbage collector does at any time.
	{name: "close", amd64: 3, arm64: 57},
	{name: "epoll_ctl", amd64: 233, arm64: 21},

	// Loading from the cache. Landlock restricts the files.
	{name: "openat", amd64: 257, arm64: 56, until: loading, tried: true},
	{name: "fstat", amd64: 5, arm64: 80, until: loading},
	{name: "newfstatat", amd64: 262, arm64: 79, until: loading},
	{name: "pread64", amd64: 17, arm64: 67, until: loading},
	{name: "lseek", amd64: 8, arm64: 62, until: loading},
	{name: "epoll_create1", amd64: 291, arm64: 20, until: loading},
	{name: "eventfd2", amd64: 290, arm64: 19, until: loading},
	// F_GETFD, F_SETFD, F_GETFL, F_SETFL. Not F_SETOWN, which sends signals to other processes.
	{name: "fcntl", amd64: 72, arm64: 25, until: loading, arg: &condition{arg: 1, oneOf: []uint32{1, 2, 3, 4}}},
	{name: "seccomp", amd64: 317, arm64: 277, until: loading}, // for Tighten

	// Compiling into a directory.
	{name: "mkdirat", amd64: 258, arm64: 34, until: writing},
	{name: "unlinkat", amd64: 263, arm64: 35, until: writing},
	{name: "renameat", amd64: 264, arm64: 38, until: writing},
	{name: "renameat2", amd64: 316, arm64: 276, until: writing},
	{name: "getdents64", amd64: 217, arm64: 61, until: writing},
	{name: "fsync", amd64: 74, arm64: 82, until: writing},
	{name: "fdatasync", amd64: 75, arm64: 83, until: writing},

	// Tried but not needed: by C libraries when a thread starts, and by os.Chtimes.
	{name: "clone3", amd64: 435, arm64: 435, until: tolerated},
	{name: "set_robust_list", amd64: 273, arm64: 99, until: tolerated},
	{name: "utimensat", amd64: 280, arm64: 88, until: tolerated},
}
