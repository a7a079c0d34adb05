package detect

// shortest is the minimum length in bytes of any finding's text.
const shortest = 4

// anchor is a pattern that occurs in everything its detector looks for, and rarely elsewhere.
//
// The time is linear by construction: find sees a window of the text, as wide as its anchor
// requires. extend reads only text after the finding; everything it reads becomes part of the
// finding, and the scan continues after it.
type anchor struct {
	detector string
	rank     int // if two findings overlap, the lower rank determines the name
	pattern  pattern
	// back and ahead are the extent of the window around the pattern's last byte.
	back, ahead int
	// least is the minimum number of bytes after the pattern's last one.
	least int
	// find checks the pattern whose last byte is window[at]. Its finding is in the window and
	// need not name the detector. If the pattern began before the text, that part is not in the
	// window.
	find func(window []byte, at int) (Finding, bool)
	// findIn replaces find for a detector that skips spaces beyond any window.
	findIn func(text []byte, at int) (Finding, bool)
	// search replaces find for an expression.
	search *expression
	// notes replaces find if the pattern only requires another pass.
	notes notes
	// extend returns the end of the finding in the whole text. nil leaves it unchanged.
	extend func(text []byte, f Finding) int
	// told: only the surrounding text identifies the finding. A policy's replacement is no
	// finding.
	told bool
}

// pair returns the pattern of two bytes.
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

// next returns the first finding at or after from. Overlapping findings are joined and get the
// name of the most specific one.
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

// look checks one anchor whose pattern ends at text[i].
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
