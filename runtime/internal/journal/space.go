package journal

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// space decides whether there is room. Asking the file system and the engine is
// cached for a short time or a number of written bytes.
type space struct {
	fs             vfs.FS
	dir            string
	size           func() (used, owed int64)
	quota, reserve int64
	now            func() time.Time

	mu    sync.Mutex
	when  time.Time
	since int64 // bytes written since then
	apart int64 // likewise, to blob files
	used  int64
	free  int64 // -1 where the file system does not say
	files int64 // that can still be made; -1 where their number is not fixed
	spare int64 // how many of them are to stay
	owed  int64 // what the engine has still to flush of what it holds already
	guard *guard

	reclaimed time.Time // when space was last asked back
}

const (
	defaultReserve = 256 << 20
	defaultSpare   = 256 // files
	leastSpare     = 32
	spaceEvery     = 50 * time.Millisecond
	spaceBytes     = 1 << 20
)

func newSpace(fs vfs.FS, dir string, o Options) *space {
	s := &space{fs: fs, dir: dir, quota: o.Quota, reserve: o.Reserve, now: o.Now}
	if s.reserve == 0 {
		s.reserve = defaultReserve
		if u, err := fs.GetDiskUsage(dir); err == nil {
			s.reserve = min(s.reserve, int64(u.TotalBytes/20))
		}
	}
	return s
}

// admit refuses what there is no room for. New events may not touch quota or
// reserve. What follows from accepted ones, seals and the records emitted with
// them, may take three quarters of the reserve; the few bytes that go with a
// deletion, or with an act that makes room, its own record included, may take most of
// the rest. What only deletes always passes.
// ahead is how many bytes are to be written before tx.
func (s *space) admit(tx *Tx, ahead int) error {
	if tx.bytes+tx.apart == 0 || tx.deletesOnly() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); s.when.IsZero() || s.since+s.apart >= spaceBytes || now.Sub(s.when) >= spaceEvery || now.Before(s.when) {
		s.refresh(now)
	}
	fresh := tx.freshEvents()
	if fresh && s.quota > 0 && 2*int64(tx.bytes) > s.quota {
		return fmt.Errorf("%w: it takes %s of a quota of %s", ErrTooLarge, size(2*int64(tx.bytes)), size(s.quota))
	}
	added := s.since + int64(ahead) + int64(tx.bytes)
	// Until its log is given up, what is flushed is there twice. How many memtables
	// wait for that is the engine's affair.
	if fresh && s.quota > 0 && s.used+s.owed+2*added > s.quota {
		return &FullError{Quota: s.quota, Used: s.used + s.since, Needed: s.owed + 2*added - s.since}
	}
	if err := s.admitFiles(tx, fresh); err != nil {
		return err
	}
	if s.free < 0 || s.reserve < 0 {
		return nil
	}
	// All that is committed is written twice, to the log and then, before the log is
	// given up, to a table. A flush that finds no room stops everything behind it.
	// Blob files are written once.
	reserve, room := s.reserve, s.free-s.apart-int64(tx.apart)-2*added
	if !fresh {
		// Inside the reserve nothing else is left for what is not flushed yet.
		room -= s.owed
		reserve /= 4
		if tx.frees() {
			reserve /= 4
		}
	}
	if room < reserve {
		return &FullError{Reserve: s.reserve, Free: max(0, s.free-s.apart-s.since), Needed: s.free - s.apart - s.since - room}
	}
	return nil
}

// admitFiles is admit for the disk's inodes: whatever is committed ends in new files.
func (s *space) admitFiles(tx *Tx, fresh bool) error {
	if s.files < 0 || s.reserve < 0 {
		return nil
	}
	spare := s.spare
	if !fresh {
		spare /= 4
		if tx.frees() {
			spare /= 4
		}
	}
	if s.files < spare {
		return &FullError{SpareFiles: s.spare, FreeFiles: s.files}
	}
	return nil
}

// inodeCounter is a file system that says how many files its disk takes in all and
// still; 0 in all where their number is not fixed.
type inodeCounter interface {
	Inodes(dir string) (total, free uint64, err error)
}

// inodes asks the file system, or the operating system where it is the default one.
func inodes(fsys vfs.FS, dir string) (total, free uint64) {
	if c, ok := fsys.(inodeCounter); ok {
		total, free, _ = c.Inodes(dir) // unknown is not counted
		return total, free
	}
	var st syscall.Statfs_t
	if vfs.Root(fsys) != vfs.Default || syscall.Statfs(dir, &st) != nil {
		return 0, 0
	}
	return st.Files, st.Ffree
}

// wrote notes bytes written.
func (s *space) wrote(n int) {
	s.mu.Lock()
	s.since += int64(n)
	s.mu.Unlock()
}

// wroteApart notes bytes written to a blob file.
func (s *space) wroteApart(n int) {
	s.mu.Lock()
	s.apart += int64(n)
	s.mu.Unlock()
}

func (s *space) refresh(now time.Time) {
	s.when, s.since, s.apart = now, 0, 0
	s.used, s.owed = s.size()
	if s.guard != nil {
		s.guard.owed.Store(s.owed)
	}
	s.files, s.free = -1, -1
	if s.fs == nil {
		return // the disk is a server's
	}
	if total, free := inodes(s.fs, s.dir); total > 0 {
		s.files = int64(min(free, 1<<62))
		s.spare = min(defaultSpare, max(leastSpare, int64(min(total, 1<<62))/20))
	}
	if u, err := s.fs.GetDiskUsage(s.dir); err == nil {
		s.free = int64(min(u.AvailBytes, 1<<62))
	}
}

// reclaimEvery is the least time between two reclaims.
const (
	reclaimEvery = time.Second
	reclaimFiles = 8 // a log, a manifest, a table for each key space
)

// reclaim has the engine write out what it holds in memory. Only there does a
// deletion begin to give space back, and while everything is refused nothing else
// would ever push it out.
func (j *Journal) reclaim() {
	done, err := j.reading()
	if err != nil {
		return
	}
	defer done()
	j.space.mu.Lock()
	now := j.space.now()
	due := now.Sub(j.space.reclaimed) >= reclaimEvery || now.Before(j.space.reclaimed)
	// Without inodes it could only fail, and end the journal.
	due = due && (j.space.files < 0 || j.space.files >= reclaimFiles)
	if due {
		j.space.reclaimed = now
	}
	j.space.mu.Unlock()
	if due && j.db != nil && j.fault.get() == nil {
		// What it fails on, the next commit tells.
		if !j.sweep(true) {
			_, _ = j.db.AsyncFlush()
		}
	}
}

// freshEvents reports whether tx brings something from outside.
func (t *Tx) freshEvents() bool {
	if t.fromOutside || t.makesRoom {
		return t.fromOutside
	}
	for i := range t.events {
		if !t.events[i].emitted {
			return true
		}
	}
	return false
}

// maxFreeing is how much a transaction may add that deletes: what the proofs state of each
// record of a payload, 10,000 at most, goes with the deletion of its body.
const maxFreeing = 4 << 20

// frees reports whether tx makes room, by itself or by what it leads to, and adds little.
func (t *Tx) frees() bool {
	if t.bytes+t.apart > maxFreeing {
		return false
	}
	return t.makesRoom || len(t.events) == 0 && slices.ContainsFunc(t.ops, func(o op) bool { return o.kind != opSet })
}

func (t *Tx) deletesOnly() bool {
	if len(t.events) > 0 {
		return false
	}
	for _, o := range t.ops {
		if o.kind == opSet {
			return false
		}
	}
	return true
}

// Filled is how much of the quota is in use, as of the last commit; 0, 0 without one.
func (j *Journal) Filled() (used, quota int64) {
	j.space.mu.Lock()
	defer j.space.mu.Unlock()
	if j.space.quota <= 0 {
		return 0, 0
	}
	return j.space.used + j.space.owed + j.space.since, j.space.quota
}

// Usage is what the journal takes.
type Usage struct {
	DiskBytes int64
	FreeBytes int64     // on the journal's disk, -1 where that is not known
	Quota     int64     // 0: none
	Reserve   int64     // what stays free; negative: none
	Oldest    time.Time // when the oldest held event was received, zero if none is held
}

// Usage asks the storage engine and the file system anew.
func (j *Journal) Usage() Usage {
	done, err := j.reading()
	if err != nil {
		return Usage{FreeBytes: -1}
	}
	defer done()
	j.space.mu.Lock()
	j.space.refresh(j.options.Now())
	u := Usage{DiskBytes: j.space.used, FreeBytes: j.space.free, Quota: j.space.quota, Reserve: j.space.reserve}
	j.space.mu.Unlock()
	if s := j.state.Load(); s.oldest < s.next {
		_ = j.frames(s.oldest, s.oldest+1, func(f *frame) error {
			u.Oldest = f.time()
			return errStop
		})
	}
	return u
}
