package crashtest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/guests/conformance"
)

// module writes a guest and returns its line for filters.
func module(t *testing.T, dir, name string, wasm []byte, emit ...string) string {
	t.Helper()
	file := filepath.Join(dir, name+".wasm")
	if err := os.WriteFile(file, wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(wasm)
	grants := ""
	if len(emit) > 0 {
		grants = ", emit: [" + strings.Join(emit, ", ") + "], keys: [key], metrics: [metric]"
	}
	return fmt.Sprintf("  %s: {wasm: %s, sha256: %s, grants: {write: [\"**\"]%s}}\n", name, file, hex.EncodeToString(sum[:]), grants)
}

// beside is the state of a healthy callback, of accepting and of the processes while a module
// ran on another callback.
type beside struct {
	name      string
	delivered int           // delivered events of the healthy callback
	door      time.Duration // p99 of accepting
	relay     int64         // peak of resident memory
	worker    int64         // of the largest one
	pause     time.Duration // the longest pause of the relay's collector
	waited    time.Duration // average time for which a ready thread of the relay waited for a core
	failed    int           // events of the hostile callback
	causes    map[string]int
	next      bool // an event of the hostile callback was judged after a failure
}

// measure runs a module beside a healthy guest for a while, under a steady load. With a nil
// module, the healthy callback has no guest either.
func measure(t *testing.T, name string, wasm []byte, lasts time.Duration) beside {
	t.Helper()
	keep, err := os.ReadFile("../../../testdata/wasm/reference-c/reference-c.wasm")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "auditrelay.yaml")
	key := filepath.Join(dir, "key")
	write(t, key, strings.Repeat("0123456789abcdef", 4))
	filters, hostile, healthy := "", "[]", "[]"
	if wasm != nil {
		filters = "filters:\n" + module(t, dir, "hostile", wasm, "alerts") + module(t, dir, "healthy", keep)
		hostile, healthy = "[hostile]", "[healthy]"
	}
	write(t, config, fmt.Sprintf("data_dir: %s\nkeys: {key: file:%s}\n%scallbacks:\n"+
		"  - {name: hostile, filters: %s, sink: {file: {path: %s}}, chunk: {age: 20ms}}\n"+
		"  - {name: alerts, receives: emitted, sink: {file: {path: %s}}}\n"+
		"  - {name: healthy, filters: %s, sink: {file: {path: %s}}, chunk: {age: 20ms}}\n",
		filepath.Join(dir, "data"), key, filters, hostile,
		filepath.Join(dir, "hostile", "events.ndjson"), filepath.Join(dir, "alerts", "events.ndjson"), healthy, filepath.Join(dir, "healthy", "events.ndjson")))
	r := startRelay(t, address(t), config, "GODEBUG=gctrace=1")
	b := beside{name: name}

	var took []time.Duration
	var mu sync.Mutex
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var producers sync.WaitGroup
	for p := range 2 {
		producers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				var events [][]byte
				for i := range 20 {
					events = append(events, fmt.Appendf(nil, `{"id":"%s-%d-%d-%d","action":"updated","table_name":%q,"updated_values":{"x":%q}}`, name, p, n, i, "T", strings.Repeat("v", 900)))
				}
				began := time.Now()
				if _, err := r.post(ctx, http.DefaultClient, events); err != nil && ctx.Err() == nil {
					t.Errorf("%s: the door: %v", name, err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
				select {
				case <-ctx.Done():
				case <-time.After(10 * time.Millisecond): // a steady load below the maximum
				}
			}
		})
	}
	for ctx.Err() == nil {
		for _, pid := range r.workers(t) {
			b.worker = max(b.worker, resident(pid))
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond): // other processes send no signal
		}
	}
	producers.Wait()
	b.delivered = int(r.callback(t, "healthy").Account.Delivered) //nolint:gosec // small
	if wasm != nil {
		r.eventually(t, time.Minute, name+": a failure, and an event behind it", func() (bool, string) {
			account := r.callback(t, "hostile").Account
			return account.DeadLettered > 0 && account.DeadLettered+account.Delivered > 1, fmt.Sprint(account)
		})
	}
	slices.Sort(took)
	b.door = took[len(took)*99/100]
	b.relay, b.waited = r.memory(t, "VmHWM"), r.waited()
	account := r.callback(t, "hostile").Account
	b.failed, b.next = int(account.DeadLettered), account.Delivered > 0 || account.DeadLettered > 1 //nolint:gosec // small
	b.causes = r.causes(t, "hostile")
	r.kill()
	b.pause = longestPause(r.log.String())
	return b
}

// waited returns the average time for which the relay's ready threads wait for a core, or 0 if
// the system does not tell. A garbage collection stops all threads, so it waits for the
// slowest.
func (r *relay) waited() time.Duration {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", r.cmd.Process.Pid))
	waited, turns := int64(0), int64(0)
	for _, f := range files {
		text, _ := os.ReadFile(f)
		if fields := strings.Fields(string(text)); len(fields) == 3 {
			ns, _ := strconv.ParseInt(fields[1], 10, 64)
			n, _ := strconv.ParseInt(fields[2], 10, 64)
			waited, turns = waited+ns, turns+n
		}
	}
	return time.Duration(waited / max(1, turns))
}

// resident returns a process's peak of resident memory, or 0 if it has ended.
func resident(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

var collection = regexp.MustCompile(`(?m)^gc \d+ .*: ([0-9.]+)\+[0-9.]+\+([0-9.]+) ms clock`)

// longestPause returns the longest stop of a Go program by a garbage collection.
func longestPause(log string) time.Duration {
	longest := 0.0
	for _, m := range collection.FindAllStringSubmatch(log, -1) {
		for _, text := range m[1:] {
			ms, _ := strconv.ParseFloat(text, 64)
			longest = max(longest, ms)
		}
	}
	return time.Duration(longest * float64(time.Millisecond))
}

// TestBesideHostile runs every module of the conformance kit that loads and fails at an event
// in the real program beside a healthy guest. It reports the slowdown of the healthy one and of
// accepting, compared with a plain loop. It runs only with AUDITRELAY_SOAK; a number above 1 is
// the number of seconds each. AUDITRELAY_GUESTS selects modules by name.
func TestBesideHostile(t *testing.T) {
	soak := os.Getenv("AUDITRELAY_SOAK")
	if soak == "" {
		t.Skip("AUDITRELAY_SOAK is not set")
	}
	seconds, _ := strconv.Atoi(soak)
	lasts := time.Duration(max(seconds, 3)) * time.Second
	only := regexp.MustCompile(os.Getenv("AUDITRELAY_GUESTS"))
	cases, err := conformance.Cases()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(cases, func(c conformance.Case) bool { return c.Name == "loop" })
	loop := cases[i].Wasm
	var base []beside
	_ = measure(t, "loop", loop, lasts) // one-time costs, such as compilation
	none := measure(t, "none", nil, lasts)
	var all []beside
	for _, c := range cases {
		if c.Refused != "" || c.Cause == auditrelay.CauseNone || strings.HasPrefix(c.Name, "pointer-") || !only.MatchString(c.Name) {
			continue
		}
		if len(all)%5 == 0 {
			base = append(base, measure(t, "loop", loop, lasts))
		}
		b := measure(t, c.Name, c.Wasm, lasts)
		all = append(all, b)
		if !b.next || b.causes[string(c.Cause)] == 0 || len(b.causes) != 1 {
			t.Errorf("%s: %d failed, causes %v, the next event was judged: %v", c.Name, b.failed, b.causes, b.next)
		}
		if b.relay >= mostMemory {
			t.Errorf("%s: the relay took %d MiB", c.Name, b.relay>>20)
		}
	}
	throughput, door := 0, time.Duration(0)
	t.Logf("no guests: %d delivered, door p99 %v, relay %d MiB, collector pause %v, waited %v for a core", none.delivered, none.door, none.relay>>20, none.pause, none.waited)
	for _, b := range base {
		throughput, door = throughput+b.delivered/len(base), door+b.door/time.Duration(len(base))
		t.Logf("a plain loop: %d delivered beside it, door p99 %v, collector pause %v, waited %v for a core", b.delivered, b.door, b.pause, b.waited)
	}
	slices.SortFunc(all, func(a, b beside) int { return cmp.Compare(a.delivered, b.delivered) })
	for _, b := range all {
		t.Logf("%-20s healthy %.2f and door p99 %.2f of a plain loop's; relay %d MiB, worker %d MiB, collector pause %v, waited %v; %d failed, %v", b.name,
			float64(b.delivered)/float64(throughput), float64(b.door)/float64(door), b.relay>>20, b.worker>>20, b.pause, b.waited, b.failed, b.causes)
	}
}
