package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// Needs AUDITRELAY_SMALL_DISK, a directory on a separate disk of some 64 MB. The journal fills
// the disk, refuses early, keeps running while other files fill the rest, and resumes.
func TestSmallDisk(t *testing.T) {
	disk := os.Getenv("AUDITRELAY_SMALL_DISK")
	if disk == "" {
		t.Skip("AUDITRELAY_SMALL_DISK is not set")
	}
	dir := filepath.Join(disk, "journal")
	defer os.RemoveAll(dir)
	ballast := filepath.Join(disk, "ballast")
	defer os.Remove(ballast)
	o := Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	j := open(t, dir, o)
	n := 0
	fill := func() (stored int) {
		for ; ; n++ {
			tx := &Tx{}
			tx.Append(event(fmt.Sprint(n), fmt.Sprintf(`{"n":%q}`, noise(n, 900))))
			if _, err := j.Commit(tx); err != nil {
				if !errors.Is(err, ErrFull) {
					t.Fatal(err)
				}
				t.Log(err)
				return stored
			}
			stored++
		}
	}
	for round := range 2 {
		if stored := fill(); stored < 1000 {
			t.Errorf("round %d: only %d events were stored", round, stored)
		}
		// Callbacks continue.
		for i := range 100 {
			tx := &Tx{}
			tx.Set(LaneKey("s3"), fmt.Append(nil, i))
			if _, err := j.Commit(tx); err != nil {
				t.Fatal(err)
			}
		}
		// Other files take all that is left.
		if err := os.WriteFile(ballast, make([]byte, 64<<20), 0o600); err == nil {
			t.Fatal("the disk is not small")
		}
		j.Usage() // bypass the cache
		tx := &Tx{}
		tx.Append(event("refused", `{}`))
		if _, err := j.Commit(tx); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		if err := j.Trim(j.Head().Next - 100); err != nil {
			t.Fatal(err)
		}
		if err := j.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
			t.Fatal(err)
		}
		j.db.TestOnlyWaitForCleaning()
		closeJournal(t, j)
		j = open(t, dir, o)
		if events, err := readAll(j); len(events) != 100 || err != nil {
			t.Fatal(len(events), err)
		}
	}
}
