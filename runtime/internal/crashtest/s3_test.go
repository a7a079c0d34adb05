package crashtest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"auditrelay/internal/test/litellm"
)

// TestWhatLiteLLMLoses measures the losses of each version of LiteLLM over its S3 export, with
// either HTTP client, while the relay restarts or is unavailable. In every case acknowledged
// events are stored once. The present version loses nothing. The older ones lose only events
// whose every try failed because nothing listened.
func TestWhatLiteLLMLoses(t *testing.T) {
	for _, o := range outages() {
		t.Run(o.name, func(t *testing.T) { lose(t, o.name, o.signal, o.away) })
	}
}

// outage is one way in which the relay is unavailable for a time.
type outage struct {
	name   string
	signal os.Signal
	away   time.Duration
}

// outages returns the outages of the table in docs/operators/litellm.md.
func outages() []outage {
	all := []outage{
		{"a restart", syscall.SIGTERM, 0},
		{"a kill and a start", syscall.SIGKILL, 0},
		{"2 s away", syscall.SIGKILL, 2 * time.Second},
	}
	if os.Getenv("AUDITRELAY_SOAK") != "" {
		all = append(all, outage{"30 s away", syscall.SIGTERM, 30 * time.Second})
	}
	return all
}

// producer is one LiteLLM.
type producer struct {
	*litellm.Logger
	prefix string
	logged map[string]time.Time
}

const (
	logEvery   = 10 * time.Millisecond
	flushEvery = 100 * time.Millisecond
)

func lose(t *testing.T, name string, signal os.Signal, away time.Duration) {
	dir, listen, s3Listen := t.TempDir(), address(t), address(t)
	config := filepath.Join(dir, "auditrelay.yaml")
	write(t, config, fmt.Sprintf(`
data_dir: %s
ingest: {s3: {listen: %s, keys: [{name: litellm, access_key_id: AKIDEXAMPLE, secret_access_key: a-secret-of-sufficient-length}]}}
callbacks: [{name: files, sink: {file: {path: %s}}}]
`, filepath.Join(dir, "data"), s3Listen, filepath.Join(dir, "out", "events.ndjson")))
	r := startRelay(t, listen, config)

	var producers []*producer
	for _, v := range litellm.Versions {
		for _, transport := range litellm.Transports {
			producers = append(producers, &producer{prefix: fmt.Sprintf("%v-%v-", v, transport), logged: map[string]time.Time{}, Logger: &litellm.Logger{
				Version: v, Transport: transport, Endpoint: "http://" + s3Listen, Bucket: "audit",
				AccessKeyID: "AKIDEXAMPLE", Secret: "a-secret-of-sufficient-length",
			}})
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	logging, stopLogging := context.WithCancel(t.Context())
	var flushes, logs sync.WaitGroup
	for _, p := range producers {
		flushes.Go(func() { p.Run(ctx, flushEvery) })
		logs.Go(func() {
			tick := time.NewTicker(logEvery)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-logging.Done():
					return
				case now := <-tick.C:
					id := fmt.Sprintf("%s%d", p.prefix, i)
					p.logged[id] = now
					p.Log(id, fmt.Sprintf(`{"id": %q, "action": "created", "table_name": "LiteLLM_TeamTable", "object_id": "t"}`, id))
				}
			}
		})
	}
	time.Sleep(600 * time.Millisecond) // events sent before the outage
	down := time.Now()
	if err := r.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	<-r.done
	time.Sleep(away) // the measured outage
	r = spawnRelay(t, listen, config)
	r.ready(t)
	up := time.Now()
	time.Sleep(600 * time.Millisecond)
	stopLogging()
	logs.Wait()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		left := 0
		for _, p := range producers {
			left += len(p.logged) - len(p.Done()) - len(p.Lost())
		}
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d events have no fate", left)
		}
	}
	stop()
	flushes.Wait()
	r.settle(t, time.Minute)
	r.kill()

	stored := storedIDs(t, dir)
	t.Logf("%s: nothing listened for some %v of %v", name, (up.Sub(down)).Round(time.Millisecond), time.Since(down).Round(time.Millisecond))
	for _, p := range producers {
		for _, id := range p.Done() {
			if stored[id] != 1 {
				t.Errorf("%s was acknowledged and is stored %d times", id, stored[id])
			}
		}
		lost := 0
		for _, id := range p.Lost() {
			if stored[id] > 1 {
				t.Errorf("%s is stored %d times", id, stored[id])
			}
			if stored[id] == 1 {
				continue // LiteLLM gave it up although it had arrived
			}
			lost++
			if at := p.logged[id]; at.Before(down.Add(-2*flushEvery)) || at.After(up) {
				t.Errorf("%s was lost outside of the outage", id)
			}
		}
		if p.Version == litellm.Present && lost > 0 {
			t.Errorf("%s: the present version lost %d events", p.prefix, lost)
		}
		if len(p.Done()) < 60 {
			t.Errorf("%s: only %d of %d events were acknowledged", p.prefix, len(p.Done()), len(p.logged))
		}
		t.Logf("%s: %s lost %d of %d events, one every %v", name, p.prefix, lost, len(p.logged), logEvery)
	}
}

// ready waits until the relay accepts events.
func (r *relay) ready(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if answer, err := http.Get(r.url + "/readyz"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the relay is not ready")
		}
	}
}

// storedIDs counts the events written by the sink.
func storedIDs(t *testing.T, dir string) map[string]int {
	t.Helper()
	stored := map[string]int{}
	files, err := filepath.Glob(filepath.Join(dir, "out", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			continue // proofs
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"id": "([a-z0-9-]+)"`).FindAllSubmatch(text, -1) {
			stored[string(m[1])]++
		}
	}
	return stored
}
