package journal

// window remembers the identity hashes of the newest sequences. They are in a ring by sequence,
// since sequences have no gaps. An open-addressing table of ring positions finds them. An
// identity takes about 16 bytes, without pointers for the garbage collector. The window grows
// with use.
type window struct {
	limit     int      // maximum number of identities
	ring      []uint64 // hash by sequence % len
	low, next uint64   // the remembered sequences: [low, next)
	table     []uint32 // 1 + ring position, or 0 if empty; len is a power of two
}

func newWindow(limit int, next uint64) *window {
	w := &window{limit: limit, low: next, next: next}
	w.resize(min(limit+1, 1024))
	return w
}

func (w *window) len() int { return int(w.next - w.low) }

func (w *window) hash(sequence uint64) uint64 { return w.ring[sequence%uint64(len(w.ring))] }

// find calls yield with the sequences that were pushed with this hash, until yield returns
// false. Different identities rarely share a hash.
func (w *window) find(hash uint64, yield func(sequence uint64) bool) {
	mask := uint64(len(w.table) - 1)
	for i := hash & mask; w.table[i] != 0; i = (i + 1) & mask {
		at := uint64(w.table[i] - 1)
		if w.ring[at] == hash && !yield(w.sequenceAt(at)) {
			return
		}
	}
}

// sequenceAt returns the remembered sequence at a ring position.
func (w *window) sequenceAt(at uint64) uint64 {
	n := uint64(len(w.ring))
	sequence := w.low - w.low%n + at
	if sequence < w.low {
		sequence += n
	}
	return sequence
}

// push adds the next sequence. It removes none, so that pop can undo it; see settle.
func (w *window) push(hash uint64) {
	if w.len() == len(w.ring) {
		w.resize(2 * len(w.ring))
	}
	at := w.next % uint64(len(w.ring))
	w.ring[at] = hash
	w.insert(hash, at)
	w.next++
}

// pop removes the newest sequence.
func (w *window) pop() {
	w.next--
	w.remove(w.next)
}

// settle removes the sequences beyond the limit or below before.
func (w *window) settle(before uint64) {
	if w.next-w.low > uint64(w.limit) {
		before = max(before, w.next-uint64(w.limit))
	}
	for before = min(before, w.next); w.low < before; w.low++ {
		w.remove(w.low)
	}
}

func (w *window) insert(hash, at uint64) {
	mask := uint64(len(w.table) - 1)
	i := hash & mask
	for w.table[i] != 0 {
		i = (i + 1) & mask
	}
	w.table[i] = uint32(at) + 1
}

// remove empties a sequence's slot and moves later entries up, so that no search stops early at
// the gap.
func (w *window) remove(sequence uint64) {
	mask := uint64(len(w.table) - 1)
	at := sequence % uint64(len(w.ring))
	i := w.ring[at] & mask
	for w.table[i] != uint32(at)+1 {
		i = (i + 1) & mask
	}
	hole := i
	for {
		i = (i + 1) & mask
		if w.table[i] == 0 {
			break
		}
		home := w.ring[w.table[i]-1] & mask
		if (i-home)&mask >= (i-hole)&mask {
			w.table[hole] = w.table[i]
			hole = i
		}
	}
	w.table[hole] = 0
}

// resize gives the ring room for n, but not much more than the limit and one group of appends
// need.
func (w *window) resize(n int) {
	if soft := w.limit + w.limit/16; n > soft && soft > w.len() {
		n = soft
	}
	old := *w
	w.ring = make([]uint64, n)
	slots := 16
	for slots*3/4 < n {
		slots *= 2
	}
	w.table = make([]uint32, slots)
	for sequence := old.low; sequence < old.next; sequence++ {
		at := sequence % uint64(n)
		w.ring[at] = old.hash(sequence)
		w.insert(w.ring[at], at)
	}
}
