package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// logged returns the state after a power failure of a journal whose tables cannot be written:
// everything acknowledged is in its logs. group is the size of one commit.
func logged(t testing.TB, bytes, group int, o Options) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	o.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			return errors.New("no tables")
		}
		return nil
	}))
	o.Now, o.Window, o.AnchorEvery = clock, 100, -1
	j, err := Open("j", o)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for size := 0; size < bytes; {
		tx := &Tx{}
		for range group {
			tx.Append(event(fmt.Sprint(n), fmt.Sprintf(`{"n":%q}`, noise(n, 900))))
			n++
		}
		tx.Set(LaneKey("s3"), fmt.Append(nil, n))
		size += tx.bytes
		if _, err := j.Commit(tx); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.writeAnchor(true); err != nil {
		t.Fatal(err)
	}
	after := mem.CrashClone(vfs.CrashCloneCfg{})
	go j.Close() // it waits for tables
	return after
}

func liveFiles(t testing.TB, fsys vfs.FS) (names []string) {
	t.Helper()
	_, logs, err := liveLogs(fsys, "j")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range logs {
		names = append(names, l.path)
	}
	return names
}

// flip flips one bit of a file.
func flip(t testing.TB, fsys vfs.FS, name string, at int64, bit int) {
	t.Helper()
	f, err := fsys.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << bit
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Of 2,000 random single-bit flips in logs of 16 MB, at most 2 % are undetected. An undetected
// flip changes nothing, or removes only the last commit.
func TestAFlippedBitInTheLogIsNoticed(t *testing.T) {
	withoutRace(t)
	tries := 2000
	if testing.Short() {
		tries = 300
	}
	for _, group := range []int{1, 300} {
		t.Run(fmt.Sprint("groups of ", group), func(t *testing.T) {
			mem := logged(t, 16<<20, group, Options{})
			names := liveFiles(t, mem)
			if len(names) < 2 {
				t.Fatal("not several logs:", names)
			}
			total := int64(0)
			_, logs, _ := liveLogs(mem, "j")
			for _, l := range logs {
				total += l.whole
			}
			least := &anchor{next: 1, logs: []uint32{logs[0].number}} // as before the burst
			rng := rand.New(rand.NewPCG(3, uint64(group)))
			silent := 0
			for range tries {
				at, i := rng.Int64N(total), 0
				for ; at >= logs[i].whole; i++ {
					at -= logs[i].whole
				}
				bit := rng.IntN(8)
				flip(t, mem, names[i], at, bit)
				again := make([]*scannedLog, len(logs)) // the other logs are unchanged
				for k := range logs {
					copied := *logs[k]
					again[k] = &copied
				}
				var err error
				if again[i], err = scanLog(mem, names[i], logs[i].number); err != nil {
					t.Fatal(err)
				}
				inRow(again)
				if !slices.ContainsFunc(again, func(l *scannedLog) bool { return l.damage != "" }) {
					silent++
					t.Logf("%s: byte %d of %d, bit %d: not noticed", names[i], at, logs[i].whole, bit)
				}
				flip(t, mem, names[i], at, bit)
			}
			t.Logf("%d of %d flips in %d bytes went unnoticed", silent, tries, total)
			if silent*50 > tries {
				t.Error("more than 2 %")
			}
			if d, err := findDamage(mem, "j", least); d != nil || err != nil {
				t.Error("the undamaged log:", d, err)
			}
		})
	}
}

// A write interrupted by a power failure is never reported as damage: some pages of the last
// record exist and some do not, in any order, over zeros or over an older log in the file.
func TestATornTailIsNotDamage(t *testing.T) {
	withoutRace(t)
	tries := 3000
	if testing.Short() {
		tries = 600
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for _, group := range []int{1, 20, 300} {
		mem := logged(t, 3<<20, group, Options{})
		_, logs, _ := liveLogs(mem, "j")
		log := slices.MaxFunc(logs, func(a, b *scannedLog) int { return int(a.whole - b.whole) })
		number, whole := log.number, fileBytes(t, mem, log.path)
		var begins []int64
		c := &chunks{file: bytes.NewReader(whole), size: int64(len(whole)), number: number, numbered: true}
		for pos := int64(0); ; {
			_, end, s := c.record(nil, pos)
			if s != seenChunk {
				break
			}
			begins, pos = append(begins, pos), end
		}
		called := 0
		for range tries / 3 {
			i := rng.IntN(len(begins) - 1)
			from, to := begins[i], begins[i+1]
			torn := slices.Clone(whole)
			clear(torn[from:])
			if rng.IntN(2) == 0 { // recycled: an older log's chunks
				old := slices.Clone(whole)
				stale(old, number)
				copy(torn[from:], old[from:])
			}
			missing := 0
			for page := from - from%4096; page < to; page += 4096 {
				if rng.IntN(2) == 0 {
					copy(torn[max(page, from):min(page+4096, to)], whole[max(page, from):])
				} else {
					missing++
				}
			}
			if missing == 0 {
				torn[to-1] ^= 0xff
			}
			if rng.IntN(2) == 0 {
				torn = torn[:from+rng.Int64N(int64(len(torn))-from)]
			}
			l := &scannedLog{}
			l.scan(&chunks{file: bytes.NewReader(torn), size: int64(len(torn)), number: number, numbered: true})
			if l.damage != "" {
				called++
				t.Errorf("record [%d, %d) torn: %s", from, to, l.damage)
			}
		}
		t.Logf("groups of %d: %d of %d torn tails called damage", group, called, tries/3)
	}
}

// stale gives every chunk an older log's number, with the right checksum.
func stale(log []byte, number uint32) {
	c := &chunks{file: bytes.NewReader(slices.Clone(log)), size: int64(len(log)), number: number, numbered: true}
	for pos := int64(0); ; {
		k, s := c.next(pos)
		if s != seenChunk {
			return
		}
		b := log[k.at:k.end]
		b[7]--
		sum := maskedSum(checksum(b[checksummedFrom:]))
		b[0], b[1], b[2], b[3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
		pos = k.end
	}
}

func fileBytes(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	files := map[string][]byte{}
	readFiles(t, fsys, path.Dir(name), files)
	return files[name]
}

// The anchor detects a log that was emptied, truncated, deleted or replaced by an earlier
// state, whatever the log itself shows. Open reports what is missing and since when.
func TestTheAnchorNoticesWhatTheLogDoesNotShow(t *testing.T) {
	for _, key := range []Encryption{{}, {Key: masterKey(1)}} {
		mem := logged(t, 1<<20, 3, Options{Encryption: key})
		o := Options{FS: mem, Now: clock, AnchorEvery: -1, Encryption: key}
		j := open(t, "j", o)
		head := j.Head().Next
		tx := &Tx{}
		tx.Append(event("one more", body(1)))
		if _, err := j.Commit(tx); err != nil {
			t.Fatal(err)
		}
		if err := j.writeAnchor(false); err != nil {
			t.Fatal(err)
		}
		killed := mem.CrashClone(vfs.CrashCloneCfg{})
		closeJournal(t, j)
		names := liveFiles(t, killed)
		last := names[len(names)-1]
		for what, damage := range map[string]func(fsys vfs.FS){
			"deleted": func(fsys vfs.FS) { fsys.Remove(last) },
			"emptied": func(fsys vfs.FS) { writeFile(t, fsys, last, nil) },
			"zeroed":  func(fsys vfs.FS) { writeFile(t, fsys, last, make([]byte, 4096)) },
			"cut":     func(fsys vfs.FS) { writeFile(t, fsys, last, fileBytes(t, fsys, last)[:50]) },
		} {
			fsys := clone(t, killed)
			damage(fsys)
			again := o
			again.FS = fsys
			_, err := Open("j", again)
			corrupt, ok := errors.AsType[*CorruptError](err)
			if !ok || !corrupt.Recoverable() || corrupt.From != head || corrupt.To != head+1 || corrupt.Since.IsZero() {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// With several logs, each one that is deleted, emptied or truncated is reported.
func TestEveryLogIsMissed(t *testing.T) {
	withoutRace(t)
	mem := logged(t, 5<<20, 3, Options{})
	names := liveFiles(t, mem)
	if len(names) < 4 {
		t.Fatal("not several logs:", names)
	}
	var numbers []uint32
	for _, name := range names {
		n, _ := logNumber(path.Base(name))
		numbers = append(numbers, uint32(n))
	}
	_, least, err := readMarker(mem, "j")
	if err != nil {
		t.Fatal(err)
	}
	least.logs = numbers // as the background writes it
	for i, name := range names {
		for what, damage := range map[string]func(fsys vfs.FS){
			"deleted": func(fsys vfs.FS) { fsys.Remove(name) },
			"emptied": func(fsys vfs.FS) { writeFile(t, fsys, name, nil) },
			"cut":     func(fsys vfs.FS) { b := fileBytes(t, fsys, name); writeFile(t, fsys, name, b[:len(b)/2]) },
		} {
			if i == len(names)-1 && what != "deleted" {
				continue // the anchor's count must detect it
			}
			fsys := clone(t, mem)
			damage(fsys)
			d, err := findDamage(fsys, "j", least)
			if d == nil || err != nil {
				t.Errorf("%s %s: %v, %v", name, what, d, err)
			} else if whole, err := d.whole(Options{FS: fsys}.withDefaults()); err != nil || i > 0 && whole.next == 1 {
				t.Errorf("%s %s: whole up to %+v, %v", name, what, whole, err)
			}
		}
	}
}

// clone copies every file.
func clone(t testing.TB, from vfs.FS) *vfs.MemFS {
	t.Helper()
	files := map[string][]byte{}
	readFiles(t, from, "j", files)
	to := vfs.NewCrashableMem()
	for name, b := range files {
		if err := to.MkdirAll(path.Dir(name), fs.ModePerm); err != nil {
			t.Fatal(err)
		}
		writeFile(t, to, name, b)
	}
	return to
}

// The largest log of one transaction is scanned in under a second.
func TestTheLargestLogIsScannedFast(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 256 MiB; make test runs it without -short")
	}
	o := Options{Now: clock, AnchorEvery: -1}
	dir := t.TempDir()
	j := open(t, dir, o)
	tx := &Tx{}
	large := fmt.Sprintf(`{"n":%q}`, noise(1, 3800))
	for i := 0; tx.bytes < maxTxBytes-8<<10 && len(tx.events) < maxTxEvents; i++ {
		tx.Append(event(fmt.Sprint(i), large))
	}
	if _, err := j.Commit(tx); err != nil {
		t.Fatal(err)
	}
	var largest string
	var size int64
	entries, err := os.ReadDir(path.Join(dir, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".log") && info.Size() > size {
			largest, size = path.Join(dir, databaseName, e.Name()), info.Size()
		}
	}
	number, _ := logNumber(path.Base(largest))
	if size < 200<<20 {
		t.Fatalf("the largest log has %d bytes", size)
	}
	best := time.Hour
	for range 3 {
		start := time.Now()
		l, err := scanLog(vfs.Default, largest, uint32(number))
		best = min(best, time.Since(start))
		if err != nil || l.damage != "" || l.last == nil {
			t.Errorf("%+v, %v", l, err)
		}
	}
	t.Logf("%d MiB in %s", size>>20, best.Round(time.Millisecond))
	if best > time.Second {
		t.Error("too slow")
	}
}
