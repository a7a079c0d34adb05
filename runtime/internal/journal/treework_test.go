package journal

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The size and the root of a log, at its end and before, are read from the partial tiles: 255
// hashes per level and one write's leaves, for any log size.
func TestARootReadsLittle(t *testing.T) {
	const write = 500
	j := open(t, "j", Options{FS: vfs.NewMem(), Now: clock})
	tree, err := j.OpenTree("log")
	if err != nil {
		t.Fatal(err)
	}
	roots := map[uint64][32]byte{}
	for _, size := range []uint64{5_000, 40_000, 320_000} {
		for tree.Size() < size {
			tx, entries := &Tx{}, make([][]byte, write)
			for i := range entries {
				entries[i] = []byte{byte(i), byte(tree.Size())}
			}
			tree.Append(tx, 0, tree.Size(), entries...)
			if _, err := j.Commit(tx); err != nil {
				t.Fatal(err)
			}
			roots[tree.Size()] = tree.Root()
		}
		s := &countingStore{Store: j.store}
		j.store = s
		got, err := j.TreeSize("log")
		if err != nil || got != size {
			t.Fatal(got, err)
		}
		for _, at := range []uint64{size, size - write, size / 2, write} {
			if root, err := j.TreeRoot("log", at); err != nil || root != roots[at] {
				t.Errorf("of %d leaves the first %d have the root %x, not %x: %v", size, at, root, roots[at], err)
			}
		}
		j.store = s.Store
		const levels, key = 3, 64
		most := int64(write*32 + 4*((write+255)*32+(levels-1)*255*(32+key)) + 100*key)
		if read := s.read.Load(); read > most {
			t.Errorf("of %d leaves the size and four roots read %d bytes, at most %d", size, read, most)
		} else {
			t.Logf("%d leaves: %d bytes read, at most %d", size, read, most)
		}
		if _, err := j.TreeRoot("log", size+1); err == nil {
			t.Errorf("a log of %d leaves has a root of one more", size)
		}
	}
}
