package journal

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// space decides whether there is room. It caches the answers of the file system and the engine
// for a short time or a number of written bytes.
type space struct {
	fs             vfs.FS
	dir            string
	size           func() (used, owed int64)
	quota, reserve int64
	now            func() time.Time

	mu    sync.Mutex
	when  time.Time
	since int64 // bytes written since then
	apart int64 // bytes written to blob files since then
	used  int64
	free  int64 // -1 if the file system does not report it
	files int64 // number of files that can still be created; -1 if it is not limited
	spare int64 // number of them that must stay free
	owed  int64 // bytes that the engine holds in memory and must still flush
	guard *guard

	reclaimed time.Time // when space was last reclaimed
}

const (
	defaultReserve = 256 << 20
	defaultSpare   = 256 // number of files
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

// admit rejects a transaction for which there is no room. New events must not use quota or
// reserve. Results of accepted events, such as seals and emitted records, may use three
// quarters of the reserve. The few bytes of a deletion or of an act that frees space, including
// its own record, may use most of the rest. A transaction that only deletes always passes.
// ahead is the number of bytes that are written before tx.
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
	// Until the engine releases the log, flushed data exists twice. The engine decides how many
	// memtables wait for that.
	if fresh && s.quota > 0 && s.used+s.owed+2*added > s.quota {
		return &FullError{Quota: s.quota, Used: s.used + s.since, Needed: s.owed + 2*added - s.since}
	}
	if err := s.admitFiles(tx, fresh); err != nil {
		return err
	}
	if s.free < 0 || s.reserve < 0 {
		return nil
	}
	// Committed data is written twice: to the log, and to a table before the log is released. A
	// flush without room stops everything after it. Blob files are written once.
	reserve, room := s.reserve, s.free-s.apart-int64(tx.apart)-2*added
	if !fresh {
		// Inside the reserve there is no other space for unflushed data.
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

// admitFiles is admit for the disk's inodes, since every commit eventually needs new files.
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

// inodeCounter is a file system that reports the total and free number of inodes of its disk.
// The total is 0 if the number is not limited.
type inodeCounter interface {
	Inodes(dir string) (total, free uint64, err error)
}

// inodes asks the file system, or the operating system for the default file system.
func inodes(fsys vfs.FS, dir string) (total, free uint64) {
	if c, ok := fsys.(inodeCounter); ok {
		total, free, _ = c.Inodes(dir) // unknown means no limit
		return total, free
	}
	var st syscall.Statfs_t
	if vfs.Root(fsys) != vfs.Default || syscall.Statfs(dir, &st) != nil {
		return 0, 0
	}
	return st.Files, st.Ffree
}

// wrote counts written bytes.
func (s *space) wrote(n int) {
	s.mu.Lock()
	s.since += int64(n)
	s.mu.Unlock()
}

// wroteApart counts bytes written to a blob file.
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

// reclaimEvery is the minimum time between two reclaims.
const (
	reclaimEvery = time.Second
	reclaimFiles = 8 // a log, a manifest, a table for each key space
)

// reclaim makes the engine flush its memory. A deletion frees space only after a flush, and
// while everything is rejected nothing else would cause one.
func (j *Journal) reclaim() {
	done, err := j.reading()
	if err != nil {
		return
	}
	defer done()
	j.space.mu.Lock()
	now := j.space.now()
	due := now.Sub(j.space.reclaimed) >= reclaimEvery || now.Before(j.space.reclaimed)
	// Without free inodes it would fail, which would end the journal.
	due = due && (j.space.files < 0 || j.space.files >= reclaimFiles)
	if due {
		j.space.reclaimed = now
	}
	j.space.mu.Unlock()
	if due && j.db != nil && j.fault.get() == nil {
		// The next commit reports a failure.
		if !j.sweep(true) {
			_, _ = j.db.AsyncFlush()
		}
	}
}

// freshEvents reports whether tx adds data from outside.
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

// maxFreeing limits what a transaction that deletes may add. Deleting a payload's body adds the
// log entries of its records, of which there are at most 10,000.
const maxFreeing = 4 << 20

// frees reports whether tx frees space, directly or indirectly, and adds little.
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

// Filled returns how much of the quota is used since the last commit, in bytes; 0, 0 without a
// quota.
func (j *Journal) Filled() (used, quota int64) {
	j.space.mu.Lock()
	defer j.space.mu.Unlock()
	if j.space.quota <= 0 {
		return 0, 0
	}
	return j.space.used + j.space.owed + j.space.since, j.space.quota
}

// Usage is the disk space of the journal.
type Usage struct {
	DiskBytes int64
	FreeBytes int64     // free bytes on the journal's disk; -1 if unknown
	Quota     int64     // 0 if there is none
	Reserve   int64     // bytes that stay free; negative if none
	Oldest    time.Time // when the oldest stored event was received; zero if none is stored
}

// Usage asks the storage engine and the file system, without a cache.
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
