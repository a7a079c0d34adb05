package confine

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"auditrelay"
)

// Options configure Lock. The zero value is the strictest: no files, and no memory limit.
type Options struct {
	// ReadOnly are absolute paths of directories whose files the process may read until it
	// calls Tighten.
	ReadOnly []string
	// Writable is a directory in which the process may also create, rename and remove files.
	// Empty: none, and the process can write no byte to any file.
	Writable string
	// FileSize is the largest file that the process may write in Writable. Default 1 GiB.
	FileSize auditrelay.ByteSize
	// Memory is how much memory the process may write to, including Go's own. It must be at
	// least 128 MiB, which Go's runtime needs. 0 sets no limit. The address space is limited to
	// 1.25 GiB more, which Go reserves and does not use.
	Memory auditrelay.ByteSize
	// Shared is the amount of shared memory that the process has mapped. It counts as address
	// space only.
	Shared auditrelay.ByteSize
	// CPU is the total processor time that the process may use. After that the kernel kills it.
	// 0 sets no limit.
	CPU time.Duration
	// Lifeline is one end of a pipe or socket whose other end only the parent has, or nil. Lock
	// fails if the other end is closed: then the parent died before the process could ask the
	// kernel to be killed together with it. The caller keeps ownership of it.
	Lifeline interface{ Fd() uintptr }
}

const (
	minMemory    = 128 << 20  // RLIMIT_DATA below which Go's runtime does not run
	addressSpace = 1280 << 20 // reserved by Go in addition to what it uses
	// addressSpaceC is what a C library reserves for its threads' stacks and allocators, in a
	// program that links C.
	addressSpaceC = 4 << 30
	openFiles     = 64
	maxFileSize   = 1 << 30
)

// ErrParentGone means that the parent ended before the process was locked.
var ErrParentGone = errors.New("confine: the parent process has ended")

func (o Options) check() error {
	for _, dir := range append(o.ReadOnly[:len(o.ReadOnly):len(o.ReadOnly)], o.Writable) {
		if dir != "" && !filepath.IsAbs(dir) {
			return fmt.Errorf("confine: the directory %q is not absolute", dir)
		}
	}
	return nil
}

// Lock permanently confines this process with all its threads. It needs no privilege. It also
// fixes GOMAXPROCS at its present value, because Go's runtime would read files to update it.
//
// Open files, including the standard streams, stay usable. The caller closes those that the
// process must not have. Restrictions that the system does not support or permit are in the
// report and are no error. An error means wrong options or ErrParentGone. The process must then
// end, because it may be locked in part.
func Lock(o Options) (Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return lock(o)
}

// Tighten removes what only loading needs: opening files and making memory executable. Call it
// after Lock. After it, no module can be loaded that was not compiled and mapped before.
func Tighten() Report { return tighten() }
