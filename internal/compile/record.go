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

// Entry is what the cache has of a module beside its code.
type Entry struct {
	Outline []byte // what to load; see Outline
	Note    []byte // as Fill got it
}

// record is what the cache knows of one entry of its own. In its file it stands
// after the digest of all that follows, and the outline behind it.
type record struct {
	Entry string `json:"entry"` // the file with the code, relative to the cache
	Sum   uint32 `json:"sum"`   // of its content
	Note  []byte `json:"note"`
}

// recordsDir is where records are, in the cache's directory.
const recordsDir = "auditrelay"

var errRecord = errors.New("damaged record")

// Find returns what the cache has under a key. What is damaged, the code included,
// is removed and not found.
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
	_ = os.Chtimes(name, now, now) // the oldest go first; a wrong order costs a compilation
	return Entry{Outline: outline, Note: r.Note}, true
}

// Forget removes what the cache has under a key.
func Forget(cacheDir string, key [32]byte) { remove(cacheDir, recordName(cacheDir, key)) }

// remove removes a record and its entry, as far as there is either.
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

// recordName is the file of a key's record. Another version of the compiler makes
// another entry, and so does one on another processor.
func recordName(cacheDir string, key [32]byte) string {
	return filepath.Join(cacheDir, recordsDir, hex.EncodeToString(key[:])+"-"+compilerVersion()+"-"+processor())
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

// Prepare reads what Find asks the system for, so that it finds the same once files beside
// the cache are out of reach.
func Prepare() { processor() }

// processor tells processors apart whose compiled code differs, where the system
// says what they can do.
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
