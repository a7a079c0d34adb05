package detect

import (
	"encoding/binary"
	"errors"
	"slices"
)

// automaton finds all patterns of a Set in one pass. It is a deterministic automaton after Aho
// and Corasick. Its patterns are sequences of byte sets; ASCII letters match in both cases.
type automaton struct {
	class    [256]uint8 // equal for bytes that no pattern distinguishes
	shift    uint8      // a state's row has 1<<shift classes
	next     []uint32   // a state's number is the start of its row
	firstHit uint32     // states from here on end a pattern
	hits     [][]int32  // the patterns that end in each of these states, by row from firstHit
	start    uint32     // the state before a text, as if after a byte 0
}

// pattern is a sequence of sets of bytes.
type pattern []*charset

// Limits of an automaton. maxStates is what fits in 16 bits.
const (
	maxPattern = 64
	maxStates  = 1<<16 - 1
)

var errStates = errors.New("all rules together need too many states; use fewer or shorter keywords")

// literal returns the pattern of a text in any case.
func literal(text string) pattern {
	p := make(pattern, len(text))
	for i := range len(text) {
		p[i] = charsetOf("")
		p[i][fold(text[i])] = true
	}
	return p
}

// folded returns the set with letters in lower case.
func (set *charset) folded() *charset {
	var out charset
	for c, in := range set {
		if in {
			out[fold(byte(c))] = true
		}
	}
	return &out
}

func fold(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// newAutomaton compiles patterns.
func newAutomaton(patterns []pattern) (*automaton, error) {
	b := builder{patterns: patterns, ids: make(map[string]uint16, 1<<13)}
	for i, p := range patterns {
		b.patterns[i] = slices.Clone(p)
		for j, set := range p {
			b.patterns[i][j] = set.folded()
		}
	}
	return b.build()
}

// builder builds the automaton's states from sets of positions in the patterns. It has to be
// fast: every guest process that has detectors builds one.
type builder struct {
	patterns []pattern
	samples  []byte // one byte of each class
	ids      map[string]uint16
	states   [][]position // the positions to continue from, in order
	ends     [][]int32
	rows     []uint16 // by state and class
	reached  []position
	key      []byte
}

// position is a prefix of a pattern that matched so far.
type position struct{ pattern, seen int32 }

func (b *builder) build() (*automaton, error) {
	a := new(automaton)
	b.classes(a)
	accepted := b.accepted()
	first := make([][]position, len(b.samples)) // patterns that begin with each class
	for i := range b.patterns {
		for _, k := range accepted[i][0] {
			first[k] = append(first[k], position{int32(i), 1})
		}
	}
	if _, err := b.state(nil, nil); err != nil {
		return nil, err
	}
	for _, begun := range first { // transitions of the initial state
		id, err := b.state(begun, nil)
		if err != nil {
			return nil, err
		}
		b.rows = append(b.rows, id)
	}
	further := make([][]position, len(b.samples)) // positions that continue with each class
	for s := 1; s < len(b.states); s++ {
		for _, p := range b.states[s] {
			for _, k := range accepted[p.pattern][p.seen] {
				further[k] = append(further[k], position{p.pattern, p.seen + 1})
			}
		}
		for k, begun := range first {
			id := b.rows[k]
			if len(further[k]) > 0 {
				var err error
				if id, err = b.state(begun, further[k]); err != nil {
					return nil, err
				}
				further[k] = further[k][:0]
			}
			b.rows = append(b.rows, id)
		}
	}
	b.number(a)
	return a, nil
}

// accepted returns the classes of the bytes accepted at each position of each pattern.
func (b *builder) accepted() [][][]uint8 {
	known := map[charset][]uint8{}
	all := make([][][]uint8, len(b.patterns))
	for i, p := range b.patterns {
		all[i] = make([][]uint8, len(p))
		for j, set := range p {
			classes, ok := known[*set]
			if !ok {
				for k, c := range b.samples {
					if set[c] {
						classes = append(classes, uint8(k))
					}
				}
				known[*set] = classes
			}
			all[i][j] = classes
		}
	}
	return all
}

// classes groups bytes that no set distinguishes.
func (b *builder) classes(a *automaton) {
	var sets []*charset
	seen := map[charset]bool{}
	for _, p := range b.patterns {
		for _, set := range p {
			if !seen[*set] {
				seen[*set] = true
				sets = append(sets, set)
			}
		}
	}
	known := map[string]uint8{}
	signature := make([]byte, len(sets))
	for c := range 256 {
		for i, set := range sets {
			signature[i] = 0
			if set[fold(byte(c))] {
				signature[i] = 1
			}
		}
		k, ok := known[string(signature)]
		if !ok {
			k = uint8(len(b.samples))
			known[string(signature)] = k
			b.samples = append(b.samples, fold(byte(c)))
		}
		a.class[c] = k
	}
	for 1<<a.shift < len(b.samples) {
		a.shift++
	}
}

// state returns the number of the state with these positions: those that have just begun and
// those that continued, each in the order of the patterns.
func (b *builder) state(begun, further []position) (uint16, error) {
	reached := b.reached[:0]
	for len(begun) > 0 && len(further) > 0 {
		if begun[0].pattern <= further[0].pattern {
			reached, begun = append(reached, begun[0]), begun[1:]
		} else {
			reached, further = append(reached, further[0]), further[1:]
		}
	}
	reached = append(append(reached, begun...), further...)
	key := b.key[:0]
	for _, p := range reached {
		key = binary.LittleEndian.AppendUint32(key, uint32(p.pattern))
		key = binary.LittleEndian.AppendUint32(key, uint32(p.seen))
	}
	b.reached, b.key = reached, key
	if id, ok := b.ids[string(key)]; ok {
		return id, nil
	}
	if len(b.states) == maxStates {
		return 0, errStates
	}
	id := uint16(len(b.states))
	b.ids[string(key)] = id
	var on []position
	var ends []int32
	for _, p := range reached {
		if int(p.seen) == len(b.patterns[p.pattern]) {
			ends = append(ends, p.pattern)
		} else {
			on = append(on, p)
		}
	}
	b.states = append(b.states, on)
	b.ends = append(b.ends, ends)
	return id, nil
}

// number gives the highest numbers to the states that end a pattern, and writes the table.
func (b *builder) number(a *automaton) {
	to := make([]uint16, len(b.states))
	n := uint16(0)
	for s, ends := range b.ends {
		if ends == nil {
			to[s] = n
			n++
		}
	}
	a.firstHit = uint32(n) << a.shift
	for s, ends := range b.ends {
		if ends != nil {
			to[s] = n
			n++
			a.hits = append(a.hits, ends)
		}
	}
	a.next = make([]uint32, len(b.states)<<a.shift)
	for s := range b.states {
		row := a.next[int(to[s])<<a.shift:]
		for k, id := range b.rows[s*len(b.samples):][:len(b.samples)] {
			row[k] = uint32(to[id]) << a.shift
		}
	}
	a.start = a.step(uint32(to[0])<<a.shift, 0)
}

func (a *automaton) step(state uint32, c byte) uint32 {
	return a.next[state|uint32(a.class[c])]
}

// ends returns the patterns that end in a state. The state must be firstHit or higher.
func (a *automaton) ends(state uint32) []int32 { return a.hits[(state-a.firstHit)>>a.shift] }

// behind returns the state with which a scan continues at from.
func (a *automaton) behind(text []byte, from int) uint32 {
	if from == 0 {
		return a.start
	}
	return a.step(a.start, text[from-1])
}

// size returns the memory of the tables in bytes.
func (a *automaton) size() int {
	n := 4*len(a.next) + len(a.class)
	for _, h := range a.hits {
		n += 24 + 4*len(h)
	}
	return n
}
