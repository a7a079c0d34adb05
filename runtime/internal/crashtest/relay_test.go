package crashtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary builds the program once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "auditrelay-crashtest")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "auditrelay")
	build := exec.Command("go", "build", "-o", path, "auditrelay/cmd/auditrelay")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as released: memory use differs
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})

// relay is one run of the program.
type relay struct {
	url  string
	cmd  *exec.Cmd
	log  *bytes.Buffer
	done chan struct{}
}

// address picks a free port for the whole test.
func address(t testing.TB) string {
	t.Helper()
	host := "127.0.0.1"
	if goruntime.GOOS == "linux" {
		host = "127.0.0.2" // others connect from the first address, so none takes the port meanwhile
	}
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startRelay starts the program and waits until it accepts events.
func startRelay(t *testing.T, listen, config string, env ...string) *relay {
	t.Helper()
	r := spawnRelay(t, listen, config, env...)
	r.await(t, "/readyz")
	return r
}

// spawnRelay starts the program.
func spawnRelay(t *testing.T, listen, config string, env ...string) *relay {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return spawn(t, path, listen, config, env...)
}

// spawn starts a build of the program.
func spawn(t testing.TB, path, listen, config string, env ...string) *relay {
	t.Helper()
	r := &relay{url: "http://" + listen, log: new(bytes.Buffer), done: make(chan struct{})}
	r.cmd = exec.Command(path, "serve", "--config", config, "--listen", listen)
	r.cmd.Env = append(os.Environ(), env...)
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	r.cmd.SysProcAttr = attributes()
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.cmd.Wait()
		close(r.done)
	}()
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			log := r.log.Bytes()
			t.Logf("the end of a log; %s:\n%s", r.cmd.ProcessState, log[max(0, len(log)-4096):])
		}
	})
	return r
}

// await waits until a path answers 200.
func (r *relay) await(t testing.TB, path string) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for time.Now().Before(deadline) {
		resp, err := http.Get(r.url + path)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-r.done:
			t.Fatalf("the program ended while starting:\n%s", r.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not answer 200 after a minute:\n%s", path, r.log)
}

// kill sends SIGKILL and waits until the process has ended.
func (r *relay) kill() {
	r.cmd.Process.Signal(syscall.SIGKILL)
	<-r.done
}

// errUnanswered means that the result of a request is unknown.
var errUnanswered = errors.New("no answer")

// post sends events as NDJSON and returns the acknowledged ids.
func (r *relay) post(ctx context.Context, client *http.Client, events [][]byte) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/v1/events", bytes.NewReader(bytes.Join(events, []byte("\n"))))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := client.Do(req)
	if err != nil {
		return nil, errUnanswered
	}
	defer resp.Body.Close()
	var answer struct {
		Results []struct {
			ID       string          `json:"id"`
			Sequence uint64          `json:"sequence"`
			Error    json.RawMessage `json:"error"`
		} `json:"results"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, errUnanswered
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	var ids []string
	for _, result := range answer.Results {
		if result.Sequence > 0 {
			ids = append(ids, result.ID)
		}
	}
	return ids, nil
}

type callbackStatus struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Account struct {
		Assigned     uint64 `json:"assigned"`
		Delivered    uint64 `json:"delivered"`
		Filtered     uint64 `json:"filtered"`
		DeadLettered uint64 `json:"dead_lettered"`
		Discarded    uint64 `json:"discarded"`
		Skipped      uint64 `json:"skipped"`
		Pending      uint64 `json:"pending"`
		Balanced     bool   `json:"balanced"`
	} `json:"account"`
	InFlight  int    `json:"in_flight"`
	LastError string `json:"last_error"`
}

func (r *relay) callbacks(t *testing.T) []callbackStatus {
	t.Helper()
	resp, err := http.Get(r.url + "/v1/callbacks")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list []callbackStatus
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("list callbacks: status %d, %v", resp.StatusCode, err)
	}
	return list
}

// settle waits until nothing is pending and checks that every account balances.
func (r *relay) settle(t *testing.T, within time.Duration) []callbackStatus {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		list := r.callbacks(t)
		pending := uint64(0)
		for _, c := range list {
			pending += c.Account.Pending + uint64(c.InFlight)
			if !c.Account.Balanced {
				t.Fatalf("the account of %s does not balance: %+v", c.Name, c.Account)
			}
		}
		if pending == 0 {
			return list
		}
		if time.Now().After(deadline) {
			t.Fatalf("still pending after %s: %+v\n%s", within, list, r.log)
		}
		time.Sleep(20 * time.Millisecond) // poll another process
	}
}
