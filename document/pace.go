package document

import "math"

// pace lets somebody look in while much is being done. A nil one is nobody's.
type pace struct {
	watch       func() // nil: nobody wants to know
	every, left int
}

// pieceBytes is how much of a text is worked on before the next is: what takes longest
// for it, decoding escapes, takes some tenth of a millisecond.
const pieceBytes = 16 << 10

// pass says that so much more was done, in bytes or what takes as long.
func (p *pace) pass(n int) {
	if p == nil {
		return
	}
	if p.left -= n; p.left < 0 {
		p.due()
	}
}

// due is not for inlining: pass would be too large for that then.
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
