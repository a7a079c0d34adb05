package confine

import (
	goruntime "runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ruleset is struct landlock_ruleset_attr, as far as this package uses it.
type ruleset struct {
	files, network, scoped uint64
}

// Rights that a ruleset handles, by the version of Landlock that introduced them.
const (
	filesV1 = 1<<13 - 1 // all rights from execute to make_sym
	readV1  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	writeV1 = readV1 | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG
)

// handled returns everything that a version can restrict. It leaves out the scope of signals,
// with which some kernels separate the threads of one process. The system call filter covers
// signals.
func handled(version int) ruleset {
	r := ruleset{files: filesV1}
	if version >= 2 {
		r.files |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		r.files |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 4 {
		r.network = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 5 {
		r.files |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version >= 6 {
		r.scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	return r
}

// landlock restricts every thread to the named directories and forbids TCP.
func landlock(o Options) (files, network Why) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 || version < 2 && o.Writable != "" { // version 1 cannot permit a rename to another directory
		return Unsupported, Unsupported
	}
	all := handled(int(version))
	// Older kernels know a shorter structure and accept zeros in the part they do not know.
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&all)), unsafe.Sizeof(all), 0)
	if errno != 0 {
		return why(errno), why(errno)
	}
	defer unix.Close(int(fd))
	for _, dir := range o.ReadOnly {
		if w := allow(fd, dir, readV1); w != Applied {
			return w, w
		}
	}
	if o.Writable != "" {
		rights := uint64(writeV1) | all.files&(unix.LANDLOCK_ACCESS_FS_REFER|unix.LANDLOCK_ACCESS_FS_TRUNCATE)
		if w := allow(fd, o.Writable, rights); w != Applied {
			return w, w
		}
	}
	files = allThreads(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0)
	if files == Applied && version < 4 {
		return files, Unsupported
	}
	return files, files
}

// allow adds a directory's rights to a ruleset. A directory that cannot be opened is skipped.
func allow(ruleset uintptr, dir string, rights uint64) Why {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Applied
	}
	defer unix.Close(fd)
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)} //nolint:gosec // a descriptor
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, ruleset, unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	goruntime.KeepAlive(&rule)
	if errno != 0 {
		return why(errno)
	}
	return Applied
}
