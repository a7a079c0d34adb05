package litellm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "auditrelay-litellm")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "auditrelay")
	out, err := exec.Command("go", "build", "-o", path, "auditrelay/cmd/auditrelay").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})

// relay is the program with one data directory, one port, and one callback that writes files. Tests
// kill and start it repeatedly.
type relay struct {
	dir, listen string
	cmd         *exec.Cmd
	done        chan struct{}
	log         *bytes.Buffer
}

// newRelay configures a relay without starting it. more is added to its configuration.
func newRelay(t *testing.T, more string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := &relay{dir: t.TempDir(), listen: l.Addr().String()}
	text := fmt.Sprintf("data_dir: %s\ncallbacks:\n  - {name: files, sink: {file: {path: %s}}, chunk: {age: 20ms}}\n%s\n",
		filepath.Join(r.dir, "data"), filepath.Join(r.dir, "files", "events.ndjson"), more)
	if err := os.WriteFile(filepath.Join(r.dir, "auditrelay.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *relay) url() string { return "http://" + r.listen }

// start starts the relay and waits until it accepts events.
func (r *relay) start(t *testing.T) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	r.log, r.done = new(bytes.Buffer), make(chan struct{})
	r.cmd = exec.Command(path, "serve", "--config", filepath.Join(r.dir, "auditrelay.yaml"), "--listen", r.listen)
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	r.cmd.SysProcAttr = attributes()
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, done := r.cmd, r.done
	go func() {
		cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-done
	})
	eventually(t, "the relay being ready", func() (bool, string) {
		select {
		case <-done:
			t.Fatalf("the relay ended while starting:\n%s", r.log)
		default:
		}
		resp, err := http.Get(r.url() + "/readyz")
		if err != nil {
			return false, err.Error()
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, resp.Status
	})
}

// kill is kill -9. It waits until the process has ended.
func (r *relay) kill() {
	r.cmd.Process.Kill()
	<-r.done
}

// delivered counts the events in the callback's files by id. It waits until the relay has no
// pending events.
func (r *relay) delivered(t *testing.T, token string) map[string]int {
	t.Helper()
	eventually(t, "nothing pending", func() (bool, string) {
		req, err := http.NewRequest(http.MethodGet, r.url()+"/v1/callbacks", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, err.Error()
		}
		defer resp.Body.Close()
		var list []struct {
			Account struct {
				Pending  uint64 `json:"pending"`
				Balanced bool   `json:"balanced"`
			} `json:"account"`
			InFlight int `json:"in_flight"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || len(list) != 1 {
			return false, fmt.Sprint(resp.Status, err)
		}
		return list[0].Account.Balanced && list[0].Account.Pending == 0 && list[0].InFlight == 0, fmt.Sprint(list)
	})
	counts := map[string]int{}
	for id, lines := range r.events(t) {
		counts[id] = len(lines)
	}
	return counts
}

// events returns the lines of the callback's files by id.
func (r *relay) events(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(filepath.Join(r.dir, "files"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".ndjson") || strings.Contains(path, "manifest") {
			return err
		}
		body, err := os.ReadFile(path)
		for line := range bytes.Lines(body) {
			if id := gjson.GetBytes(line, "id").Str; !strings.HasPrefix(gjson.GetBytes(line, "table_name").Str, "auditrelay_") {
				found[id] = append(found[id], string(line))
			}
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return found
}

// eventually polls another process. It has no other way to wait.
func eventually(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	if !within(patience, what, t.Logf, ok) {
		t.FailNow()
	}
}

func within(limit time.Duration, what string, logf func(string, ...any), ok func() (bool, string)) bool {
	deadline := time.Now().Add(limit)
	for {
		done, seen := ok()
		if done {
			return true
		}
		if time.Now().After(deadline) {
			logf("not within %s: %s; last seen: %s", limit, what, seen)
			return false
		}
		time.Sleep(5 * time.Millisecond) // polling another process
	}
}
