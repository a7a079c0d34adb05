package runtime_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/internal/verify"
	"auditrelay/runtime"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/note"
)

// TestAJournalVerifies: a complete one does, encrypted too and after an erasure. An event
// changed by an attacker who can compute checksums is reported.
func TestAJournalVerifies(t *testing.T) {
	for name, e := range map[string]runtime.Encryption{
		"plain":     {},
		"encrypted": {Key: auditrelay.Secret(bytes.Repeat([]byte("k"), 32))},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			r, _, public := proving(t, runtime.Options{Dir: dir, Journal: runtime.JournalOptions{Encryption: e}})
			submit(t, r, `{"id":"e1","action":"created","object_id":"o"}`, `{"id":"e2","action":"deleted","object_id":"p"}`)
			if _, err := runtime.VerifyJournal(dir, e, verify.Options{Keys: []string{public}}); !errors.Is(err, runtime.ErrLocked) {
				t.Errorf("while the relay runs: %v", err)
			}
			if err := r.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			report, err := runtime.VerifyJournal(dir, e, verify.Options{Keys: []string{public}})
			if err != nil || report.FaultCount > 0 || report.Records != 2 || report.ValidCheckpoints != 2 || report.Logs[1].SignedUntil == 0 {
				t.Fatalf("%+v, %v", report, err)
			}
			pins := [][]byte{[]byte(report.Logs[0].Checkpoint), []byte(report.Logs[1].Checkpoint)}
			if report, err = runtime.VerifyJournal(dir, e, verify.Options{Keys: []string{public}, Pins: pins}); err != nil || report.FaultCount > 0 {
				t.Fatalf("with its own pins: %+v, %v", report, err)
			}
			if name != "plain" {
				return
			}
			changeEvent(t, filepath.Join(dir, "journal", "db"), 2)
			report, err = runtime.VerifyJournal(dir, e, verify.Options{Keys: []string{public}})
			if err != nil || report.Worst() != verify.Altered || report.Faults[0].Sequence != 2 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
}

// changeEvent changes the last byte but one of a stored event, with a matching checksum.
func changeEvent(t *testing.T, db string, sequence uint64) {
	t.Helper()
	p, err := pebble.Open(db, &pebble.Options{FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		t.Fatal(err)
	}
	key := binary.BigEndian.AppendUint64([]byte{2}, sequence)
	record, closer, err := p.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(record)
	closer.Close()
	changed[len(changed)-3] ^= 1
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Checksum(changed[12:], table), table, append(binary.BigEndian.AppendUint64(nil, sequence), changed[4:12]...))
	binary.BigEndian.PutUint32(changed, sum)
	if err := p.Set(key, changed, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDamageToWhatTheJournalHoldsIsNamed flips a byte in each table of a stopped relay's
// journal, including those with receipts, dead letters and payloads. A journal that verify
// accepts can be read in full.
func TestDamageToWhatTheJournalHoldsIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 { // each start creates tables from the data of the previous run
		o, _ := withSigner(runtime.Options{Dir: dir}, signing)
		o.Callbacks = append(o.Callbacks, runtime.Callback{Name: "siem", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "half", Filter: fn(func(c *filter.Call) (auditrelay.Verdict, error) {
			if bytes.Contains(c.Event.Data, []byte("no")) {
				return auditrelay.NoVerdict, errors.New("no")
			}
			return auditrelay.Keep, nil
		}).filter()}}})
		r := start(t, o)
		submit(t, r, fmt.Sprintf(`{"id":"e%d","action":"created","object_id":"yes"}`, round), fmt.Sprintf(`{"id":"f%d","action":"created","object_id":"no"}`, round))
		if err := r.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	look := func() *verify.Report {
		t.Helper()
		report, err := runtime.VerifyJournal(dir, runtime.Encryption{}, verify.Options{Keys: []string{public}})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if whole := look(); whole.FaultCount > 0 {
		t.Fatal(whole.Faults)
	}
	disk, tables := &placeOnDisk{t, dir, files(t, dir)}, 0
	for name, data := range disk.whole {
		if filepath.Ext(name) != ".sst" {
			continue
		}
		tables++
		for _, flip := range flips(name, data, max(1, len(data)/2)) {
			disk.with(flip, func() {
				if got := look(); got.FaultCount == 0 {
					t.Errorf("%s, %s: went unnoticed", name, flip.what)
				}
			})
		}
	}
	if tables < 10 {
		t.Fatalf("only %d tables", tables)
	}
}
