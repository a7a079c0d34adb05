package journal

import "errors"

// Lookups is Lookup for many ids of one namespace, in one pass over the index: the
// sequence of a stored event with each identity, 0 where there is none. Of what is erased
// the hash of its identity is left, which counts as well. Without window
// it looks at those alone that an append is no longer compared with, which costs
// nothing where the window has everything.
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
	err = j.frames(s.oldest, min(low, s.next), func(f *frame) error {
		for i, h := range f.hashes {
			which, ok := wanted[h]
			at := f.first + uint64(i)
			if !ok || at < s.oldest || at >= low {
				continue
			}
			for _, id := range which {
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
		}
		return nil
	})
	return found, err
}

// known is identified where an erased event with the same hash is the one.
func (j *Journal) known(sequence uint64, namespace, id string) (bool, error) {
	same, err := j.identified(sequence, namespace, id)
	if errors.Is(err, ErrErased) {
		return true, nil
	}
	return same, err
}
