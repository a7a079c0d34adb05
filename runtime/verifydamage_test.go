package runtime_test

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"auditrelay"
	"auditrelay/builtin/sqlite"
	"auditrelay/internal/auditstore"
	"auditrelay/internal/verify"
	"auditrelay/runtime"

	"golang.org/x/mod/sumdb/note"
)

// heldIn returns everything that an auditor is told about a journal.
func heldIn(r *verify.Report) string {
	s := fmt.Sprint(r.Records, r.Objects, r.ValidObjects, r.Checkpoints, r.ValidCheckpoints, r.Bytes)
	for _, l := range r.Logs {
		s += fmt.Sprint(" ", l.Origin, l.Size, l.First, l.Last)
	}
	return s
}

// placeOnDisk is a place on disk that is changed and restored.
type placeOnDisk struct {
	t     *testing.T
	dir   string
	whole place
}

// put changes the disk from one state to another.
func (d *placeOnDisk) put(from, to place) {
	d.t.Helper()
	for name := range from {
		if _, ok := to[name]; !ok || !bytes.Equal(from[name], to[name]) {
			if err := os.Remove(filepath.Join(d.dir, name)); err != nil { // it may be a link: never write into it
				d.t.Fatal(err)
			}
		}
	}
	for name, data := range to {
		if before, ok := from[name]; !ok || !bytes.Equal(before, data) {
			if err := os.WriteFile(filepath.Join(d.dir, name), data, 0o600); err != nil {
				d.t.Fatal(err)
			}
		}
	}
}

// with runs fn with the damage in place.
func (d *placeOnDisk) with(damage damage, fn func()) {
	d.t.Helper()
	changed := damage.applied(d.whole)
	d.put(d.whole, changed)
	defer d.put(changed, d.whole)
	fn()
}

// TestEveryDamageToAJournalIsNamed flips bytes of a stopped relay's journal and of a backup,
// and applies every damage to their files. For a journal, each is reported or changes nothing
// that an auditor is told. For a backup, each is reported. AUDITRELAY_SOAK applies everything
// to each file, and flips all bytes.
func TestEveryDamageToAJournalIsNamed(t *testing.T) {
	encryption := runtime.Encryption{Key: auditrelay.Secret(bytes.Repeat([]byte("k"), 32))}
	base := t.TempDir()
	dir, backups := filepath.Join(base, "data"), []string{filepath.Join(base, "backup1"), filepath.Join(base, "backup2")}
	o := runtime.Options{Dir: dir, Journal: runtime.JournalOptions{Encryption: encryption}}
	early := map[string]place{}
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	for round, backup := range backups {
		with, _ := withSigner(o, signing)
		r := start(t, with)
		for i := range 6 {
			submit(t, r, fmt.Sprintf(`{"id":"e%d-%d","action":"created","object_id":"o%d"}`, round, i, i))
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
		if round == 0 {
			early["data directory"], early["backup"] = files(t, dir), files(t, backup)
		}
	}
	report := func(dir string, pins ...[]byte) *verify.Report {
		t.Helper()
		r, err := runtime.VerifyJournal(dir, encryption, verify.Options{Keys: []string{public}, Pins: pins})
		if errors.Is(err, runtime.ErrWrongKey) || errors.Is(err, runtime.ErrNoKey) || errors.Is(err, os.ErrNotExist) {
			return &verify.Report{FaultCount: 1} // it is not checked, and says so
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, place := range map[string]string{"data directory": dir, "backup": backups[1]} {
		t.Run(name, func(t *testing.T) {
			whole := report(place)
			if whole.FaultCount > 0 || whole.Records < 12 && name != "backup" {
				t.Fatalf("%s %v", whole.Verdict(), whole.Faults)
			}
			var pins [][]byte
			for _, l := range whole.Logs {
				pins = append(pins, []byte(l.Checkpoint))
			}
			disk, tried := &placeOnDisk{t, place, files(t, place)}, 0
			names := slices.DeleteFunc(slices.Sorted(maps.Keys(disk.whole)), func(name string) bool { return filepath.Base(name) == "LOCK" })
			for i, file := range names {
				data := disk.whole[file]
				if soaking() {
					t.Logf("%s, %d bytes, after %d damages", file, len(data), tried)
				}
				damages := damagesTo(disk.whole, early[name], file, names[(i+1)%len(names)], 512)
				for k, damage := range append(damages, flips(file, data, max(1, len(data)/3))...) {
					if !soaking() && (i+k)%5 != 0 {
						continue // each kind on some files
					}
					tried++
					disk.with(damage, func() {
						got := report(place, pins...)
						if got.FaultCount == 0 && (name == "backup" || heldIn(got) != heldIn(whole)) {
							t.Errorf("%s %s went unnoticed: %s: %s, not %s", file, damage.what, got.Verdict(), heldIn(got), heldIn(whole))
						}
					})
				}
			}
			if got := report(place, pins...); heldIn(got) != heldIn(whole) || got.FaultCount > 0 {
				t.Errorf("put back, it is not as it was: %s", got.Verdict())
			}
			t.Logf("%d damages to %d files", tried, len(names))
		})
	}
}

// TestEveryDamageToAStoreIsNamed damages a store's file and its pages. Each damage is reported,
// or changes nothing that is read.
func TestEveryDamageToAStoreIsNamed(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db")
	var public string
	for _, path := range []string{other, path} {
		public = storeTo(t, func() auditrelay.Sink {
			s, err := sqlite.New(sqlite.Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
	}
	o := verify.Options{Keys: []string{public}}
	look := func() (*verify.Report, error) {
		return verifyStore(t, func() (*auditstore.Store, error) { return sqlite.View(t.Context(), path) }, o)
	}
	full, err := look()
	if err != nil || full.FaultCount > 0 {
		t.Fatal(err, full.Verdict())
	}
	o.Pins = [][]byte{[]byte(full.Logs[0].Checkpoint)}
	disk, tried, named := &placeOnDisk{t, dir, files(t, dir)}, 0, 0
	page := pageSize(t, path)
	for _, damage := range damagesTo(disk.whole, nil, "a.db", "b.db", page) {
		tried++
		disk.with(damage, func() {
			r, err := look()
			if err != nil || r.FaultCount > 0 {
				named++
			} else if r.Records != full.Records || r.Objects != full.Objects || !maps.Equal(r.Outcomes, full.Outcomes) || r.Logs[0].Last != full.Logs[0].Last {
				t.Errorf("%s went unnoticed: %s", damage.what, r.Verdict())
			}
		})
	}
	t.Logf("%d of %d damages were named; the others changed nothing that is read", named, tried)
	if named < tried/2 {
		t.Error("few are named")
	}
}

func pageSize(t *testing.T, path string) (size int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("PRAGMA page_size").Scan(&size); err != nil {
		t.Fatal(err)
	}
	return size
}
