package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/builtin/sqlite"
	"auditrelay/sinktest"
)

func newSink(t testing.TB, path string) *sqlite.Sink {
	t.Helper()
	s, err := sqlite.New(sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func database(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// documents reads the stored documents in the order of insertion.
func documents(t testing.TB, path string) [][]byte {
	t.Helper()
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	rows, err := database(t, path).Query("SELECT data FROM auditrelay_events ORDER BY position")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var docs [][]byte
	for rows.Next() {
		var d []byte
		if err := rows.Scan(&d); err != nil {
			t.Fatal(err)
		}
		docs = append(docs, slices.Clone(d))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return docs
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Kit {
		path := filepath.Join(t.TempDir(), "new", "a b%20?#.db")
		return sinktest.Kit{
			New:  func(t *testing.T) auditrelay.Sink { return newSink(t, path) },
			Read: func(t *testing.T) [][]byte { return documents(t, path) },
		}
	})
}

// payload renders one chunk of n records, starting at a sequence.
func payload(t testing.TB, sink auditrelay.Sink, from uint64, n int) auditrelay.Payload {
	t.Helper()
	chunk := auditrelay.Chunk{Callback: "store", Journal: "j.1", From: from, To: from + uint64(n)}
	for i := range n {
		sequence := from + uint64(i)
		chunk.Records = append(chunk.Records, auditrelay.Record{
			Sequence: sequence, Namespace: "litellm", ID: fmt.Sprint(sequence), Data: fmt.Appendf(nil, `{"n":%d}`, sequence),
		})
	}
	payloads, err := sink.Render(chunk)
	if err != nil || len(payloads) != 1 {
		t.Fatalf("Render: %d payloads, %v", len(payloads), err)
	}
	return payloads[0]
}

func deliver(t testing.TB, sink auditrelay.Sink, p auditrelay.Payload) {
	t.Helper()
	if _, err := sink.Deliver(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func wantNumbers(t *testing.T, path string, last int) {
	t.Helper()
	var got, want []string
	for _, d := range documents(t, path) {
		got = append(got, string(d))
	}
	for n := range last {
		want = append(want, fmt.Sprintf(`{"n":%d}`, n+1))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("stored: %v, want %v", got, want)
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	sink := newSink(t, filepath.Join(dir, "audit.db"))
	deliver(t, sink, payload(t, sink, 1, 2))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, e.Name())
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
	if got := strings.Join(names, " "); got != "audit.db audit.db-shm audit.db-wal" {
		t.Errorf("the folder holds %s", got)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
}

// The durability of a delivery depends on these settings.
func TestEveryCommitIsSynced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	for name, store := range sqlite.Connections(t, path) {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "secure_delete": "1"} {
			var got string
			if err := store.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s is %s, %v; want %s", name, pragma, got, err, want)
			}
		}
	}
}

func kindOf(t *testing.T, sink auditrelay.Sink, p auditrelay.Payload) auditrelay.ErrorKind {
	t.Helper()
	_, err := sink.Deliver(t.Context(), p)
	if err == nil {
		t.Fatal("it was delivered")
	}
	if strings.Contains(err.Error(), `"n"`) {
		t.Errorf("the error quotes a record: %v", err)
	}
	return auditrelay.KindOf(err)
}

func TestALockedDatabaseIsTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	sink := newSink(t, path)
	deliver(t, sink, payload(t, sink, 1, 2))
	other := database(t, path)
	other.SetMaxOpenConns(1)
	if _, err := other.Exec("BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	p := payload(t, sink, 3, 2)
	if kind := kindOf(t, sink, p); kind != auditrelay.Transient {
		t.Errorf("a locked database is %v", kind)
	}
	if _, err := other.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	deliver(t, sink, p)
	wantNumbers(t, path, 4)
}

func TestAFullDatabaseIsTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	sink := newSink(t, path)
	deliver(t, sink, payload(t, sink, 1, 1))
	sqlite.LimitPages(t, sink, 30)
	p := payload(t, sink, 2, 900)
	if kind := kindOf(t, sink, p); kind != auditrelay.Transient {
		t.Errorf("a full disk is %v", kind)
	}
	wantNumbers(t, path, 1) // all of a payload or nothing
	deliver(t, sink, p)     // opened again, without the limit
	wantNumbers(t, path, 901)
}

func TestADamagedDatabaseStallsAndIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	rubbish := []byte(strings.Repeat("no database at all ", 1000))
	if err := os.WriteFile(path, rubbish, 0o600); err != nil {
		t.Fatal(err)
	}
	sink := newSink(t, path)
	p := payload(t, sink, 1, 2)
	if kind := kindOf(t, sink, p); kind != auditrelay.Misconfigured {
		t.Errorf("a damaged database is %v", kind)
	}
	if got, err := os.ReadFile(path); err != nil || !slices.Equal(got, rubbish) {
		t.Errorf("it was written to: %v", err)
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	deliver(t, sink, p)
	wantNumbers(t, path, 2)
}

func TestAReadOnlyFolderStalls(t *testing.T) {
	if os.Geteuid() == 0 {
		// The superuser may write everywhere, so use a file in place of the folder.
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		sink := newSink(t, filepath.Join(file, "audit.db"))
		if kind := kindOf(t, sink, payload(t, sink, 1, 1)); kind != auditrelay.Misconfigured {
			t.Errorf("a file where a folder should be is %v", kind)
		}
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	sink := newSink(t, filepath.Join(dir, "audit.db"))
	if kind := kindOf(t, sink, payload(t, sink, 1, 1)); kind != auditrelay.Misconfigured {
		t.Errorf("a folder that cannot be written to is %v", kind)
	}
}

// Nobody would find records written to a file that was moved away while open.
func TestAFileThatWasMovedAwayIsNotWrittenTo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.db")
	sink := newSink(t, path)
	deliver(t, sink, payload(t, sink, 1, 2))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, filepath.Join(dir, "away.db"+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	deliver(t, sink, payload(t, sink, 3, 2))
	deliver(t, sink, payload(t, sink, 1, 2))
	if got := documents(t, path); len(got) != 4 {
		t.Errorf("the new file holds %d records", len(got))
	}
	wantNumbers(t, filepath.Join(dir, "away.db"), 2)
}

func TestAnotherFormatIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	sink := newSink(t, path)
	deliver(t, sink, payload(t, sink, 1, 2))
	sink.Close()
	if _, err := database(t, path).Exec("UPDATE auditrelay_meta SET value = 99 WHERE name = 'version'"); err != nil {
		t.Fatal(err)
	}
	if kind := kindOf(t, sink, payload(t, sink, 3, 1)); kind != auditrelay.Misconfigured {
		t.Errorf("another format is %v", kind)
	}
}

func TestBackupIsWholeAndTheOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "audit.db"), filepath.Join(dir, "copy.db")
	if err := sqlite.Backup(t.Context(), sqlite.Options{Path: path}, copied); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a database: %v", err)
	}
	sink := newSink(t, path)
	deliver(t, sink, payload(t, sink, 1, 50))
	if err := sqlite.Backup(t.Context(), sqlite.Options{Path: path}, copied); err != nil {
		t.Fatal(err)
	}
	wantNumbers(t, copied, 50)
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy: %v, %v", info.Mode(), err)
	}
	if err := sqlite.Backup(t.Context(), sqlite.Options{Path: path}, copied); !errors.Is(err, os.ErrExist) {
		t.Errorf("over another file: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]sqlite.Options{
		"path: it is required":          {},
		"path: it does not name a file": {Path: "store/"},
		"keep.age: it is negative":      {Path: "a", Keep: sqlite.Keep{Age: -1}},
		"keep.rows: it is negative":     {Path: "a", Keep: sqlite.Keep{Rows: -1}},
	} {
		if _, err := sqlite.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", o, err, want)
		}
	}
}

func TestACancelledDeliveryDoesNotWaitForItsTurn(t *testing.T) {
	sink := newSink(t, filepath.Join(t.TempDir(), "audit.db"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sink.Deliver(ctx, payload(t, sink, 1, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
