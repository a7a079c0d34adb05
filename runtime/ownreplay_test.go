package runtime_test

import (
	"bytes"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"regexp"
	"testing"

	"auditrelay/builtin/file"
	"auditrelay/internal/verify"
	"auditrelay/runtime"

	"golang.org/x/mod/sumdb/note"
)

// TestAnEndedReplayDoesNotStartAgain: an attach starts the replays that do not run. One that ends at
// that moment must not start again from an old state: it would use the numbers of its payloads
// twice, repeat its records, and damage its log.
func TestAnEndedReplayDoesNotStartAgain(t *testing.T) {
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	sink, err := file.New(file.Options{Path: filepath.Join(t.TempDir(), "audit.ndjson")}) // it keeps proofs
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r := start(t, runtime.Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil)), Proofs: runtime.ProofOptions{Key: signing},
		Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	by := runtime.By{Principal: "ops", Reason: "a test"}
	for range 200 {
		for range 2 {
			if err := r.Detach(t.Context(), "archive", by); err != nil {
				t.Fatal(err)
			}
			if err := r.Attach(t.Context(), "archive", by); err != nil {
				t.Fatal(err)
			}
		}
		settle(t, r)
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended := map[string]int{}
	for _, m := range regexp.MustCompile(`msg="replay done" .*replay=(\w+)`).FindAllStringSubmatch(log.String(), -1) {
		ended[m[1]]++
	}
	for id, n := range ended {
		if n > 1 {
			t.Errorf("replay %s ended %d times", id, n)
		}
	}
	if len(ended) == 0 {
		t.Error("no replay ended")
	}
	report, err := runtime.VerifyJournal(dir, runtime.Encryption{}, verify.Options{Keys: []string{public}})
	if err != nil || report.FaultCount > 0 {
		t.Errorf("%v, %v", report, err)
	}
}
