package crashtest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWorkersAreKilled repeatedly kills the processes that run guests while events arrive.
// Every event is delivered, none is dead-lettered, and the relay's own process, which contains
// no guest code, is unaffected.
func TestWorkersAreKilled(t *testing.T) {
	if goruntime.GOOS != "linux" {
		t.Skip("other systems have no worker processes")
	}
	kills := rounds(t, 8)
	t.Parallel()
	module, err := filepath.Abs("../../../testdata/wasm/reference-c/reference-c.wasm")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(code)
	dir := t.TempDir()
	files := filepath.Join(dir, "files")
	config := filepath.Join(dir, "auditrelay.yaml")
	write(t, config, fmt.Sprintf(`
data_dir: %s
filters:
  rules: {wasm: %s, sha256: %s, grants: {write: ["changed_by_api_key", "updated_values.password"]}}
callbacks:
  - name: files
    filters: [rules]
    sink: {file: {path: %s}}
    chunk: {age: 20ms, events: 500}
    backoff: {initial: 10ms, max: 100ms}
`, filepath.Join(dir, "data"), module, hex.EncodeToString(sum[:]), filepath.Join(files, "events.ndjson")))
	r := startRelay(t, address(t), config)

	const each = 2000
	sent := 0
	for n := range kills {
		var events [][]byte
		for range each {
			events = append(events, fmt.Appendf(nil, `{"id":"w-%d","action":"created","changed_by_api_key":"sk-never-to-be-seen","updated_values":{"password":"hunter2"}}`, sent))
			sent++
		}
		accepted, err := r.post(context.Background(), http.DefaultClient, events)
		if err != nil || len(accepted) != each {
			t.Fatalf("%d accepted, %v", len(accepted), err)
		}
		for _, pid := range r.workers(t) {
			if _, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil && n > 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	for _, c := range r.settle(t, time.Minute) {
		// plus the relay's own records, such as the one of its start
		if c.Account.Delivered < uint64(sent) || c.Account.Delivered != c.Account.Assigned {
			t.Errorf("%d of %d delivered: %+v", c.Account.Delivered, sent, c.Account)
		}
	}
	arrived := objects(t, files)
	for i := range sent {
		if n := arrived[fmt.Sprintf("w-%d", i)]; n < 1 {
			t.Fatalf("event w-%d did not arrive", i)
		}
	}
	if maps := r.guestCode(t); len(maps) > 0 {
		t.Errorf("the relay's process has executable memory of its own making:\n%s", strings.Join(maps, "\n"))
	}
	if len(r.workers(t)) == 0 {
		t.Error("no worker runs")
	}
}

// workers returns the processes that run guests.
func (r *relay) workers(t *testing.T) (pids []int) {
	t.Helper()
	resp, err := http.Get(r.url + "/v1/filters")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var filters []struct {
		Workers []struct {
			PID int `json:"pid"`
		} `json:"workers"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&filters); err != nil {
		t.Fatal(err)
	}
	for _, f := range filters {
		for _, w := range f.Workers {
			pids = append(pids, w.PID)
		}
	}
	return pids
}

// guestCode returns the executable mappings of the relay's process that come from no file: the
// output of a compiler of modules.
func (r *relay) guestCode(t *testing.T) (found []string) {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", r.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 5 && strings.Contains(fields[1], "x") && fields[4] == "0" && (len(fields) == 5 || !strings.HasPrefix(fields[5], "[v")) {
			found = append(found, lines.Text())
		}
	}
	return found
}
