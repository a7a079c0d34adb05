package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"auditrelay"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var told = func(r *Recovery) (auditrelay.Event, error) {
	return event(fmt.Sprintf("gap %d-%d", r.Damage.From, r.Damage.To), body(1)), nil
}

// damaged returns a journal of several logs, one of them with a flipped bit in the middle, and
// its previous contents.
func damaged(t *testing.T, o Options) (mem *vfs.MemFS, held map[string]string) {
	t.Helper()
	mem = logged(t, 1<<20, 3, o)
	whole := clone(t, mem)
	o.FS, o.Now = whole, clock
	j := open(t, "j", o)
	events, err := readAll(j)
	if err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	held = map[string]string{}
	for _, e := range events {
		held[e.ID] = string(e.Data)
	}
	name := liveFiles(t, mem)[1]
	flip(t, mem, name, int64(len(fileBytes(t, mem, name))/3), 2)
	return mem, held
}

// Recover omits only the damaged part, starts a new incarnation, and accepts an event about it.
// Undamaged data after the damage exists again.
func TestRecover(t *testing.T) {
	for name, e := range map[string]Encryption{"plain": {}, "encrypted": {Key: masterKey(1)}} {
		t.Run(name, func(t *testing.T) {
			mem, held := damaged(t, Options{Encryption: e})
			o := Options{FS: mem, Now: clock, Encryption: e}
			_, err := Open("j", o)
			corrupt, ok := errors.AsType[*CorruptError](err)
			if !ok || !corrupt.Recoverable() || corrupt.To <= corrupt.From {
				t.Fatal(err)
			}
			before, err := Examine("j", o)
			if err != nil || before.Damage.From != corrupt.From || before.Damage.To != corrupt.To || before.Behind == 0 {
				t.Fatalf("%+v, %v", before, err)
			}
			r, err := Recover("j", o, told)
			if err != nil || r.Saved != before.Behind || r.Identity.ID != r.Before.ID || r.Identity.Incarnation == r.Before.Incarnation {
				t.Fatalf("%+v, %v", r, err)
			}
			t.Log(corrupt, before.Behind)
			checkRecovered(t, o, r, held, 3)
			if names, err := mem.List(r.Kept); err != nil || len(names) < 3 {
				t.Error(names, err)
			}
			if _, err := Examine("j", o); !errors.Is(err, ErrWhole) {
				t.Error(err)
			}
		})
	}
}

// checkRecovered opens a recovered journal and compares it with its previous contents.
func checkRecovered(t *testing.T, o Options, r *Recovery, held map[string]string, most int) {
	t.Helper()
	j, err := Open("j", o)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if j.Identity() != r.Identity {
		t.Error(j.Identity(), r.Identity)
	}
	events, err := readAll(j)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range events {
		got[e.ID] = string(e.Data)
	}
	if gap := fmt.Sprintf("gap %d-%d", r.Damage.From, r.Damage.To); got[gap] == "" {
		t.Error("no event tells of the gap")
	}
	lost := 0
	for id, data := range held {
		if got[id] == "" {
			lost++
		} else if got[id] != data {
			t.Errorf("event %s is another", id)
		}
	}
	if lost > most {
		t.Errorf("%d events are lost, at most %d were damaged", lost, most)
	}
}

// After a power failure at any moment of a recovery, the journal does not open, or it is
// recovered. Run again, the recovery ends as without the failure.
func TestRecoverSurvivesPowerLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	mem, held := damaged(t, Options{})
	again, stride := 0, 1
	if raceDetector {
		stride = 9 // make test tries all moments without the race detector
	}
	for step := 0; ; step += stride {
		crash := clone(t, mem).CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
		// The engine removes files in its own goroutine.
		var mu sync.Mutex
		left, survives := step, rng.IntN(101)
		var after *vfs.MemFS
		o := Options{FS: stopFS{FS: crash, stop: func() {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				after = crash.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: survives, RNG: rng})
			}
		}}, Now: clock, AnchorEvery: -1}
		if _, err := Recover("j", o, told); err != nil {
			t.Fatal(step, err)
		}
		mu.Lock()
		crashed := after
		mu.Unlock()
		if crashed == nil && step > 0 {
			t.Logf("%d moments, taken up again at %d", step, again)
			if step < 50 {
				t.Error("too few moments")
			}
			return
		}
		if step == 0 {
			continue
		}
		o.FS = crashed
		if j, err := Open("j", o); err == nil {
			closeJournal(t, j)
			continue
		} else if !errors.Is(err, ErrCorrupt) {
			t.Fatal(step, err)
		}
		again++
		r, err := Recover("j", o, told)
		if err != nil {
			t.Fatal(step, err)
		}
		checkRecovered(t, o, r, held, 3)
	}
}

// stopFS calls stop before each change to a directory, and each new file.
type stopFS struct {
	vfs.FS
	stop func()
}

func (s stopFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	s.stop()
	return s.FS.Create(name, c)
}

func (s stopFS) Rename(from, to string) error {
	s.stop()
	return s.FS.Rename(from, to)
}

func (s stopFS) Remove(name string) error {
	s.stop()
	return s.FS.Remove(name)
}

func (s stopFS) OpenDir(name string) (vfs.File, error) {
	s.stop()
	return s.FS.OpenDir(name)
}
