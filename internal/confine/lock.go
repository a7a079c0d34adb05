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
	// ReadOnly are directories whose files the process may read until it calls Tighten.
	// Paths are absolute.
	ReadOnly []string
	// Writable is a directory in which the process may also create, rename and remove
	// files. Empty: none, and the largest file that it may write has 0 bytes.
	Writable string
	// FileSize is the largest file that the process may write in Writable. Default 1 GiB.
	FileSize auditrelay.ByteSize
	// Memory is how much memory the process may write to, Go's own included. At least
	// 128 MiB, which Go's runtime needs; 0 sets no limit. The address space is limited
	// to 1.25 GiB more, which Go reserves and does not use.
	Memory auditrelay.ByteSize
	// Shared is how much memory the process has mapped that it shares with others. It
	// counts as address space alone.
	Shared auditrelay.ByteSize
	// CPU is how much processor time the process may use in its life; the kernel kills
	// it then. 0 sets no limit.
	CPU time.Duration
	// Lifeline is one end of a pipe or socket whose other end only the parent holds, or
	// nil. Lock fails if the other end is closed: the parent died before the process
	// could ask the kernel to die with it. The caller keeps it.
	Lifeline interface{ Fd() uintptr }
}

const (
	minMemory    = 128 << 20  // RLIMIT_DATA below which Go's runtime does not live
	addressSpace = 1280 << 20 // that Go reserves beside what it uses
	// addressSpaceC is what a C library reserves for its threads' stacks and allocators,
	// in a program that links one.
	addressSpaceC = 4 << 30
	openFiles     = 64
	maxFileSize   = 1 << 30
)

// ErrParentGone says that the parent ended before the process was locked.
var ErrParentGone = errors.New("confine: the parent process has ended")

func (o Options) check() error {
	for _, dir := range append(o.ReadOnly[:len(o.ReadOnly):len(o.ReadOnly)], o.Writable) {
		if dir != "" && !filepath.IsAbs(dir) {
			return fmt.Errorf("confine: the directory %q is not absolute", dir)
		}
	}
	return nil
}

// Lock confines this process, with all its threads, for good. It needs no privilege. It
// also fixes GOMAXPROCS at its present value, since Go's runtime would read files to
// update it.
//
// Standard streams and files that are open stay usable: the caller closes what the
// process should not have. What the system does not have or does not permit is in the
// report, and is no error. An error means wrong options or ErrParentGone; the process
// must end then, since it may be locked in part.
func Lock(o Options) (Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return lock(o)
}

// Tighten takes the rest away after loading: opening files, and making memory executable.
// It stands on its own; call it after Lock. A module that was not compiled and mapped
// before cannot be loaded any more.
func Tighten() Report { return tighten() }
