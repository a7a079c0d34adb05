package journal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// blobFiles returns the names of a journal's blob files.
func blobFiles(t *testing.T, fsys vfs.FS, dir string) []string {
	t.Helper()
	names, err := fsys.List(fsys.PathJoin(dir, blobsName))
	if err != nil {
		return nil // none was ever created
	}
	return names
}

func setBody(t *testing.T, j *Journal, number uint64, size int) []byte {
	t.Helper()
	body := []byte(noise(int(number), size))
	tx := &Tx{}
	tx.SetAbout(1, BodyKey("s3", number), body)
	tx.SetAbout(1, StatementKey("s3", number), body[:size/10])
	tx.SetAbout(1, PayloadKey("s3", number), []byte("meta"))
	if _, err := j.Commit(tx); err != nil {
		t.Fatal(err)
	}
	return body
}

func deleteBody(t *testing.T, j *Journal, number uint64) {
	t.Helper()
	tx := &Tx{}
	tx.Delete(BodyKey("s3", number))
	tx.Delete(StatementKey("s3", number))
	if _, err := j.Commit(tx); err != nil {
		t.Fatal(err)
	}
}

func checkBody(t *testing.T, j *Journal, number uint64, want []byte) {
	t.Helper()
	if got, ok, err := j.Get(BodyKey("s3", number)); err != nil || ok != (want != nil) || !bytes.Equal(got, want) {
		t.Errorf("body %d: %d bytes, %v, %v; want %d bytes", number, len(got), ok, err, len(want))
	}
	if got, _, err := j.Get(StatementKey("s3", number)); err != nil || !bytes.Equal(got, want[:len(want)/10]) {
		t.Errorf("statement %d: %d bytes, %v", number, len(got), err)
	}
}

// Large values are stored outside the engine, in one file per transaction. The file is deleted,
// but only after the engine's log no longer needs the deletion.
func TestLargeValuesStandInBlobFiles(t *testing.T) {
	for name, e := range map[string]Encryption{"plain": {}, "encrypted": {Key: masterKey(1)}} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			j := open(t, "j", Options{FS: fs, Now: clock, Encryption: e})
			appendEvents(t, j, event("a", body(1)))
			setBody(t, j, 1, 100)
			if names := blobFiles(t, fs, "j"); len(names) != 0 {
				t.Error(names)
			}
			want := setBody(t, j, 2, 1<<20)
			other := setBody(t, j, 3, 1<<20)
			if names := blobFiles(t, fs, "j"); len(names) != 2 {
				t.Error(names)
			}
			if n := j.Usage().DiskBytes; n < 2<<20 {
				t.Error(n)
			}
			checkBody(t, j, 2, want)
			deleteBody(t, j, 2)
			checkBody(t, j, 2, nil)
			if names := blobFiles(t, fs, "j"); len(names) != 2 {
				t.Error("the log still holds what the file is of:", names)
			}
			closeJournal(t, j)
			j = open(t, "j", Options{FS: fs, Now: clock, Encryption: e})
			if names := blobFiles(t, fs, "j"); len(names) != 1 {
				t.Error(names)
			}
			checkBody(t, j, 2, nil)
			checkBody(t, j, 3, other)
			deleteBody(t, j, 3)
			j.sweep(true)
			j.blobs.swept.Wait()
			if names := blobFiles(t, fs, "j"); len(names) != 0 {
				t.Error(names)
			}
			if n := j.blobs.disk(); n != 0 {
				t.Error(n)
			}
			checkBody(t, j, 4, nil)
			tx := &Tx{}
			tx.DeleteRange(All(KindBody))
			if _, err := j.Commit(tx); err != nil {
				t.Error(err)
			}
		})
	}
}

// A backup has the files that existed when it began, whatever is deleted meanwhile.
func TestABackupHasBlobFiles(t *testing.T) {
	fs := vfs.NewMem()
	j := open(t, "j", Options{FS: fs, Now: clock, Encryption: Encryption{Key: masterKey(1)}})
	appendEvents(t, j, event("a", body(1)))
	want := setBody(t, j, 1, 1<<20)
	gone := setBody(t, j, 2, 1<<20)
	_ = gone
	deleteBody(t, j, 2)
	if err := Backup(j, "backup"); err != nil {
		t.Fatal(err)
	}
	deleteBody(t, j, 1)
	j.sweep(true)
	closeJournal(t, j)
	if err := Restore("backup", "restored", Options{FS: fs}); err != nil {
		t.Fatal(err)
	}
	j = open(t, "restored", Options{FS: fs, Now: clock, Encryption: Encryption{Key: masterKey(1)}})
	checkBody(t, j, 1, want)
	checkBody(t, j, 2, nil)
	if names := blobFiles(t, fs, "restored"); len(names) != 1 {
		t.Error(names)
	}
}

// A damaged or missing file is an error only for its contents.
func TestADamagedBlobFileIsNoticed(t *testing.T) {
	fs := vfs.NewMem()
	j := open(t, "j", Options{FS: fs, Now: clock})
	appendEvents(t, j, event("a", body(1)))
	want := setBody(t, j, 1, 100<<10)
	whole := setBody(t, j, 2, 100<<10)
	name := fs.PathJoin(blobsName, "0000000000000001.blob")
	closeJournal(t, j)
	for what, harm := range map[string]func(fs *vfs.MemFS){
		"a flipped bit": func(fs *vfs.MemFS) { flip(t, fs, "j/"+name, 50<<10, 3) },
		"cut short":     func(fs *vfs.MemFS) { writeFile(t, fs, "j/"+name, want[:1000]) },
		"missing": func(fs *vfs.MemFS) {
			if err := fs.Remove("j/" + name); err != nil {
				t.Fatal(err)
			}
		},
	} {
		harmed := clone(t, fs)
		harm(harmed)
		j := open(t, "j", Options{FS: harmed, Now: clock})
		if got, _, err := j.Get(BodyKey("s3", 1)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
		checkBody(t, j, 2, whole)
		third := setBody(t, j, 3, 100<<10)
		checkBody(t, j, 3, third)
		closeJournal(t, j)
	}
}

// If a blob file does not fit on the disk, the journal continues and leaves nothing behind.
func TestABlobFileFindsNoRoom(t *testing.T) {
	var broken atomic.Int32
	inner := vfs.NewMem()
	fs := errorfs.Wrap(inner, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".blob") && int32(op.Kind) == broken.Load() {
			return syscall.ENOSPC
		}
		return nil
	}))
	j := open(t, "j", Options{FS: fs, Now: clock})
	appendEvents(t, j, event("a", body(1)))
	for i, kind := range []errorfs.OpKind{errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync} {
		broken.Store(int32(kind))
		tx := &Tx{}
		tx.SetAbout(1, BodyKey("s3", 1), make([]byte, 1<<20))
		tx.Set(LaneKey("s3"), []byte("sealed"))
		if _, err := j.Commit(tx); !errors.Is(err, ErrFull) {
			t.Error(kind, err)
		}
		if _, ok, err := j.Get(LaneKey("s3")); ok || err != nil {
			t.Error(kind, ok, err)
		}
		appendEvents(t, j, event(fmt.Sprint(i), body(i)))
		broken.Store(-1)
		if names := blobFiles(t, inner, "j"); len(names) != 0 {
			t.Error(kind, names)
		}
	}
	checkBody(t, j, 5, setBody(t, j, 5, 1<<20))
}

// Recover cuts the log. Everything before the damage keeps its files.
func TestRecoverFindsBlobFiles(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{FS: fs, Now: clock, AnchorEvery: -1}
	j := open(t, "j", o)
	appendEvents(t, j, event("a", body(1)))
	want := setBody(t, j, 1, 1<<20)
	at := len(fileBytes(t, fs, liveFiles(t, fs)[0]))
	appendEvents(t, j, event("b", body(2))) // where the damage will be
	deleteBody(t, j, 1)
	j.blobs.swept.Wait()
	appendEvents(t, j, event("c", body(3)))
	harmed := clone(t, fs)
	flip(t, harmed, liveFiles(t, harmed)[0], int64(at+20), 1)
	o.FS = harmed
	if _, err := Recover("j", o, told); err != nil {
		t.Fatal(err)
	}
	j = open(t, "j", o)
	checkBody(t, j, 1, want)
}

// Callbacks that read the same events from disk read them once.
func TestThoseBehindReadTogether(t *testing.T) {
	fs := vfs.NewMem()
	j := open(t, "j", Options{FS: fs, Now: clock})
	for i := range 200 {
		appendEvents(t, j, event(fmt.Sprint(i), fmt.Sprintf(`{"n":%q}`, noise(i, 20<<10))))
	}
	closeJournal(t, j)
	j = open(t, "j", Options{FS: fs, Now: clock})
	read := func(step int) (all []string) {
		for at := uint64(1); at < j.Head().Next; {
			events, next, err := j.Read(at, 100, int64(step))
			if err != nil || len(events) == 0 || events[0].Sequence != at {
				t.Fatal(len(events), next, err)
			}
			size := 0
			for i := range events {
				all = append(all, string(events[i].Data))
				size += len(events[i].Data)
			}
			if len(events) > 1 && size > step || len(events) > 100 {
				t.Errorf("%d events of %d bytes in a step of %d", len(events), size, step)
			}
			at = next
		}
		return all
	}
	want := read(1 << 30)
	misses := j.db.Metrics().BlockCache.Misses
	for _, step := range []int{1, 100 << 10, 3 << 20} {
		if got := read(step); len(got) != 200 || strings.Join(got, "") != strings.Join(want, "") {
			t.Error(step, len(got))
		}
	}
	if n := j.db.Metrics().BlockCache.Misses; n != misses {
		t.Errorf("%d blocks were read again", n-misses)
	}
	if j.behind.bytes > behindBytes+behindStep {
		t.Error(j.behind.bytes)
	}
}

// The statements of a payload stay in the engine, unless they are large or stored together with
// a large body.
func TestStatementsAloneStandInTheEngine(t *testing.T) {
	fs := vfs.NewMem()
	j := open(t, "j", Options{FS: fs, Now: clock})
	appendEvents(t, j, event("a", body(1)))
	files := uint64(0)
	for i, test := range []struct {
		body, statement int
		file            bool
	}{
		{0, 40 << 10, false}, {1 << 10, 40 << 10, false}, {15 << 10, 200 << 10, false},
		{16 << 10, 1 << 10, true}, {0, 256 << 10, true}, {1 << 10, 256 << 10, true},
	} {
		n := uint64(i + 1)
		text, said := []byte(noise(i, test.body)), []byte(noise(100+i, test.statement))
		tx := &Tx{}
		if test.body > 0 {
			tx.SetAbout(1, BodyKey("s3", n), text)
		}
		tx.SetAbout(1, StatementKey("s3", n), said)
		if _, err := j.Commit(tx); err != nil {
			t.Fatal(err)
		}
		if made := j.blobs.last > files; made != test.file {
			t.Errorf("a body of %d bytes, and %d stated: in a file: %v", test.body, test.statement, made)
		}
		files = j.blobs.last
		if got, _, err := j.Get(StatementKey("s3", n)); err != nil || !bytes.Equal(got, said) {
			t.Error(len(got), err)
		}
	}
}
