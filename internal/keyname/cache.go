package keyname

import "encoding/binary"

// Cache keeps what is known of keys: events have few distinct ones. It is bounded: a
// key takes the place of another that falls on the same entry. It is not safe for
// concurrent use; the zero value is empty.
type Cache[T any] struct {
	entries []entry[T]
}

type entry[T any] struct {
	key   string
	value T
}

const (
	cacheEntries = 1024
	// CachedBytes is the longest key that is kept.
	CachedBytes = 64
)

// Get returns what is kept of a key, nil where nothing is. It is valid until the next
// Put.
func (c *Cache[T]) Get(key []byte) *T {
	if c.entries == nil || len(key) == 0 {
		return nil
	}
	e := &c.entries[at(key)]
	if e.key != string(key) {
		return nil
	}
	return &e.value
}

// Put keeps what is known of a key of 1 to CachedBytes bytes.
func (c *Cache[T]) Put(key []byte, value T) {
	if len(key) == 0 || len(key) > CachedBytes {
		return
	}
	if c.entries == nil {
		c.entries = make([]entry[T], cacheEntries)
	}
	c.entries[at(key)] = entry[T]{string(key), value}
}

// at is the entry of a key.
func at(key []byte) uint64 { return Hash(key) % cacheEntries }

// Hash spreads short texts over the entries of a bounded memory: by their length, their
// first and their last bytes. Callers compare the text itself as well.
func Hash(text []byte) uint64 {
	var first, last uint64
	if n := len(text); n >= 8 {
		first, last = binary.LittleEndian.Uint64(text), binary.LittleEndian.Uint64(text[n-8:])
	} else {
		for _, c := range text {
			first = first<<8 | uint64(c)
		}
	}
	h := (first ^ uint64(len(text))) * 0x9e3779b97f4a7c15
	h = (h ^ h>>32 ^ last) * 0xbf58476d1ce4e5b9
	return h >> 32
}
