package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// history drives a journal with random transactions, from one goroutine, and
// remembers what was acknowledged.
type history struct {
	rng    *rand.Rand
	events []string // data by sequence-1
	values map[string]string
	oldest uint64
}

func (h *history) step(j *Journal) error {
	tx := &Tx{}
	n := h.rng.IntN(4)
	for i := range n {
		tx.Append(event(fmt.Sprintf("%d-%d", len(h.events), i), fmt.Sprintf(`{"n":%d,"r":%d}`, len(h.events)+i, h.rng.Uint64())))
	}
	values := map[string]string{}
	for range h.rng.IntN(3) {
		k := fmt.Sprint("lane", h.rng.IntN(5))
		values[k] = fmt.Sprint(h.rng.Uint64())
	}
	for k, v := range values {
		tx.Set(LaneKey(k), []byte(v))
	}
	var data []string
	for i := range tx.events {
		data = append(data, string(tx.events[i].Data()))
	}
	out, err := j.Commit(tx)
	if err != nil {
		return err
	}
	for i, a := range out {
		if a.Status != Stored || a.Sequence != uint64(len(h.events)+1) {
			return fmt.Errorf("append %d: %+v", i, a)
		}
		h.events = append(h.events, data[i])
	}
	for k, v := range values {
		h.values[k] = v
	}
	if h.rng.IntN(20) == 0 && len(h.events) > 10 {
		h.oldest = max(h.oldest, uint64(h.rng.IntN(len(h.events))))
		return j.Trim(h.oldest)
	}
	return nil
}

// check reports acknowledged things that are not there.
func (h *history) check(j *Journal) error {
	if j.Oldest() < max(1, h.oldest) {
		return fmt.Errorf("oldest %d, trimmed to %d", j.Oldest(), h.oldest)
	}
	events, err := readAll(j)
	if err != nil {
		return err
	}
	if head := j.Head(); head.Next != uint64(len(h.events)+1) || int(head.Next-j.Oldest()) != len(events) {
		return fmt.Errorf("%d acknowledged, next is %d, %d read", len(h.events), head.Next, len(events))
	}
	for _, e := range events {
		if string(e.Data) != h.events[e.Sequence-1] {
			return fmt.Errorf("event %d differs", e.Sequence)
		}
	}
	for k, want := range h.values {
		if v, _, err := j.Get(LaneKey(k)); err != nil || string(v) != want {
			return fmt.Errorf("value %s: %q, want %q: %v", k, v, want, err)
		}
	}
	totals, err := j.Count(0, j.Head().Next)
	if err != nil || totals.Events != uint64(len(events)) {
		return fmt.Errorf("counted %d of %d: %v", totals.Events, len(events), err)
	}
	return nil
}

// crashes runs histories with power cuts and returns the first loss.
func crashes(t *testing.T, seed uint64, rounds int, o Options) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	fs := vfs.NewCrashableMem()
	h := &history{rng: rng, values: map[string]string{}}
	now := base
	o.Now = func() time.Time { now = now.Add(time.Duration(rng.IntN(1e9))); return now }
	o.Window = 50
	for range rounds {
		o.FS = fs
		j, err := Open("data/j", o)
		if err != nil {
			return err
		}
		if err := h.check(j); err != nil {
			j.Close()
			return err
		}
		for range rng.IntN(40) {
			if err := h.step(j); err != nil {
				t.Fatal(err)
			}
		}
		if rng.IntN(4) == 0 {
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
		after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		if err := j.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		fs = after
	}
	return nil
}

func TestWhatWasAcknowledgedSurvivesPowerLoss(t *testing.T) {
	for seed := range uint64(8) {
		if err := crashes(t, seed, 25, Options{}); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// Without syncs the same test must find losses, or it proves nothing.
func TestCrashTestNoticesLoss(t *testing.T) {
	lost := 0
	for seed := range uint64(8) {
		if crashes(t, seed, 25, Options{UnsafeNoSync: true}) != nil {
			lost++
		}
	}
	if lost < 4 {
		t.Errorf("only %d of 8 unsafe histories lost something", lost)
	}
}
