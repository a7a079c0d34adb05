package detect

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Known is a set of known secrets to find in texts. The zero value is empty. It is not safe for
// concurrent use.
type Known struct {
	text  []byte
	spans []span
	same  map[string]int32
	ends  map[uint64][]int32 // by the last bytes of the value
	bloom [64]uint64         // of their hashes
}

type span struct{ start, end int32 }

const (
	// KnownLeast is the minimum length in bytes of a value that is searched. Shorter values
	// occur in too many texts by chance.
	KnownLeast = 8
	// few is the number of values up to which each is searched separately.
	few = 4
	// crowd is the number of values with the same last bytes from which on a text with these
	// bytes counts as secret as a whole.
	crowd = 32
)

// Reset removes all values.
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

// Len returns the number of values. They are numbered from 0.
func (k *Known) Len() int { return len(k.spans) }

// Value returns a value by its number. It is valid until the next Add or Reset.
func (k *Known) Value(i int) []byte { return k.text[k.spans[i].start:k.spans[i].end] }

// Add adds a value and returns its number. It returns -1 for short or common values: under
// KnownLeast bytes, one plain word under 12 letters, a number under 10 digits, or a placeholder
// of a secret.
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

// find returns the number of an existing value.
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

// telling reports whether a value rarely occurs in texts by chance.
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

// Place is where one known value, or several that overlap, occur in a text.
type Place struct {
	Start, End int
	Number     int // of the value, or of the longest of several
}

// Stands reports whether a known value occurs in a text.
func (k *Known) Stands(text []byte) bool {
	if len(text) < KnownLeast {
		return false
	}
	if len(k.spans) <= few {
		for i := range k.spans {
			if bytes.Contains(text, k.Value(i)) {
				return true
			}
		}
		return false
	}
	var room [1]Place
	return len(k.appendIndexed(room[:0], text, true)) > 0
}

// Append appends the places at which values occur in a text, in order. Values that overlap
// make one place, so that no part of a value stays beside another.
func (k *Known) Append(dst []Place, text []byte) []Place {
	if len(k.spans) > few {
		return k.appendIndexed(dst, text, false)
	}
	base := len(dst)
	for i := range k.spans {
		v := k.Value(i)
		for from := 0; ; {
			at := bytes.Index(text[from:], v)
			if at < 0 {
				break
			}
			from += at + len(v)
			dst = append(dst, Place{Start: from - len(v), End: from, Number: i})
		}
	}
	found := dst[base:]
	slices.SortFunc(found, func(a, b Place) int { return a.End - b.End })
	merged := dst[:base]
	for _, p := range found {
		merged = k.merge(merged, base, p)
	}
	return merged
}

// appendIndexed is Append with the index, in one pass by the ends of values. one stops at the
// first place. A text that costs too many comparisons is taken as a whole.
func (k *Known) appendIndexed(dst []Place, text []byte, one bool) []Place {
	base, left := len(dst), 2*crowd*len(text)
	for at := 8; at <= len(text); at++ {
		end := binary.LittleEndian.Uint64(text[at-8:])
		if h := bit(end); k.bloom[h>>6]>>(h&63)&1 == 0 {
			continue
		}
		those := k.ends[end]
		for _, i := range those {
			v := k.Value(int(i))
			if len(v) > at && len(those) <= crowd {
				continue
			}
			if left -= len(v); left < 0 || len(those) > crowd {
				return append(dst[:base], Place{End: len(text), Number: int(i)})
			}
			if !bytes.Equal(text[at-len(v):at], v) {
				continue
			}
			if dst = k.merge(dst, base, Place{Start: at - len(v), End: at, Number: int(i)}); one {
				return dst
			}
		}
	}
	return dst
}

// merge appends a place that ends at or behind those from base on.
func (k *Known) merge(dst []Place, base int, p Place) []Place {
	for len(dst) > base && dst[len(dst)-1].End > p.Start {
		last := dst[len(dst)-1]
		dst = dst[:len(dst)-1]
		p.Start = min(p.Start, last.Start)
		if len(k.Value(last.Number)) > len(k.Value(p.Number)) {
			p.Number = last.Number
		}
	}
	return append(dst, p)
}

// Drawn reports whether a value looks generated by a machine, or by a person who had to mix
// characters. If a whole object was masked, only such values in it become known secrets.
func Drawn(value []byte) bool { return strong(password|token, value, held) }
