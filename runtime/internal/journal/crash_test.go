package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"auditrelay"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// history drives a journal with random transactions, from one goroutine, and remembers what was
// acknowledged.
type history struct {
	rng    *rand.Rand
	events []string // data by sequence-1
	values map[string]string
	about  []string // by sequence-1: a value about the event; empty if there is none
	bodies []string // by sequence-1: a value that may be in a blob file; likewise
	erased map[uint64]bool
	oldest uint64
	next   string // the body set by the current transaction
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
	about := -1
	if len(h.events) > 0 && h.rng.IntN(2) == 0 {
		about = h.rng.IntN(len(h.events))
		tx.SetAbout(uint64(about+1), DeadLetterKey("l", uint64(about+1)), []byte(h.events[about]))
	}
	h.body(tx, about)
	var data []string
	for i := range tx.events {
		data = append(data, string(tx.events[i].Data()))
	}
	out, err := j.Commit(tx)
	if about >= 0 && errors.Is(err, ErrErased) && h.erased[uint64(about+1)] {
		return nil // nothing more is stored about an erased event
	}
	if err != nil {
		return err
	}
	for i, a := range out {
		if a.Status != Stored || a.Sequence != uint64(len(h.events)+1) {
			return fmt.Errorf("append %d: %+v", i, a)
		}
		h.events, h.about, h.bodies = append(h.events, data[i]), append(h.about, ""), append(h.bodies, "")
	}
	if about >= 0 {
		h.bodies[about] = h.next
	}
	if about >= 0 {
		h.about[about] = h.events[about]
	}
	for k, v := range values {
		h.values[k] = v
	}
	if periods := j.Periods(); len(periods) > 1 && h.rng.IntN(30) == 0 {
		p := periods[h.rng.IntN(len(periods)-1)]
		if _, err := j.Destroy(p.Number); err != nil {
			return err
		}
		for sequence := p.From; sequence < p.To; sequence++ {
			h.erased[sequence] = true
		}
	}
	if h.rng.IntN(20) == 0 && len(h.events) > 10 {
		h.oldest = max(h.oldest, uint64(h.rng.IntN(len(h.events))))
		return j.Trim(h.oldest)
	}
	return nil
}

// body makes tx set or delete the body about an event.
func (h *history) body(tx *Tx, about int) {
	if h.next = ""; about < 0 {
		return
	}
	k := BodyKey("l", uint64(about+1))
	if h.bodies[about] != "" {
		tx.Delete(k)
		return
	}
	h.next = noise(h.rng.Int(), 1+h.rng.IntN(3000))
	tx.SetAbout(uint64(about+1), k, []byte(h.next))
}

// check reports missing acknowledged data.
func (h *history) check(j *Journal) error {
	if j.Oldest() < max(1, h.oldest) {
		return fmt.Errorf("oldest %d, trimmed to %d", j.Oldest(), h.oldest)
	}
	var events []auditrelay.Event
	erased := 0
	for at := j.Oldest(); at < j.Head().Next; {
		some, next, err := j.Read(at, 1<<20, 1<<40)
		if gone, ok := errors.AsType[*ErasedError](err); ok {
			for ; at < gone.To; at++ {
				if erased++; !h.erased[at] {
					return fmt.Errorf("event %d is erased", at)
				}
			}
			continue
		}
		if err != nil {
			return err
		}
		events, at = append(events, some...), next
	}
	if head := j.Head(); head.Next != uint64(len(h.events)+1) || int(head.Next-j.Oldest()) != len(events)+erased {
		return fmt.Errorf("%d acknowledged, next is %d, %d read, %d erased", len(h.events), head.Next, len(events), erased)
	}
	for _, e := range events {
		if h.erased[e.Sequence] || string(e.Data) != h.events[e.Sequence-1] {
			return fmt.Errorf("event %d differs, or should be erased", e.Sequence)
		}
	}
	for i, want := range h.about {
		v, ok, err := j.Get(DeadLetterKey("l", uint64(i+1)))
		if want != "" && h.erased[uint64(i+1)] {
			if !errors.Is(err, ErrErased) {
				return fmt.Errorf("the value about event %d, which is erased: %q, %v", i+1, v, err)
			}
		} else if err != nil || ok != (want != "") || string(v) != want {
			return fmt.Errorf("the value about event %d: %q, want %q: %v", i+1, v, want, err)
		}
	}
	for i, want := range h.bodies {
		v, ok, err := j.Get(BodyKey("l", uint64(i+1)))
		if want != "" && h.erased[uint64(i+1)] {
			if !errors.Is(err, ErrErased) {
				return fmt.Errorf("the body about event %d, which is erased: %q, %v", i+1, v, err)
			}
		} else if err != nil || ok != (want != "") || string(v) != want {
			return fmt.Errorf("the body about event %d: %d bytes, want %d: %v", i+1, len(v), len(want), err)
		}
	}
	for k, want := range h.values {
		if v, _, err := j.Get(LaneKey(k)); err != nil || string(v) != want {
			return fmt.Errorf("value %s: %q, want %q: %v", k, v, want, err)
		}
	}
	totals, err := j.Count(0, j.Head().Next)
	if err != nil || totals.Events != uint64(len(events)+erased) {
		return fmt.Errorf("counted %d of %d: %v", totals.Events, len(events), err)
	}
	return nil
}

// crashes runs histories with power failures and returns the first loss.
func crashes(t *testing.T, seed uint64, rounds int, o Options) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	fs := vfs.NewCrashableMem()
	h := &history{rng: rng, values: map[string]string{}, erased: map[uint64]bool{}}
	now := base
	o.Now = func() time.Time {
		now = now.Add(time.Duration(rng.IntN(1e9)))
		if len(o.Encryption.Key) > 0 && rng.IntN(20) == 0 { // and back
			now = now.Add(time.Duration(rng.IntN(120)-40) * time.Second)
		}
		return now
	}
	o.Blob = []int{0, 1, 1000}[seed%3]
	o.Window, o.AnchorEvery = 50, -1 // the test writes it below, to be reproducible
	for range rounds {
		o.FS = fs
		j, err := Open("data/j", o)
		if err != nil {
			return err
		}
		j.blobs.maxDeadFiles = 3
		if err := h.check(j); err != nil {
			j.Close()
			return err
		}
		for range rng.IntN(40) {
			if err := h.step(j); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(8) == 0 {
				if err := j.writeAnchor(false); err != nil {
					t.Fatal(err)
				}
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
	for seed := range histories() {
		if err := crashes(t, seed, 25, Options{}); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// histories returns the number of runs. With the race detector the storage engine checks its
// invariants at length; make test runs all of them without it.
func histories() uint64 {
	if raceDetector {
		return 1
	}
	return 8
}

// The same with encryption, in periods of a minute, some of which are destroyed. Acknowledged
// data exists, unless its period was destroyed; then none of it exists.
func TestWhatWasAcknowledgedSurvivesPowerLossEncrypted(t *testing.T) {
	for seed := range histories() {
		if err := crashes(t, seed, 25, Options{Encryption: Encryption{Key: masterKey(1), Period: time.Minute}}); err != nil {
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
