package journal

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logFS hides failures of the engine's log from the engine, which panics on them during a log
// change in a way that cannot be recovered. The journal records the failure as its own before
// the engine continues, and Commit checks for it before it reports anything as durable.
type logFS struct {
	vfs.FS
	fault *fault
	open  atomic.Bool // the database is open; before that, Open returns failures
}

// Unwrap implements vfs.FS.
func (l *logFS) Unwrap() vfs.FS { return l.FS }

// Create implements vfs.FS.
func (l *logFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := l.FS.Create(name, category)
	return l.log(name, f, err)
}

// ReuseForWrite implements vfs.FS.
func (l *logFS) ReuseForWrite(before, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := l.FS.ReuseForWrite(before, name, category)
	return l.log(name, f, err)
}

func (l *logFS) log(name string, f vfs.File, err error) (vfs.File, error) {
	if !strings.HasSuffix(name, ".log") || err != nil && !l.open.Load() {
		return f, err
	}
	if err != nil {
		l.fault.set(fmt.Errorf("begin a log: %w", err))
		f = deadFile{}
	}
	return &logFile{File: f, fault: l.fault}, nil
}

// logFile is one log.
type logFile struct {
	vfs.File
	fault *fault
}

func (f *logFile) failed(what string, err error) {
	if err != nil {
		f.fault.set(fmt.Errorf("%s the log: %w", what, err))
	}
}

// Write implements vfs.File.
func (f *logFile) Write(p []byte) (int, error) {
	_, err := f.File.Write(p)
	f.failed("write to", err)
	return len(p), nil
}

// Sync implements vfs.File.
func (f *logFile) Sync() error {
	f.failed("sync", f.File.Sync())
	return nil
}

// SyncData implements vfs.File.
func (f *logFile) SyncData() error {
	f.failed("sync", f.File.SyncData())
	return nil
}

// SyncTo implements vfs.File.
func (f *logFile) SyncTo(length int64) (fullSync bool, err error) {
	full, err := f.File.SyncTo(length)
	f.failed("sync", err)
	return full, nil
}

// Close implements vfs.File.
func (f *logFile) Close() error {
	f.failed("close", f.File.Close())
	return nil
}

// deadFile replaces a log that could not be created.
type deadFile struct{ vfs.File }

func (deadFile) Write(p []byte) (int, error)     { return len(p), nil }
func (deadFile) Preallocate(_, _ int64) error    { return nil }
func (deadFile) Sync() error                     { return nil }
func (deadFile) SyncData() error                 { return nil }
func (deadFile) SyncTo(_ int64) (bool, error)    { return true, nil }
func (deadFile) Prefetch(_ int64, _ int64) error { return nil }
func (deadFile) Fd() uintptr                     { return vfs.InvalidFd }
func (deadFile) Close() error                    { return nil }

// Stat reports an empty file. The engine calls it when it wants to reuse an old log.
func (deadFile) Stat() (vfs.FileInfo, error) { return deadInfo{}, nil }

type deadInfo struct{ vfs.FileInfo }

func (deadInfo) Size() int64 { return 0 }
