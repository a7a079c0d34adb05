package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"auditrelay/cli"
)

// piped is a relay whose standard output and error are pipes.
type piped struct {
	t        *testing.T
	cmd      *exec.Cmd
	stderr   *os.File // the reading end
	stdout   *os.File
	server   string
	dir      string
	finished chan error
}

// startPiped starts a relay with a callback to a file and the callbacks of more.
func startPiped(t *testing.T, more string) *piped {
	t.Helper()
	dir := t.TempDir()
	config := fmt.Sprintf("listen: 127.0.0.1:0\ndata_dir: %s/data\nshutdown: {deadline: 10m}\nlog: {level: debug}\ncallbacks:\n  - {name: good, chunk: {age: 1ms}, sink: {file: {path: %s/good.ndjson}}}\n%s", dir, dir, more)
	file := filepath.Join(dir, "auditrelay.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := exec.LookPath("auditrelay")
	if err != nil {
		t.Fatal(err)
	}
	p := &piped{t: t, cmd: exec.Command(binary, "serve", file), dir: dir, finished: make(chan error, 1)}
	var outW, errW *os.File
	if p.stdout, outW, err = os.Pipe(); err == nil {
		p.stderr, errW, err = os.Pipe()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = outW, errW
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = outW.Close(), errW.Close()
	go func() { p.finished <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	in := bufio.NewReaderSize(p.stderr, 16)
	var log strings.Builder
	for p.server == "" {
		line, err := in.ReadString('\n')
		if log.WriteString(line); err != nil {
			t.Fatalf("it ended: %v\n%s", err, log.String())
		}
		if found := regexp.MustCompile(`msg=listening .*address=(\S+)`).FindStringSubmatch(line); found != nil {
			p.server = "http://" + found[1]
		}
	}
	return p
}

func (p *piped) post(path, body string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.server+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatalf("%s: %v", path, err)
	}
	defer answer.Body.Close()
	if _, _ = io.Copy(io.Discard, answer.Body); answer.StatusCode >= 300 {
		p.t.Fatalf("%s: %s", path, answer.Status)
	}
}

func (p *piped) send(from, n int) {
	p.t.Helper()
	var body strings.Builder
	for i := range n {
		fmt.Fprintf(&body, `{"id":"e%d","action":"created","object_id":"o"}`+"\n", from+i)
	}
	p.post("/v1/events", body.String())
}

// delivered waits until the callback to the file has n events.
func (p *piped) delivered(n int) {
	p.t.Helper()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		text, _ := os.ReadFile(filepath.Join(p.dir, "good.ndjson"))
		if bytes.Count(text, []byte("\n")) >= n {
			return
		}
	}
	p.t.Fatalf("%d events were not delivered", n)
}

// ended returns the exit status after signals, sent until the process ends, or only once if one
// is true.
func (p *piped) ended(one bool) int {
	p.t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	end := time.NewTimer(2 * time.Minute)
	defer end.Stop()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	for {
		select {
		case err := <-p.finished:
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				return exit.ExitCode()
			}
			return 0
		case <-again.C:
			if !one {
				_ = p.cmd.Process.Signal(syscall.SIGTERM)
			}
		case <-end.C:
			p.t.Fatal("it does not end")
		}
	}
}

// TestReadersThatAreGone: if a reader of standard output or error is gone, neither the relay
// nor another callback ends, and an external SIGPIPE does not end it either.
func TestReadersThatAreGone(t *testing.T) {
	t.Run("standard error", func(t *testing.T) {
		p := startPiped(t, "")
		_ = p.stderr.Close()
		if err := p.cmd.Process.Signal(syscall.SIGPIPE); err != nil {
			t.Fatal(err)
		}
		p.send(0, 100)
		for range 20 { // each is a line of the log
			p.post("/v1/callbacks/good/pause", "")
			p.post("/v1/callbacks/good/resume", "")
		}
		p.delivered(100)
		if code := p.ended(true); code != 0 {
			t.Errorf("exit status %d", code)
		}
	})
	t.Run("standard output", func(t *testing.T) {
		p := startPiped(t, "  - {name: out, chunk: {age: 1ms}, backoff: {initial: 10ms, max: 100ms}, sink: {stdout: {}}}\n")
		go func() { _, _ = io.Copy(io.Discard, p.stderr) }()
		_ = p.stdout.Close()
		p.send(0, 100)
		p.delivered(100)
		p.send(100, 1)
		p.delivered(101)
		answer, err := http.Get(p.server + "/v1/callbacks/out")
		if err != nil {
			t.Fatal(err)
		}
		status, err := io.ReadAll(answer.Body)
		if _ = answer.Body.Close(); err != nil || !bytes.Contains(status, []byte(`"pending":10`)) { // all, except perhaps the own record of the start
			t.Errorf("the callback to standard output: %s, %v", status, err)
		}
		// Pending events delay the drain. A second signal ends it.
		if code := p.ended(false); code != cli.ExitInterrupted {
			t.Errorf("exit status %d", code)
		}
	})
}

// TestASecondSignalEndsItAtOnce: also if nobody reads the log, and although the drain may take
// ten minutes.
func TestASecondSignalEndsItAtOnce(t *testing.T) {
	p := startPiped(t, "  - {name: away, chunk: {age: 1ms}, sink: {file: {path: /dev/null/nowhere}}}\n")
	p.send(0, 100) // nobody reads standard error any more
	for range 200 {
		p.post("/v1/callbacks/good/pause", "")
		p.post("/v1/callbacks/good/resume", "")
	}
	if code := p.ended(false); code != cli.ExitInterrupted {
		t.Errorf("exit status %d", code)
	}
}
