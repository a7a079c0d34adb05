package journal

import (
	"cmp"
	"errors"
	"maps"
	"slices"
)

// Lookups looks for many ids of one namespace in one pass over the index. For each id it
// returns the sequence of a stored event with that identity, or 0 if there is none. Within the
// window it is the newest, otherwise the oldest. An erased event counts too, by the hash of its
// identity. Without window, Lookups searches only events that an append is no longer compared
// with. This costs nothing if the window has all events.
func (j *Journal) Lookups(namespace string, ids []string, window bool) ([]uint64, error) {
	done, err := j.reading()
	if err != nil {
		return nil, err
	}
	defer done()
	found := make([]uint64, len(ids))
	s := j.state.Load()
	type candidate struct {
		id int
		at uint64
	}
	var candidates []candidate
	j.windowMu.Lock()
	low := j.window.low
	if window {
		for i, id := range ids {
			j.window.find(j.id.hash(namespace, id), func(at uint64) bool {
				if at < s.next && at >= s.oldest {
					candidates = append(candidates, candidate{i, at})
				}
				return true
			})
		}
	}
	j.windowMu.Unlock()
	for _, c := range candidates {
		same, err := j.known(c.at, namespace, ids[c.id])
		if err != nil {
			return nil, err
		}
		if same {
			found[c.id] = max(found[c.id], c.at)
		}
	}
	if low <= s.oldest {
		return found, nil
	}
	wanted := make(map[uint64][]int, len(ids))
	for i, id := range ids {
		if found[i] == 0 {
			h := j.id.hash(namespace, id)
			wanted[h] = append(wanted[h], i)
		}
	}
	err = j.beyond(slices.Collect(maps.Keys(wanted)), s.oldest, min(low, s.next), func(h, at uint64) error {
		for _, id := range wanted[h] {
			if found[id] > 0 {
				continue
			}
			same, err := j.known(at, namespace, ids[id])
			if err != nil {
				return err
			}
			if same {
				found[id] = at
			}
		}
		return nil
	})
	return found, err
}

// All returns the ascending sequences of the stored events with one of these ids: the first
// ones, at most most. It returns *ErasedError together with its result if an event with the
// hash of such an identity was erased.
func (j *Journal) All(namespace string, ids []string, most int) (found []uint64, err error) {
	done, err := j.reading()
	if err != nil {
		return nil, err
	}
	defer done()
	hashes := make([]uint64, len(ids))
	for i, id := range ids {
		hashes[i] = j.id.hash(namespace, id)
	}
	s := j.state.Load()
	var recent []uint64
	j.windowMu.Lock()
	low := j.window.low
	for _, h := range hashes {
		j.window.find(h, func(at uint64) bool {
			if at < s.next && at >= s.oldest && !slices.Contains(recent, at) {
				recent = append(recent, at)
			}
			return true
		})
	}
	j.windowMu.Unlock()
	slices.Sort(recent)
	var erased error
	add := func(at uint64) error {
		for _, id := range ids {
			same, err := j.identified(at, namespace, id)
			if errors.Is(err, ErrErased) {
				erased = firstOf(erased, err)
				return nil
			}
			if err != nil {
				return err
			}
			if same {
				found = append(found, at)
				return nil
			}
		}
		return nil
	}
	err = j.beyond(hashes, s.oldest, min(low, s.next), func(_, at uint64) error {
		if err := add(at); err != nil || len(found) < most {
			return err
		}
		return errStop
	})
	for _, at := range recent {
		if err != nil || len(found) >= most {
			break
		}
		err = add(at)
	}
	if err != nil {
		return nil, err
	}
	return found, erased
}

// beyond calls fn, ascending, for the events in [oldest, low) that may have an identity with
// one of these hashes. fn may return errStop. The caller must hold the journal open.
func (j *Journal) beyond(hashes []uint64, oldest, low uint64, fn func(hash, at uint64) error) error {
	if len(hashes) == 0 || low <= oldest {
		return nil
	}
	from := oldest
	if runs := j.ids.runs.Load(); len(hashes) <= fewIDs && runs*j.ids.run > oldest {
		from = min(runs*j.ids.run, low)
		type candidate struct{ hash, at uint64 }
		var candidates []candidate
		for _, h := range hashes {
			if err := j.byID(h, oldest, runs, func(at uint64) { candidates = append(candidates, candidate{h, at}) }); err != nil {
				return err
			}
		}
		slices.SortFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.at, b.at) })
		for _, c := range candidates {
			if err := fn(c.hash, c.at); err == errStop {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	wanted := make(map[uint64]bool, len(hashes))
	for _, h := range hashes {
		wanted[h] = true
	}
	return j.frames(from, low, func(f *frame) error {
		for i, h := range f.hashes {
			if at := f.first + uint64(i); wanted[h] && at >= from && at < low {
				if err := fn(h, at); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// known is identified, but returns true for an erased event with the same hash.
func (j *Journal) known(sequence uint64, namespace, id string) (bool, error) {
	same, err := j.identified(sequence, namespace, id)
	if errors.Is(err, ErrErased) {
		return true, nil
	}
	return same, err
}
