package crashtest

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"auditrelay/builtin/sqlite"

	"github.com/tidwall/gjson"
)

// TestKillWithAStore kills the program at random times while 32 producers send, with a store as
// its callback. Acknowledged events are in the store once.
func TestKillWithAStore(t *testing.T) {
	lives(t, rounds(t, 3), killWithAStore)
}

func killWithAStore(t *testing.T, n int) {
	dir := t.TempDir()
	config := filepath.Join(dir, "auditrelay.yaml")
	write(t, config, fmt.Sprintf(`
data_dir: %s
%s
callbacks:
  - name: store
    sink: {sqlite: {}}
    chunk: {age: 10ms, events: 100}
    backoff: {initial: 10ms, max: 100ms}
`, filepath.Join(dir, "data"), oftenSigned))
	auditor := newAuditor(t, filepath.Join(dir, "data"), config, filepath.Join(dir, "data", "store", "store.db"))
	listen := address(t)
	book := newLedger(t)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for round := range n {
		load(t, startRelay(t, listen, config), book, uint64(round+1), random)
		if err := auditor.left(t); err != nil {
			t.Fatalf("kill %d: %v", round+1, err)
		}
	}
	r := startRelay(t, listen, config)
	r.settle(t, 2*time.Minute)
	if lost := book.compare(t, "store", exported(t, r), func(string) bool { return true }); lost > 0 {
		t.Errorf("%d acknowledged events are lost", lost)
	}
	// The store's cheap count is correct.
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "data", "store", "store.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rows, err := s.Rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if at, err := s.Newest(t.Context()); err != nil || rows > at || rows < int64(book.count()) {
		t.Errorf("it counts %d records, %d positions were given, %d events acknowledged: %v", rows, at, book.count(), err)
	}
	if err := auditor.whole(t, r); err != nil {
		t.Error(err)
	}
}

// exported reads all of LiteLLM's events back, counted by id.
func exported(t *testing.T, r *relay) map[string]int {
	t.Helper()
	resp, err := http.Get(r.url + "/audit/export?format=ndjson&ending=false")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	counts := map[string]int{}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if gjson.GetBytes(lines.Bytes(), "auditrelay_record.namespace").Str == "litellm" {
			counts[gjson.GetBytes(lines.Bytes(), "id").Str]++
		}
	}
	if err := lines.Err(); err != nil || resp.Trailer.Get("Auditrelay-Export-Complete") != "true" {
		t.Fatalf("the export: %v, %v", err, resp.Trailer)
	}
	return counts
}
