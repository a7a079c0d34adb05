package meter

import "math"

// An instruction as read. at is the position of its opcode.
type instruction struct {
	op   uint16
	at   int
	info *operation
	x, y uint32 // indices; for a block the index of its type; for br_table the number of labels minus one, and their position

	block valueType // immBlock: the one result, noValue for none, byIndex for x; ref.null and select: the type
}

const (
	noValue valueType = 0x40
	byIndex valueType = 0
)

// instruction reads the next instruction, and checks everything in it that needs no context.
func (r *reader) instruction(l *Limits) instruction {
	in := instruction{at: r.at}
	b := r.byte()
	switch b {
	default:
		in.op = uint16(b)
	case 0xfc, 0xfd:
		sub := r.u32()
		switch {
		case b == 0xfd && sub > 0xff && sub < 0x200:
			r.fail(in.at, "unknown instruction 0xfd %#x (relaxed SIMD)", sub)
		case sub > 0xff:
			r.fail(in.at, "unknown instruction %#x %#x", b, sub)
		default:
			in.op = uint16(b)<<8 | uint16(sub)
		}
	}
	in.info = lookup(in.op)
	if r.err != nil {
		return in
	}
	if in.info.name == "" {
		if in.op > 0xff {
			r.fail(in.at, "unknown instruction %#x %#x", in.op>>8, in.op&0xff)
		} else {
			r.fail(in.at, "unknown instruction %#x%s", in.op, proposal(b))
		}
		return in
	}
	r.immediates(&in, l)
	return in
}

func (r *reader) immediates(in *instruction, l *Limits) {
	switch in.info.immediate {
	case immNone:
	case immIndex:
		in.x = r.u32()
	case immIndex2:
		in.x, in.y = r.u32(), r.u32()
	case immIndexZero:
		in.x = r.u32()
		r.zeros(1)
	case immZero:
		r.zeros(in.info.argument)
	case immBlock:
		r.blockType(in)
	case immLabels:
		in.x = uint32(r.count(l.BranchTargets, "labels of br_table"))
		in.y = uint32(r.at)
		for range in.x + 1 {
			r.u32()
		}
	case immTypes:
		at := r.at
		if n := r.u32(); n != 1 && r.err == nil {
			r.fail(at, "select with %d types", n)
		}
		in.block = r.valueType()
	case immReftype:
		in.block = r.refType()
	case immMemory:
		r.memarg(in)
	case immMemoryLane:
		r.memarg(in)
		r.lane(16 >> in.info.argument)
	case immLane:
		r.lane(in.info.argument)
	case immShuffle:
		for range 16 {
			r.lane(32)
		}
	case immS32:
		in.x = uint32(r.signed(32))
	case immS64:
		r.signed(64)
	case immBytes4:
		r.bytes(4)
	case immBytes8:
		r.bytes(8)
	case immBytes16:
		r.bytes(16)
	}
}

func (r *reader) zeros(n uint8) {
	for range n {
		if at := r.at; r.byte() != 0 && r.err == nil {
			r.fail(at, "expected a zero byte (multiple memories are not supported)")
		}
	}
}

func (r *reader) lane(n uint8) {
	if at := r.at; r.byte() >= n && r.err == nil {
		r.fail(at, "no such lane")
	}
}

func (r *reader) memarg(in *instruction) {
	at := r.at
	align := r.u32()
	switch {
	case align >= 64 && align < 128:
		r.fail(at, "memory index (multiple memories are not supported)")
	case align > uint32(in.info.argument):
		r.fail(at, "%s: alignment must not be larger than natural", in.info.name)
	}
	in.y = uint32(r.at)
	r.u32()
}

func (r *reader) blockType(in *instruction) {
	at := r.at
	v := r.signed(33)
	switch {
	case v >= 0:
		in.block, in.x = byIndex, uint32(min(v, math.MaxUint32))
	case v == -0x40:
		in.block = noValue
	default:
		// A negative number is a value type in its one byte.
		if r.at-at != 1 {
			r.fail(at, "unknown block type")
			return
		}
		r.at = at
		in.block = r.valueType()
	}
}
