package journal

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// guard is a file system that keeps the engine's compactions from using space that its log and
// its flushes need. A compaction writes its whole result before it frees anything. On a nearly
// full disk it would use the last byte, fail, free its space, and start again, and meanwhile
// everything else would fail.
type guard struct {
	vfs.FS
	dir   string
	floor int64        // the space that compactions leave free
	owed  atomic.Int64 // additional space that the engine needs for flushes
}

const (
	compactionCategory = "pebble-compaction"
	guardEvery         = 256 << 10              // bytes of a table between two checks
	guardPause         = 200 * time.Millisecond // before the engine retries a rejected compaction
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

// room returns an error if a compaction must stop.
func (g *guard) room() error {
	u, err := g.GetDiskUsage(g.dir)
	if err != nil || int64(min(u.AvailBytes, 1<<62))-g.owed.Load() >= g.floor {
		return nil //nolint:nilerr // where nobody says, nobody is held to it
	}
	// The engine retries at once. Cancelling a compaction, unlike failing it, does not make the
	// engine avoid these tables for a time.
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
