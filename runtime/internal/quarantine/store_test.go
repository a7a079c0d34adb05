package quarantine

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var base = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func openOn(t *testing.T, fs vfs.FS, o Options) (*journal.Journal, *Store) {
	t.Helper()
	j, err := journal.Open("data/j", journal.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	s, err := Open(j, o)
	if err != nil {
		t.Fatal(err)
	}
	return j, s
}

func item(data string) Item {
	it := Item{Provenance: auditrelay.Provenance{Source: "s3", Principal: "litellm", Address: "192.0.2.1"},
		Reason: "syntax", Detail: "at byte 7", Size: int64(len(data)), Data: []byte(data)}
	sum := sha256.Sum256(it.Data)
	copy(it.Digest[:], sum[:])
	return it
}

func put(t *testing.T, s *Store, items ...Item) {
	t.Helper()
	if err := locked(t, s, func() error { return s.Put(base, items) }); err != nil {
		t.Fatal(err)
	}
}

func locked(t *testing.T, s *Store, fn func() error) error {
	t.Helper()
	unlock, err := s.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	return fn()
}

func remove(t *testing.T, j *journal.Journal, s *Store, number uint64) error {
	t.Helper()
	return locked(t, s, func() error {
		it, err := s.Get(number)
		if err != nil {
			return err
		}
		tx := new(journal.Tx)
		s.Delete(tx, number)
		if _, err := j.Commit(tx); err != nil {
			return err
		}
		s.Deleted(&it)
		return nil
	})
}

func TestAnItemComesBackWhole(t *testing.T) {
	fs := vfs.NewMem()
	j, s := openOn(t, fs, Options{})
	bare := item("of which nothing is kept")
	bare.Bare, bare.Data = true, nil
	odd := item("not \x00 UTF-8: \xff\xfe, and long: " + strings.Repeat("x", 3<<20))
	put(t, s, odd, bare)
	put(t, s, item(""))
	for _, restarted := range []bool{false, true} {
		if restarted {
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			j, s = openOn(t, fs, Options{})
		}
		for number, want := range map[uint64]Item{1: odd, 2: bare, 3: item("")} {
			want.Number, want.First, want.Last, want.Times = number, base, base, 1
			got, err := s.Get(number)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Item{}), cmp.Comparer(bytes.Equal)); err != nil || diff != "" {
				t.Error(restarted, number, err, diff[:min(len(diff), 500)])
			}
		}
		if u := s.Usage(); u.Items != 3 || u.Bytes < 3<<20 || u.Bytes > 3<<20+1000 || u.Full {
			t.Errorf("%+v", u)
		}
		list, err := s.List(1, 10, func(it *Item) bool { return it.Reason == "syntax" })
		if err != nil || len(list) != 2 || list[0].Number != 2 || list[1].Number != 3 || list[1].Data != nil {
			t.Errorf("%+v, %v", list, err)
		}
	}
	if _, err := s.Get(4); !errors.Is(err, ErrNoItem) {
		t.Error(err)
	}
}

func TestTheSameAgainIsCounted(t *testing.T) {
	fs := vfs.NewMem()
	j, s := openOn(t, fs, Options{})
	put(t, s, item("a"), item("b"), item("a"))
	before := s.Usage()
	later := base.Add(time.Hour)
	if err := locked(t, s, func() error { return s.Put(later, []Item{item("a"), item("a"), item("b")}) }); err != nil {
		t.Fatal(err)
	}
	if got := s.Usage(); got != before || got.Items != 2 {
		t.Errorf("%+v, before %+v", got, before)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j, s = openOn(t, fs, Options{})
	put(t, s, item("b"))
	a, errA := s.Get(1)
	b, errB := s.Get(2)
	if errA != nil || errB != nil || a.Times != 4 || !a.Last.Equal(later) || !a.First.Equal(base) || b.Times != 3 {
		t.Errorf("%+v %v, %+v %v", a, errA, b, errB)
	}
	// What was taken away is new when it comes again, and its number is not used again.
	if err := remove(t, j, s, 2); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := j.Get(journal.QuarantineKey(whatAgain, 2)); ok || err != nil {
		t.Errorf("something of it is left: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	_, s = openOn(t, fs, Options{})
	put(t, s, item("b"))
	if list, err := s.List(0, 10, func(*Item) bool { return true }); err != nil || len(list) != 2 || list[1].Number != 3 || list[1].Times != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestBounds(t *testing.T) {
	for name, o := range map[string]Options{
		"items": {Items: 2},
		"bytes": {Bytes: 300}, // two of some 100 bytes each, and not a third
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			j, s := openOn(t, fs, o)
			put(t, s, item(strings.Repeat("a", 50)), item(strings.Repeat("b", 50)))
			full, ok := errors.AsType[*FullError](locked(t, s, func() error {
				return s.Put(base, []Item{item(strings.Repeat("a", 50)), item(strings.Repeat("c", 100))})
			}))
			if !ok || full.Items != 2 || !s.Usage().Full {
				t.Fatalf("%+v %+v", full, s.Usage())
			}
			if it, err := s.Get(1); err != nil || it.Times != 1 {
				t.Errorf("a part was written: %+v, %v", it, err)
			}
			put(t, s, item(strings.Repeat("b", 50))) // needs no room
			if !s.Usage().Full {
				t.Error("it has no more room than before")
			}
			if err := remove(t, j, s, 1); err != nil {
				t.Fatal(err)
			}
			put(t, s, item(strings.Repeat("c", 50)))
			if s.Usage().Full || s.Usage().Items != 2 {
				t.Errorf("%+v", s.Usage())
			}
		})
	}
	_, s := openOn(t, vfs.NewMem(), Options{ItemBytes: 10})
	put(t, s, item("ten bytes."))
	if err := locked(t, s, func() error { return s.Put(base, []Item{item("fine"), item("eleven byte")}) }); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if u := s.Usage(); u.Items != 1 || u.Full {
		t.Errorf("%+v", u)
	}
}

// What comes from outside may not touch the journal's reserve; taking it away may.
func TestShortDisk(t *testing.T) {
	fs := vfs.NewMem()
	free := func(n uint64) {
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: n, TotalBytes: 1 << 30, UsedBytes: 1<<30 - n})
	}
	free(1 << 29)
	now := base
	j, err := journal.Open("data/j", journal.Options{FS: fs, Reserve: 40 << 20, Now: func() time.Time { now = now.Add(time.Second); return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	s, err := Open(j, Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, item("a"))
	free(39 << 20)
	for _, data := range []string{"b", "a"} {
		err := locked(t, s, func() error { return s.Put(base, []Item{item(data)}) })
		if !errors.Is(err, journal.ErrFull) {
			t.Errorf("%s: %v", data, err)
		}
	}
	if u := s.Usage(); u.Items != 1 || u.Full {
		t.Errorf("%+v", u)
	}
	if err := remove(t, j, s, 1); err != nil {
		t.Error(err)
	}
}

func TestDamageIsNoticed(t *testing.T) {
	key := journal.QuarantineKey(whatItem, 7)
	it := item("data")
	it.First = base
	whole := seal(key, &it)
	if _, err := open(key, whole); err != nil {
		t.Fatal(err)
	}
	if _, err := open(journal.QuarantineKey(whatItem, 8), whole); !errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("under another's key: %v", err)
	}
	for i := range whole {
		damaged := append([]byte{}, whole...)
		damaged[i] ^= 0x10
		if _, err := open(key, damaged); !errors.Is(err, journal.ErrCorrupt) {
			t.Errorf("byte %d: %v", i, err)
		}
		if _, err := open(key, whole[:i]); !errors.Is(err, journal.ErrCorrupt) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

// crashes drives a quarantine with power cuts and returns the first loss of what was
// said to be durable.
func crashes(t *testing.T, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 2))
	fs := vfs.NewCrashableMem()
	want := map[uint64]string{}
	times := map[uint64]uint64{}
	next := uint64(1)
	for range 20 {
		j, s := openOn(t, fs, Options{})
		list, err := s.List(0, 1000, func(*Item) bool { return true })
		if err != nil {
			return err
		}
		if len(list) != len(want) || s.Usage().Items != len(want) {
			return fmt.Errorf("%d items of %d, usage %d", len(list), len(want), s.Usage().Items)
		}
		for _, it := range list {
			whole, err := s.Get(it.Number)
			if err != nil || string(whole.Data) != want[it.Number] || it.Times != times[it.Number] {
				return fmt.Errorf("item %d: %q %d times, want %q %d times: %w", it.Number, whole.Data, it.Times, want[it.Number], times[it.Number], err)
			}
		}
		for range rng.IntN(12) {
			data := fmt.Sprint("item ", rng.IntN(60))
			if rng.IntN(3) == 0 && len(list) > 0 {
				n := list[rng.IntN(len(list))].Number
				if _, there := want[n]; there {
					if err := remove(t, j, s, n); err != nil {
						return err
					}
					delete(want, n)
				}
				continue
			}
			put(t, s, item(data))
			known := uint64(0)
			for n, d := range want {
				if d == data {
					known = n
				}
			}
			if known == 0 {
				known, next = next, next+1
				want[known], times[known] = data, 0
			}
			times[known]++
		}
		after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		if err := j.Close(); err != nil {
			return err
		}
		fs = after
	}
	return nil
}

func TestWhatIsInQuarantineSurvivesPowerLoss(t *testing.T) {
	for seed := range uint64(4) {
		if err := crashes(t, seed); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}
