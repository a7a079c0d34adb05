package detect

import "auditrelay/internal/keyname"

// Memo caches short texts in which detectors found nothing, with the meaning of their names:
// the values of events repeat. Its size is fixed, so new texts replace old ones. It never
// contains a text with a finding. The zero value is empty. It is not safe for concurrent use.
type Memo struct {
	entries []remembered
}

const (
	memoEntries = 256
	memoBytes   = 79 // enough for a key's hash of 64 bytes
)

type remembered struct {
	name Name
	size uint8
	text [memoBytes]byte
}

// Clean reports whether text, under a name, is known to contain no finding.
func (m *Memo) Clean(text []byte, name Name) bool {
	if m.entries == nil || len(text) > memoBytes || len(text) == 0 {
		return false
	}
	e := &m.entries[entryOf(text)]
	return int(e.size) == len(text) && string(e.text[:e.size]) == string(text) && e.name == name
}

// Note records that all sets of the caller found nothing in text.
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

// entryOf returns the entry of a text.
func entryOf(text []byte) uint64 { return keyname.Hash(text) % memoEntries }

// Counts reports whether findings or exempted findings are counted. Then every occurrence of a
// text must be scanned.
func (c *Catalogue) Counts() bool { return c.orShipped().exceptions != nil }

// NameOf is Name for a text that may be a name. untold caches the texts without a meaning.
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
