package detect

// shortest is the fewest bytes in which any detector finds anything.
const shortest = 4

// anchor is a pattern that whatever a detector looks for has in it and that few
// other texts have.
//
// Time is linear by construction: a find sees a window of the text, as wide as its
// anchor says; an extend reads on only behind what was found, and all that it reads
// becomes part of the finding, behind which the scan goes on.
type anchor struct {
	detector string
	rank     int // of two findings that overlap the one of the lower rank gives its name
	pattern  pattern
	// back and ahead are how far the window reaches from the pattern's last byte.
	back, ahead int
	// least is the fewest bytes behind the pattern's last one.
	least int
	// find looks at the pattern whose last byte is window[at]. Its finding lies in
	// the window and need not name the detector. What of the pattern is before the
	// text begins is not in the window.
	find func(window []byte, at int) (Finding, bool)
	// findIn stands in the place of find, for one that reads spaces beyond any window.
	findIn func(text []byte, at int) (Finding, bool)
	// search stands in the place of find, for an expression.
	search *expression
	// notes stands in the place of find, for what only asks for another look.
	notes notes
	// extend returns the end of what find found, in the whole text; nil: as found.
	extend func(text []byte, f Finding) int
	// told: only what stands around it tells of what is found. What a policy leaves is none.
	told bool
}

// pair is the pattern of two bytes.
func pair(first, second string) pattern { return pattern{setOf(first), setOf(second)} }

func setOf(bytes string) *charset {
	var set charset
	for i := range len(bytes) {
		set[bytes[i]] = true
	}
	return &set
}

// Sets of bytes for anchors.
var (
	exceptWhite        = bytesBut(white)
	exceptAlphanumeric = bytesBut(alphanumeric)
)

const digits = "0123456789"

func bytesBut(but *charset) string {
	var b []byte
	for c, excepted := range but {
		if !excepted {
			b = append(b, byte(c))
		}
	}
	return string(b)
}

// next returns the first finding that begins at from or behind it. Where several
// overlap it is all of them together, by the name of the most particular one.
func (s *Set) next(text []byte, from int, w *scan) (Finding, bool) {
	a := s.automaton
	state, table, hit := a.behind(text, from), a.next, a.firstHit
	best, rank, end := Finding{}, -1, len(text)
	for i, due := from, from+lookBytes; i < end; i++ {
		state = table[state|uint32(a.class[text[i]])]
		if state < hit && i < due {
			continue
		}
		if i >= due {
			due = i + lookBytes
			if w.pass(); state < hit {
				continue
			}
		}
		for _, at := range a.ends(state) {
			f, r, ok := s.look(int(at), text, from, i, w)
			switch {
			case !ok:
			case rank < 0:
				best, rank = f, r
				end = min(end, f.Start+maxPattern)
			case f.Start < best.End && best.Start < f.End:
				best.Start, best.End = min(f.Start, best.Start), max(f.End, best.End)
				if r < rank {
					best.Detector, rank = f.Detector, r
				}
			case f.End <= best.Start:
				best, rank = f, r
			}
		}
	}
	return best, rank >= 0
}

// look asks one anchor whose pattern ends at text[i].
func (s *Set) look(n int, text []byte, from, i int, w *scan) (f Finding, rank int, ok bool) {
	if bit := s.bits[n]; bit >= 0 && w.name.bound>>bit&1 == 0 {
		return f, 0, false
	}
	a, low := &s.anchors[n], 0
	switch {
	case a.notes != 0:
		w.notes |= a.notes
		return f, 0, false
	case i+a.least >= len(text):
		return f, 0, false
	case a.search != nil:
		f, ok = a.search.find(text, from, i, w.work)
	case a.findIn != nil:
		f, ok = a.findIn(text, i)
	default:
		low = max(0, i-a.back)
		f, ok = a.find(text[low:min(len(text), i+a.ahead)], i-low)
	}
	if !ok || f.Start+low < from {
		return f, 0, false
	}
	f.Start += low
	f.End += low
	if a.extend != nil {
		f.End = max(f.End, a.extend(text, f))
	}
	if a.told && left(text, f) {
		return f, 0, false
	}
	if bit := s.nears[n]; bit >= 0 && (w.name.near|s.catalogue.near.tells(text[max(0, f.Start-nearBytes):f.Start]))>>bit&1 == 0 {
		return f, 0, false
	}
	if f.Detector == "" {
		f.Detector = a.detector
	}
	if e := s.catalogue.exceptions; e != nil && e.spares(f, f.Detector, text, w.name.at) {
		return f, 0, false
	}
	return f, a.rank, true
}
