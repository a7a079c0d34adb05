package compile

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"auditrelay"
)

// Options are Fill's.
type Options struct {
	// Command is the helper's program and first arguments; Fill adds its own. It
	// must end in a call of Child with those.
	Command []string
	// CacheDir is wazero's cache, made by whoever uses it.
	CacheDir string
	// Memory is what the helper may allocate. Default 1 GiB: a Go guest of 3 MB
	// takes some 150 MB.
	Memory auditrelay.ByteSize
	// CPU is the processor time that it may use. Default 30 s: such a guest takes
	// some 3 s.
	CPU time.Duration
	// Wall is how long it may take, however busy the host is. Default 2 min.
	Wall time.Duration
}

// LimitError says that a module is too dear to compile.
type LimitError struct {
	Limit string // "memory", "CPU time" or "time"
	Value string // what was allowed
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("compiling it takes more than %s of %s", e.Value, e.Limit)
}

// record is what the cache knows of one entry of its own.
type record struct {
	Entry  string `json:"entry"`  // the file, relative to the cache
	SHA256 string `json:"sha256"` // of its content
}

// recordsDir is where records are, in the cache's directory.
const recordsDir = "auditrelay"

// Fill has wasm compiled into the cache, unless an undamaged entry is there. It
// returns whether the helper ran. Two calls for the same module at once do no
// harm; one does the work in vain.
func Fill(ctx context.Context, wasm []byte, o Options) (ran bool, err error) {
	sum := sha256.Sum256(wasm)
	// Another version of the compiler makes another entry, and so does one on another
	// processor.
	name := filepath.Join(o.CacheDir, recordsDir, hex.EncodeToString(sum[:])+"-"+compilerVersion()+"-"+processor()+".json")
	if whole(o.CacheDir, name) {
		now := time.Now()
		_ = os.Chtimes(name, now, now) // the oldest go first; a wrong order costs a compilation
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return false, fmt.Errorf("compile cache: %w", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(name), "compiling-")
	if err != nil {
		return false, fmt.Errorf("compile cache: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := run(ctx, wasm, dir, o); err != nil {
		return true, err
	}
	if err := keep(o.CacheDir, dir, name); err != nil {
		return true, err
	}
	prune(o.CacheDir)
	return true, nil
}

// Entries is how many modules the cache keeps; the ones that were asked for least
// lately are forgotten.
const Entries = 64

// leftover is when a directory that a killed relay left is certainly nobody's.
const leftover = time.Hour

// prune keeps the cache from growing for ever. What it fails to remove it finds the
// next time.
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
		var r record
		if text, err := os.ReadFile(old.path); err == nil && json.Unmarshal(text, &r) == nil && filepath.IsLocal(r.Entry) {
			_ = os.Remove(filepath.Join(cache, r.Entry))
		}
		_ = os.Remove(old.path)
	}
}

// whole reports whether the entry that a record names is as it was made. One that
// is not is removed.
func whole(cache, name string) bool {
	text, err := os.ReadFile(name)
	if err != nil {
		return false
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil || !filepath.IsLocal(r.Entry) {
		_ = os.Remove(name)
		return false
	}
	entry := filepath.Join(cache, r.Entry)
	if digest, err := digestFile(entry); err != nil || digest != r.SHA256 {
		_ = os.Remove(entry)
		_ = os.Remove(name)
		return false
	}
	return true
}

// keep moves what the helper made into the cache, the record last.
func keep(cache, dir, name string) error {
	var r record
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if r.Entry != "" || !e.Type().IsRegular() {
			return errors.New("the helper made something else than one entry")
		}
		r.Entry, err = filepath.Rel(dir, path)
		return err
	})
	if err == nil && r.Entry == "" {
		err = errors.New("the helper made no entry")
	}
	if err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	made, entry := filepath.Join(dir, r.Entry), filepath.Join(cache, r.Entry)
	if r.SHA256, err = digestFile(made); err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(entry), 0o700); err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	if err := os.Rename(made, entry); err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	unfinished := filepath.Join(dir, "record")
	if err := os.WriteFile(unfinished, text, 0o600); err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	if err := os.Rename(unfinished, name); err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	return nil
}

func digestFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// compilerVersion is wazero's, as this program was built.
func compilerVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/tetratelabs/wazero" {
				return m.Version
			}
		}
	}
	return "unknown"
}

// processor tells processors apart whose compiled code differs, where the system
// says what they can do.
func processor() string {
	sum := sha256.New()
	sum.Write([]byte(goruntime.GOARCH))
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		lines := bufio.NewScanner(io.LimitReader(f, 64<<10))
		for lines.Scan() {
			if line := lines.Text(); strings.HasPrefix(line, "flags") || strings.HasPrefix(line, "Features") {
				sum.Write([]byte(line))
				break
			}
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

func (o Options) memory() auditrelay.ByteSize { return cmp.Or(o.Memory, 1<<30) }
func (o Options) cpu() time.Duration          { return cmp.Or(o.CPU, 30*time.Second) }
func (o Options) wall() time.Duration         { return cmp.Or(o.Wall, 2*time.Minute) }

// arguments are what Child gets.
func (o Options) arguments(dir string) []string {
	seconds := max(1, int((o.cpu()+time.Second-1)/time.Second))
	return []string{dir, strconv.FormatInt(int64(o.memory()), 10), strconv.Itoa(seconds)}
}
