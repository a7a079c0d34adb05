package document

import "math"

// pace calls a watch function regularly during long work. A nil pace calls nothing.
type pace struct {
	watch       func() // nil if nothing watches
	every, left int
}

// pieceBytes is how much of a text is processed between two calls of pass. The slowest work, decoding
// escapes, takes about a tenth of a millisecond for it.
const pieceBytes = 16 << 10

// pass reports n more units of work: bytes, or work that takes as long.
func (p *pace) pass(n int) {
	if p == nil {
		return
	}
	if p.left -= n; p.left < 0 {
		p.due()
	}
}

// due must not be inlined, since pass would then be too large for inlining.
//
//go:noinline
func (p *pace) due() {
	if p.watch == nil {
		p.left = math.MaxInt
		return
	}
	p.left = p.every
	p.watch()
}
