package runtime_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"auditrelay/runtime"
)

// crashDir is the environment variable with the directory in which a child quarantines and
// replays until it is killed.
const crashDir = "AUDITRELAY_TEST_QUARANTINE_DIR"

// TestQuarantineChild is not a test: TestQuarantineSurvivesAKill runs and kills it.
func TestQuarantineChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		return
	}
	r, err := runtime.Open(context.Background(), runtime.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(1)
	if _, err := fmt.Sscan(os.Getenv(crashDir+"_NEXT"), &next); err != nil {
		t.Fatal(err)
	}
	for i := next; ; i++ {
		item := odd(event(fmt.Sprint("e", i), "created"), "too_large")
		if err := r.Quarantine(t.Context(), item); err != nil {
			t.Fatal(err)
		}
		fmt.Println("kept", i)
		if i%3 != 0 {
			continue
		}
		list, err := r.QuarantineItems(t.Context(), runtime.QuarantineQuery{Limit: 1})
		if err != nil || len(list) == 0 {
			t.Fatal(list, err)
		}
		results, err := r.ReplayQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, list[0].Number, nil)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("replayed", results[0].ID)
	}
}

// TestQuarantineSurvivesAKill: acknowledged input is in quarantine or, once replayed, an event;
// never neither, never both.
func TestQuarantineSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	replayed := map[string]bool{}
	last := uint64(0)
	for round := range 5 {
		child := exec.Command(os.Args[0], "-test.run=^TestQuarantineChild$")
		child.Env = append(os.Environ(), crashDir+"="+dir, fmt.Sprintf("%s_NEXT=%d", crashDir, last+1))
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines, said := bufio.NewScanner(out), 0
		for lines.Scan() {
			var i uint64
			if _, err := fmt.Sscanf(lines.Text(), "kept %d", &i); err == nil {
				last = i
			} else if id, ok := strings.CutPrefix(lines.Text(), "replayed "); ok {
				replayed[id] = true
			} else {
				t.Errorf("the child says %q", lines.Text())
			}
			if said++; said == 20+7*round { // and whatever is in the pipe by then
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if said < 20 {
			t.Fatalf("the child ended by itself after %d lines", said)
		}
		_, _ = io.Copy(io.Discard, out)
		_ = child.Wait() // killed

		r := start(t, runtime.Options{Dir: dir})
		kept := map[string]bool{}
		for _, it := range inQuarantine(t, r) {
			whole, err := r.QuarantineItem(t.Context(), it.Number)
			if err != nil {
				t.Fatal(err)
			}
			for i := range last + 2 {
				if string(whole.Data) == event(fmt.Sprint("e", i), "created") {
					kept[fmt.Sprint("e", i)] = true
				}
			}
		}
		for i := uint64(1); i <= last; i++ {
			id := fmt.Sprint("e", i)
			_, err := r.Explain(t.Context(), "", id)
			accepted := err == nil
			if kept[id] == accepted {
				t.Errorf("round %d: %s is in quarantine: %v, an event: %v (%v)", round, id, kept[id], accepted, err)
			}
			if replayed[id] && !accepted {
				t.Errorf("round %d: %s was replayed, and is no event", round, id)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if last < 30 || len(replayed) < 5 {
		t.Errorf("%d kept, %d replayed: that shows nothing", last, len(replayed))
	}
}
