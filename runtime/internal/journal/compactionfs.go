package journal

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// guard is a file system on which the engine's compactions leave alone what its
// log and its flushes still need. A compaction writes its whole result before it
// gives anything back: on a disk that is nearly full it would take the last byte,
// fail, give all back, and begin again, with everything else failing meanwhile.
type guard struct {
	vfs.FS
	dir   string
	floor int64        // what compactions leave free
	owed  atomic.Int64 // what the engine has to flush, beside that
}

const (
	compactionCategory = "pebble-compaction"
	guardEvery         = 256 << 10              // bytes of a table between two looks
	guardPause         = 200 * time.Millisecond // before a compaction that was refused is tried again
)

// Unwrap implements vfs.FS.
func (g *guard) Unwrap() vfs.FS { return g.FS }

// Create implements vfs.FS.
func (g *guard) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.Create(name, category)
	if err != nil || category != compactionCategory || g.floor <= 0 {
		return f, err
	}
	return &guardedFile{File: f, guard: g, unlooked: guardEvery}, nil
}

// room returns why a compaction may not go on.
func (g *guard) room() error {
	u, err := g.GetDiskUsage(g.dir)
	if err != nil || int64(min(u.AvailBytes, 1<<62))-g.owed.Load() >= g.floor {
		return nil //nolint:nilerr // where nobody says, nobody is held to it
	}
	// The engine tries again at once. A cancelled compaction, unlike a failed one,
	// does not keep it from these tables for a time.
	time.Sleep(guardPause)
	return fmt.Errorf("%d bytes are left on the disk: %w", u.AvailBytes, pebble.ErrCancelledCompaction)
}

// guardedFile is a table that a compaction writes.
type guardedFile struct {
	vfs.File
	guard    *guard
	unlooked int
}

// Write implements vfs.File.
func (f *guardedFile) Write(p []byte) (int, error) {
	if f.unlooked += len(p); f.unlooked >= guardEvery {
		f.unlooked = 0
		if err := f.guard.room(); err != nil {
			return 0, err
		}
	}
	return f.File.Write(p)
}
