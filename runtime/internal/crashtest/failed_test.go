package crashtest

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"auditrelay/internal/test/corpus"
)

// TestJournalFails makes the file system fail under the running program. The program must
// refuse, end with an error that its supervisor sees, and start again with everything it
// acknowledged.
func TestJournalFails(t *testing.T) {
	rounds(t, 1)
	disk := newDisk(t, 96)
	dir := t.TempDir()
	config := filepath.Join(dir, "auditrelay.yaml")
	write(t, config, fmt.Sprintf("data_dir: %s\njournal: {reserve: 8MiB}\n%s\ncallbacks:\n  - {name: files, sink: {file: {path: %s}}}\n",
		filepath.Join(disk.mount, "data"), oftenSigned, filepath.Join(dir, "files", "events.ndjson")))
	auditor := newAuditor(t, filepath.Join(disk.mount, "data"), config, filepath.Join(dir, "files"))
	listen := address(t)
	r := startRelay(t, listen, config)
	g := corpus.New(7)
	book := newLedger(t)
	post := func() error {
		batch := [][]byte{g.Next().Data}
		book.send(batch)
		ids, err := r.post(t.Context(), http.DefaultClient, batch)
		if err != nil {
			return err
		}
		return book.acknowledge(ids)
	}
	for range 20 {
		if err := post(); err != nil {
			t.Fatal(err)
		}
	}
	if err := run("mount", "-o", "remount,abort", disk.mount); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(30 * time.Second)
	for ended := false; !ended; {
		if err := post(); err == nil {
			continue // the kernel still accepts it; it is durable, or the ledger detects the loss
		}
		select {
		case <-r.done:
			ended = true
		case <-deadline:
			t.Fatalf("the program goes on with a journal that has failed:\n%s", r.log)
		case <-time.After(50 * time.Millisecond):
		}
	}
	if r.cmd.ProcessState.Success() {
		t.Errorf("the program ended without an error:\n%s", r.log)
	}

	if err := run("umount", disk.mount); err != nil {
		t.Fatal(err)
	}
	if err := run("fsck.ext4", "-y", disk.image); err != nil {
		t.Logf("fsck: %v", err) // 1: errors were corrected
	}
	if err := run("mount", "-o", "loop", disk.image, disk.mount); err != nil {
		t.Fatal(err)
	}
	if err := auditor.left(t); err != nil {
		t.Error(err)
	}
	again := startRelay(t, listen, config)
	again.settle(t, time.Minute)
	if lost := book.compare(t, "files", objects(t, filepath.Join(dir, "files")), func(string) bool { return true }); lost > 0 {
		t.Errorf("%d acknowledged events are lost", lost)
	}
	if err := auditor.whole(t, again); err != nil {
		t.Error(err)
	}
}
