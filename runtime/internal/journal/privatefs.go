package journal

import (
	"errors"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// privateFS is the operating system's file system. The engine creates files that everyone may
// read by default; privateFS makes them readable only by their owner, whatever the umask is.
type privateFS struct{ vfs.FS }

// Unwrap implements vfs.FS.
func (p privateFS) Unwrap() vfs.FS { return p.FS }

// Create implements vfs.FS.
func (p privateFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return alone(p.FS.Create(name, category))
}

// OpenReadWrite implements vfs.FS.
func (p privateFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, options ...vfs.OpenOption) (vfs.File, error) {
	return alone(p.FS.OpenReadWrite(name, category, options...))
}

// ReuseForWrite implements vfs.FS.
func (p privateFS) ReuseForWrite(before, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return alone(p.FS.ReuseForWrite(before, name, category))
}

// alone removes other users' rights from an opened file.
func alone(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	if err := private(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Lock implements vfs.FS.
func (p privateFS) Lock(name string) (io.Closer, error) {
	l, err := p.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// MkdirAll implements vfs.FS.
func (p privateFS) MkdirAll(dir string, _ os.FileMode) error { return p.FS.MkdirAll(dir, 0o700) }
