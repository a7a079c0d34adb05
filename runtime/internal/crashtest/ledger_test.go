package crashtest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/gjson"
)

// ledger is the producers' knowledge, outside the tested program: sent events, and acknowledged
// events, which are on disk before they count.
type ledger struct {
	mu    sync.Mutex
	file  *os.File
	sent  map[string]string // id -> action
	acked map[string]bool
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "acknowledged"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &ledger{file: f, sent: map[string]string{}, acked: map[string]bool{}}
}

func (l *ledger) send(events [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.sent[gjson.GetBytes(e, "id").Str] = gjson.GetBytes(e, "action").Str
	}
}

func (l *ledger) acknowledge(ids []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		l.acked[id] = true
		fmt.Fprintln(l.file, id)
	}
	return l.file.Sync()
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// objects reads every record below a folder of objects or files, and counts them by id. It
// skips manifests and the sink's own state.
func objects(t *testing.T, root string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := filepath.Base(path)
		data := strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".ndjson") || strings.HasSuffix(name, ".ndjson.gz")
		if !data || strings.Contains(path, "manifest") {
			return nil
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if body, err = io.ReadAll(z); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		for line := range bytes.Lines(body) {
			id := gjson.GetBytes(line, "id")
			if !gjson.ValidBytes(line) || !id.Exists() {
				return fmt.Errorf("%s: a line is no event", path)
			}
			if strings.HasPrefix(gjson.GetBytes(line, "table_name").Str, "auditrelay_") {
				continue // the relay's own record
			}
			counts[id.Str]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// compare checks that the arrived events are the acknowledged ones: each event for the callback
// once, and none that was never sent. It returns the number of missing acknowledged events.
func (l *ledger) compare(t *testing.T, callback string, arrived map[string]int, receives func(action string) bool) (lost int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.acked {
		if receives(l.sent[id]) && arrived[id] == 0 {
			lost++
		}
	}
	for id, n := range arrived {
		action, ok := l.sent[id]
		switch {
		case !ok:
			t.Errorf("%s: event %s arrived and was never sent", callback, id)
		case n > 1:
			t.Errorf("%s: event %s arrived %d times", callback, id, n)
		case !receives(action):
			t.Errorf("%s: event %s arrived, but its action is %s", callback, id, action)
		}
	}
	t.Logf("%s: %d acknowledged, %d arrived (what was not acknowledged may arrive too)", callback, len(l.acked), len(arrived))
	return lost
}

// differ is like compare, but counts doubled events too.
func (l *ledger) differ(t *testing.T, callback string, arrived map[string]int, receives func(action string) bool) (lost, doubled int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.acked {
		if receives(l.sent[id]) && arrived[id] == 0 {
			lost++
		}
	}
	for id, n := range arrived {
		if n > 1 {
			doubled++
		}
		if action, ok := l.sent[id]; !ok || !receives(action) {
			t.Errorf("%s: event %s arrived, which was not sent to it", callback, id)
		}
	}
	t.Logf("%s: %d acknowledged, %d arrived, %d lost, %d doubled", callback, len(l.acked), len(arrived), lost, doubled)
	return lost, doubled
}
