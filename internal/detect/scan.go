package detect

import (
	"math/bits"
	"strings"
)

// shortest is the fewest bytes in which any detector finds anything.
const shortest = 6

// anchor is a pair of neighbouring bytes that whatever a detector looks for has in
// it and that few other texts have.
//
// Time is linear by construction: a find sees a window of the text, as wide as its
// anchor says and nothing beyond; an extend reads on only behind what was found,
// and all that it reads becomes part of the finding, behind which the scan goes on.
type anchor struct {
	detector      string
	first, second string // bytes of which one of each makes the pair
	// back and ahead are how far the window reaches from the pair's second byte.
	back, ahead int
	// find looks at the pair whose second byte is window[at]. Its finding lies in
	// the window and need not name the detector. window[at-1] is not there where
	// the text begins with the second byte, see index.
	find func(window []byte, at int) (Finding, bool)
	// extend returns the end of what find found, in the whole text; nil: as found.
	extend func(text []byte, f Finding) int
}

// maxAnchors is how many anchors the table of pairs has room for.
const maxAnchors = 32

// index makes the table of pairs. An entry's high half has a bit for each anchor
// that the byte is a first byte of, its low half one for each that it is a second
// byte of: two neighbours' halves have a bit in common where they are a pair.
// Before the text stands, as it were, a byte 0.
func (s *Set) index() {
	if len(s.anchors) > maxAnchors {
		panic("detect: more anchors than bits")
	}
	for i, a := range s.anchors {
		bit := uint64(1) << i
		for _, c := range []byte(a.first) {
			s.pairs[c] |= bit << 32
		}
		for _, c := range []byte(a.second) {
			s.pairs[c] |= bit
		}
	}
}

// Sets of bytes for anchors.
var (
	anyByte            = bytesBut(&charset{})
	exceptWhite        = bytesBut(white)
	exceptAlphanumeric = bytesBut(alphanumeric)
)

const digits = "0123456789"

func bytesBut(but *charset) string {
	var b strings.Builder
	for c, excepted := range but {
		if !excepted {
			b.WriteByte(byte(c))
		}
	}
	return b.String()
}

// next returns the first finding that begins at from or behind it.
func (s *Set) next(text []byte, from int) (Finding, bool) {
	before := byte(0)
	if from > 0 {
		before = text[from-1]
	}
	firsts := s.pairs[before] >> 32
	for i, c := range text[from:] {
		entry := s.pairs[c]
		if hits := uint32(firsts & entry); hits != 0 {
			if f, ok := s.look(text, from, from+i, hits); ok {
				return f, true
			}
		}
		firsts = entry >> 32
	}
	return Finding{}, false
}

// look asks the anchors whose pair ends at text[i].
func (s *Set) look(text []byte, from, i int, hits uint32) (Finding, bool) {
	for ; hits != 0; hits &= hits - 1 {
		a := &s.anchors[bits.TrailingZeros32(hits)]
		low := max(0, i-a.back)
		f, ok := a.find(text[low:min(len(text), i+a.ahead)], i-low)
		if !ok || f.Start+low < from {
			continue
		}
		f.Start += low
		f.End += low
		if a.extend != nil {
			f.End = a.extend(text, f)
		}
		if f.Detector == "" {
			f.Detector = a.detector
		}
		return f, true
	}
	return Finding{}, false
}
