package journal

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A compaction leaves the space that logs and flushes need. Those may use it.
func TestCompactionsLeaveTheLastRoomToOthers(t *testing.T) {
	fs := vfs.NewMem()
	free := func(n uint64) { fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: n, TotalBytes: 100 * mib}) }
	g := &guard{FS: fs, floor: 2 * mib}
	write := func(category vfs.DiskWriteCategory) error {
		f, err := g.Create("table", category)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		_, err = f.Write(make([]byte, 1000))
		return err
	}
	free(3 * mib)
	if err := write(compactionCategory); err != nil {
		t.Errorf("with room: %v", err)
	}
	g.owed.Store(2 * mib)
	if err := write(compactionCategory); !errors.Is(err, pebble.ErrCancelledCompaction) {
		t.Errorf("with as much still to be flushed: %v", err)
	}
	g.owed.Store(0)
	free(1 * mib)
	if err := write(compactionCategory); !errors.Is(err, pebble.ErrCancelledCompaction) {
		t.Errorf("below the floor: %v", err)
	}
	for _, category := range []vfs.DiskWriteCategory{"pebble-wal", "pebble-memtable-flush"} {
		if err := write(category); err != nil {
			t.Errorf("%s: %v", category, err)
		}
	}
}
