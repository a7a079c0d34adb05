package journal

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A failed write ends writing, but not the process and not reading.
func TestAFailedWriteFailsTheJournal(t *testing.T) {
	for _, test := range []struct {
		name string
		kind []errorfs.OpKind
		file string
		logs int // number of full logs before
	}{
		{"write to the log", []errorfs.OpKind{errorfs.OpFileWrite}, ".log", 0},
		{"sync of the log", []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}, ".log", 0},
		{"no inode for the next log", []errorfs.OpKind{errorfs.OpCreate, errorfs.OpReuseForWrite}, ".log", 0},
		{"no use of an old log for the next", []errorfs.OpKind{errorfs.OpCreate, errorfs.OpReuseForWrite}, ".log", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			var broken atomic.Bool
			inner := vfs.NewMem()
			fs := errorfs.Wrap(inner, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if broken.Load() && strings.HasSuffix(op.Path, test.file) {
					for _, k := range test.kind {
						if op.Kind == k {
							return syscall.ENOSPC
						}
					}
				}
				return nil
			}))
			j, err := Open("j", Options{FS: fs, Now: clock})
			if err != nil {
				t.Fatal(err)
			}
			for i := range 10 {
				appendEvents(t, j, event(fmt.Sprint(i), body(i)))
			}
			stored := uint64(10)
			for range test.logs * fullMemtable >> 20 {
				appendEvents(t, j, event(fmt.Sprint("large", stored), fmt.Sprintf(`{"n":%q}`, noise(int(stored), 1<<20))))
				stored++
			}
			broken.Store(true)
			if test.kind[0] == errorfs.OpCreate {
				stored += fillLog(t, j)
			}
			for range 3 {
				tx := &Tx{}
				tx.Append(event("lost", body(1)))
				if _, err := j.Commit(tx); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
					t.Fatal(err)
				}
			}
			if j.Head().Next != stored+1 {
				t.Error(j.Head())
			}
			if events, err := readAll(j); len(events) != int(stored) || err != nil {
				t.Error(len(events), err)
			}
			broken.Store(false)
			j.Close()
			j = open(t, "j", Options{FS: inner, Now: clock})
			if events, err := readAll(j); len(events) < int(stored) || err != nil {
				t.Error(len(events), err)
			}
		})
	}
}

// fillLog commits until a commit fails, and returns the number of successes.
func fillLog(t *testing.T, j *Journal) (stored uint64) {
	t.Helper()
	for ; stored < 10_000; stored++ {
		tx := &Tx{}
		tx.Append(event(fmt.Sprint("more", stored), fmt.Sprintf(`{"n":%q}`, noise(int(stored), 2000))))
		if _, err := j.Commit(tx); err != nil {
			return stored
		}
	}
	t.Fatal("no commit failed")
	return 0
}
