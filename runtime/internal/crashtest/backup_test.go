package crashtest

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditrelay/runtime"
)

// TestKillWhileBackingUp kills the relay during a backup with a store, and during the restore
// of a complete one, at moments spread over their duration. The remains are never accepted as
// complete.
func TestKillWhileBackingUp(t *testing.T) {
	n := max(20, 4*rounds(t, 5)) // 200 with 50
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "auditrelay.yaml")
	write(t, config, fmt.Sprintf("data_dir: %s\ncallbacks:\n  - {name: store, chunk: {age: 10ms}, sink: {sqlite: {}}}\n", filepath.Join(dir, "data")))
	listen := address(t)
	r := startRelay(t, listen, config)
	for i := range 20 {
		var batch [][]byte
		for k := range 500 {
			batch = append(batch, fmt.Appendf(nil, `{"id":"b%d-%d","action":"created","updated_values":{"pad":%q}}`, i, k, strings.Repeat("x", 500)))
		}
		if _, err := r.post(t.Context(), http.DefaultClient, batch); err != nil {
			t.Fatal(err)
		}
	}
	r.settle(t, time.Minute)
	backups := filepath.Join(dir, "data-backups")
	backup := func() error {
		resp, err := http.Post(r.url+"/v1/backup", "application/json", nil)
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	start := time.Now()
	if err := backup(); err != nil {
		t.Fatal(err)
	}
	whole, took := theOnly(t, backups), time.Since(start)
	kills := max(4, n/10) // each one requires a start
	for i := range kills {
		done := make(chan error, 1)
		go func() { done <- backup() }()
		time.Sleep(took * time.Duration(i) / time.Duration(kills))
		r.kill()
		<-done
		for _, dir := range entries(t, backups) {
			// One killed between its last write and its renaming is complete under its
			// temporary name.
			err := runtime.VerifyBackup(dir)
			if partial := strings.HasSuffix(dir, runtime.PartialSuffix); err != nil && !partial {
				t.Errorf("killed after %d of %d: %s: %v", i, kills, filepath.Base(dir), err)
			} else if err == nil && partial {
				restored := filepath.Join(t.TempDir(), "restored")
				restore(t, path, dir, restored)
				if got := state(t, restored, false, len(entries(t, restored))); got != "whole" {
					t.Errorf("killed after %d of %d: %s passes and restores as %s", i, kills, filepath.Base(dir), got)
				}
			}
			if dir != whole {
				os.RemoveAll(dir)
			}
		}
		r = startRelay(t, listen, config)
	}
	r.kill()

	into := filepath.Join(dir, "restored")
	start = time.Now()
	restore(t, path, whole, into)
	took = time.Since(start)
	want := len(entries(t, into))
	seen, last := map[string]int{}, ""
	for i := range n {
		// Every fourth continues from the remains of the one before, if they are incomplete:
		// otherwise it was opened, which took the note of the restore.
		if i%4 != 0 || last == "whole" {
			if err := os.RemoveAll(into); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(path, "restore", whole, into)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(took * time.Duration(i) / time.Duration(n))
		cmd.Process.Kill()
		killed := cmd.Wait() != nil
		last = state(t, into, killed, want)
		seen[last]++
	}
	t.Logf("%d restores killed within %s: %v", n, took.Round(time.Millisecond), seen)
}

func restore(t *testing.T, path, backup, into string) {
	t.Helper()
	if out, err := exec.Command(path, "restore", backup, into).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// state opens the remains of a restore.
func state(t *testing.T, dir string, killed bool, want int) string {
	t.Helper()
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return "nothing"
	}
	if _, err := os.Stat(filepath.Join(dir, "journal")); errors.Is(err, os.ErrNotExist) && len(entries(t, dir)) == 0 {
		return "empty"
	}
	held := entries(t, dir) // opening moves the note of the restore into the journal
	r, err := runtime.Open(t.Context(), runtime.Options{Dir: dir, Removed: []string{"store"}})
	if err != nil {
		if !killed || !strings.Contains(err.Error(), "its restore was interrupted") {
			t.Errorf("killed %v: %v", killed, err)
		}
		return "refused"
	}
	defer r.Close()
	if n := r.Stats().Head - 1; n < 10_000 || len(held) != want {
		t.Errorf("a half one passes: %d events, %v", n, held)
	}
	return "whole"
}

func entries(t *testing.T, dir string) (paths []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		paths = append(paths, filepath.Join(dir, e.Name()))
	}
	return paths
}

func theOnly(t *testing.T, dir string) string {
	t.Helper()
	list := entries(t, dir)
	if len(list) != 1 {
		t.Fatal(list)
	}
	return list[0]
}
