package journal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// contents is everything that a journal returns, event by event and value by value.
type contents struct {
	events map[uint64]string
	values map[string]string
}

// say reads everything. With an error, it also returns the readable part.
func say(j *Journal) (contents, error) {
	c := contents{events: map[uint64]string{}, values: map[string]string{}}
	var errs []error
	head := j.Head()
	for at := j.Oldest(); at < head.Next; {
		events, next, err := j.Read(at, 1000, 1<<40)
		for _, e := range events {
			data := string(e.Data) // %v would write each byte as a number
			e.Data = nil
			c.events[e.Sequence] = fmt.Sprintf("%+v", e) + data
		}
		if at = next; err != nil {
			errs = append(errs, err)
			if corrupt, ok := errors.AsType[*CorruptError](err); ok && corrupt.To > at {
				at = corrupt.To
				continue
			}
			at++
		}
	}
	if _, err := j.Count(0, head.Next); err != nil {
		errs = append(errs, err)
	}
	if err := j.Scan(Key{byte(KindLane)}, Key{byte(kindEnd)}, func(k Key, v []byte) error {
		c.values[string(k)] = string(v)
		return nil
	}); err != nil {
		errs = append(errs, err)
	}
	return c, errors.Join(errs...)
}

// specimen returns a closed journal of some 1 MB: tables, a log and a manifest.
func specimen(t *testing.T, flush bool, e Encryption) (files map[string][]byte, want contents) {
	o := Options{FS: vfs.NewMem(), Now: clock, Window: 100, Encryption: e}
	j := open(t, "j", o)
	for i := range 220 {
		tx := &Tx{}
		for k := range 3 {
			tx.Append(event(fmt.Sprintf("%d-%d", i, k), fmt.Sprintf(`{"n":%q}`, noise(i*3+k, 900))))
		}
		tx.SetAbout(1, PayloadKey("s3", uint64(i)), []byte(noise(i, 300)))
		tx.Delete(PayloadKey("s3", uint64(i-9)))
		tx.Set(LaneKey("s3"), fmt.Append(nil, i))
		if _, err := j.Commit(tx); err != nil {
			t.Fatal(err)
		}
		if flush && i%60 == 40 {
			if err := j.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	want, err := say(j)
	if err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	files = map[string][]byte{}
	readFiles(t, o.FS, "j", files)
	return files, want
}

// logSpecimen returns a journal of several logs with many blocks each, after a kill.
func logSpecimen(t *testing.T) (files map[string][]byte, want contents) {
	mem := logged(t, 1<<20, 3, Options{})
	files = map[string][]byte{}
	readFiles(t, mem, "j", files)
	if n := len(liveFiles(t, mem)); n < 3 {
		t.Fatalf("%d logs", n)
	}
	j := open(t, "j", Options{FS: mem, Now: clock, Window: 100})
	want, err := say(j)
	if err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	return files, want
}

// examine opens a journal of these files and reports contents that were never written.
// Refusing, reporting damage and returning what was written are all correct.
func examine(files map[string][]byte, want contents, e Encryption) (refused bool, err error) {
	fs := vfs.NewMem()
	fs.MkdirAll("j/db", 0o700)
	for name, b := range files {
		f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			return false, err
		}
		f.Write(bytes.Clone(b)) // the file system may overwrite its input
		f.Close()
	}
	j, err := Open("j", Options{FS: fs, Now: clock, Window: 100, Reserve: mib, Encryption: e})
	if err != nil {
		return true, nil
	}
	defer j.Close()
	got, err := say(j)
	for sequence, e := range got.events {
		if want.events[sequence] != e {
			return false, fmt.Errorf("event %d is another", sequence)
		}
	}
	for k, v := range got.values {
		if err == nil && want.values[k] != v {
			return false, errors.New("a value is another")
		}
	}
	if err != nil {
		return true, nil
	}
	if !maps.Equal(got.events, want.events) || !maps.Equal(got.values, want.values) {
		return false, fmt.Errorf("%d of %d events, %d of %d values, and no error",
			len(got.events), len(want.events), len(got.values), len(want.values))
	}
	return false, nil
}

// withoutRace skips tests that open very many journals. With the race detector the storage
// engine checks its invariants at length, so they would take minutes. make test runs them
// without it.
func withoutRace(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("make test runs it without the race detector")
	}
}

// Every byte with AUDITRELAY_SOAK=1, a sample otherwise.
func TestDamageIsNeverSilent(t *testing.T) {
	withoutRace(t)
	soak := os.Getenv("AUDITRELAY_SOAK") == "1"
	rng := rand.New(rand.NewPCG(1, 2))
	for _, kind := range []struct {
		name    string
		flush   bool
		logs    bool
		encrypt Encryption
	}{{name: "tables", flush: true}, {name: "log"}, {name: "logs", logs: true},
		{name: "encrypted", flush: true, encrypt: Encryption{Key: masterKey(1)}}} {
		files, want := map[string][]byte{}, contents{}
		if kind.logs {
			files, want = logSpecimen(t)
		} else {
			files, want = specimen(t, kind.flush, kind.encrypt)
		}
		if refused, err := examine(files, want, kind.encrypt); refused || err != nil {
			t.Fatal("the undamaged journal", refused, err)
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			whole := files[name]
			offsets := sample(rng, len(whole), soak)
			t.Run(kind.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				files, rng := maps.Clone(files), rand.New(rand.NewPCG(3, uint64(len(whole))))
				same := 0
				check := func(what string, at int) {
					refused, err := examine(files, want, kind.encrypt)
					if err != nil {
						t.Errorf("%s at %d of %d: %v", what, at, len(whole), err)
					} else if !refused {
						same++
					}
				}
				for _, at := range offsets {
					files[name] = slices.Clone(whole)
					files[name][at] ^= 1 << rng.IntN(8)
					check("bit flipped", at)
					files[name] = whole[:at]
					check("cut", at)
				}
				delete(files, name)
				check("removed", 0)
				t.Logf("%d bytes, %d offsets tried, %d without effect", len(whole), len(offsets), same)
			})
		}
	}
}

func sample(rng *rand.Rand, n int, all bool) []int {
	var offsets []int
	for at := range n {
		if all || at < 2 || at >= n-2 {
			offsets = append(offsets, at)
		}
	}
	if !all {
		for range min(n, 6) {
			offsets = append(offsets, rng.IntN(n))
		}
	}
	return offsets
}
