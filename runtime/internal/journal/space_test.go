package journal

import (
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"auditrelay"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const mib = 1 << 20

func emitted(id string) auditrelay.Event {
	e := event(id, body(1))
	e.Namespace = auditrelay.NamespaceEmitted
	e.Emission = &auditrelay.Emission{Target: "alerts", Callback: "c", Filter: "f", Sequence: 1, Hops: 1}
	return e
}

func TestTheReserveIsKept(t *testing.T) {
	now := base
	fs := vfs.NewMem()
	free := func(n uint64) {
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: n, TotalBytes: 1000 * mib, UsedBytes: 1000*mib - n})
		now = now.Add(time.Second) // bypass the cache
	}
	free(500 * mib)
	j := open(t, "j", Options{FS: fs, Now: func() time.Time { return now }, Reserve: 40 * mib})
	appendEvents(t, j, event("a", body(1)))
	seal := func(id string) error {
		tx := &Tx{}
		tx.Append(emitted(id))
		tx.Set(LaneKey("s3"), []byte("x"))
		_, err := j.Commit(tx)
		return err
	}
	accept := func(id string) error {
		tx := &Tx{}
		tx.Append(event(id, body(1)))
		_, err := j.Commit(tx)
		return err
	}
	quarantine := func() error {
		tx := &Tx{}
		tx.FromOutside()
		tx.Set(QuarantineKey("item", 1), []byte("x"))
		_, err := j.Commit(tx)
		return err
	}
	removeOnRecord := func(id string) error {
		tx := &Tx{}
		tx.MakesRoom()
		tx.Delete(QuarantineKey("item", 1))
		tx.Append(event(id, body(1)))
		_, err := j.Commit(tx)
		return err
	}
	remove := func() error {
		tx := &Tx{}
		tx.Delete(LaneKey("s3"))
		_, err := j.Commit(tx)
		return err
	}
	for i, test := range []struct {
		free         uint64
		accept, seal bool
	}{
		{41 * mib, true, true},
		{39 * mib, false, true},
		{11 * mib, false, true},
		{9 * mib, false, false},
		{0, false, false},
		{500 * mib, true, true},
	} {
		free(test.free)
		if err := accept(fmt.Sprint("a", i)); (err == nil) != test.accept || err != nil && !errors.Is(err, ErrFull) {
			t.Errorf("%d free: accept: %v", test.free, err)
		}
		if err := j.Err(); (err == nil) != test.accept {
			t.Errorf("%d free: Err: %v", test.free, err)
		}
		if err := seal(fmt.Sprint("e", i)); (err == nil) != test.seal || err != nil && !errors.Is(err, ErrFull) {
			t.Errorf("%d free: seal: %v", test.free, err)
		}
		if err := remove(); err != nil {
			t.Errorf("%d free: delete: %v", test.free, err)
		}
		if err := quarantine(); (err == nil) != test.accept || err != nil && !errors.Is(err, ErrFull) {
			t.Errorf("%d free: quarantine: %v", test.free, err)
		}
		if err := removeOnRecord(fmt.Sprint("d", i)); (err == nil) != (test.free > 3*mib) {
			t.Errorf("%d free: delete with its record: %v", test.free, err)
		}
	}
	free(39 * mib)
	err := accept("z")
	full, ok := errors.AsType[*FullError](err)
	if !ok || full.Free != 39*mib || full.Reserve != 40*mib || !strings.Contains(err.Error(), "39.0 MiB") {
		t.Error(err)
	}
	if u := j.Usage(); u.FreeBytes != 39*mib || u.DiskBytes == 0 || !u.Oldest.Equal(j.mustEvent(t, 1).Received) {
		t.Errorf("%+v", u)
	}
}

func (j *Journal) mustEvent(t *testing.T, sequence uint64) auditrelay.Event {
	t.Helper()
	e, err := j.Event(sequence)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestDefaultReserve(t *testing.T) {
	for _, test := range []struct{ total, want int64 }{
		{1000 * mib, 50 * mib}, {1 << 40, 256 * mib},
	} {
		fs := vfs.NewMem()
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: uint64(test.total), TotalBytes: uint64(test.total)})
		if s := newSpace(fs, "", Options{}); s.reserve != test.want {
			t.Errorf("disk of %d: reserve %d, want %d", test.total, s.reserve, test.want)
		}
	}
}

func TestTheQuotaHoldsAndTrimFreesIt(t *testing.T) {
	now := base
	o := Options{FS: vfs.NewMem(), Quota: 4 * mib, Now: func() time.Time { now = now.Add(time.Millisecond); return now }}
	j := open(t, "j", o)
	var err error
	for i := 0; err == nil && i < 100_000; i++ {
		tx := &Tx{}
		tx.Append(event(fmt.Sprint(i), fmt.Sprintf(`{"n":%q}`, noise(i, 4000))))
		_, err = j.Commit(tx)
	}
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	atRest(t, j)
	if u := j.Usage(); u.DiskBytes > o.Quota || u.DiskBytes < o.Quota/2 {
		t.Errorf("%d in use of %d", u.DiskBytes, o.Quota)
	}
	if err := j.Trim(j.Head().Next); err != nil {
		t.Fatal(err)
	}
	if err := j.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	j.db.TestOnlyWaitForCleaning()
	now = now.Add(time.Second)
	appendEvents(t, j, event("again", body(1)))
}

// atRest waits until the engine rewrites nothing. Meanwhile the rewritten data exists twice.
func atRest(t *testing.T, j *Journal) {
	t.Helper()
	for {
		if m := j.db.Metrics(); m.Compact.NumInProgress == 0 && m.Flush.NumInProgress == 0 && m.Compact.InProgressBytes == 0 {
			j.db.TestOnlyWaitForCleaning()
			return
		}
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
		goruntime.Gosched()
	}
}

// noise returns incompressible text.
func noise(seed, n int) string {
	var b strings.Builder
	state := uint64(seed)
	for b.Len() < n {
		state = state*6364136223846793005 + 1442695040888963407
		fmt.Fprintf(&b, "%x", state>>20)
	}
	return b.String()[:n]
}

// A seal inside the reserve is written once to the log and once more to a table. With space
// only for the log, the flush would find none, and everything after it would block.
func TestASealLeavesRoomForItsFlush(t *testing.T) {
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 12 * mib, TotalBytes: 96 * mib})
	j := open(t, "j", Options{FS: fs, Now: clock, Reserve: 8 * mib})
	for _, c := range []struct {
		bytes int
		ok    bool
	}{{8 * mib, false}, {6 * mib, false}, {4 * mib, true}} {
		tx := &Tx{}
		tx.SetAbout(1, ChunkKey("x", 1), make([]byte, c.bytes))
		if _, err := j.Commit(tx); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrFull) {
			t.Errorf("a seal of %d MiB with 12 MiB free: %v", c.bytes/mib, err)
		}
	}
}

// countedFS is a file system with a limited number of inodes.
type countedFS struct {
	*vfs.MemFS
	free *uint64
}

func (c countedFS) Inodes(string) (total, free uint64, err error) { return 260, *c.free, nil }

// If the disk runs out of inodes, events are refused while the journal can still create the
// files that it needs.
func TestTheReserveCountsInodes(t *testing.T) {
	now, free := base, uint64(200)
	fs := countedFS{MemFS: vfs.NewMem(), free: &free}
	j := open(t, "j", Options{FS: fs, Now: func() time.Time { now = now.Add(time.Second); return now }})
	for _, test := range []struct {
		free                 uint64
		accept, seal, remove bool
	}{{200, true, true, true}, {31, false, true, true}, {7, false, false, true}, {0, false, false, false}, {200, true, true, true}} {
		free = test.free
		for what, want := range map[string]bool{"accept": test.accept, "seal": test.seal, "remove": test.remove} {
			tx := &Tx{}
			switch what {
			case "accept":
				tx.Append(event(fmt.Sprint(now), body(1)))
			case "seal":
				tx.Set(LaneKey("s3"), []byte("x"))
			case "remove":
				tx.Delete(LaneKey("s3"))
				tx.Set(LaneKey("s4"), []byte("x"))
			}
			_, err := j.Commit(tx)
			if (err == nil) != want || err != nil && (!errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "inodes")) {
				t.Errorf("%d free: %s: %v", free, what, err)
			}
		}
	}
}
