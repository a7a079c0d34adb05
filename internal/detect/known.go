package detect

import (
	"bytes"
	"encoding/binary"
)

// Known is values that are known to be secrets, to be found in texts. The zero value
// holds none. It is not safe for concurrent use.
type Known struct {
	text  []byte
	spans []span
	same  map[string]int32
	ends  map[uint64][]int32 // by a value's last bytes
	bloom [64]uint64         // of their hashes
}

type span struct{ start, end int32 }

const (
	// KnownLeast is the fewest bytes of a value that is looked for elsewhere: what is
	// shorter stands in too many texts by chance.
	KnownLeast = 8
	// few is how many values are looked for one by one.
	few = 4
	// crowd is how many values may have the same last bytes before a text in which
	// these stand is taken as a whole.
	crowd = 32
)

// Reset forgets all values.
func (k *Known) Reset() {
	if len(k.spans) == 0 {
		return
	}
	k.text, k.spans = k.text[:0], k.spans[:0]
	clear(k.same)
	clear(k.ends)
	k.bloom = [64]uint64{}
	if cap(k.text) > 1<<20 {
		*k = Known{}
	}
}

// Len is how many values there are; they are numbered from 0.
func (k *Known) Len() int { return len(k.spans) }

// Value is the value of a number. It is valid until the next Add or Reset.
func (k *Known) Value(i int) []byte { return k.text[k.spans[i].start:k.spans[i].end] }

// Add adds a value and returns its number, -1 where it is short or common: under
// KnownLeast bytes, one plain word of letters under 12, a number under 10 digits, or
// what stands in a secret's place.
func (k *Known) Add(value []byte) int {
	if !telling(value) {
		return -1
	}
	if i, ok := k.find(value); ok {
		return i
	}
	if k.same == nil {
		k.same, k.ends = map[string]int32{}, map[uint64][]int32{}
	}
	i := int32(len(k.spans))
	start := int32(len(k.text))
	k.text = append(k.text, value...)
	k.spans = append(k.spans, span{start, int32(len(k.text))})
	if i >= few {
		if i == few {
			for j := range i {
				k.index(j)
			}
		}
		k.index(i)
	}
	return int(i)
}

// find returns the number of a value that is there.
func (k *Known) find(value []byte) (int, bool) {
	if len(k.spans) <= few {
		for i := range k.spans {
			if bytes.Equal(k.Value(i), value) {
				return i, true
			}
		}
		return 0, false
	}
	i, ok := k.same[string(value)]
	return int(i), ok
}

func (k *Known) index(i int32) {
	v := k.Value(int(i))
	k.same[string(v)] = i
	end := binary.LittleEndian.Uint64(v[len(v)-8:])
	k.ends[end] = append(k.ends[end], i)
	h := bit(end)
	k.bloom[h>>6] |= 1 << (h & 63)
}

func bit(end uint64) uint64 { return end * 0x9e3779b97f4a7c15 >> 52 }

// telling reports whether a value is one that few texts have by chance.
func telling(value []byte) bool {
	if len(value) < KnownLeast || placeholder(value) {
		return false
	}
	seen, _ := classes(value)
	switch {
	case seen == digit:
		return len(value) >= 10
	case seen&^(lower|upper) == 0:
		return len(value) >= 12 || random(value)
	}
	return true
}

// Next returns the first place at from or behind it at which a value stands, and that
// value's number: the longest of those that begin first.
func (k *Known) Next(text []byte, from int) (f Finding, number int, ok bool) {
	if len(text)-from < KnownLeast || len(k.spans) == 0 {
		return f, 0, false
	}
	if len(k.spans) <= few {
		for i := range k.spans {
			v := k.Value(i)
			at := bytes.Index(text[from:], v)
			if at < 0 {
				continue
			}
			if at += from; !ok || at < f.Start || at == f.Start && at+len(v) > f.End {
				f, number, ok = Finding{Start: at, End: at + len(v)}, i, true
			}
		}
		return f, number, ok
	}
	for at := from + 8; at <= len(text); at++ {
		end := binary.LittleEndian.Uint64(text[at-8:])
		if h := bit(end); k.bloom[h>>6]>>(h&63)&1 == 0 {
			continue
		}
		those := k.ends[end]
		if len(those) > crowd {
			return Finding{Start: from, End: len(text)}, int(those[0]), true
		}
		for _, i := range those {
			v := k.Value(int(i))
			start := at - len(v)
			if start >= from && (!ok || start < f.Start) && bytes.Equal(text[start:at], v) {
				f, number, ok = Finding{Start: start, End: at}, int(i), true
			}
		}
		if ok {
			return f, number, true
		}
	}
	return f, 0, false
}

// Drawn reports whether a value looks as if a machine had drawn it, or a person who
// was told to mix: it teaches where all that lies beside it was masked as a whole.
func Drawn(value []byte) bool { return strong(password|token, value, held) }
