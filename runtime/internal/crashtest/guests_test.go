package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"auditrelay/guests/conformance"
)

// hostileGuests are cases of the conformance kit, one for each kind of attack at an event.
// There are as many worker processes at a time.
var hostileGuests = []string{"loop", "loads-chain", "recursion-wide", "bulk-fill", "memory-grow", "redact-quadratic", "query-stars", "find-wide", "edit-far"}

// TestHostileGuests runs hostile modules in the real program, each on its own callback, beside
// a callback without guests. Each event of that one arrives. Each hostile event fails with its
// cause, the next one of the same callback arrives, and the relay's process stays small.
func TestHostileGuests(t *testing.T) {
	if goruntime.GOOS != "linux" {
		t.Skip("other systems have no worker processes")
	}
	rounds(t, 1)
	t.Parallel()
	cases, err := conformance.Cases()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]conformance.Case{}
	for _, c := range cases {
		for _, name := range hostileGuests {
			if c.Name == name {
				want[name] = c
			}
		}
	}
	if len(want) != len(hostileGuests) {
		t.Fatalf("the kit has %d of %d", len(want), len(hostileGuests))
	}
	dir := t.TempDir()
	files := filepath.Join(dir, "files")
	filters, callbacks := "", ""
	for name, c := range want {
		filters += module(t, dir, name, c.Wasm)
		callbacks += fmt.Sprintf("  - {name: %s, filters: [%s], sink: {file: {path: %s}}, chunk: {age: 20ms}}\n", name, name, filepath.Join(dir, "hostile", name, "events.ndjson"))
	}
	config := filepath.Join(dir, "auditrelay.yaml")
	write(t, config, fmt.Sprintf("data_dir: %s\nfilters:\n%scallbacks:\n%s  - {name: healthy, sink: {file: {path: %s}}, chunk: {age: 20ms}}\n",
		filepath.Join(dir, "data"), filters, callbacks, filepath.Join(files, "events.ndjson")))
	r := startRelay(t, address(t), config)

	const events = 12
	for n := range events {
		body := fmt.Appendf(nil, `{"id":"g-%d","action":"created","table_name":%q,"updated_values":{"a":1}}`, n, strings.Repeat("T", 900))
		if accepted, err := r.post(context.Background(), http.DefaultClient, [][]byte{body}); err != nil || len(accepted) != 1 {
			t.Fatalf("%v, %v", accepted, err)
		}
	}
	for _, c := range r.settle(t, 3*time.Minute) {
		a := c.Account
		switch {
		case c.Name == "healthy" && a.Delivered != a.Assigned:
			t.Errorf("healthy: %+v", a)
		case c.Name != "healthy" && (a.DeadLettered < events/4 || a.Delivered < events/4):
			t.Errorf("%s: %+v", c.Name, a)
		}
		if c.Name == "healthy" {
			continue
		}
		causes := r.causes(t, c.Name)
		if len(causes) != 1 || causes[string(want[c.Name].Cause)] == 0 {
			t.Errorf("%s: causes %v, want %s", c.Name, causes, want[c.Name].Cause)
		}
	}
	arrived := objects(t, files)
	for n := range events {
		if arrived[fmt.Sprintf("g-%d", n)] != 1 {
			t.Errorf("event g-%d arrived %d times", n, arrived[fmt.Sprintf("g-%d", n)])
		}
	}
	peak := r.memory(t, "VmHWM")
	t.Logf("the relay's process: %d MiB resident at the peak", peak>>20)
	if peak >= mostMemory {
		t.Errorf("%d MiB were resident at the peak", peak>>20)
	}
}

// causes counts a callback's dead letters by cause.
func (r *relay) causes(t *testing.T, callback string) map[string]int {
	t.Helper()
	resp, err := http.Get(r.url + "/v1/callbacks/" + callback + "/dead-letters")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var letters []struct {
		Cause string `json:"cause"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&letters); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("dead letters: status %d, %v", resp.StatusCode, err)
	}
	counts := map[string]int{}
	for _, d := range letters {
		counts[d.Cause]++
	}
	return counts
}
