package document

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
	"strconv"
)

// keyRef is a key of an object that is being checked.
type keyRef struct {
	print      uint64 // fingerprint of length, first and last bytes
	start, end int32  // position in data; if start is negative, in names at ^start
}

// mix spreads differences between fingerprints over the high bits.
const mix = 0x9e3779b97f4a7c15

// fewKeys is the maximum number of keys that are compared pairwise.
const fewKeys = 20

// push adds the key of the member that begins at start, with its quotes, and returns the key's fingerprint.
func (c *checker) push(start, end int, escaped bool) uint64 {
	start, end = start+1, end-1
	text := c.data
	ref := start
	if escaped {
		// names has the key's position in the text, then its name.
		c.names = binary.LittleEndian.AppendUint32(c.names, uint32(start))
		start = len(c.names)
		c.names = appendDecodedIn(c.names, c.data[ref:end], c.pace)
		text, ref, end = c.names, ^start, len(c.names)
	}
	sum := fingerprint(text, start, end)
	if c.count < len(c.room) {
		k := &c.room[c.count]
		k.print, k.start, k.end = sum, int32(ref), int32(end)
	} else {
		c.more = append(c.more, keyRef{sum, int32(ref), int32(end)})
	}
	c.count++
	return sum
}

// repeats reports whether one of the keys from base on, except the last, has the fingerprint of the last.
func (c *checker) repeats(base int, sum uint64) bool {
	for i := base; i < c.count-1; i++ {
		if i < len(c.room) && c.room[i].print == sum || i >= len(c.room) && c.more[i-len(c.room)].print == sum {
			return true
		}
	}
	return false
}

// drop removes the keys from base on.
func (c *checker) drop(base int) {
	c.count = base
	if len(c.more) > 0 {
		c.more = c.more[:min(len(c.more), max(0, base-len(c.room)))]
	}
}

func (c *checker) keysFrom(base int) []keyRef {
	switch {
	case c.count <= len(c.room):
		return c.room[base:c.count]
	case base >= len(c.room):
		return c.more[base-len(c.room):]
	}
	return slices.Concat(c.room[base:], c.more)
}

func (c *checker) name(k keyRef) []byte {
	if k.start < 0 {
		return c.names[^k.start:k.end]
	}
	return c.data[k.start:k.end]
}

// fingerprint returns a hash of a name; equal names have equal fingerprints.
func fingerprint(b []byte, start, end int) uint64 {
	n := end - start
	if n >= 8 {
		first := binary.LittleEndian.Uint64(b[start:])
		last := binary.LittleEndian.Uint64(b[end-8:])
		return first ^ bits.RotateLeft64(last, 21) ^ uint64(n)<<56
	}
	var x uint64
	if start+8 <= len(b) {
		x = binary.LittleEndian.Uint64(b[start:]) &^ (^uint64(0) << (8 * n))
	} else {
		for i, ch := range b[start:end] {
			x |= uint64(ch) << (8 * i)
		}
	}
	return x ^ uint64(n)<<56
}

// distinct reports whether all keys from base on differ. If not, it records the second of two equal keys as
// the fault.
func (c *checker) distinct(base int) bool {
	keys := c.keysFrom(base)
	if len(keys) > fewKeys {
		return c.distinctMany(keys)
	}
	for i := 1; i < len(keys); i++ {
		for j := range i {
			if keys[i].print == keys[j].print && bytes.Equal(c.name(keys[i]), c.name(keys[j])) {
				c.duplicate(keys[i])
				return false
			}
		}
	}
	return true
}

// distinctMany is distinct with a hash table. The seed is random, so that no sender can choose names that
// collide.
func (c *checker) distinctMany(keys []keyRef) bool {
	size := 1 << bits.Len(uint(2*len(keys)))
	if size > len(c.table) {
		c.table = make([]int32, size)
	}
	table := c.table[:size]
	clear(table)
	seed := maphash.MakeSeed()
	for i, k := range keys {
		name := c.name(k)
		slot := int(maphash.Bytes(seed, name)) & (size - 1)
		for table[slot] != 0 {
			if o := keys[table[slot]-1]; o.print == k.print && bytes.Equal(c.name(o), name) {
				c.duplicate(k)
				return false
			}
			slot = (slot + 1) & (size - 1)
		}
		table[slot] = int32(i + 1)
		if i%1024 == 1023 {
			c.pace.pass(pieceBytes)
		}
	}
	return true
}

func (c *checker) duplicate(k keyRef) {
	at := int(k.start)
	if at < 0 {
		at = int(binary.LittleEndian.Uint32(c.names[^at-4:]))
	}
	c.fail(DuplicateKey, at-1)
	c.path = append(c.path, step{start: int(k.start), end: int(k.end)})
}

// Limits of a path in an error, since the path may come from anyone.
const (
	pathSteps = 16
	pathName  = 48
)

// faultPath formats the path to the fault in the path grammar.
func (c *checker) faultPath() string {
	var dst []byte
	for i := range c.path {
		s := c.path[len(c.path)-1-i]
		if i == pathSteps {
			return string(append(dst, ".…"...))
		}
		if i > 0 {
			dst = append(dst, '.')
		}
		if s.end < 0 {
			dst = strconv.AppendInt(dst, int64(s.index), 10)
			continue
		}
		var name []byte
		if s.start < 0 {
			name = c.names[^s.start:s.end]
		} else {
			name = appendDecoded(nil, c.data[s.start:min(s.end, s.start+6*pathName)])
		}
		dst = appendName(dst, bytes.ToValidUTF8(name[:min(len(name), pathName)], nil))
		if len(name) > pathName {
			dst = append(dst, "…"...)
		}
	}
	return string(dst)
}
