package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var errMissing = errors.New("missing")

// openPebble opens the database below dir. It returns a panic on damaged files as an error.
func openPebble(o Options, dir string, f *fault, g *anchoring, mustExist bool) (db *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, &CorruptError{Err: fmt.Errorf("storage engine: %v", p)}
		}
	}()
	db, err = pebble.Open(o.FS.PathJoin(dir, databaseName), pebbleOptions(o, f, g, mustExist))
	if err == nil && f.get() != nil {
		err, db = errors.Join(f.get(), db.Close()), nil
	}
	return db, err
}

// openEngine opens the database below the journal's directory as its store.
func (j *Journal) openEngine(o Options, mustExist bool) error {
	db, err := openPebble(o, j.dir, j.fault, j.anchor, mustExist)
	if err != nil {
		return err
	}
	j.db, j.store = db, newPebbleStore(db, j.options)
	if j.space != nil {
		j.space.size = func() (used, owed int64) {
			used, owed = j.store.Size()
			return used + j.blobs.disk(), owed
		}
		if most := memtableSize(o); most < fullMemtable {
			j.blobs.maxDeadBytes = most
		}
	}
	return nil
}

// fullMemtable is the size of a memtable if there is enough space. Up to five exist at a time
// under load; with twice the size the program used more than 256 MiB.
const fullMemtable = 8 << 20

// memtableSize returns how much data is held in memory before it becomes a table. Its log stays
// on disk until then, and one log is recycled, so small journals get small memtables.
func memtableSize(o Options) int64 {
	n := int64(fullMemtable)
	if o.Quota > 0 {
		n = min(n, max(o.Quota/16, 256<<10))
	}
	if o.Reserve > 0 {
		n = min(n, max(o.Reserve/8, 256<<10))
	}
	return n
}

func pebbleOptions(o Options, f *fault, g *anchoring, mustExist bool) *pebble.Options {
	log := engineLog{log: o.Logger, fault: f}
	stalls, slow := seldom{log: o.Logger}, seldom{log: o.Logger}
	p := &pebble.Options{
		FS:                 manifestFS{o.FS},
		FormatMajorVersion: pebble.FormatNewest,
		MemTableSize:       uint64(memtableSize(o)),
		// Writers wait when this many memtables are full.
		MemTableStopWritesThreshold: 4,
		CacheSize:                   8 << 20,
		MaxOpenFiles:                256,
		// Callbacks write their state next to each other, so it is in the same tables of the
		// next level. Compacting more tables at a time rewrites them less often: 7 % fewer
		// bytes with 16 callbacks.
		L0CompactionThreshold: 8,
		L0StopWritesThreshold: 24,
		ErrorIfNotExists:      mustExist,
		Logger:                log,
		EventListener: &pebble.EventListener{
			BackgroundError: log.background(),
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				log.Errorf("damaged file: %v", i.Details)
			},
			DiskSlow: func(i pebble.DiskSlowInfo) { slow.warn("journal: disk is slow", "info", i.String()) },
			WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
				stalls.warn("journal: writes wait for the storage engine", "reason", i.Reason)
			},
		},
	}
	g.listen(p.EventListener)
	// No table spans two key spaces. Events are only appended. So the engine moves their tables
	// down the levels without rewriting them for a few adjacent keys of state.
	p.Experimental.SpanPolicyFunc = func(key []byte) (pebble.SpanPolicy, []byte, error) {
		return pebble.SpanPolicy{}, []byte{key[0] + 1}, nil
	}
	if memtableSize(o) < fullMemtable {
		p.Cleaner = noRecycling{}
	}
	return p
}

// seldom logs a warning that occurs in bursts: at once, and then at most once a minute with the
// number of occurrences. It is safe for concurrent use.
type seldom struct {
	log *slog.Logger

	mu    sync.Mutex
	times int
	told  time.Time
}

func (s *seldom) warn(msg string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times++
	if now := time.Now(); s.told.IsZero() || now.Sub(s.told) >= time.Minute {
		s.log.Warn(msg, append(args, "times", s.times)...)
		s.told, s.times = now, 0
	}
}

// noRecycling deletes old logs. Pebble otherwise keeps up to five for reuse, each as large as
// the largest transaction so far, and never frees them. This is fast, but takes more space than
// a small disk has. Pebble disables recycling if the cleaner has a method that only its archive
// cleaner has. The embedded DeleteCleaner does the work.
type noRecycling struct {
	pebble.DeleteCleaner
	keepsNone
}

type keepsNone struct{ pebble.ArchiveCleaner }

// engineLog is Pebble's logger. Pebble exits the process on a fatal message unless its logger
// prevents that. engineLog records the fault, which fails every later Commit, and lets readers
// continue.
type engineLog struct {
	log   *slog.Logger
	fault *fault
}

// background logs failures of background work. Pebble retries at once, so one line in a while
// suffices, above all if the disk is full.
func (l engineLog) background() func(error) {
	var last atomic.Int64
	return func(err error) {
		now := time.Now().UnixNano()
		if before := last.Load(); now-before > int64(backgroundEvery) && last.CompareAndSwap(before, now) {
			l.Errorf("background work failed: %v", err)
		}
	}
}

const backgroundEvery = 10 * time.Second

func (l engineLog) Infof(format string, args ...any) {}

func (l engineLog) Errorf(format string, args ...any) {
	l.log.Error("journal: storage engine", "error", fmt.Sprintf(format, args...))
}

func (l engineLog) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.log.Error("journal: storage engine failed", "error", text)
	for _, arg := range args {
		if cause, ok := arg.(error); ok {
			l.fault.set(fmt.Errorf("storage engine: %w", cause))
		}
	}
	l.fault.set(errors.New(text))
}

// fault is the first failure of the storage engine.
type fault struct {
	mu  sync.Mutex
	err error
}

func (f *fault) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *fault) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// lock takes exclusive ownership of dir.
func lock(fsys vfs.FS, dir string) (io.Closer, error) {
	l, err := fsys.Lock(fsys.PathJoin(dir, lockName))
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES), strings.Contains(err.Error(), "lock held by current process"):
		return nil, fmt.Errorf("%w: stop its other owner first", ErrLocked)
	}
	return nil, err
}

// damaged turns err into a CorruptError for these sequences if it means damage. It returns
// other errors, and nil, unchanged.
func (j *Journal) damaged(from, to uint64, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*CorruptError](err); ok {
		return err
	}
	if pebble.IsCorruptionError(err) || errors.Is(err, errDamaged) || errors.Is(err, errMissing) ||
		errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pebble.ErrDBDoesNotExist) {
		return &CorruptError{From: from, To: to, Err: err}
	}
	return err
}

// manifestFS makes the name of a new manifest durable before a marker refers to it. The engine
// (Pebble 2.1.7) syncs the directory once, after both. A power loss in between could keep only
// the marker, and the journal would not open.
type manifestFS struct{ vfs.FS }

// Unwrap implements vfs.FS.
func (m manifestFS) Unwrap() vfs.FS { return m.FS }

// Create implements vfs.FS.
func (m manifestFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := m.FS.Create(name, category)
	if err != nil || !strings.HasPrefix(m.PathBase(name), "MANIFEST-") {
		return f, err
	}
	if err := syncDir(m.FS, m.PathDir(name)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
