package detect

import "encoding/binary"

// Memo remembers short texts in which detectors found nothing, under no telling name:
// the values of events come again and again. It is bounded: a text takes the place of
// another. It holds no text in which anything was found. The zero value is empty; it is
// not safe for concurrent use.
type Memo struct {
	entries []remembered
}

const (
	memoEntries = 256
	memoBytes   = 63
)

type remembered struct {
	size uint8
	text [memoBytes]byte
}

// Clean reports whether text, under a name, is known to hold nothing.
func (m *Memo) Clean(text []byte, name Name) bool {
	if name != (Name{}) || m.entries == nil || len(text) > memoBytes || len(text) == 0 {
		return false
	}
	e := &m.entries[entryOf(text)]
	return int(e.size) == len(text) && string(e.text[:e.size]) == string(text)
}

// Note remembers that the sets, all that the caller asks, found nothing in text.
func (m *Memo) Note(text []byte, name Name) {
	if name != (Name{}) || len(text) > memoBytes || len(text) == 0 {
		return
	}
	if m.entries == nil {
		m.entries = make([]remembered, memoEntries)
	}
	e := &m.entries[entryOf(text)]
	e.size = uint8(copy(e.text[:], text))
}

// entryOf is a text's entry: by its length, its first and its last bytes.
func entryOf(text []byte) uint64 {
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
	return h >> 32 % memoEntries
}

// Counts reports whether what is found, or spared by an exception, is counted, so that a
// text must be looked at each time that it comes.
func (c *Catalogue) Counts() bool { return c.orShipped().exceptions != nil }

// NameOf is Name of a text that is a name perhaps: untold remembers those that are none.
func (c *Catalogue) NameOf(text []byte, untold *Memo) Name {
	if untold.Clean(text, Name{}) {
		return Name{}
	}
	n := c.Name(text)
	if n == (Name{}) {
		untold.Note(text, n)
	}
	return n
}
