package detect

import "auditrelay/internal/keyname"

// Memo remembers short texts in which detectors found nothing, each with what its name told:
// the values of events come again and again. It is bounded: a text takes the place of
// another. It holds no text in which anything was found. The zero value is empty; it is
// not safe for concurrent use.
type Memo struct {
	entries []remembered
}

const (
	memoEntries = 256
	memoBytes   = 79 // so that a key's hash, of 64, is
)

type remembered struct {
	name Name
	size uint8
	text [memoBytes]byte
}

// Clean reports whether text, under a name, is known to hold nothing.
func (m *Memo) Clean(text []byte, name Name) bool {
	if m.entries == nil || len(text) > memoBytes || len(text) == 0 {
		return false
	}
	e := &m.entries[entryOf(text)]
	return int(e.size) == len(text) && string(e.text[:e.size]) == string(text) && e.name == name
}

// Note remembers that the sets, all that the caller asks, found nothing in text.
func (m *Memo) Note(text []byte, name Name) {
	if len(text) > memoBytes || len(text) == 0 {
		return
	}
	if m.entries == nil {
		m.entries = make([]remembered, memoEntries)
	}
	e := &m.entries[entryOf(text)]
	e.name, e.size = name, uint8(copy(e.text[:], text))
}

// entryOf is a text's entry.
func entryOf(text []byte) uint64 { return keyname.Hash(text) % memoEntries }

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
