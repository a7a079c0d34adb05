package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// log is one append-only file with its state and its rotated files. It is not safe for
// concurrent use. After any error everything is closed. The next append opens it again, and so
// starts from the state on disk.
type log struct {
	path    string
	options Options
	now     func() time.Time

	lock    *os.File // nil while closed
	file    *os.File
	state   *state
	foreign bool // another program wrote to the open file
}

// append writes body, the lines of the payload with this key, and returns when they are on
// disk. It returns where they start, or that they were already there.
func (l *log) append(ctx context.Context, key string, body []byte) (offset int64, duplicate bool, err error) {
	defer func() {
		// The next open would cut off the other program's data. So the file is left alone while
		// the process runs.
		if err != nil && !l.foreign {
			l.close()
		}
	}()
	if l.lock == nil {
		if err := l.open(ctx); err != nil {
			return 0, false, err
		}
	}
	if l.state.known(key) {
		return 0, true, nil
	}
	if err := l.checkUnchanged(); err != nil {
		return 0, false, err
	}
	if l.due(int64(len(body))) {
		if err := l.rotate(ctx); err != nil {
			return 0, false, err
		}
	}
	offset = l.state.end
	if _, err := l.file.WriteAt(body, offset); err != nil {
		return 0, false, err
	}
	if err := l.file.Sync(); err != nil {
		return 0, false, err
	}
	return offset, false, l.state.put(key, offset+int64(len(body)), l.now())
}

// open locks the file and restores the state of the last acknowledged delivery.
func (l *log) open(ctx context.Context) error {
	dir := filepath.Dir(l.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock, err := openOwn(l.path+".lock", os.O_CREATE|os.O_RDWR)
	if err != nil {
		return err
	}
	l.lock = lock
	if err := lockFile(lock); err != nil {
		return fmt.Errorf("%w: %w", errInUse, err)
	}
	st, err := readState(l.path + ".state")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// The existing file was not written with this state. Keep it whole under another name.
		if info, err := os.Lstat(l.path); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			if err := os.Rename(l.path, l.rotatedName()); err != nil {
				return err
			}
		}
		st = &state{path: l.path + ".state"}
	case err != nil:
		return err
	}
	l.state = st
	if err := l.openFile(); err != nil {
		return err
	}
	if err := st.rewrite(); err != nil {
		return err
	}
	return l.tidy(ctx)
}

// openOwn opens a file of the sink, or creates it with mode 0600. It does not follow a symbolic
// link: in a folder that others may write to, a link could lead to any file of this process.
func openOwn(name string, flag int) (*os.File, error) {
	f, err := os.OpenFile(name, flag|noFollow, 0o600)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: %s; give the path of the file itself", errLink, name)
	}
	return f, err
}

// openFile opens the file and cuts off data that was never acknowledged.
func (l *log) openFile() error {
	f, err := openOwn(l.path, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return err
	}
	l.file = f
	info, err := f.Stat()
	if err != nil {
		return err
	}
	switch size := info.Size(); {
	case size == 0 && l.state.end > 0:
		// A crash during a rotation, or someone moved or emptied the file.
		l.state.begin()
	case size < l.state.end:
		return fmt.Errorf("%w: it has %d bytes, %d were delivered; move it away to start a new one", errForeign, size, l.state.end)
	case size > l.state.end:
		if err := errors.Join(f.Truncate(l.state.end), f.Sync()); err != nil {
			return err
		}
	}
	return syncDir(filepath.Dir(l.path))
}

// checkUnchanged checks that the open file is still the one at the path, and that only this
// sink wrote to it.
func (l *log) checkUnchanged() error {
	open, err := l.file.Stat()
	if err != nil {
		return err
	}
	at, err := os.Stat(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && emptyOther(open, at):
		// The file was moved while it was open. It still has the delivered records, and there
		// is nothing of another program here that an open could cut off.
		l.foreign = false
		l.file.Close()
		l.state.begin()
		if err := l.openFile(); err != nil {
			return err
		}
		return l.state.rewrite()
	case err != nil:
		return err
	}
	l.foreign = !os.SameFile(open, at) || at.Size() != l.state.end
	if l.foreign {
		return fmt.Errorf("%w while it was open; move it away to start a new one", errForeign)
	}
	return nil
}

// emptyOther reports whether an empty file is in the place of the open one, as logrotate makes it.
func emptyOther(open, at os.FileInfo) bool {
	return !os.SameFile(open, at) && at.Mode().IsRegular() && at.Size() == 0
}

// close closes file and lock. The log can be opened again.
func (l *log) close() error {
	var errs []error
	if l.state != nil {
		errs = append(errs, l.state.close())
	}
	if l.file != nil {
		errs = append(errs, l.file.Close())
	}
	if l.lock != nil {
		errs = append(errs, l.lock.Close()) // this releases the lock
	}
	l.lock, l.file, l.state, l.foreign = nil, nil, nil, false
	return errors.Join(errs...)
}

// syncDir makes a folder's entries durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
