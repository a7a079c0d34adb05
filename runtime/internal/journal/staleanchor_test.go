package journal

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestDamageIsNeverSilentWithAStaleAnchor: with an anchor from before the first event, which
// covers nothing, a flipped bit within the log is still detected. TestDamageIsNeverSilent tests
// the scan and the anchor together. The storage engine detects most of this damage too, so this
// test alone does not prove that the scan works: logscan_test.go does.
func TestDamageIsNeverSilentWithAStaleAnchor(t *testing.T) {
	withoutRace(t)
	files, want := logSpecimen(t)
	mem := vfs.NewMem()
	mem.MkdirAll("j/db", 0o700)
	for name, b := range files {
		f, err := mem.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(slices.Clone(b)) // the file system may overwrite its input
		f.Close()
	}
	j := open(t, "j", Options{FS: mem, Now: clock, Window: 100})
	stale := &anchor{turn: 1 << 40, next: 1}
	files["j/"+anchorName] = stale.file(j.Identity())
	closeJournal(t, j)
	if refused, err := examine(files, want, Encryption{}); refused || err != nil {
		t.Fatal("the undamaged journal with a stale anchor", refused, err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	tried := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		whole := files[name]
		if !strings.HasSuffix(name, ".log") || len(whole) < 4096 {
			continue
		}
		for range 40 {
			tried++
			files[name] = slices.Clone(whole)
			files[name][rng.IntN(len(whole)*3/4)] ^= 1 << rng.IntN(8)
			if _, err := examine(files, want, Encryption{}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		files[name] = whole
	}
	if tried < 80 {
		t.Errorf("%d tried", tried)
	}
}
