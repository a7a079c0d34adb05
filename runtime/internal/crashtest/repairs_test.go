package crashtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime"
)

// filledDir returns the data directory of a closed relay with the events r-0 to r-(n-1).
func filledDir(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	r, err := runtime.Open(t.Context(), runtime.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		data := fmt.Appendf(nil, `{"id":"r-%d","action":"created","updated_values":{"pad":%q}}`, i, strings.Repeat("x", 300))
		if _, err := r.Submit(t.Context(), runtime.Submission{Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// repaired describes an opened journal: how many of the events r-i it has, how many of one id
// more than once, and its records of an act.
type repaired struct {
	events, twice int
	records       []ownRecord
}

func look(t *testing.T, o runtime.Options, act string) (*repaired, error) {
	t.Helper()
	r, err := runtime.Open(t.Context(), o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out, seen := new(repaired), map[string]int{}
	for at := uint64(1); ; {
		events, next, err := r.Stored(at, 1000)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if strings.HasPrefix(e.ID, "r-") {
				seen[e.ID]++
			}
			var o ownRecord
			if e.Namespace != auditrelay.NamespaceLiteLLM && json.Unmarshal(e.Data, &o) == nil && o.Control.Act == act {
				out.records = append(out.records, o)
			}
		}
		if next == at {
			break
		}
		at = next
	}
	for _, n := range seen {
		if out.events++; n > 1 {
			out.twice++
		}
	}
	return out, nil
}

// killed runs the program and kills it after a while. It reports whether the program ended
// before.
func killed(t *testing.T, after time.Duration, args ...string) (ended bool) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after) // the moment of the kill
	cmd.Process.Kill()
	return cmd.Wait() == nil
}

// ran runs the program to its end, and returns the duration.
func ran(t *testing.T, args ...string) (string, time.Duration, error) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	out, err := exec.Command(path, args...).CombinedOutput()
	return string(out), time.Since(start), err
}

func fresh(t *testing.T, base, dir string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(base))); err != nil {
		t.Fatal(err)
	}
	// CopyFS does not keep the mode, and the relay warns about others.
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

// flipInLog flips a bit in the middle of a data directory's newest log.
func flipInLog(t *testing.T, dir string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "journal", "db", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	slices.Sort(logs)
	text, err := os.ReadFile(logs[len(logs)-1])
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 4
	if err := os.WriteFile(logs[len(logs)-1], text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestKillWhileRecovering kills journal recover at moments spread over its duration. Until it
// is done the journal is refused. Run again, it ends as without the kill, with one record.
func TestKillWhileRecovering(t *testing.T) {
	n := max(6, rounds(t, 5))
	const events = 400
	base := filledDir(t, events)
	flipInLog(t, base)
	dir := filepath.Join(t.TempDir(), "data")
	config := filepath.Join(t.TempDir(), "auditrelay.yaml")
	write(t, config, fmt.Sprintf("data_dir: %s\ncallbacks:\n  - {name: out, sink: {stdout: {}}}\n", dir))
	repair := []string{"journal", "recover", "--config", config, "--yes", "--reason", "TICKET-9"}
	fresh(t, base, dir)
	if _, err := look(t, runtime.Options{Dir: dir}, "recover"); err == nil {
		t.Fatal("the journal is not damaged: nothing is tested")
	}
	out, took, err := ran(t, repair...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, err := look(t, runtime.Options{Dir: dir}, "recover")
	if err != nil || want.events < events/2 || want.twice > 0 || len(want.records) != 1 || want.records[0].Control.Outcome != "done" || want.records[0].Control.Reason != "TICKET-9" {
		t.Fatalf("not killed: %+v, %v", want, err)
	}
	seen := map[string]int{}
	for i := range n {
		fresh(t, base, dir)
		after := took * time.Duration(i) / time.Duration(n)
		killed(t, after, repair...)
		out, _, err := ran(t, repair...) // its lock ended with the process
		switch {
		case err == nil:
			seen["went on"]++
		case strings.Contains(out, "nothing to recover"):
			seen["was done"]++
		default:
			t.Errorf("killed after %s: %v\n%s", after, err, out)
			continue
		}
		got, err := look(t, runtime.Options{Dir: dir}, "recover")
		if err != nil || got.events != want.events || got.twice > 0 || len(got.records) != 1 || got.records[0].Control.Outcome != "done" {
			t.Errorf("killed after %s: %+v, want %+v; %v", after, got, want, err)
		}
	}
	t.Logf("%d kills within %s: %v; %d of %d events are whole", n, took.Round(time.Millisecond), seen, want.events, events)
}

// TestARecoveryWhoseLastStepFails: a recovery that wrote its record but could not move the
// damaged files continues when it is run again. There is one record, and the folder that it
// names exists.
func TestARecoveryWhoseLastStepFails(t *testing.T) {
	dir := filledDir(t, 50)
	flipInLog(t, dir)
	var inTheWay []string // non-empty folders cannot be replaced
	for i := range 120 {
		name := filepath.Join(dir, "journal", "damaged-"+time.Now().UTC().Add(time.Duration(i)*time.Second).Format("20060102T150405Z"))
		if err := os.MkdirAll(filepath.Join(name, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		inTheWay = append(inTheWay, name)
	}
	if _, err := runtime.Recover(runtime.JournalPlace{DataDir: dir}, runtime.By{Reason: "TICKET-9"}, false); err == nil {
		t.Fatal("nothing failed: this tests nothing")
	}
	for _, name := range inTheWay {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := runtime.Recover(runtime.JournalPlace{DataDir: dir}, runtime.By{Reason: "TICKET-9"}, false); err != nil {
		t.Fatal(err)
	}
	got, err := look(t, runtime.Options{Dir: dir}, "recover")
	if err != nil || got.twice > 0 || len(got.records) != 1 {
		t.Fatalf("%d records of the recovery, %v", len(got.records), err)
	}
	var after struct{ Kept string }
	if err := json.Unmarshal(got.records[0].After, &after); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(after.Kept); err != nil {
		t.Errorf("the record tells of files that are not there: %v", err)
	}
}

// TestKillWhileMoving kills journal move at moments spread over its duration, in both
// directions. Then one journal is in force, or both are refused until somebody decides; never
// are both accepted. The one in force has a record of the move if, and only if, it is the new
// one.
func TestKillWhileMoving(t *testing.T) {
	n := max(6, rounds(t, 5))
	const events = 400
	server := pgtest.Start(t, safely...)
	admin := server.Connect(t, "owner", "postgres")
	base := filledDir(t, events)
	dir := filepath.Join(t.TempDir(), "data")
	config := filepath.Join(t.TempDir(), "auditrelay.yaml")
	write(t, config, fmt.Sprintf("data_dir: %s\njournal: {postgres: {url: %q, takeover: 1s}}\ncallbacks:\n  - {name: out, sink: {stdout: {}}}\n", dir, server.URL("owner", "postgres")))
	move := func(to string) []string {
		return []string{"journal", "move", "--config", config, "--to", to, "--reason", "TICKET-9"}
	}
	places := map[string]runtime.Options{
		"data-dir": {Dir: dir},
		"postgres": {Dir: dir, Journal: runtime.JournalOptions{Postgres: runtime.PostgresJournal{URL: auditrelay.Secret(server.URL("owner", "postgres")), Takeover: time.Second}}},
	}
	empty := func() {
		admin.Exec("DROP SCHEMA IF EXISTS auditrelay CASCADE")
		fresh(t, base, dir)
	}
	done := func(to string, moves int) error {
		got, err := look(t, places[to], "move")
		if err != nil || got.events != events || got.twice > 0 || len(got.records) != moves || moves > 0 && got.records[moves-1].Control.Outcome != "done" {
			return fmt.Errorf("%s: %+v, %w", to, got, err)
		}
		return nil
	}
	for _, way := range [][2]string{{"data-dir", "postgres"}, {"postgres", "data-dir"}} {
		from, to := way[0], way[1]
		moves := 0 // records before
		begin := func() {
			empty()
			if from == "postgres" {
				moves = 1
				if out, _, err := ran(t, move(from)...); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
		}
		begin()
		out, took, err := ran(t, move(to)...)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if err := done(to, moves+1); err != nil {
			t.Fatalf("not killed: %v", err)
		}
		seen := map[string]int{}
		for i := range n {
			begin()
			after := took * time.Duration(i) / time.Duration(n)
			killed(t, after, move(to)...)
			former, next := done(from, moves), done(to, moves+1)
			switch {
			case former == nil && next != nil:
				seen["the old one"]++
			case next == nil && former != nil:
				seen["the new one"]++
			case former != nil && next != nil && strings.Contains(former.Error()+next.Error(), "correct the configuration"):
				seen["refused until it is told which"]++
			default:
				t.Errorf("to %s, killed after %s: the old one: %v; the new one: %v", to, after, former, next)
			}
		}
		t.Logf("to %s: %d kills within %s, in force was: %v", to, n, took.Round(time.Millisecond), seen)
	}
}
