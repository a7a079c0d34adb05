package keyname

import "encoding/binary"

// Cache stores facts about keys, since events have few distinct ones. Its size is fixed: a new
// key replaces another one in the same entry. It is not safe for concurrent use. The zero value
// is empty.
type Cache[T any] struct {
	entries []entry[T]
}

type entry[T any] struct {
	key   string
	value T
}

const (
	cacheEntries = 1024
	// CachedBytes is the length of the longest key that is cached.
	CachedBytes = 64
)

// Get returns the cached value of a key, or nil. It is valid until the next Put.
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

// Put caches a value for a key of 1 to CachedBytes bytes.
func (c *Cache[T]) Put(key []byte, value T) {
	if len(key) == 0 || len(key) > CachedBytes {
		return
	}
	if c.entries == nil {
		c.entries = make([]entry[T], cacheEntries)
	}
	c.entries[at(key)] = entry[T]{string(key), value}
}

// at returns the entry of a key.
func at(key []byte) uint64 { return Hash(key) % cacheEntries }

// Hash distributes short texts over the entries of a fixed memory by their length and their
// first and last bytes. Callers must also compare the text.
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
