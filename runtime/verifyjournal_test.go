package runtime_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"path/filepath"
	"testing"

	"auditrelay"
	"auditrelay/internal/verify"
	"auditrelay/runtime"

	"github.com/cockroachdb/pebble/v2"
)

// TestAJournalVerifies: whole it does, encrypted too and after an erasure; an event that
// somebody changed who can make checksums is named.
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

// changeEvent changes the last byte but one of a stored event, with a checksum that fits.
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
