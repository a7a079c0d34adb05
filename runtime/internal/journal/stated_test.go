package journal_test

import (
	"errors"
	"testing"

	"auditrelay/internal/proof"
	"auditrelay/runtime/internal/journal"
)

// TestAStatementThatIsMissingIsDamage: a log reports references to missing or changed entries;
// it never skips them.
func TestAStatementThatIsMissingIsDamage(t *testing.T) {
	j, err := journal.Open(t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	commit := func(fn func(tx *journal.Tx)) {
		t.Helper()
		tx := new(journal.Tx)
		fn(tx)
		if _, err := j.Commit(tx); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := j.OpenTree("log")
	if err != nil {
		t.Fatal(err)
	}
	at := journal.StatementKey("lane", 7)
	entries := [][]byte{[]byte("one"), []byte("two")}
	read := func() (n int, err error) {
		err = j.Entries("log", 0, 2, func(uint64, []byte) error { n++; return nil })
		return n, err
	}
	commit(func(tx *journal.Tx) { tx.SetPlain(at, proof.AppendEntries(nil, entries...)) })
	commit(func(tx *journal.Tx) { tree.AppendStated(tx, 5, at, entries...) })
	if n, err := read(); n != 2 || err != nil {
		t.Fatalf("%d entries: %v", n, err)
	}
	commit(func(tx *journal.Tx) { tx.SetPlain(at, proof.AppendEntries(nil, entries[0])) })
	if n, err := read(); n != 0 || !errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("one entry less: %d entries, %v", n, err)
	}
	commit(func(tx *journal.Tx) { tx.Delete(at) })
	if n, err := read(); n != 0 || !errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("none: %d entries, %v", n, err)
	}
}
