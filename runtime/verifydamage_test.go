package runtime_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"auditrelay"
	"auditrelay/internal/verify"
	"auditrelay/runtime"
)

// heldIn is all that an auditor is told of a journal.
func heldIn(r *verify.Report) string {
	s := fmt.Sprint(r.Records, r.Objects, r.ValidObjects, r.Checkpoints, r.ValidCheckpoints, r.Bytes)
	for _, l := range r.Logs {
		s += fmt.Sprint(" ", l.Origin, l.Size, l.First, l.Last)
	}
	return s
}

// TestEveryDamageToAJournalIsNamed flips bytes of a stopped relay's journal and of a
// backup, and cuts, empties and removes each of their files. Each is named, or changes
// nothing of what an auditor is told; of a backup each is named. AUDITRELAY_SOAK flips
// all bytes.
func TestEveryDamageToAJournalIsNamed(t *testing.T) {
	encryption := runtime.Encryption{Key: auditrelay.Secret(bytes.Repeat([]byte("k"), 32))}
	base := t.TempDir()
	dir, backup := filepath.Join(base, "data"), filepath.Join(base, "backup")
	r, _, public := proving(t, runtime.Options{Dir: dir, Journal: runtime.JournalOptions{Encryption: encryption}})
	for i := range 12 {
		submit(t, r, fmt.Sprintf(`{"id":"e%d","action":"created","object_id":"o%d"}`, i, i))
	}
	if err := r.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Backup(t.Context(), backup, runtime.By{Principal: "u"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	report := func(dir string, pins ...[]byte) *verify.Report {
		t.Helper()
		r, err := runtime.VerifyJournal(dir, encryption, verify.Options{Keys: []string{public}, Pins: pins})
		if errors.Is(err, runtime.ErrWrongKey) || errors.Is(err, runtime.ErrNoKey) {
			return &verify.Report{FaultCount: 1} // it is not looked at, and says so
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, place := range map[string]string{"data directory": dir, "backup": backup} {
		whole := report(place)
		if whole.FaultCount > 0 || whole.Records < 12 && name != "backup" {
			t.Fatalf("%s: %s %v", name, whole.Verdict(), whole.Faults)
		}
		var pins [][]byte
		for _, l := range whole.Logs {
			pins = append(pins, []byte(l.Checkpoint))
		}
		all, tried := files(t, place), 0
		try := func(file, what string, content []byte) {
			t.Helper()
			tried++
			path := filepath.Join(place, file)
			old := all[file]
			os.Remove(path) // it may be a link
			if content != nil {
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := report(place, pins...)
			if got.FaultCount == 0 && (name == "backup" || heldIn(got) != heldIn(whole)) {
				t.Errorf("%s: %s: %s, and %s: %s, not %s", name, file, what, got.Verdict(), heldIn(got), heldIn(whole))
			}
			os.Remove(path)
			if err := os.WriteFile(path, old, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for file, data := range maps.All(all) {
			if filepath.Base(file) == "LOCK" {
				continue
			}
			try(file, "it is removed", nil)
			if len(data) == 0 {
				continue
			}
			try(file, "it is empty", []byte{})
			try(file, "it is cut", data[:len(data)/2])
			step := max(1, len(data)/3)
			if os.Getenv("AUDITRELAY_SOAK") != "" {
				step = 1
			}
			for at := step / 2; at < len(data); at += step {
				changed := bytes.Clone(data)
				changed[at] ^= 1 << (at % 8)
				try(file, fmt.Sprintf("byte %d of %d is flipped", at, len(data)), changed)
			}
		}
		if got := report(place, pins...); heldIn(got) != heldIn(whole) || got.FaultCount > 0 {
			t.Errorf("%s: put back, it is not as it was: %s", name, got.Verdict())
		}
		t.Logf("%s: %d damages", name, tried)
	}
}
