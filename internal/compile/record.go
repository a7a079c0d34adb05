package compile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// Entry is what the cache contains for a module besides its code.
type Entry struct {
	Outline []byte // what to load; see Outline
	Note    []byte // as passed to Fill
}

// record describes one cache entry. Its file contains the digest of all that follows, the
// record, and the outline.
type record struct {
	Entry string `json:"entry"` // file with the code, relative to the cache
	Sum   uint32 `json:"sum"`   // checksum of that file
	Note  []byte `json:"note"`
}

// recordsDir is the directory of the records inside the cache's directory.
const recordsDir = "auditrelay"

var errRecord = errors.New("damaged record")

// Find returns the entry under a key. A damaged entry, including damaged code, is removed and
// not found.
func Find(cacheDir string, key [32]byte) (Entry, bool) {
	name := recordName(cacheDir, key)
	text, err := os.ReadFile(name)
	if err != nil {
		return Entry{}, false
	}
	r, outline, err := decodeRecord(text)
	if err != nil {
		_ = os.Remove(name)
		return Entry{}, false
	}
	if sum, err := checksum(filepath.Join(cacheDir, r.Entry)); err != nil || sum != r.Sum {
		remove(cacheDir, name)
		return Entry{}, false
	}
	now := time.Now()
	_ = os.Chtimes(name, now, now) // the oldest are removed first; a wrong order costs one compilation
	return Entry{Outline: outline, Note: r.Note}, true
}

// Forget removes the entry under a key.
func Forget(cacheDir string, key [32]byte) { remove(cacheDir, recordName(cacheDir, key)) }

// remove removes a record and its code, if they exist.
func remove(cacheDir, name string) {
	if text, err := os.ReadFile(name); err == nil {
		if r, _, err := decodeRecord(text); err == nil {
			_ = os.Remove(filepath.Join(cacheDir, r.Entry))
		}
	}
	_ = os.Remove(name)
}

func (r *record) encode(outline []byte) ([]byte, error) {
	head, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	body := append(append(head, '\n'), outline...)
	sum := sha256.Sum256(body)
	return append([]byte(hex.EncodeToString(sum[:])+"\n"), body...), nil
}

func decodeRecord(text []byte) (r record, outline []byte, err error) {
	sum, body, _ := bytes.Cut(text, []byte("\n"))
	if got := sha256.Sum256(body); string(sum) != hex.EncodeToString(got[:]) {
		return r, nil, errRecord
	}
	head, outline, _ := bytes.Cut(body, []byte("\n"))
	if err := json.Unmarshal(head, &r); err != nil || !filepath.IsLocal(r.Entry) {
		return r, nil, errRecord
	}
	return r, outline, nil
}

// recordName returns the file of a key's record. It depends on the compiler's version and on
// the processor.
func recordName(cacheDir string, key [32]byte) string {
	return filepath.Join(cacheDir, recordsDir, hex.EncodeToString(key[:])+"-"+compilerVersion()+"-"+processor())
}

// compilerVersion returns wazero's version in this binary.
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

// Prepare reads the system information that Find needs, so that Find still works when files
// outside the cache are out of reach.
func Prepare() { processor() }

// processor distinguishes processors for which the compiled code differs, if the system reports
// their features.
var processor = sync.OnceValue(func() string {
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
})
