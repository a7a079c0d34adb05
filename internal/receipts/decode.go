package receipts

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"unsafe"

	"auditrelay"
	"auditrelay/filter"
)

// maxKept limits the size in bytes of a buffer that is kept for the next frame.
const maxKept = 1 << 20

// Decode parses a frame. Its memory use is limited by the sizes stated in the frame, which are
// themselves limited. It returns an error for a frame that Encode did not make.
func (c *Codec) Decode(frame []byte) (*Frame, error) { return c.DecodeRange(frame, 0, math.MaxUint64) }

// DecodeRange is like Decode but returns only the receipts with sequences in [first, end). It
// also checks the other receipts, without using memory for them.
func (c *Codec) DecodeRange(frame []byte, first, end uint64) (*Frame, error) {
	h, size, packed, err := split(frame)
	if err != nil {
		return nil, err
	}
	scratch, _ := c.bodies.Get().(*[]byte)
	if scratch == nil {
		scratch = new([]byte)
	}
	defer c.bodies.Put(scratch)
	body, err := c.decoder.DecodeAll(packed, (*scratch)[:0])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if uint64(len(body)) != size {
		return nil, ErrDamaged
	}
	if cap(body) <= maxKept {
		*scratch = body // no receipt refers to this memory
	}
	f := &Frame{Header: h}
	if err := f.decode(body, first, end); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *Frame) decode(body []byte, first, end uint64) error {
	r := reader{in: body}
	texts := make([]string, r.count(1, unsafe.Sizeof("")))
	for i := range texts {
		n := r.uvarint()
		raw := r.bytes(n >> 1)
		texts[i] = string(raw)
		if n&1 == 1 {
			texts[i] = hex.EncodeToString(raw)
		}
	}
	f.Config = lookup(&r, texts)
	visits := make([]Visit, r.count(5, unsafe.Sizeof(Visit{})))
	for i := range visits {
		v := &visits[i]
		v.Filter = lookup(&r, texts)
		v.Description = filter.Description{Kind: lookup(&r, texts), Digest: lookup(&r, texts), Version: lookup(&r, texts)}
		if n := r.count(3, unsafe.Sizeof(filter.Touch{})); n > 0 {
			v.Touched = make([]filter.Touch, n)
		}
		for k := range v.Touched {
			v.Touched[k] = filter.Touch{Path: lookup(&r, texts), Operation: lookup(&r, texts), Count: int(min(r.uvarint(), math.MaxInt32))}
		}
	}
	ways := make([]way, r.count(7, unsafe.Sizeof(way{})))
	for i := range ways {
		w := &ways[i]
		w.receipt.Outcome = auditrelay.Outcome(r.byte())
		w.receipt.Cause = auditrelay.Cause(lookup(&r, texts))
		w.receipt.Filter = lookup(&r, texts)
		w.receipt.Reason = lookup(&r, texts)
		w.receipt.Emitted = int(min(r.uvarint(), math.MaxInt32))
		w.marks = r.byte()
		if n := r.count(1, unsafe.Sizeof(Visit{})); n > 0 {
			w.receipt.Trail = make(Trail, n)
		}
		for k := range w.receipt.Trail {
			w.receipt.Trail[k] = lookup(&r, visits)
		}
	}
	f.events(&r, ways, first, end)
	if r.failed || len(r.in) > 0 {
		return ErrDamaged
	}
	return nil
}

// way is what receipts share.
type way struct {
	receipt Receipt
	marks   byte
}

// digests returns the number of bytes of digests per event.
func (w *way) digests() (n uint64) {
	if w.marks&hasInput != 0 {
		n += uint64(len(Digest{}))
	}
	if w.marks&hasOutput != 0 && w.marks&unchanged == 0 {
		n += uint64(len(Digest{}))
	}
	return n
}

// events reads the receipts with a sequence in [first, end) and skips the others.
func (f *Frame) events(r *reader, ways []way, first, end uint64) {
	n := r.count(2, unsafe.Sizeof(Receipt{}))
	room := uint64(n)
	if first < end {
		room = min(room, end-first)
	}
	f.Receipts = make([]Receipt, 0, room)
	marks := make([]byte, 0, room)
	sequence, before, after := uint64(0), uint64(0), uint64(0) // before and after: bytes of digests around the requested ones
	for range n {
		sequence += r.uvarint()
		i := r.uvarint()
		if i >= uint64(len(ways)) {
			r.fail()
			return
		}
		w := &ways[i]
		switch {
		case sequence < first:
			before += w.digests()
		case sequence >= end:
			after += w.digests()
		default:
			f.Receipts, marks = append(f.Receipts, w.receipt), append(marks, w.marks)
			f.Receipts[len(f.Receipts)-1].Sequence = sequence
		}
	}
	r.bytes(before)
	for i := range f.Receipts {
		c := &f.Receipts[i]
		if marks[i]&hasInput != 0 {
			copy(c.Input[:], r.bytes(uint64(len(c.Input))))
		}
		switch {
		case marks[i]&unchanged != 0:
			c.Output = c.Input
		case marks[i]&hasOutput != 0:
			copy(c.Output[:], r.bytes(uint64(len(c.Output))))
		}
	}
	r.bytes(after)
}

// reader reads what append wrote. After an error it returns zeros.
type reader struct {
	in     []byte
	spent  uint64 // of maxDecoded
	failed bool
}

func (r *reader) fail() { r.in, r.failed = nil, true }

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.in)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.in = r.in[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.in) == 0 {
		r.fail()
		return 0
	}
	b := r.in[0]
	r.in = r.in[1:]
	return b
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.in)) {
		r.fail()
		return nil
	}
	b := r.in[:n]
	r.in = r.in[n:]
	return b
}

// count reads the number of items that take at least size bytes each in the frame and cost
// bytes each in memory.
func (r *reader) count(size int, cost uintptr) int {
	n := r.uvarint()
	if n > uint64(len(r.in)/size) || n > (maxDecoded-r.spent)/uint64(cost) {
		r.fail()
		return 0
	}
	r.spent += n * uint64(cost)
	return int(n)
}

// lookup reads the index of an item in a table.
func lookup[T any](r *reader, table []T) T {
	i := r.uvarint()
	if i >= uint64(len(table)) {
		r.fail()
		var zero T
		return zero
	}
	return table[i]
}
