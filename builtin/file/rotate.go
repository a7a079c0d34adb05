package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// stamp is the time of rotation in a rotated file's name:
// audit-20260314T150926.535Z.ndjson.
const stamp = "20060102T150405.000Z"

const (
	compressed  = ".gz"
	compressing = ".gz.new"
)

// due reports whether the file must be rotated before n more bytes.
func (l *log) due(n int64) bool {
	s := l.state
	if s.end == 0 {
		return false
	}
	age := l.options.Rotate.Age
	return s.end+n > int64(l.options.Rotate.Bytes) || age > 0 && l.now().Sub(s.born) >= age
}

// rotate moves the file away and starts another. A crash before the move leaves the file
// unchanged. A crash after it leaves no file or an empty one, which the next open treats as a
// new one. The state records the new file before anything is written to it.
func (l *log) rotate(ctx context.Context) error {
	if err := l.file.Close(); err != nil {
		return err
	}
	l.file = nil
	if err := os.Rename(l.path, l.rotatedName()); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(l.path)); err != nil {
		return err
	}
	l.state.begin()
	if err := l.state.rewrite(); err != nil {
		return err
	}
	if err := l.openFile(); err != nil {
		return err
	}
	return l.tidy(ctx)
}

// rotatedName returns an unused name for the file.
func (l *log) rotatedName() string {
	ext := filepath.Ext(l.path)
	stem := strings.TrimSuffix(l.path, ext)
	for at := l.now().UTC(); ; at = at.Add(time.Millisecond) {
		name := stem + "-" + at.Format(stamp) + ext
		if !exists(name) && !exists(name+compressed) {
			return name
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// rotated is a rotated file of this log.
type rotated struct {
	path string // without .gz
	at   time.Time
	gzip bool
}

// rotatedFiles lists the rotated files, oldest first.
func (l *log) rotatedFiles() ([]rotated, error) {
	dir := filepath.Dir(l.path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	ext := filepath.Ext(l.path)
	stem := strings.TrimSuffix(filepath.Base(l.path), ext)
	var files []rotated
	for _, e := range entries {
		name, isGzip := strings.CutSuffix(e.Name(), compressed)
		middle, ok := strings.CutPrefix(name, stem+"-")
		if !ok || !e.Type().IsRegular() {
			continue
		}
		if middle, ok = strings.CutSuffix(middle, ext); !ok {
			continue
		}
		if at, err := time.Parse(stamp, middle); err == nil {
			files = append(files, rotated{filepath.Join(dir, name), at, isGzip})
		}
	}
	slices.SortFunc(files, func(a, b rotated) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.path, b.path))
	})
	return files, nil
}

// tidy compresses rotated files if the option is set, and deletes those beyond Keep.
func (l *log) tidy(ctx context.Context) error {
	keep := l.options.Keep
	if !l.options.Gzip && keep == (Keep{}) {
		return nil
	}
	files, err := l.rotatedFiles()
	if err != nil {
		return err
	}
	for i, f := range files {
		if l.options.Gzip && !f.gzip {
			if err := gzipFile(ctx, f.path); err != nil {
				return fmt.Errorf("compress %s: %w", filepath.Base(f.path), err)
			}
			files[i].gzip = true
		}
	}
	// After a crash both a file and its compressed form may exist.
	files = slices.CompactFunc(files, func(a, b rotated) bool { return a.path == b.path && a.gzip == b.gzip })
	if len(files) == 0 {
		return nil
	}
	for i, f := range files[:len(files)-1] {
		tooMany := keep.Files > 0 && len(files)-i > keep.Files
		tooOld := keep.Age > 0 && l.now().Sub(f.at) > keep.Age
		if !tooMany && !tooOld {
			continue
		}
		name := f.path
		if f.gzip {
			name += compressed
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// gzipFile replaces path by path.gz. The compressed file gets its name when it is complete and
// on disk. So if both exist, the plain one can be deleted.
func gzipFile(ctx context.Context, path string) error {
	if !exists(path + compressed) {
		if err := writeGzip(ctx, path, path+compressing); err != nil {
			return errors.Join(err, os.Remove(path+compressing))
		}
		if err := os.Rename(path+compressing, path+compressed); err != nil {
			return err
		}
		if err := syncDir(filepath.Dir(path)); err != nil {
			return err
		}
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeGzip(ctx context.Context, from, to string) (err error) {
	in, err := openOwn(from, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := openOwn(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	z := gzip.NewWriter(out)
	if _, err := io.Copy(z, whileRunning{ctx, in}); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return out.Sync()
}

// whileRunning is a reader that fails once its context has ended.
type whileRunning struct {
	ctx context.Context
	r   io.Reader
}

func (w whileRunning) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(p)
}
