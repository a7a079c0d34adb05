package fanout_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"auditrelay/internal/test/child"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/logstore"
	"auditrelay/internal/test/receiver"
	"auditrelay/internal/test/s3test"
)

const (
	few  = 100_000
	many = 1_000_000
	// most is the relay's memory limit.
	most = 256 << 20
)

var events = flag.Int("events", 0, "how many; default 100,000, and a million with AUDITRELAY_SOAK")

func soak() bool { return os.Getenv("AUDITRELAY_SOAK") != "" }

// binary builds the program once, like a release.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "auditrelay-fanout")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "auditrelay")
	build := exec.Command("go", "build", "-o", path, "auditrelay/cmd/auditrelay")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})

// run is one run of the program with its five destinations.
type run struct {
	url       string
	pid       int
	dir       string
	bucket    string
	s3        *s3test.Server
	store     *logstore.Store
	hook      *receiver.Receiver
	dead      *faultproxy.Proxy // in front of hook
	ambiguous atomic.Int64      // events in requests whose response was lost
}

// healthy are the callbacks whose destinations have no trouble.
var healthy = []string{"archive", "datadog", "local"}

// start starts the destinations and the program. With trouble, Splunk's destination fails a fifth
// of the requests, and the webhook's endpoint is dead until settle revives it.
func start(t *testing.T, trouble bool) *run {
	t.Helper()
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	r := &run{dir: t.TempDir(), bucket: "audit", s3: s3test.Start(t, "audit"), store: logstore.Start(t)}
	r.hook = receiver.Webhook(t, nil, func(body []byte) [][]byte {
		var docs []json.RawMessage
		if json.Unmarshal(body, &docs) != nil {
			return nil
		}
		ids := make([][]byte, len(docs))
		for i, d := range docs {
			ids[i] = []byte(idOf(d))
		}
		return ids
	})
	r.dead = faultproxy.Start(t, r.hook.URL)
	splunk := faultproxy.Start(t, r.store.URL)
	r.dead.Every(1, faultproxy.Pass)
	if trouble {
		r.dead.Every(1, faultproxy.Reset)
		// The test cannot know what the store accepted of a request without a response.
		ambiguous := func(f faultproxy.Fault) faultproxy.Fault {
			return faultproxy.Watched(f, func(body []byte) {
				r.ambiguous.Add(int64(bytes.Count(body, []byte(`"auditrelay_sequence"`))))
			})
		}
		splunk.Every(5, faultproxy.Answer(503, `{"text":"Server is busy","code":9}`), faultproxy.Reset, ambiguous(faultproxy.Torn(5000)),
			ambiguous(faultproxy.LoseAnswer), faultproxy.Answer(429, ""), faultproxy.Answer(502, "<html>"))
	} else {
		splunk.Every(1, faultproxy.Pass)
	}
	guard := `{allow_networks: [loopback], proxy: none}`
	config := fmt.Sprintf(`
data_dir: %[1]s/data
journal: {reserve: 0}
callbacks:
  - {name: archive, chunk: {age: 100ms}, sink: {s3: {bucket: %[2]s, endpoint: %[3]q, region: us-east-1, addressing: path, credentials: {access_key_id: %[4]s, secret_access_key: %[5]s}}}}
  - {name: splunk, chunk: {age: 100ms}, format: ocsf, must_not_leave: {detectors: [secrets]}, backoff: {initial: 10ms, max: 200ms}, sink: {splunk: {url: %[6]q, token: token, http: %[7]s}}}
  - {name: datadog, chunk: {age: 100ms}, must_not_leave: {detectors: [secrets]}, sink: {datadog: {url: %[8]q, api_key: key, http: %[7]s}}}
  - {name: hook, chunk: {age: 100ms}, must_not_leave: {detectors: [secrets]}, backoff: {initial: 10ms, max: 200ms}, sink: {webhook: {url: %[9]q, body: array, http: %[7]s}}}
  - {name: local, chunk: {age: 100ms}, sink: {file: {path: %[1]s/out/audit.ndjson}}}
`, r.dir, r.bucket, r.s3.Endpoint, s3test.AccessKey, s3test.SecretKey, splunk.URL, guard, r.store.URL+"/insert/datadog", r.dead.URL)
	file := filepath.Join(r.dir, "auditrelay.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	r.serve(t, program, file)
	return r
}

func (r *run) serve(t *testing.T, program, file string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	r.url = "http://" + address
	var log bytes.Buffer
	cmd := exec.Command(program, "serve", "--config", file, "--listen", address)
	cmd.Env = append(os.Environ(), "GODEBUG=")
	cmd.Stdout, cmd.Stderr = &log, &log
	ended, err := child.Start(t, cmd)
	if err != nil {
		t.Fatal(err)
	}
	r.pid = cmd.Process.Pid
	for deadline := time.Now().Add(60 * time.Second); ; {
		if answer, err := http.Get(r.url + "/readyz"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ended:
			t.Fatalf("the program ended:\n%s", log.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the program is not ready after a minute")
		}
	}
}

// send sends n events in requests of 1,000.
func (r *run) send(t *testing.T, from, n int) {
	t.Helper()
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000000+00:00")
	for n > 0 {
		var body bytes.Buffer
		size := min(n, 1000)
		for i := range size {
			fmt.Fprintf(&body, `{"id":"event-%d","updated_at":"%s","changed_by":"user-%d","changed_by_api_key":"","action":"updated","table_name":"LiteLLM_TeamTable","object_id":"team-%d","before_value":"{\"max_budget\":%d,\"models\":[\"gpt-4o\",\"claude-sonnet-4\"]}","updated_values":"{\"max_budget\":%d,\"models\":[\"gpt-4o\"],\"note\":\"raised for the launch\"}"}`+"\n",
				from+i, now, i%50, i%100, i, i*2)
		}
		for { // retry after a 503 of a busy journal, as every sender must
			answer, err := http.Post(r.url+"/v1/events", "application/x-ndjson", bytes.NewReader(body.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(io.LimitReader(answer.Body, 500))
			answer.Body.Close()
			if answer.StatusCode/100 == 2 {
				break
			}
			if answer.StatusCode != http.StatusServiceUnavailable {
				t.Fatalf("status %d: %s", answer.StatusCode, text)
			}
		}
		from, n = from+size, n-size
	}
}

// account is a callback's account, as the program reports it.
type account struct {
	Assigned, Delivered, Pending, Filtered, Discarded, Skipped uint64
	DeadLettered                                               uint64 `json:"dead_lettered"`
	Balanced                                                   bool
}

func (r *run) account(t *testing.T, name string) account {
	t.Helper()
	answer, err := http.Get(r.url + "/v1/callbacks/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var status struct{ Account account }
	if err := json.NewDecoder(answer.Body).Decode(&status); err != nil {
		t.Fatal(err)
	}
	return status.Account
}

// await waits until each callback has delivered n events, and returns the times.
func (r *run) await(t *testing.T, n int, names ...string) map[string]time.Time {
	t.Helper()
	done := map[string]time.Time{}
	for deadline := time.Now().Add(20 * time.Minute); len(done) < len(names); time.Sleep(20 * time.Millisecond) {
		for _, name := range names {
			if done[name].IsZero() && r.account(t, name).Delivered >= uint64(n) {
				done[name] = time.Now()
			}
		}
		if time.Now().After(deadline) {
			for _, name := range names {
				t.Logf("%s: %+v", name, r.account(t, name))
			}
			t.Fatal("it is not done after twenty minutes")
		}
	}
	return done
}

// peak returns the program's maximum memory in bytes, or 0 if the system does not report it.
func (r *run) peak(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.pid))
	if err != nil {
		return 0
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if found == nil {
		return 0
	}
	kb, _ := strconv.Atoi(string(found[1]))
	return kb << 10
}

func idOf(doc []byte) string {
	_, rest, _ := bytes.Cut(doc, []byte(`"id":"`))
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(id)
}

// The two programs take turns, each with a twentieth of the events, until the lag is certain: at
// least fewTurns, at most manyTurns.
const (
	fewTurns  = 8
	manyTurns = 24
	shares    = 20
)

// turn sends n events, numbered from from. It returns how long each healthy callback took until it
// had delivered the last one. total is the number of events that each has then delivered.
func (r *run) turn(t *testing.T, from, n int) (lags map[string]time.Duration, total int) {
	t.Helper()
	total = int(r.account(t, healthy[0]).Delivered) + n
	begun := time.Now()
	r.send(t, from, n)
	lags = map[string]time.Duration{}
	for name, at := range r.await(t, total, healthy...) {
		lags[name] = at.Sub(begun)
	}
	return lags, total
}

// signal stops or continues the program.
func (r *run) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(r.pid, s); err != nil {
		t.Fatal(err)
	}
}

// TestFiveDestinationsAtOnce: accounts balance, memory is bounded, and every destination has every
// event, at most the ambiguous ones twice. A destination in trouble does not slow down the others.
// To measure this, a second program with healthy destinations takes turns with the first. Each is
// stopped while the other runs, so the machine's other load affects both. See heldUp for the
// decision.
func TestFiveDestinationsAtOnce(t *testing.T) {
	n := cmp.Or(*events, few)
	if *events == 0 && soak() {
		n = many
	}
	troubled := start(t, true)
	sent := compare(t, troubled, max(n/shares, 1))
	if sent < n {
		troubled.send(t, sent, n-sent)
	}
	troubled.settle(t, max(n, sent))
}

// compare lets both programs take turns of size events, and returns how many events troubled
// received.
func compare(t *testing.T, troubled *run, size int) (sent int) {
	sound := start(t, false)
	sound.signal(t, syscall.SIGSTOP)
	ratios := map[string][]float64{}
	var verdicts map[string]verdict
	for i := range manyTurns {
		var got, base map[string]time.Duration
		beside := func() { got, _ = troubled.turn(t, sent, size) }
		alone := func() {
			troubled.signal(t, syscall.SIGSTOP)
			sound.signal(t, syscall.SIGCONT)
			var total int
			base, total = sound.turn(t, sent, size)
			sound.await(t, total, "splunk", "hook") // nothing remains for its next turn
			sound.signal(t, syscall.SIGSTOP)
			troubled.signal(t, syscall.SIGCONT)
		}
		for _, turn := range [][]func(){{beside, alone}, {alone, beside}}[i%2] {
			turn()
		}
		sent += size
		verdicts = map[string]verdict{}
		for _, name := range healthy {
			ratios[name] = append(ratios[name], float64(got[name])/float64(base[name]))
			verdicts[name] = heldUp(ratios[name])
		}
		t.Logf("turn %d: from the first event to the last delivered %v, with healthy destinations %v", i, got, base)
		if i+1 >= fewTurns && verdicts[healthy[0]] != unclear && verdicts[healthy[1]] != unclear && verdicts[healthy[2]] != unclear {
			break
		}
	}
	for _, name := range healthy {
		t.Logf("%s: %.2f of the time that it takes with healthy destinations, by the median of %.2f: %v", name, median(ratios[name]), ratios[name], verdicts[name])
		if verdicts[name] == held {
			t.Errorf("%s is held up by destinations in trouble: it takes over %.1f of the time that it takes with healthy ones", name, mostLag)
		}
	}
	return sent
}

// settle revives the dead destination, and checks that all events are at all destinations.
func (r *run) settle(t *testing.T, n int) {
	if hook := r.account(t, "hook"); hook.Delivered != 0 || hook.Pending == 0 {
		t.Errorf("the dead destination's account: %+v", hook)
	}
	r.dead.Every(1, faultproxy.Pass)
	// All callbacks also get the relay's own events about its policies.
	all := int(r.account(t, "local").Assigned)
	if all < n || all > n+10 {
		t.Errorf("%d events were accepted, %d were sent", all, n)
	}
	r.await(t, all, append([]string{"splunk", "hook"}, healthy...)...)
	for _, name := range append([]string{"splunk", "hook"}, healthy...) {
		if a := r.account(t, name); a != (account{Assigned: uint64(all), Delivered: uint64(all), Balanced: true}) {
			t.Errorf("%s: %+v", name, a)
		}
	}
	t.Logf("memory %d MiB, %d events in requests whose answer was lost", r.peak(t)>>20, r.ambiguous.Load())
	if r.peak(t) > most {
		t.Errorf("the program held %d MiB, at most %d", r.peak(t)>>20, most>>20)
	}
	r.arrived(t, all)
}

// arrived checks the events at the destinations.
func (r *run) arrived(t *testing.T, n int) {
	t.Helper()
	once := func(name string, seen map[string]int, doubles int64) {
		doubled := int64(0)
		for _, times := range seen {
			doubled += int64(times - 1)
		}
		t.Logf("%s: %d events, %d doubled", name, len(seen), doubled)
		if len(seen) != n || doubled > doubles {
			t.Errorf("%s has %d of %d events, and %d twice, at most %d", name, len(seen), n, doubled, doubles)
		}
	}
	once("archive", count(r.objects(t)), 0)
	once("local", count(r.lines(t)), 0)
	once("hook", count(slices.Values(texts(r.hook.Documents()))), 0)
	once("datadog", r.store.Count(t, "auditrelay.sequence", n), 0)
	if r.ambiguous.Load() == 0 {
		t.Error("no answer of Splunk's was lost: the faults did not happen")
	}
	once("splunk", r.store.Count(t, "fields.auditrelay_sequence", n), r.ambiguous.Load())
}

func texts(docs [][]byte) []string {
	all := make([]string, len(docs))
	for i, d := range docs {
		all[i] = string(d)
	}
	return all
}

func count(ids func(func(string) bool)) map[string]int {
	seen := map[string]int{}
	for id := range ids {
		seen[id]++
	}
	return seen
}

// objects returns the ids in the bucket.
func (r *run) objects(t *testing.T) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key, data := range r.s3.Objects(t, r.bucket) {
			if strings.Contains("/"+key, "/_") {
				continue
			}
			z, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			each(t, z, yield)
		}
	}
}

// lines returns the ids in the current file and in the rotated files.
func (r *run) lines(t *testing.T) func(func(string) bool) {
	return func(yield func(string) bool) {
		files, err := filepath.Glob(filepath.Join(r.dir, "out", "*.ndjson*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			var in io.Reader = f
			if strings.HasSuffix(name, ".gz") {
				if in, err = gzip.NewReader(f); err != nil {
					t.Fatal(err)
				}
			}
			each(t, in, yield)
			f.Close()
		}
	}
}

func each(t *testing.T, in io.Reader, yield func(string) bool) {
	t.Helper()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if id := idOf(lines.Bytes()); id != "" && !yield(id) {
			return
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}
