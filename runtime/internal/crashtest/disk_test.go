package crashtest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// small is a relay on its own disk. Its one callback is paused while the disk fills.
type small struct {
	*relay
	listen, config, files string
	book                  *ledger
	auditor               *auditor
	producers             *traffic
}

// fill starts a relay with its data directory on the disk, pauses its callback and sends until
// the relay refuses.
func fill(t *testing.T, dataDir, journal string) *small {
	t.Helper()
	dir := t.TempDir()
	s := &small{listen: address(t), config: filepath.Join(dir, "auditrelay.yaml"), files: filepath.Join(dir, "files"), book: newLedger(t)}
	write(t, s.config, fmt.Sprintf(`
data_dir: %s
journal: %s
%s
callbacks:
  - name: files
    sink: {file: {path: %s}}
    chunk: {age: 20ms}
    backoff: {max: 1s}
  - name: gated
    when: {action: [rotated]}
    must_not_leave: {paths: [secret]}
    sink: {file: {path: %s}}
    chunk: {age: 1ms}
`, dataDir, journal, oftenSigned, filepath.Join(s.files, "events.ndjson"), filepath.Join(dir, "gated", "events.ndjson")))
	s.auditor = newAuditor(t, dataDir, s.config, s.files, filepath.Join(dir, "gated"))
	s.relay = startRelay(t, s.listen, s.config)
	s.deadLetters(t, 3)
	s.operate(t, "files", "pause")
	s.producers = startTraffic(t, s.relay, s.book, 4, 4, 2*time.Millisecond, bulky(1, 8<<10))
	s.isFull(t)
	return s
}

// deadLetters sends events that the gate of one callback stops.
func (s *small) deadLetters(t *testing.T, n int) {
	t.Helper()
	var batch [][]byte
	for i := range n {
		batch = append(batch, fmt.Appendf(nil, `{"id":"held-%d","action":"rotated","secret":1}`, i))
	}
	s.book.send(batch)
	ids, err := s.post(t.Context(), http.DefaultClient, batch)
	if err == nil {
		err = s.book.acknowledge(ids)
	}
	if err != nil || len(ids) != n {
		t.Fatal(ids, err)
	}
	s.eventually(t, time.Minute, "dead letters", func() (bool, string) {
		c := s.callback(t, "gated")
		return c.Account.DeadLettered >= uint64(n), fmt.Sprintf("%+v", c)
	})
}

// ask makes an operator's request.
func (s *small) ask(t *testing.T, method, path, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// refusesActs waits until acts that need space are refused with the reason. The storage engine
// sometimes frees a little space.
func (s *small) refusesActs(t *testing.T) {
	t.Helper()
	for what, ask := range map[string][2]string{
		"a backup":  {"POST", "/v1/backup"},
		"a reading": {"GET", "/v1/events/held-0?data=true"},
	} {
		s.eventually(t, time.Minute, what+" being refused", func() (bool, string) {
			status, answer := s.ask(t, ask[0], ask[1], "")
			return status == http.StatusServiceUnavailable && strings.Contains(answer, "journal is full"), fmt.Sprint(status, answer)
		})
	}
}

// makesRoom performs acts that free space. They and their records work on a full disk. It
// returns their reasons.
func (s *small) makesRoom(t *testing.T) (reasons []string) {
	t.Helper()
	for _, act := range []string{"dead-letters/discard", "detach", "attach", "pause", "resume"} {
		reason, which := "no room: "+act, ""
		if act == "dead-letters/discard" {
			which = `"all":true,`
		}
		status, answer := s.ask(t, "POST", "/v1/callbacks/gated/"+act, fmt.Sprintf(`{%s"reason":%q}`, which, reason))
		if status != http.StatusOK {
			t.Errorf("%s on a full disk: %d %s", act, status, answer)
		}
		reasons = append(reasons, reason)
	}
	return reasons
}

// recorded checks that acts are recorded as done.
func (s *small) recorded(t *testing.T, reasons []string) {
	t.Helper()
	done := map[string]bool{}
	for _, o := range s.control(t) {
		if o.Control.Outcome == "done" {
			done[o.Control.Reason] = true
		}
	}
	for _, reason := range reasons {
		if !done[reason] {
			t.Errorf("%q is not on record", reason)
		}
	}
}

// isFull waits until events are refused, and checks that all other requests are answered and
// nothing is acknowledged.
func (s *small) isFull(t *testing.T) {
	t.Helper()
	before := s.producers.refused.Load()
	s.eventually(t, time.Minute, "events being refused", func() (bool, string) {
		n := s.producers.refused.Load()
		return n >= before+40, fmt.Sprintf("%d acknowledged, %d refused", s.book.count(), n)
	})
	// Compaction in the storage engine sometimes frees space: for a while both answers occur.
	s.eventually(t, 10*time.Second, "not being ready, and saying why", func() (bool, string) {
		status, reason := s.readiness(t)
		return status == http.StatusServiceUnavailable && strings.Contains(reason, "journal is full"), fmt.Sprintf("%d %q", status, reason)
	})
	s.eventually(t, 10*time.Second, "a refusal that says why and for how long", func() (bool, string) {
		status, retry, answer := s.send(t, []byte("{}"))
		return status == http.StatusServiceUnavailable && retry != "" && strings.Contains(answer, "journal is full"),
			fmt.Sprintf("%d, Retry-After %q: %s", status, retry, answer)
	})
	t.Logf("full with %d acknowledged", s.book.count())
	s.await(t, "/healthz")
}

func (s *small) send(t *testing.T, event []byte) (status int, retryAfter, answer string) {
	t.Helper()
	resp, err := http.Post(s.url+"/v1/events", "application/json", strings.NewReader(string(event)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := new(strings.Builder)
	if err := resp.Write(body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Retry-After"), body.String()
}

// resumes waits until events are accepted again without intervention.
func (s *small) resumes(t *testing.T) {
	t.Helper()
	before := s.book.count()
	s.eventually(t, time.Minute, "events being taken again", func() (bool, string) {
		status, reason := s.readiness(t)
		return s.book.count() > before+100, fmt.Sprintf("%d acknowledged more; readyz %d %s; %+v",
			s.book.count()-before, status, reason, s.callback(t, "files"))
	})
}

// killed kills the relay while the disk is full and starts it again. The producers restart too.
func (s *small) killed(t *testing.T, seed uint64) {
	t.Helper()
	s.producers.stop()
	s.kill()
	if err := s.auditor.left(t); err != nil {
		t.Error(err)
	}
	s.relay = spawnRelay(t, s.listen, s.config)
	s.await(t, "/healthz")
	s.producers = startTraffic(t, s.relay, s.book, 4, 4, 2*time.Millisecond, bulky(seed, 8<<10))
}

// end revives the sink and checks that all acknowledged events arrive.
func (s *small) end(t *testing.T) {
	t.Helper()
	s.producers.stop()
	s.await(t, "/readyz")
	s.operate(t, "files", "resume")
	s.settle(t, time.Minute)
	if lost := s.book.compare(t, "files", objects(t, s.files), func(string) bool { return true }); lost > 0 {
		t.Errorf("%d acknowledged events are lost", lost)
	}
	if err := s.auditor.whole(t, s.relay); err != nil {
		t.Error(err)
	}
}

// refusesOrEnds waits until the relay refuses with a reason, or has ended with an error.
func (s *small) refusesOrEnds(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		select {
		case <-s.done:
			if s.cmd.ProcessState.Success() {
				t.Fatalf("it ended without an error:\n%s", s.log)
			}
			return
		case <-time.After(10 * time.Millisecond): // poll another process
		}
		resp, err := http.Get(s.url + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable {
			return
		}
	}
	t.Fatalf("it neither refuses nor ends:\n%s", s.log)
}

// Other files fill the disk. The relay refuses early, keeps running even without a free byte,
// and continues when there is space.
func TestFullDisk(t *testing.T) {
	rounds(t, 1)
	t.Parallel()
	disk := newDisk(t, 96)
	ballast, rest := filepath.Join(disk.mount, "ballast"), filepath.Join(disk.mount, "rest")
	takeAll := func() {
		if err := os.WriteFile(rest, make([]byte, 96<<20), 0o600); err == nil {
			t.Fatal("the disk is not full")
		}
	}
	free := func(path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	write(t, ballast, strings.Repeat("x", 24<<20))
	s := fill(t, filepath.Join(disk.mount, "data"), "{reserve: 8MiB}")
	reasons := s.makesRoom(t)
	s.refusesActs(t)
	s.killed(t, 2)
	s.isFull(t)
	takeAll()
	s.isFull(t)
	s.refusesActs(t)
	free(rest)
	free(ballast)
	s.resumes(t)
	s.recorded(t, reasons)

	// All space is taken at once, during a write. Only opening the journal again shows the
	// result of the write. Until then nothing is acknowledged: the relay refuses, or ends with
	// an error that its supervisor sees.
	s.producers.mayEnd.Store(true)
	takeAll()
	s.refusesOrEnds(t)
	free(rest)
	s.killed(t, 3)
	s.end(t)
}

// A dead sink fills the disk. When it is back, deliveries free space.
func TestDiskFullByDeadSink(t *testing.T) {
	rounds(t, 1)
	t.Parallel()
	disk := newDisk(t, 64)
	s := fill(t, filepath.Join(disk.mount, "data"), "{reserve: 8MiB, retention: {bytes: 1MiB}}")
	s.killed(t, 2)
	s.isFull(t)
	s.operate(t, "files", "resume")
	s.resumes(t)
	s.end(t)
}

// The same by quota, on a disk with free space.
func TestQuota(t *testing.T) {
	rounds(t, 1)
	t.Parallel()
	s := fill(t, filepath.Join(t.TempDir(), "data"), "{quota: 24MiB, retention: {bytes: 1MiB}}")
	s.killed(t, 2)
	s.isFull(t)
	s.operate(t, "files", "resume")
	s.resumes(t)
	s.end(t)
}
