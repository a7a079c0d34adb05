package crashtest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// verifies stops the program in order, and has it verify its data directory and all places
// to which it delivered: not one fault after all that happened, and no file that no
// checkpoint covers.
func (r *relay) verifies(t *testing.T, dataDir, config string, places ...string) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.done:
	case <-time.After(time.Minute):
		t.Fatal("it does not stop")
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	key, err := exec.Command(path, "proof", "public", filepath.Join(dataDir, "proof.key")).Output()
	if err != nil {
		t.Fatalf("its public key: %v", err)
	}
	for _, place := range append(places, dataDir) {
		args := []string{"verify", place, "--key", strings.TrimSpace(string(key))}
		if place == dataDir {
			args = append(args, "--config", config)
		}
		out, err := exec.Command(path, args...).CombinedOutput()
		if err != nil || strings.Contains(string(out), "no checkpoint covers") || !strings.Contains(string(out), "complete from 1 to ") {
			t.Errorf("verify %s: %v\n%s", filepath.Base(place), err, out)
		} else {
			t.Logf("verify %s: %s", filepath.Base(place), out)
		}
	}
}
