package compile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"auditrelay"
)

// Options configure Fill.
type Options struct {
	// Command is the helper's program and first arguments. Fill appends its own arguments, and
	// the program must call Child with those. Empty: Fill compiles in this process without the
	// limits below.
	Command []string
	// CacheDir is wazero's cache directory. The caller creates it.
	CacheDir string
	// Memory is the maximum that the helper may allocate. Default 1 GiB. A Go guest of 3 MB
	// needs about 150 MB.
	Memory auditrelay.ByteSize
	// CPU is the maximum processor time. Default 10 s plus 2 s for each MiB of the module. A Go
	// guest of 3 MB needs about 2 s, a Go program of 14 MB 6 to 15 s.
	CPU time.Duration
	// Wall is the maximum duration, however busy the host is. Default 2 min.
	Wall time.Duration
}

// LimitError means that compiling a module exceeds a limit.
type LimitError struct {
	Limit string // "memory", "CPU time" or "time"
	Value string // the limit's value
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("compiling it takes more than %s of %s", e.Value, e.Limit)
}

// Fill compiles a module into the cache, replaces any entry under key, and stores note with it.
// The key must identify everything that the module and the note were made from. Two calls for
// the same key at a time are safe; one of them works in vain.
func Fill(ctx context.Context, key [32]byte, module, note []byte, o Options) (Entry, error) {
	outline, err := Outline(module)
	if err != nil {
		return Entry{}, fmt.Errorf("compile: %w", err)
	}
	if o.CacheDir, err = filepath.Abs(o.CacheDir); err != nil { // the helper may not look up directories
		return Entry{}, fmt.Errorf("compile cache: %w", err)
	}
	records := filepath.Join(o.CacheDir, recordsDir)
	if err := os.MkdirAll(records, 0o700); err != nil {
		return Entry{}, fmt.Errorf("compile cache: %w", err)
	}
	dir, err := os.MkdirTemp(records, "compiling-")
	if err != nil {
		return Entry{}, fmt.Errorf("compile cache: %w", err)
	}
	defer os.RemoveAll(dir)
	if len(o.Command) > 0 {
		err = run(ctx, module, dir, o)
	} else {
		err = compileInto(ctx, dir, module)
	}
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Outline: outline, Note: note}
	if err := keep(o.CacheDir, dir, recordName(o.CacheDir, key), e); err != nil {
		return Entry{}, fmt.Errorf("compile cache: %w", err)
	}
	prune(o.CacheDir)
	return e, nil
}

// Entries is how many modules the cache keeps. The least recently requested are removed.
const Entries = 64

// leftover is the age after which a directory of a killed relay certainly is not in use.
const leftover = time.Hour

// prune limits the size of the cache. What it cannot remove, the next call removes.
func prune(cache string) {
	dir := filepath.Join(cache, recordsDir)
	files, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	type aged struct {
		path string
		used time.Time
	}
	var records []aged
	for _, f := range files {
		info, err := f.Info()
		switch path := filepath.Join(dir, f.Name()); {
		case err != nil:
		case f.IsDir() && time.Since(info.ModTime()) > leftover:
			_ = os.RemoveAll(path)
		case !f.IsDir():
			records = append(records, aged{path, info.ModTime()})
		}
	}
	slices.SortFunc(records, func(a, b aged) int { return b.used.Compare(a.used) })
	for _, old := range records[min(Entries, len(records)):] {
		remove(cache, old.path)
	}
}

// keep moves the results from dir into the cache, the record last.
func keep(cache, dir, name string, e Entry) error {
	made, err := only(dir)
	if err != nil {
		return err
	}
	r := record{Note: e.Note}
	if r.Entry, err = filepath.Rel(dir, made); err != nil {
		return err
	}
	if r.Sum, err = checksum(made); err != nil {
		return err
	}
	text, err := r.encode(e.Outline)
	if err != nil {
		return err
	}
	entry := filepath.Join(cache, r.Entry)
	if err := os.MkdirAll(filepath.Dir(entry), 0o700); err != nil {
		return err
	}
	if err := os.Rename(made, entry); err != nil {
		return err
	}
	draft := filepath.Join(dir, "record")
	if err := os.WriteFile(draft, text, 0o600); err != nil {
		return err
	}
	return os.Rename(draft, name)
}

// only returns the only file below dir.
func only(dir string) (file string, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if file != "" || !e.Type().IsRegular() {
			return errors.New("something else than one entry was made")
		}
		file = path
		return nil
	})
	if err == nil && file == "" {
		err = errors.New("no entry was made")
	}
	return file, err
}

// checksum detects a damaged file. No checksum could detect a deliberate change, because it is
// stored next to the file.
func checksum(name string) (uint32, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, 256<<10)); err != nil {
		return 0, err
	}
	return h.Sum32(), nil
}

func (o Options) memory() auditrelay.ByteSize { return cmp.Or(o.Memory, 1<<30) }
func (o Options) wall() time.Duration         { return cmp.Or(o.Wall, 2*time.Minute) }

// cpu returns the limit for a module of size bytes.
func (o Options) cpu(size int) time.Duration {
	return cmp.Or(o.CPU, (10*time.Second + time.Duration(size>>10)*(2*time.Second/1024)).Round(time.Second))
}

// arguments returns Child's arguments.
func (o Options) arguments(dir string, size int) []string {
	seconds := max(1, int((o.cpu(size)+time.Second-1)/time.Second))
	return []string{dir, strconv.FormatInt(int64(o.memory()), 10), strconv.Itoa(seconds)}
}
