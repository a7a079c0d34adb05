package verify

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"auditrelay/internal/proof"
)

// log is one log, assembled from its bundles.
type log struct {
	origin  string
	set     string // the sink file it belongs to; empty: a bucket
	bundles []*bundle
	leaves  []proof.Hash
	entries [][]byte // nil: withheld or missing
	last    []byte   // the last valid checkpoint
	checked uint64   // size of last
	named   string   // the bundle that contains last

	// Results of interpreting the entries.
	begins   bool
	begin    proof.Begin
	first    uint64
	floor    uint64
	complete uint64      // every event from first up to, but not including, complete has an outcome
	withheld [][2]uint64 // except these; from and to are inclusive
	clock    int64
	since    int64   // the first clock; 0: none
	rounds   []int64 // seconds from each clock to the next
	clocked  int     // number of payloads stated before the last clock
	payloads []*payload
	outcomes map[uint64]proof.Outcome // the last outcome of each sequence
	ranges   []proof.Range
	holes    bool // some entries are withheld
}

func (l *log) size() uint64 { return l.checked }

type bundle struct {
	name       string
	set        string // see log.set
	signed     []byte
	checkpoint proof.Checkpoint
	files      []proof.BundleFile
	again      bool // the files were not kept in memory: read them again
}

// payload is a payload stated by a log, with the outcomes of its records.
type payload struct {
	proof.Payload
	log      *log
	stated   int64 // the next clock after it; 0 if there is none yet
	outcomes []proof.Outcome
	faulty   bool
	arrived  bool // for a payload that may have arrived: at least one line of it exists
}

// readBundles reads all bundles and returns the names of the other files.
func (v *verifier) readBundles(names []string) (data []string) {
	var bundles []*bundle
	for _, name := range names {
		if !isBundle(name) {
			data = append(data, name)
			continue
		}
		v.Checkpoints++
		set, ok := strings.CutSuffix(path.Dir(name), ".proofs")
		if !ok {
			set = ""
		} else {
			v.sets[set] = true
		}
		if b := v.readBundle(name, set); b != nil {
			bundles = append(bundles, b)
		}
	}
	for _, b := range bundles {
		checkpoint, err := v.keys.Open(b.signed)
		if err != nil {
			v.Fault(Fault{Forged, b.name, 0, 0, err.Error()})
			continue
		}
		b.checkpoint = checkpoint
		l := v.logs[checkpoint.Origin]
		if l == nil {
			l = &log{origin: checkpoint.Origin, set: b.set, outcomes: map[uint64]proof.Outcome{}}
			v.logs[checkpoint.Origin] = l
		}
		l.bundles = append(l.bundles, b)
	}
	return data
}

// heldHead identifies the head of a log whose bundle is already held.
type heldHead struct {
	origin string
	size   uint64
}

// readBundle reads a bundle. It returns nil if the file is none. For a copy, and for a bundle
// that no key trusted so far has signed, it keeps only the checkpoint in memory: anybody may
// have stored such files, in any number.
func (v *verifier) readBundle(name, set string) *bundle {
	content, err := readAll(v.files, name, proof.MaxBundleBytes)
	if err != nil {
		v.Fault(Fault{Unreadable, name, 0, 0, err.Error()})
		return nil
	}
	files, err := proof.ReadBundle(content)
	if err != nil || len(files) == 0 || files[0].Name != proof.CheckpointName {
		v.Fault(Fault{Altered, name, 0, 0, "it is not a bundle of proofs, or it was changed"})
		return nil
	}
	b := &bundle{name: name, set: set, signed: files[0].Data, files: files[1:]}
	if len(b.files) > 0 && b.files[0].Name == proof.RotationsName {
		for _, err := range v.keys.Rotate(b.files[0].Data) {
			v.Fault(Fault{Forged, b.name, 0, 0, err.Error()})
		}
		b.files = b.files[1:]
	}
	c, err := v.keys.Open(b.signed)
	if head := (heldHead{c.Origin, c.Size}); err != nil || v.held[head] {
		b.files, b.again = nil, true
	} else {
		v.held[head] = true
	}
	return b
}

// load reads the files of a bundle that were not kept.
func (v *verifier) load(b *bundle) bool {
	if !b.again {
		return true
	}
	content, err := readAll(v.files, b.name, proof.MaxBundleBytes)
	if err != nil {
		v.Fault(Fault{Unreadable, b.name, 0, 0, err.Error()})
		return false
	}
	files, err := proof.ReadBundle(content)
	if err != nil || len(files) == 0 || !bytes.Equal(files[0].Data, b.signed) {
		v.Fault(Fault{Altered, b.name, 0, 0, "it was changed while it was read"})
		return false
	}
	b.files = files[1:]
	if len(b.files) > 0 && b.files[0].Name == proof.RotationsName {
		b.files = b.files[1:]
	}
	return true
}

// stack computes Merkle roots, leaf by leaf.
type stack struct {
	size  uint64
	nodes []proof.Hash
}

func (s *stack) push(leaf proof.Hash) {
	for n := s.size; n&1 == 1; n >>= 1 {
		top := len(s.nodes) - 1
		leaf, s.nodes = proof.NodeHash(s.nodes[top], leaf), s.nodes[:top]
	}
	s.nodes = append(s.nodes, leaf)
	s.size++
}

func (s *stack) root() proof.Hash {
	h := s.nodes[len(s.nodes)-1]
	for _, left := range slices.Backward(s.nodes[:len(s.nodes)-1]) {
		h = proof.NodeHash(left, h)
	}
	return h
}

// Root returns the root of a log with these leaves. There must be at least one.
func Root(leaves []proof.Hash) proof.Hash { return rootOf(leaves) }

func rootOf(leaves []proof.Hash) proof.Hash {
	var s stack
	for _, l := range leaves {
		s.push(l)
	}
	return s.root()
}

// build assembles a log from its bundles and checks each of its checkpoints.
func (v *verifier) build(l *log) {
	slices.SortStableFunc(l.bundles, func(a, b *bundle) int {
		if a.checkpoint.Size != b.checkpoint.Size {
			return int(int64(a.checkpoint.Size) - int64(b.checkpoint.Size))
		}
		return strings.Compare(a.name, b.name)
	})
	var s stack
	var before *bundle
	for _, b := range l.bundles {
		size := b.checkpoint.Size
		if before != nil && before.checkpoint.Size == size {
			what := "it is there twice, also as " + before.name
			if before.checkpoint.Root != b.checkpoint.Root {
				v.Fault(Fault{Forged, b.name, 0, 0, fmt.Sprintf("two checkpoints of size %d contradict each other; the other is in %s", size, before.name)})
			} else {
				v.Fault(Fault{Added, b.name, 0, 0, what})
			}
			continue
		}
		before = b
		whole := v.load(b) && v.take(l, b)
		b.files = nil // the log has what it needs
		if !whole {
			continue
		}
		if uint64(len(l.leaves)) != size || size == 0 {
			v.Fault(Fault{Missing, b.name, 0, 0, fmt.Sprintf("leaves %d to %d of %s are in no bundle", len(l.leaves), size, l.origin)})
			continue
		}
		for s.size < size {
			s.push(l.leaves[s.size])
		}
		if s.root() != b.checkpoint.Root {
			v.Fault(Fault{Forged, b.name, 0, 0, fmt.Sprintf("its leaves do not match the root that its checkpoint signs, at size %d", size)})
			// Ignore everything unsigned.
			l.leaves, l.entries = l.leaves[:l.checked], l.entries[:l.checked]
			s = stack{}
			for _, leaf := range l.leaves {
				s.push(leaf)
			}
			continue
		}
		v.ValidCheckpoints++
		l.last, l.checked, l.named = b.signed, size, b.name
	}
	l.leaves, l.entries = l.leaves[:l.checked], l.entries[:l.checked]
}

// take adds the content of a bundle and reports whether the bundle is complete.
func (v *verifier) take(l *log, b *bundle) bool {
	size := b.checkpoint.Size
	entries := map[uint64][]byte{}
	bad := func(category Category, what string) bool {
		v.Fault(Fault{category, b.name, 0, 0, what})
		return false
	}
	for _, f := range b.files {
		level, index, width, ok := parseTile(f.Name)
		if !ok || width == 0 {
			return bad(Altered, fmt.Sprintf("it has a file %.80q, which is not part of a log", f.Name))
		}
		switch {
		case level < 0:
			list, err := proof.SplitEntries(f.Data)
			if err != nil || len(list) != width {
				return bad(Altered, f.Name+" cannot be read")
			}
			for i, e := range list {
				entries[index*proof.TileWidth+uint64(i)] = e
			}
		case len(f.Data) != width*len(zero):
			return bad(Altered, f.Name+" does not have the size that its name says")
		case level == 0:
			for i := range width {
				at, h := index*proof.TileWidth+uint64(i), proof.Hash(f.Data[i*len(zero):][:len(zero)])
				switch have := uint64(len(l.leaves)); {
				case at >= size:
					return bad(Altered, f.Name+" extends beyond the checkpoint")
				case at < have && l.leaves[at] != h:
					return bad(Altered, fmt.Sprintf("leaf %[2]d in %[1]s differs from that in an earlier bundle", f.Name, at))
				case at == have:
					l.leaves, l.entries = append(l.leaves, h), append(l.entries, nil)
				case at > have:
					return bad(Missing, fmt.Sprintf("leaves %d to %d of %s are in no bundle", have, at-1, l.origin))
				}
			}
		default:
			span := uint64(1) << (8 * level)
			for i := range width {
				at := index*proof.TileWidth + uint64(i)
				if (at+1)*span > uint64(len(l.leaves)) || rootOf(l.leaves[at*span:(at+1)*span]) != proof.Hash(f.Data[i*len(zero):][:len(zero)]) {
					return bad(Altered, f.Name+" does not match the leaves below it")
				}
			}
		}
	}
	for at, e := range entries {
		if len(e) == 0 {
			continue // withheld
		}
		if at >= uint64(len(l.leaves)) || proof.LeafHash(e) != l.leaves[at] {
			return bad(Altered, fmt.Sprintf("entry %d does not match its leaf", at))
		}
		l.entries[at] = e
	}
	return true
}

// parseTile parses a tile's path. level is -1 for entries.
func parseTile(name string) (level int, index uint64, width int, ok bool) {
	rest, found := strings.CutPrefix(name, "tile/")
	what, rest, found2 := strings.Cut(rest, "/")
	if !found || !found2 {
		return 0, 0, 0, false
	}
	level = -1
	if what != "entries" {
		var err error
		if level, err = strconv.Atoi(what); err != nil || level < 0 || level > 7 {
			return 0, 0, 0, false
		}
	}
	width = proof.TileWidth
	if n, w, partial := strings.Cut(rest, ".p/"); partial {
		var err error
		if width, err = strconv.Atoi(w); err != nil || width < 1 || width >= proof.TileWidth {
			return 0, 0, 0, false
		}
		rest = n
	}
	for _, part := range strings.Split(rest, "/") {
		n, err := strconv.ParseUint(strings.TrimPrefix(part, "x"), 10, 16)
		if err != nil || index > 1<<40 {
			return 0, 0, 0, false
		}
		index = index*1000 + n
	}
	again := proof.EntriesPath(index, width)
	if level >= 0 {
		again = proof.TilePath(level, index, width)
	}
	return level, index, width, again == name
}

// stated returns the first and last sequence of the range that the log states in full, except
// for the withheld parts. If there is no such range, last is less than first.
func (l *log) stated() (first, last uint64, withheld [][2]uint64) {
	if l.complete > 0 {
		last = l.complete - 1
	}
	return l.first, last, l.withheld
}

// covers reports whether the log would state an outcome of a sequence if it had one.
func (l *log) covers(sequence uint64) bool {
	return sequence >= l.first && sequence < l.complete && !slices.ContainsFunc(l.withheld, func(w [2]uint64) bool { return w[0] <= sequence && sequence <= w[1] })
}

// interpret reads the entries of a log.
func (r *Report) interpret(l *log) {
	var open *payload // its outcomes follow
	for at, e := range l.entries {
		if e == nil {
			open = nil // erased: nobody can read this entry any more
			continue
		}
		entry, err := proof.ParseEntry(e)
		if err != nil {
			r.Fault(Fault{Unreadable, l.named, 0, 0, fmt.Sprintf("entry %d: %v", at, err)})
			continue
		}
		if o, ok := entry.(proof.Outcome); ok {
			if o.Outcome != 0 {
				l.outcomes[o.Sequence] = o
			}
			if open != nil {
				open.outcomes = append(open.outcomes, o)
				if len(open.outcomes) == int(open.Records) {
					open = nil
				}
			}
			continue
		}
		open = nil
		switch e := entry.(type) {
		case proof.Begin:
			if !l.begins {
				l.begins, l.begin, l.first = true, e, max(l.first, e.First)
			}
		case proof.Payload:
			p := &payload{Payload: e, log: l, stated: math.MaxInt64}
			l.payloads = append(l.payloads, p)
			if e.Records > 0 {
				open = p
			}
		case proof.Range:
			l.ranges = append(l.ranges, e)
		case proof.Clock:
			if l.since == 0 {
				l.since = e.Time
			} else {
				l.rounds = append(l.rounds, e.Time-l.clock)
			}
			l.floor, l.clock = max(l.floor, e.Floor), e.Time
			for ; l.clocked < len(l.payloads); l.clocked++ {
				l.payloads[l.clocked].stated = e.Time
			}
		}
	}
	l.holes = slices.ContainsFunc(l.entries, func(e []byte) bool { return e == nil })
	slices.SortFunc(l.ranges, func(a, b proof.Range) int { return cmp.Compare(a.From, b.From) })
}

// checkChain compares each log with the head at which its successor says it was closed, as far
// as both are present.
func (v *verifier) checkChain() {
	for _, l := range v.sorted() {
		before := v.logs[l.begin.Previous]
		if !l.begins || before == nil || l.begin.PreviousSize == 0 || before.size() < l.begin.PreviousSize {
			continue // no predecessor, or its last signed head was never published
		}
		if rootOf(before.leaves[:l.begin.PreviousSize]) != l.begin.PreviousRoot {
			v.Fault(Fault{Forged, l.origin, 0, 0, fmt.Sprintf("it names the first %[2]d leaves of %[1]s as its predecessor, and they differ", l.begin.Previous, l.begin.PreviousSize)})
		}
	}
}

// checkPins compares the logs with earlier checkpoints.
func (v *verifier) checkPins() error {
	return v.options.EachPin(func(object string, pin []byte, lacks []string) {
		c, err := v.keys.Open(pin)
		if err != nil {
			v.Fault(Fault{Forged, object, 0, 0, err.Error()})
			return
		}
		v.Uncosigned(object, lacks)
		l := v.logs[c.Origin]
		switch {
		case l == nil || l.size() < c.Size:
			have := uint64(0)
			if l != nil {
				have = l.size()
			}
			v.Fault(Fault{Truncated, object, 0, 0, fmt.Sprintf("%s had %d leaves, and has %d now: the newest were removed", c.Origin, c.Size, have)})
		case c.Size > 0 && rootOf(l.leaves[:c.Size]) != c.Root:
			v.Fault(Fault{Forged, object, 0, 0, fmt.Sprintf("%s was replaced: its first %d leaves differ from before", c.Origin, c.Size)})
		}
	})
}

// Uncosigned adds a fault for a pin without the required cosignatures.
func (r *Report) Uncosigned(pin string, lacks []string) {
	for _, name := range lacks {
		r.Fault(Fault{Forged, pin, 0, 0, "it has no valid cosignature of witness " + name})
	}
}
