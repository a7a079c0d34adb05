package crashtest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// The limits with a million events behind a dead destination.
const mostRecovery = 5 * time.Second

// TestBacklog piles up events behind one dead sink. The program stays small, and restarts
// quickly after a kill. It runs only with AUDITRELAY_SOAK; a number above 1 is the number of
// events, otherwise it is a million.
func TestBacklog(t *testing.T) {
	soak := os.Getenv("AUDITRELAY_SOAK")
	if soak == "" {
		t.Skip("AUDITRELAY_SOAK is not set")
	}
	events := 1_000_000
	if n, err := strconv.Atoi(soak); err == nil && n > 1 {
		events = n
	}
	dead, err := net.Listen("tcp", "127.0.0.1:0") // nobody answers on it
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "auditrelay.yaml")
	write(t, config, fmt.Sprintf(`
data_dir: %s
callbacks:
  - name: dead
    sink: {s3: {bucket: audit, endpoint: "http://%s", region: us-east-1, addressing: path, credentials: {access_key_id: a, secret_access_key: bbbbbbbb}}}
    timeout: 2s
    backoff: {max: 2s}
  - name: files
    sink: {file: {path: %s}}
`, filepath.Join(dir, "data"), dead.Addr(), filepath.Join(dir, "files", "events.ndjson")))
	listen := address(t)
	r := startRelay(t, listen, config)
	book := newLedger(t)
	start := time.Now()
	producers := startTraffic(t, r, book, 8, 500, time.Millisecond, fromCorpus(1))
	r.eventually(t, 15*time.Minute, "the backlog", func() (bool, string) {
		return book.count() >= events, fmt.Sprint(book.count())
	})
	producers.stop()
	t.Logf("%d events accepted in %s", book.count(), time.Since(start).Round(time.Second))
	small := func(r *relay, when string) {
		peak := r.memory(t, "VmHWM")
		t.Logf("%s: %d MiB resident at the peak, %d MiB now", when, peak>>20, r.memory(t, "VmRSS")>>20)
		if peak >= mostMemory {
			t.Errorf("%s: %d MiB were resident", when, peak>>20)
		}
	}
	small(r, "while it piled up")
	r.kill()
	for range 3 {
		start := time.Now()
		r = startRelay(t, listen, config)
		took := time.Since(start)
		pending := r.callback(t, "dead").Account.Pending
		t.Logf("ready after %s with %d pending", took.Round(time.Millisecond), pending)
		if took >= mostRecovery || pending < uint64(events) {
			t.Errorf("ready after %s with %d pending", took, pending)
		}
		small(r, "after the start")
		r.kill()
	}
}
