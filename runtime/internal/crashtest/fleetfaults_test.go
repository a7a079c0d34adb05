package crashtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"auditrelay/internal/test/pgtest"
)

// fleetHost is the host of each server of a fleet: with a disk that can be filled and is large
// enough for the writes of all rounds, and with an adjustable clock.
func fleetHost(t *testing.T) pgtest.Host { return pgtest.Host{Disk: 768 + rounds(t, 40), Clock: true} }

// fleetServer are the settings of a server on this host.
var fleetServer = append(slices.Clone(safely), "autovacuum = on", "max_wal_size = 64MB", "min_wal_size = 32MB", "wal_keep_size = 48MB")

// relayProgram returns the program of each relay in a fleet. With AUDITRELAY_SOAK it is a build
// whose clock jumps by a minute every five seconds.
var relayProgram = sync.OnceValues(func() (string, error) {
	if os.Getenv("AUDITRELAY_SOAK") == "" {
		return binary()
	}
	return buildStepped()
})

// buildStepped builds the program with a package time whose wall clock jumps a minute ahead and
// back every five seconds, in each process at another moment. The monotonic clock is the true
// one, as on a machine whose clock is set.
func buildStepped() (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	const reading = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	stepped := bytes.Replace(text, []byte(reading), []byte(reading+"\tsec += [...]int64{0, 60, 0, -60}[(mono/5e9+int64(syscall.Getpid()))%4]\n"), 1)
	stepped = bytes.Replace(stepped, []byte("\t_ \"unsafe\""), []byte("\t\"syscall\"\n\t_ \"unsafe\""), 1)
	if bytes.Count(stepped, []byte("syscall")) != 2 {
		return "", fmt.Errorf("%s reads its clock in another way: change buildStepped", original)
	}
	dir, err := os.MkdirTemp("", "auditrelay-crashtest")
	if err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: filepath.Join(dir, "time.go")}})
	if err != nil {
		return "", err
	}
	for name, content := range map[string][]byte{"time.go": stepped, "overlay.json": overlay} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, "auditrelay")
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", path, "auditrelay/cmd/auditrelay")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program with a clock that is set: %w\n%s", err, out)
	}
	return path, nil
}

// module returns the file of one of two modules that keep every event and have different
// digests.
func (f *fleet) module(n int) string { return filepath.Join(f.dir, fmt.Sprintf("keep%d.wasm", n%2)) }

func (f *fleet) modules(t *testing.T) {
	t.Helper()
	code, err := os.ReadFile("../../../testdata/wasm/hostile/keep.wasm")
	if err != nil {
		t.Fatal(err)
	}
	write(t, f.module(0), string(code))
	write(t, f.module(1), string(code)+"\x00\x02\x01v") // a custom section named v
}

// another switches the fleet to another module, kills the leader, and checks that the next one
// runs that module.
func (f *fleet) another(t *testing.T) {
	t.Helper()
	f.used++
	code, err := os.ReadFile(f.module(f.used))
	if err != nil {
		t.Fatal(err)
	}
	f.ask(t, "/v1/modules?name=keep&reason=a+test", code)
	digest := sha(code)
	f.ask(t, "/v1/filters/guard/module", fmt.Appendf(nil, `{"sha256":%q,"reason":"a test"}`, digest))
	f.more(t, 50)
	f.relays[f.leader(t)].kill()
	f.more(t, 50)
	var all []struct {
		SHA256  string   `json:"sha256"`
		Filters []string `json:"filters"`
	}
	for until := time.Now().Add(20 * time.Second); f.get("/v1/modules", &all) != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("no answer:\n%s", f.allLogs())
		}
	}
	for _, m := range all {
		if slices.Contains(m.Filters, "guard") != (m.SHA256 == digest) {
			t.Errorf("after a change of the leader the modules are %+v, want guard to run %s", all, digest)
		}
	}
}

// ask repeats a request to the fleet until it is answered.
func (f *fleet) ask(t *testing.T, path string, body []byte) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Post(f.balance.url+path, "application/json", bytes.NewReader(body))
		if err == nil {
			answer, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			err = fmt.Errorf("status %d: %s", resp.StatusCode, answer)
		}
		if time.Now().After(until) {
			t.Fatalf("POST %s: %v", path, err)
		}
	}
}

// slow repeatedly suspends the standby, for which every commit waits.
func (f *fleet) slow(t *testing.T) {
	t.Helper()
	standby := f.servers[1-f.primary]
	for range 6 {
		if !standby.Signal(t, pgtest.Receiver, syscall.SIGSTOP) {
			t.Error("no standby follows")
		}
		time.Sleep(500 * time.Millisecond)
		standby.Signal(t, pgtest.Receiver, syscall.SIGCONT)
		f.more(t, 10)
	}
}

// full fills the primary's disk until nothing is accepted any more, and frees it.
func (f *fleet) full(t *testing.T) {
	t.Helper()
	primary := f.servers[f.primary]
	primary.Fill(t)
	for until, at, n := time.Now().Add(30*time.Second), time.Now(), 0; time.Since(at) < 2*time.Second; time.Sleep(50 * time.Millisecond) {
		if now := f.book.count(); now != n {
			n, at = now, time.Now()
		}
		if time.Now().After(until) {
			t.Error("a full disk does not stop the fleet: nothing is tested")
			break
		}
	}
	primary.Free(t)
	f.more(t, 100)
}

// clock sets the primary's clock a minute ahead and back, and kills the leader each time.
func (f *fleet) clock(t *testing.T) {
	t.Helper()
	primary := f.servers[f.primary]
	defer primary.StepClock(t, 0)
	for _, by := range []time.Duration{time.Minute, -time.Minute} {
		primary.StepClock(t, by)
		time.Sleep(1100 * time.Millisecond) // usually until all sessions notice
		f.tellsTime(t, by)
		f.more(t, 100)
		i := f.leader(t)
		f.relays[i].kill()
		f.more(t, 100)
		f.start(t, i)
	}
}

// tellsTime waits until the primary's clock is off by this duration.
func (f *fleet) tellsTime(t *testing.T, by time.Duration) {
	t.Helper()
	c := f.servers[f.primary].Connect(t, "owner", "postgres")
	defer c.Close()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		var seconds float64
		if _, err := fmt.Sscan(c.Exec("SELECT extract(epoch FROM clock_timestamp())")[0], &seconds); err != nil {
			t.Fatal(err)
		}
		off := time.Duration((seconds - float64(time.Now().Unix())) * float64(time.Second))
		if (off - by).Abs() < 5*time.Second {
			return
		}
		if time.Now().After(until) {
			t.Errorf("the primary's clock is off by %v, want %v: nothing is tested", off, by)
			return
		}
	}
}
