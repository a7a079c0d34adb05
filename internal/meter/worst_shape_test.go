package meter

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A worstShape is code designed to take the most time for its fuel: a loop over its genes.
type worstShape struct {
	Genes  []gene
	Extra  int // number of locals besides the four of each type, all carried to the loop's head
	Pages  int // of memory
	Repeat int // of the genes in one iteration
	Start  int // selects the initial values of the locals
}

// A gene is one piece of code. The meaning of its numbers depends on its kind.
type gene struct {
	Kind geneKind
	Op   uint16
	A, B int // selects locals, or the form of the address and the size
	N    int // a count
}

type geneKind int

const (
	genePlain  geneKind = iota // one instruction with a signature
	geneJoin                   // an if that sets N locals and is never entered
	geneSpin                   // the same in a short loop
	geneCall                   // a call with N values each way
	geneTable                  // a br_table with a random index
	geneBranch                 // an if on a random bit
	geneBulk                   // memory.fill, memory.copy
	geneState                  // globals, tables, sizes, growth by nothing
	geneKinds
)

// Locals: four of each type, then these.
const (
	localChase = 20 // an address; it contains the next one
	localDice  = 21 // a random number
	localNever = 22 // zero
	localCount = 23
	localExtra = 24
)

var (
	letterBase  = map[byte]int{'i': 0, 'l': 4, 'f': 8, 'd': 12, 'v': 16}
	bulkSizes   = []int{0, 1, 100, 4096, 60_000}
	callValues  = []int{0, 1, 16, 128}
	pageChoices = []int{1, 16, 256, 1024}
)

// plainOps returns all instructions with a signature, except those that always trap.
func plainOps() []uint16 {
	var ops []uint16
	add := func(prefix uint16, table []operation) {
		for i, o := range table {
			if o.name != "" && strings.Contains(o.signature, ">") && o.immediate != immIndex && o.immediate != immIndex2 && o.immediate != immIndexZero && o.immediate != immZero {
				ops = append(ops, prefix|uint16(i))
			}
		}
	}
	add(0, coreOperations[:])
	add(0xfc00, bulkOperations[:])
	add(0xfd00, vectorOperations[:])
	return ops
}

type shapeWriter struct {
	code  []byte
	shape *worstShape
}

func (w *shapeWriter) raw(parts ...any) { w.code = append(w.code, raw(parts...)...) }

func (w *shapeWriter) get(local int) { w.raw(opLocalGet, u(local)) }

// constant pushes an i32.
func (w *shapeWriter) constant(n int) {
	w.raw(opI32Const)
	w.code = appendSigned(w.code, int64(n))
}

// roll computes the next random number.
func (w *shapeWriter) roll() {
	w.get(localDice)
	w.constant(1664525)
	w.raw(0x6c) // i32.mul
	w.constant(1013904223)
	w.raw(opI32Add, opLocalSet, u(localDice))
}

// address pushes an address with room for 16 bytes after it.
func (w *shapeWriter) address(how int) {
	mask := w.shape.Pages<<16 - 64
	switch how % 5 {
	case 0:
		w.constant(64)
	case 1: // across lines and pages
		w.constant(4096 - 3)
	case 2:
		w.roll()
		w.get(localDice)
		w.constant(mask)
		w.raw(0x71) // i32.and
	default:
		w.get(localChase)
	}
}

func (w *shapeWriter) plain(g gene) {
	info := lookup(g.Op)
	in, out, _ := strings.Cut(info.signature, ">")
	memory := info.immediate == immMemory || info.immediate == immMemoryLane
	for i, letter := range []byte(in) {
		switch {
		case memory && i == 0:
			w.address(g.B)
		case g.Op >= 0xa8 && g.Op <= 0xb1 && letter != 'i' && letter != 'l': // trunc traps
			if letter == 'f' {
				w.raw(opF32Const, 0, 0, 0xc0, 0x3f)
			} else {
				w.raw(opF64Const, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f)
			}
		default:
			w.get(letterBase[letter] + (g.A+i*g.B)%4)
			if i == 1 && (g.Op >= 0x6d && g.Op <= 0x70) {
				w.constant(3)
				w.raw(0x72) // i32.or
			} else if i == 1 && g.Op >= 0x7f && g.Op <= 0x82 {
				w.raw(opI64Const, 3, opI64Or)
			}
		}
	}
	if g.Op < 0x100 {
		w.raw(byte(g.Op))
	} else {
		w.raw(byte(g.Op>>8), u(int(g.Op&0xff)))
	}
	switch info.immediate {
	case immMemory:
		w.raw(0, 0)
	case immMemoryLane:
		w.raw(0, 0, 0)
	case immLane, immS32, immS64:
		w.raw(0)
	case immShuffle:
		w.raw([]byte{3, 1, 20, 9, 0, 31, 7, 16, 2, 30, 11, 5, 4, 18, 8, 27})
	case immBytes4:
		w.raw(1, 0, 0, 0)
	case immBytes8:
		w.raw(1, 0, 0, 0, 0, 0, 0, 0)
	case immBytes16:
		w.raw(make([]byte, 16))
	}
	if out == "" {
		return
	}
	switch chased := memory && g.B%5 > 2; {
	case chased && out == "i":
		w.raw(opLocalSet, u(localChase))
	case chased && out == "l":
		w.raw(0xa7, opLocalSet, u(localChase)) // i32.wrap_i64
	case chased && out == "v":
		w.raw(0xfd, u(27), 0, opLocalSet, u(localChase)) // i32x4.extract_lane 0
	default:
		w.raw(opLocalSet, u(letterBase[out[0]]+g.A%4))
	}
}

// carry appends an if that is never entered and sets extra locals.
func (w *shapeWriter) carry(n int) {
	w.get(localNever)
	w.raw(opIf, noValue)
	for i := range min(n, w.shape.Extra) {
		w.raw(opI32Const, 0, 0x29, 3, 0, opLocalSet, u(localExtra+i))
	}
	w.raw(opEnd)
}

func (w *shapeWriter) gene(g gene) {
	switch g.Kind {
	case genePlain:
		w.plain(g)
	case geneJoin:
		w.carry(g.N)
	case geneSpin:
		w.constant(30)
		w.raw(opLocalSet, u(localCount), opLoop, noValue)
		w.carry(g.N)
		w.get(localCount)
		w.raw(opI32Const, 1, 0x6b, opLocalTee, u(localCount), opBrIf, 0, opEnd)
	case geneCall:
		k := g.N % len(callValues)
		for i := range callValues[k] {
			w.get(4 + (i+g.A)%4)
		}
		if g.B%2 == 0 {
			w.raw(opCall, u(1+k))
		} else {
			w.constant(k)
			w.raw(opCallIndirect, u(1+k), 0)
		}
		for i := range callValues[k] {
			w.raw(opLocalSet, u(4+(i+g.B)%4))
		}
	case geneTable:
		w.roll()
		w.raw(rep(4, func(int) []byte { return raw(opBlock, noValue) }))
		w.get(localDice)
		w.constant(29)
		w.raw(0x76, opBrTable, u(6), 0, 1, 2, 3, 2, 1, 0, opEnd, opEnd, opEnd, opEnd)
	case geneBranch:
		w.roll()
		w.get(localDice)
		w.constant(1 << (20 + g.N%12))
		w.raw(0x71, opIf, noValue)
		w.get(4)
		w.raw(opLocalSet, u(5), opEnd)
	case geneBulk:
		size := bulkSizes[g.N%len(bulkSizes)]
		at := 2 + g.B%2*0
		if w.shape.Pages > 1 && size <= 4096 {
			w.address(at)
			w.constant(w.shape.Pages<<16 - 65536)
			w.raw(0x71)
		} else {
			w.constant(64)
		}
		w.constant(g.A)
		w.constant(size)
		if g.A%2 == 0 {
			w.raw(0xfc, 11, 0)
		} else {
			w.raw(0xfc, 10, 0, 0)
		}
	case geneState:
		w.state(g)
	}
}

func (w *shapeWriter) state(g gene) {
	drop := byte(opDrop)
	switch g.N % 10 {
	case 0:
		w.raw(opGlobalGet, 0, opI64Const, 1, opI64Add, opGlobalSet, 0)
	case 1:
		w.raw(opI32Const, 1, opI32Const, 0, opTableGet, 0, opTableSet, 0)
	case 2:
		w.raw(opMemorySize, 0, drop)
	case 3:
		w.raw(opI32Const, 0, opMemoryGrow, 0, drop)
	case 4:
		w.raw(opRefNull, funcref, opI32Const, 0, 0xfc, 15, 0, drop)
	case 5:
		w.raw(opRefFunc, 1, drop)
	case 6:
		w.raw(0xfc, 16, 0, drop)
	case 7:
		w.raw(opI32Const, 0, opRefNull, funcref, opI32Const, 5, 0xfc, 17, 0)
	case 8:
		w.raw(opI32Const, 1, opI32Const, 0, opI32Const, 5, 0xfc, 14, 0, 0)
	case 9:
		w.raw(opI32Const, 0x7f, opMemoryGrow, 0, drop) // by too much
	}
}

// begin initialises the locals.
func (w *shapeWriter) begin() {
	for k := range 4 {
		w.constant([]int{-1, 1, 0x7fffffff, 7}[(k+w.shape.Start)%4])
		w.raw(opLocalSet, u(k), opI64Const)
		w.code = appendSigned(w.code, []int64{-1, 1, 1<<63 - 1, -1 << 63}[(k+w.shape.Start)%4])
		w.raw(opLocalSet, u(4+k))
		w.raw(opF32Const, [][]byte{{1, 0, 0, 0}, {0, 0, 0x80, 0x3f}, {0xff, 0xff, 0x7f, 0x7f}, {0, 0, 0xc0, 0x7f}}[(k+w.shape.Start)%4], opLocalSet, u(8+k))
		w.raw(opF64Const, [][]byte{{1, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0xf0, 0x3f}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xef, 0x7f}, {1, 2, 3, 4, 5, 6, 7, 0}}[(k+w.shape.Start)%4], opLocalSet, u(12+k))
		w.raw(0xfd, 12, []byte{1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xef, byte(k)}, opLocalSet, u(16+k))
	}
}

// module encodes the shape. Function 0 is the loop, exported as f. The others are called by it.
func (s *worstShape) module() []byte {
	w := &shapeWriter{shape: s}
	w.begin()
	w.raw(opI32Const, 0, 0x28, 2, 0, opLocalSet, u(localChase)) // the host stored the address there
	w.raw(opLoop, noValue)
	for range s.Repeat {
		for _, g := range s.Genes {
			w.gene(g)
		}
	}
	for i := range s.Extra {
		w.raw(opI32Const, 0)
		w.get(localExtra + i)
		w.raw(0x37, 3, 0)
	}
	w.raw(opBr, 0, opEnd, opEnd)

	types := [][]byte{{0x60, 0, 0}}
	functions := [][]byte{{0}}
	locals := raw(6+boolInt(s.Extra > 0), u(4), i32, u(4), i64, u(4), f32, u(4), f64, u(4), v128, u(4), i32)
	if s.Extra > 0 {
		locals = append(locals, raw(u(s.Extra), i64)...)
	}
	body := append(locals, w.code...)
	codes := [][]byte{append(u(len(body)), body...)}
	items := raw(u(len(callValues)))
	for k, n := range callValues {
		many := rep(n, func(int) []byte { return []byte{i64} })
		types = append(types, raw(0x60, u(n), many, u(n), many))
		functions = append(functions, u(1+k))
		code := raw(0, rep(n, func(i int) []byte { return raw(opLocalGet, u((i+1)%n)) }), opEnd)
		codes = append(codes, append(u(len(code)), code...))
		items = append(items, u(1+k)...)
	}
	out := []byte(header)
	out = append(out, sectionBytes(sectionType, vector(types...))...)
	out = append(out, sectionBytes(sectionFunction, vector(functions...))...)
	out = append(out, sectionBytes(sectionTable, vector([]byte{funcref, 0, 10}))...)
	out = append(out, sectionBytes(sectionMemory, vector(raw(0, u(s.Pages))))...)
	out = append(out, sectionBytes(sectionGlobal, vector([]byte{i64, 1, opI64Const, 0, opEnd}))...)
	out = append(out, sectionBytes(sectionExport, vector(append(appendName(nil, "f"), kindFunc, 0), append(appendName(nil, "memory"), kindMemory, 0)))...)
	out = append(out, sectionBytes(sectionElement, vector(append(raw(0, opI32Const, 0, opEnd), items...)))...)
	return append(out, sectionBytes(sectionCode, vector(codes...))...)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s *worstShape) String() string {
	var words []string
	for _, g := range s.Genes {
		switch g.Kind {
		case genePlain:
			word := lookup(g.Op).name
			if in := lookup(g.Op).immediate; in == immMemory || in == immMemoryLane {
				word += [...]string{"@same", "@across", "@random", "@chase", "@chase"}[g.B%5]
			}
			words = append(words, word)
		default:
			words = append(words, fmt.Sprintf("%s(%d,%d)", [...]string{"", "join", "spin", "call", "br_table", "if", "bulk", "state"}[g.Kind], g.A%2, g.N))
		}
	}
	return fmt.Sprintf("%s; x%d, %d extra locals, %d pages, start %d", strings.Join(words, " "), s.Repeat, s.Extra, s.Pages, s.Start)
}

func randomGene(r *rand.Rand, ops []uint16) gene {
	g := gene{Kind: genePlain, Op: ops[r.IntN(len(ops))], A: r.IntN(4), B: r.IntN(5), N: r.IntN(1000)}
	if r.IntN(3) == 0 {
		g.Kind = geneKind(r.IntN(int(geneKinds)))
	}
	return g
}

// mutate returns a slightly different shape.
func (s *worstShape) mutate(r *rand.Rand, ops []uint16) *worstShape {
	m := *s
	m.Genes = append([]gene(nil), s.Genes...)
	for range 1 + r.IntN(2) {
		at := r.IntN(len(m.Genes))
		switch r.IntN(9) {
		case 0, 1:
			m.Genes[at] = randomGene(r, ops)
		case 2:
			if len(m.Genes) < 12 {
				m.Genes = append(m.Genes, randomGene(r, ops))
			}
		case 3:
			if len(m.Genes) > 1 {
				m.Genes = append(m.Genes[:at:at], m.Genes[at+1:]...)
			}
		case 4:
			g := &m.Genes[at]
			g.A, g.B = r.IntN(4), r.IntN(5)
		case 5:
			m.Genes[at].N = []int{0, 1, 2, 3, 16, 17, 100, 500, 1000}[r.IntN(9)]
		case 6:
			m.Pages = pageChoices[r.IntN(len(pageChoices))]
		case 7:
			m.Extra = []int{0, 0, 8, 17, 100, 1000}[r.IntN(6)]
		case 8:
			m.Repeat, m.Start = []int{1, 4, 16, 50}[r.IntN(4)], r.IntN(4)
		}
	}
	return &m
}

// niche returns what makes a shape slow, so that the search explores each niche: memory that
// does not fit in caches, or one kind of code.
func (s *worstShape) niche() string {
	for _, g := range s.Genes {
		memory := lookup(g.Op).immediate == immMemory || lookup(g.Op).immediate == immMemoryLane
		if s.Pages > 16 && (g.Kind == geneBulk || g.Kind == genePlain && memory && g.B%5 > 1) {
			return fmt.Sprintf("memory-%d", s.Pages)
		}
	}
	most, at := map[geneKind]int{}, geneKind(0)
	for _, g := range s.Genes {
		if most[g.Kind]++; most[g.Kind] > most[at] {
			at = g.Kind
		}
	}
	return [...]string{"plain", "join", "spin", "call", "br_table", "if", "bulk", "state"}[at]
}
