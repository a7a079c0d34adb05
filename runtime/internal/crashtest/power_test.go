package crashtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"auditrelay/internal/test/corpus"
	"auditrelay/internal/test/s3test"
	"auditrelay/runtime/internal/journal"
)

// noSync makes the program acknowledge without waiting for the disk.
const noSync = "AUDITRELAY_UNSAFE_NO_SYNC=1"

// TestPowerLoss simulates a power failure. The data directory is on its own disk, whose image
// is copied while the program is suspended, without the data that the kernel has not written.
// Every acknowledged event must be on the copy, and everything that the journal calls delivered
// must be in the file, which is on the same disk. The bucket is elsewhere: the journal must
// know everything signed and published there.
func TestPowerLoss(t *testing.T) {
	for round := range max(rounds(t, 50)/10, 1) {
		if lost, err := cutPower(t, uint64(round)); err != nil || lost > 0 {
			t.Fatalf("round %d: %d acknowledged events are lost, %v", round, lost, err)
		}
	}
}

// TestPowerLossNoticesMissingSync shows that TestPowerLoss can fail: without fsync, the same
// harness must report loss.
func TestPowerLossNoticesMissingSync(t *testing.T) {
	rounds(t, 1)
	for range 3 {
		lost, err := cutPower(t, 1, noSync)
		t.Logf("without fsync: %d acknowledged events lost, %v", lost, err)
		if lost > 0 || err != nil {
			return
		}
	}
	t.Fatal("the program ran without fsync, and nothing was lost: the harness is blind")
}

// cutPower runs the program on its own disk under load, simulates a power failure, and returns
// the number of lost acknowledged events.
func cutPower(t *testing.T, seed uint64, env ...string) (lost int, err error) {
	t.Helper()
	disk := newDisk(t, 256)
	gateway := s3test.Start(t, "audit")
	dir := t.TempDir()
	config := filepath.Join(dir, "auditrelay.yaml")
	write(t, config, fmt.Sprintf(`
data_dir: %s
journal: {reserve: 8MiB}
%s
callbacks:
  - name: files
    sink: {file: {path: %s}}
    chunk: {age: 20ms}
  - name: archive
    sink: {s3: {bucket: audit, prefix: archive, %s}}
    chunk: {age: 30ms}
    backoff: {initial: 10ms, max: 100ms}
`, filepath.Join(disk.mount, "data"), oftenSigned, filepath.Join(disk.mount, "files", "events.ndjson"), s3Options(gateway)))
	archive := filepath.Join(gateway.Root, "audit", "archive")
	auditor := newAuditor(t, filepath.Join(disk.mount, "data"), config, filepath.Join(disk.mount, "files"), archive)
	listen := address(t)
	r := startRelay(t, listen, config, env...)
	book := newLedger(t)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: producers}}
	defer client.CloseIdleConnections()
	enough := make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			g := corpus.New(seed<<16 + uint64(p))
			for ctx.Err() == nil {
				batch := [][]byte{g.Next().Data}
				book.send(batch)
				ids, err := r.post(ctx, client, batch)
				if err != nil {
					return
				}
				if book.acknowledge(ids) != nil {
					return
				}
				if book.count() >= acksPerRound {
					once.Do(func() { close(enough) })
				}
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(time.Minute):
		t.Fatalf("fewer than %d acknowledgements in a minute", acksPerRound)
	}
	r.cmd.Process.Signal(syscall.SIGSTOP)
	disk.loseUnsynced(t)
	r.kill()
	cancel()
	wg.Wait()
	disk.swap(t)

	j, err := journal.Open(filepath.Join(disk.mount, "data", "journal"), journal.Options{})
	if err != nil {
		return 0, fmt.Errorf("open the journal after a power loss: %w", err)
	}
	for id := range book.acked {
		if found, err := j.Lookups("litellm", []string{id}, true); err != nil {
			return lost, errors.Join(err, j.Close())
		} else if found[0] == 0 {
			lost++
		}
	}
	if err := j.Close(); err != nil || lost > 0 {
		return lost, err
	}
	if err := auditor.left(t); err != nil {
		return 0, err
	}
	again := startRelay(t, listen, config)
	defer again.kill()
	again.settle(t, time.Minute)
	all := func(string) bool { return true }
	lost = book.compare(t, "files", objects(t, filepath.Join(disk.mount, "files")), all)
	lost += book.compare(t, "archive", objects(t, archive), all)
	return lost, auditor.whole(t, again)
}

// disk is an ext4 file system in a file.
type disk struct{ image, mount string }

func newDisk(t *testing.T, mib int) *disk {
	t.Helper()
	dir := t.TempDir()
	d := &disk{image: filepath.Join(dir, "image"), mount: filepath.Join(dir, "mount")}
	if err := os.Mkdir(d.mount, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, int64(mib)<<20); err != nil {
		t.Fatal(err)
	}
	err := run("mkfs.ext4", "-q", d.image)
	if err == nil {
		err = run("mount", "-o", "loop", d.image, d.mount)
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("this machine cannot mount an image: %v", err)
		}
		t.Skipf("SKIPPED, NOT PASSED: this needs to mount an ext4 image: %v", err)
	}
	t.Cleanup(func() { run("umount", d.mount) })
	return d
}

// loseUnsynced copies the disk without the data that is only in the kernel.
func (d *disk) loseUnsynced(t *testing.T) {
	t.Helper()
	if err := run("cp", "--sparse=always", d.image, d.image+".copy"); err != nil {
		t.Fatal(err)
	}
}

// swap mounts the copy in place of the original.
func (d *disk) swap(t *testing.T) {
	t.Helper()
	if err := run("umount", d.mount); err != nil {
		t.Fatal(err)
	}
	if err := run("mount", "-o", "loop", d.image+".copy", d.mount); err != nil {
		t.Fatal(err)
	}
}

func run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/sbin:/usr/sbin")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}
