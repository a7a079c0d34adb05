package litellm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var python = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	return strings.TrimSpace(string(out)), err // Python itself: a kill would only reach a wrapper
})

func needPython(t *testing.T) string {
	t.Helper()
	path, err := python()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("python3 is missing: %v", err)
		}
		t.Skipf("THE LOGGER CLASS IS NOT TESTED: python3 is missing: %v", err)
	}
	return path
}

// producer is a process with the logger class that plays LiteLLM.
type producer struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	log    *syncBuffer
	exited chan struct{}

	mu      sync.Mutex
	changed *sync.Cond
	acked   map[string]bool
	failed  map[string]string
	done    int // number of finished commands
	stats   map[string]any
	gone    bool
}

// setup configures a producer. Zero values mean the logger's defaults, but with short pauses.
type setup struct {
	relay string // address
	spool string
	logs  string   // the folder of auditrelay_logger.py; by default this one
	env   []string // more variables
}

func startProducer(t *testing.T, s setup) *producer {
	t.Helper()
	p := spawnProducer(t, s)
	p.await("its start", func() bool { return p.done >= 0 })
	return p
}

func spawnProducer(t *testing.T, s setup) *producer {
	t.Helper()
	if s.logs == "" {
		s.logs = "."
	}
	logs, err := filepath.Abs(s.logs)
	if err != nil {
		t.Fatal(err)
	}
	standin, err := filepath.Abs("testdata/standin")
	if err != nil {
		t.Fatal(err)
	}
	p := &producer{t: t, log: new(syncBuffer), exited: make(chan struct{}), acked: map[string]bool{}, failed: map[string]string{}, done: -1}
	p.changed = sync.NewCond(&p.mu)
	p.cmd = exec.Command(needPython(t), "testdata/producer.py")
	p.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "PYTHONPATH=" + logs + string(os.PathListSeparator) + standin, "PYTHONDONTWRITEBYTECODE=1",
		"CALLBACK=auditrelay_logger.relay", "AUDITRELAY_URL=" + s.relay, "AUDITRELAY_SPOOL=" + s.spool, "AUDITRELAY_BACKOFF_MAX=0.1",
	}, s.env...)
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = attributes()
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			p.hear(lines.Bytes())
		}
		p.cmd.Wait()
		p.mu.Lock()
		p.gone = true
		p.changed.Broadcast()
		p.mu.Unlock()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		if text := p.log.String(); strings.Contains(text, "do-not-log-me") || strings.Contains(text, "88dc28d0f030") {
			t.Errorf("the log holds event data:\n%s", text)
		}
		if t.Failed() {
			t.Logf("the logger's log:\n%s", p.log)
		}
	})
	return p
}

func (p *producer) hear(line []byte) {
	var said struct {
		Ack, Fail, Error, Done string
		Ready                  bool
		Stats                  map[string]any
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := json.Unmarshal(line, &said); err != nil {
		p.t.Errorf("the producer says %q", line)
		return
	}
	switch {
	case said.Ready:
		p.done = 0
	case said.Ack != "":
		p.acked[said.Ack] = true
	case said.Fail != "":
		p.failed[said.Fail] = said.Error
	case said.Stats != nil:
		p.stats = said.Stats
	case said.Done != "":
		p.done++
	}
	p.changed.Broadcast()
}

// await waits until ok returns true. It holds the lock for each call.
func (p *producer) await(what string, ok func() bool) {
	p.t.Helper()
	timer := time.AfterFunc(3*time.Minute, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.gone = true
		p.changed.Broadcast()
	})
	defer timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !ok() {
		if p.gone {
			p.t.Fatalf("the producer ended, or three minutes went by, before %s:\n%s", what, p.log)
		}
		p.changed.Wait()
	}
}

type command map[string]any

// send sends a command without waiting.
func (p *producer) send(c command) {
	p.t.Helper()
	line, err := json.Marshal(c)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		p.t.Fatalf("command the producer: %v\n%s", err, p.log)
	}
}

// do sends a command and waits for its end.
func (p *producer) do(c command) {
	p.t.Helper()
	p.mu.Lock()
	want := p.done + 1
	p.mu.Unlock()
	p.send(c)
	p.await("a command's end", func() bool { return p.done >= want })
}

// kill is kill -9. It waits until all output has been read.
func (p *producer) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// exit ends the process as Python does, and returns how long that took.
func (p *producer) exit() time.Duration {
	p.t.Helper()
	start := time.Now()
	p.send(command{"op": "exit"})
	select {
	case <-p.exited:
	case <-time.After(30 * time.Second):
		p.t.Fatalf("the producer does not end:\n%s", p.log)
	}
	if !p.cmd.ProcessState.Success() {
		p.t.Errorf("the producer ended with %s:\n%s", p.cmd.ProcessState, p.log)
	}
	return time.Since(start)
}

func (p *producer) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acked)
}

func (p *producer) acknowledged() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.acked)
}

func (p *producer) refused() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.failed)
}

// stat returns one of the logger's counts.
func (p *producer) stat(name string) any {
	p.t.Helper()
	p.do(command{"op": "stats"})
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats[name]
}

// drained waits until nothing is left to send.
func (p *producer) drained() {
	p.t.Helper()
	eventually(p.t, "an empty spool", func() (bool, string) {
		return p.stat("pending_bytes") == 0.0, p.log.String()
	})
}

// spooled returns the size in bytes of the events in a spool, and checks the permissions.
func spooled(t *testing.T, spool string) (bytes int64) {
	t.Helper()
	for _, pattern := range []string{"", "*", "*/*"} {
		paths, err := filepath.Glob(filepath.Join(spool, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			info, err := os.Lstat(path)
			if err != nil {
				continue // deleted meanwhile
			}
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("others can read %s: %s", path, info.Mode())
			}
			if strings.HasSuffix(path, ".events") {
				bytes += info.Size()
			}
		}
	}
	return bytes
}

// lost counts the acknowledged events that did not arrive. It reports events that arrived twice.
func lost(t *testing.T, acked map[string]bool, arrived map[string]int) (missing int) {
	t.Helper()
	for id := range acked {
		if arrived[id] == 0 {
			missing++
		}
	}
	for id, n := range arrived {
		if n > 1 {
			t.Errorf("%s arrived %d times", id, n)
		}
	}
	t.Logf("%d acknowledged, %d arrived, %d lost", len(acked), len(arrived), missing)
	return missing
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
