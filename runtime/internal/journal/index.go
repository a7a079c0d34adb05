package journal

import (
	"errors"
	"math"
	"sort"
	"time"
)

var errStop = errors.New("stop")

// frames calls fn in order for every index frame with sequences in [from, to). fn may return
// errStop. A gap between frames is damage.
func (j *Journal) frames(from, to uint64, fn func(*frame) error) error {
	if from >= to {
		return nil
	}
	it, err := j.store.Iterate(frameKey(0), frameKey(to))
	if err != nil {
		return j.damaged(from, to, err)
	}
	defer it.Close()
	at := from
	ok := it.SeekLT(frameKey(from + 1))
	if !ok && it.Error() == nil {
		ok = it.First()
	}
	for ; ok; ok = it.Next() {
		first := keySequence(it.Key())
		record, err := it.ValueAndErr()
		if err != nil {
			return j.damaged(at, to, err)
		}
		f, err := decodeFrame(first, record)
		if err != nil {
			return j.damaged(at, to, err)
		}
		if first > at || f.end() <= at {
			return &CorruptError{From: at, To: max(first, at+1), Err: errors.New("index frame missing")}
		}
		at = f.end()
		if err := fn(f); err != nil {
			if err == errStop {
				err = nil
			}
			return err
		}
	}
	if err := it.Error(); err != nil {
		return j.damaged(at, to, err)
	}
	if at < to {
		return &CorruptError{From: at, To: to, Err: errors.New("index frame missing")}
	}
	return nil
}

// loadWindow fills the window from the newest frames.
func (j *Journal) loadWindow(s *state) error {
	from := s.oldest
	if n := s.next - from; n > uint64(j.options.Window) {
		from = s.next - uint64(j.options.Window)
	}
	j.window = newWindow(j.options.Window, from)
	return j.frames(from, s.next, func(f *frame) error {
		if f.end() > s.next {
			return &CorruptError{From: s.next, To: f.end(), Err: errors.New("the head does not know them")}
		}
		for i, h := range f.hashes {
			if f.first+uint64(i) >= from {
				j.window.push(h)
			}
		}
		return nil
	})
}

// Totals counts events in a range.
type Totals struct {
	Events  uint64
	Emitted map[string]uint64 // number of emitted records, by target
}

// Count counts the stored events with sequences in [from, to), from the durable index frames.
func (j *Journal) Count(from, to uint64) (Totals, error) {
	done, err := j.reading()
	if err != nil {
		return Totals{}, err
	}
	defer done()
	s := j.state.Load()
	from, to = max(from, s.oldest), min(to, s.next)
	t := Totals{Emitted: map[string]uint64{}}
	err = j.frames(from, to, func(f *frame) error {
		low, high := max(from, f.first), min(to, f.end())
		t.Events += high - low
		if f.target == nil {
			return nil
		}
		for _, target := range f.target[low-f.first : high-f.first] {
			if target > 0 {
				t.Emitted[f.targets[target-1]]++
			}
		}
		return nil
	})
	return t, err
}

// SeekTime returns the first sequence received at or after t, or Head().Next if there is none.
// If it cannot read the index, it returns Oldest, which is too early but never too late.
func (j *Journal) SeekTime(t time.Time) uint64 {
	s := j.state.Load()
	done, err := j.reading()
	if err != nil {
		return s.oldest
	}
	defer done()
	it, err := j.store.Iterate(frameKey(0), frameKey(s.next))
	if err != nil {
		return s.oldest
	}
	defer it.Close()
	damaged := false
	n := sort.Search(int(min(s.next-s.oldest, math.MaxInt)), func(i int) bool {
		if damaged || !it.SeekLT(frameKey(s.oldest+uint64(i)+1)) {
			damaged = true
			return true
		}
		record, err := it.ValueAndErr()
		if err != nil {
			damaged = true
			return true
		}
		f, err := decodeFrame(keySequence(it.Key()), record)
		if err != nil {
			damaged = true
			return true
		}
		return !f.time().Before(t)
	})
	if damaged {
		return s.oldest
	}
	return s.oldest + uint64(n)
}
