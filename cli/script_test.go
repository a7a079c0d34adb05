package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli"
	"auditrelay/config"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	// This program compiles guests, under any name.
	if len(os.Args) > 1 && (os.Args[1] == "internal-compile" || os.Args[1] == "internal-guest") {
		os.Exit(cli.Main(os.Args[1:], cli.Options{}))
	}
	testscript.Main(m, map[string]func(){
		"auditrelay": func() {
			os.Exit(cli.Main(os.Args[1:], cli.Options{
				Version: "v0.0.0-test",
				Sinks:   map[string]cli.SinkMaker{"fussy": newFussy},
			}))
		},
	})
}

// The command line as people use it: see testdata. Beside testscript's own
// commands there is relay, which runs the daemon as a process of its own:
//
//	relay start ARGS...   serve, until it listens; AUDITRELAY_SERVER is set
//	relay s3              until its S3 endpoint listens; S3_SERVER is set
//	relay reload          SIGHUP, until it is done, well or not
//	relay stop            SIGTERM, until the process has ended well
//	relay stop-twice      SIGTERM, and once more while it drains
//	relay kill            SIGKILL
//	relay log PATTERN     what it has logged must match
//	lines SOCKET FILE     writes the file to a unix socket, and closes the connection
//	quarantine FILE REASON   what a way in would set aside, while no relay runs
//	exitcode N COMMAND    the exit code must be N
//	digest VAR FILE       VAR becomes the file's SHA-256
//	capture VAR PATTERN   VAR becomes what the pattern's group matches first in stdout
//	account NAME K=V...   until the callback's account is this, for 20 s; what is not named is 0
//	flipbit DIR TEXT      flips a bit of TEXT where it stands first in a log of the directory
//	metric LINE           until the relay's metrics have that line, for 20 s
func TestScripts(t *testing.T) { testscript.Run(t, scripts("testdata")) }

func scripts(dir string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			if name != "loopname" {
				return false, fmt.Errorf("no condition %s", name)
			}
			host, err := os.Hostname()
			if err != nil {
				return false, err
			}
			addresses, err := net.LookupHost(host)
			return err == nil && len(addresses) > 0 && !slices.ContainsFunc(addresses, func(a string) bool { return !net.ParseIP(a).IsLoopback() }), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"relay":      relayCommand,
			"exitcode":   exitCodeCommand,
			"quarantine": setAsideCommand,
			"metric":     metricCommand,
			"waitfor":    waitForCommand,
			"account":    accountCommand,
			"flipbit":    flipBitCommand,
			"capture":    captureCommand,
			"lines":      linesCommand,
			"digest": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv(args[0], fmt.Sprintf("%x", sha256.Sum256([]byte(ts.ReadFile(args[1])))))
			},
		},
		Setup: func(e *testscript.Env) error {
			repo, err := filepath.Abs("..")
			if err != nil {
				return err
			}
			e.Setenv("REPO", repo)
			host, err := os.Hostname()
			if err != nil {
				return err
			}
			e.Setenv("HOST", host)
			cache, err := exec.Command("go", "env", "GOCACHE").Output()
			if err != nil {
				return err
			}
			e.Setenv("GOCACHE", strings.TrimSpace(string(cache))) // guests are built
			e.Values[relayKey{}] = &relayProcess{}
			e.Defer(func() {
				r := e.Values[relayKey{}].(*relayProcess)
				if r.cmd != nil {
					_ = r.cmd.Process.Kill()
					_ = r.cmd.Wait()
				}
			})
			return nil
		},
	}
}

func linesCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines SOCKET FILE")
	}
	conn, err := net.Dial("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = io.WriteString(conn, ts.ReadFile(args[1]))
	ts.Check(errors.Join(err, conn.Close()))
}

// fussy is a custom sink that appends to a file, and permanently refuses records with a word.
type fussy struct {
	Path    string `yaml:"path"`
	Refuses string `yaml:"refuses"`
}

func newFussy(section config.Section) (auditrelay.Sink, error) {
	var f fussy
	if err := section.Decode(&f); err != nil {
		return nil, err
	}
	f.Path = section.Path(f.Path)
	return f, nil
}

func (f fussy) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	var payloads []auditrelay.Payload
	for _, r := range chunk.Records {
		payloads = append(payloads, auditrelay.Payload{
			Key: fmt.Sprint(chunk.Replay, "-", r.Sequence, "-", r.Tombstone), Body: r.Data, Sequences: []uint64{r.Sequence},
		})
	}
	return payloads, nil
}

func (f fussy) Deliver(_ context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	if f.Refuses != "" && bytes.Contains(p.Body, []byte(f.Refuses)) {
		return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: errors.New("a word that is not taken")}
	}
	file, err := os.OpenFile(f.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return auditrelay.Receipt{}, err
	}
	_, err = file.Write(append(p.Body[:len(p.Body):len(p.Body)], '\n'))
	return auditrelay.Receipt{Location: p.Key}, errors.Join(err, file.Close())
}

func metricCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: metric LINE")
	}
	var scrape []byte
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		answer, err := http.Get(ts.Getenv("AUDITRELAY_SERVER") + "/metrics")
		ts.Check(err)
		scrape, err = io.ReadAll(answer.Body)
		ts.Check(errors.Join(err, answer.Body.Close()))
		if slices.Contains(strings.Split(string(scrape), "\n"), args[0]) {
			return
		}
	}
	ts.Fatalf("no such line in\n%s", scrape)
}

// waitForCommand waits until a file contains a text.
func waitForCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitfor FILE TEXT")
	}
	var content []byte
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		content, _ = os.ReadFile(ts.MkAbs(args[0])) // it may not exist yet
		if bytes.Contains(content, []byte(args[1])) {
			return
		}
	}
	ts.Fatalf("no %q in\n%s", args[1], content)
}

func flipBitCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flipbit DIR TEXT")
	}
	logs, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*.log"))
	ts.Check(err)
	for _, log := range logs {
		b, err := os.ReadFile(log)
		ts.Check(err)
		if at := bytes.Index(b, []byte(args[1])); at >= 0 {
			b[at] ^= 1
			ts.Check(os.WriteFile(log, b, 0o600))
			return
		}
	}
	ts.Fatalf("%s stands in none of %v", args[1], logs)
}

func accountCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: account NAME KEY=NUMBER...")
	}
	want := map[string]any{"balanced": true}
	for _, key := range []string{"assigned", "delivered", "filtered", "dead_lettered", "discarded", "skipped", "pending"} {
		want[key] = 0.0
	}
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		n, err := strconv.Atoi(value)
		ts.Check(err)
		want[key] = float64(n)
	}
	var got struct {
		Account map[string]any `json:"account"`
	}
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		answer, err := http.Get(ts.Getenv("AUDITRELAY_SERVER") + "/v1/callbacks/" + args[0])
		ts.Check(err)
		got.Account = nil
		ts.Check(errors.Join(json.NewDecoder(answer.Body).Decode(&got), answer.Body.Close()))
		if maps.Equal(got.Account, want) {
			return
		}
	}
	ts.Fatalf("account of %s: %v, want %v", args[0], got.Account, want)
}

func captureCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture VAR PATTERN")
	}
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("%s is not in stdout", args[1])
	}
	ts.Setenv(args[0], found[1])
}

type relayKey struct{}

type relayProcess struct {
	cmd *exec.Cmd
	out *bufio.Reader
	log strings.Builder
}

func relayCommand(ts *testscript.TestScript, neg bool, args []string) {
	r := ts.Value(relayKey{}).(*relayProcess)
	if len(args) == 0 || neg && args[0] != "log" {
		ts.Fatalf("usage: relay start|reload|stop|kill|await|log")
	}
	switch args[0] {
	case "start":
		binary, err := exec.LookPath("auditrelay")
		ts.Check(err)
		r.log.Reset()
		r.cmd = exec.Command(binary, append([]string{"serve"}, args[1:]...)...)
		r.cmd.Dir = ts.Getenv("WORK")
		for _, name := range []string{"WORK", "TMPDIR", "HOME", "PATH", "AUDIT_SECRET", "HOST"} {
			r.cmd.Env = append(r.cmd.Env, name+"="+ts.Getenv(name))
		}
		stderr, err := r.cmd.StderrPipe()
		ts.Check(err)
		ts.Check(r.cmd.Start())
		r.out = bufio.NewReader(stderr)
		line := r.until(ts, `msg=listening`)
		address := regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(line)
		if address == nil {
			ts.Fatalf("no address in %s", line)
		}
		ts.Setenv("AUDITRELAY_SERVER", "http://"+address[1])
	case "s3":
		address := regexp.MustCompile(`msg="listening for S3" address=(\S+)`)
		found := address.FindStringSubmatch(r.log.String())
		if found == nil {
			found = address.FindStringSubmatch(r.until(ts, `msg="listening for S3"`))
		}
		ts.Setenv("S3_SERVER", "http://"+found[1])
	case "reload":
		ts.Check(r.cmd.Process.Signal(syscall.SIGHUP))
		r.until(ts, `configuration was (not )?reloaded`)
	case "stop":
		ts.Check(r.cmd.Process.Signal(syscall.SIGTERM))
		r.rest()
		if err := r.cmd.Wait(); err != nil {
			ts.Fatalf("the relay ended badly: %v\n%s", err, r.log.String())
		}
		r.cmd = nil
	case "stop-twice":
		ts.Check(r.cmd.Process.Signal(syscall.SIGTERM))
		r.until(ts, "msg=.stopping")
		ts.Check(r.cmd.Process.Signal(syscall.SIGTERM))
		r.rest()
		if err := r.cmd.Wait(); err == nil {
			ts.Fatalf("the second signal did not end it at once:\n%s", r.log.String())
		}
		r.cmd = nil
	case "kill":
		ts.Check(r.cmd.Process.Kill())
		r.rest()
		_ = r.cmd.Wait()
		r.cmd = nil
	case "await": // a line of the log
		if !regexp.MustCompile(args[1]).MatchString(r.log.String()) {
			r.until(ts, args[1])
		}
	case "log":
		if found := regexp.MustCompile(args[1]).MatchString(r.log.String()); found == neg {
			ts.Fatalf("%q in the log: %v\n%s", args[1], found, r.log.String())
		}
	default:
		ts.Fatalf("relay %s is not known", args[0])
	}
}

// until reads the log up to a line that matches.
func (r *relayProcess) until(ts *testscript.TestScript, pattern string) string {
	re := regexp.MustCompile(pattern)
	for {
		line, err := r.out.ReadString('\n')
		r.log.WriteString(line)
		if re.MatchString(line) {
			return line
		}
		if err != nil {
			ts.Fatalf("the relay ended: %v\n%s", err, r.log.String())
		}
	}
}

func (r *relayProcess) rest() {
	all, _ := io.ReadAll(r.out)
	r.log.Write(all)
}

func exitCodeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}
