package meter

// An operation is the description of one opcode.
type operation struct {
	name      string // as in the text format; empty: no such instruction
	signature string // operands > results, a letter each: i32 i, i64 l, f32 f, f64 d, v128 v; empty if types depend on more than the opcode
	immediate immediate
	argument  uint8 // largest exponent of alignment, number of lanes, or number of zero bytes
	weight    uint8 // fuel; a unit is about the time of an addition
}

type immediate uint8

const (
	immNone immediate = iota
	immBlock
	immIndex
	immIndex2
	immIndexZero // an index and a zero byte
	immZero      // argument zero bytes
	immLabels
	immTypes
	immReftype
	immMemory
	immMemoryLane
	immLane
	immShuffle
	immS32
	immS64
	immBytes4
	immBytes8
	immBytes16
)

// Opcodes named in the code. Opcodes after a prefix contain it as their upper byte.
const (
	opUnreachable  = 0x00
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opSelect       = 0x1b
	opSelectTyped  = 0x1c
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableGet     = 0x25
	opTableSet     = 0x26
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI64LtS       = 0x53
	opI32Eq        = 0x46
	opI32LeU       = 0x4d
	opI32Add       = 0x6a
	opI64Add       = 0x7c
	opI64Sub       = 0x7d
	opI64Mul       = 0x7e
	opI64Or        = 0x84
	opI64DivU      = 0x80
	opI64ExtendU   = 0xad
	opRefNull      = 0xd0
	opRefIsNull    = 0xd1
	opRefFunc      = 0xd2

	opMemoryInit = 0xfc08
	opDataDrop   = 0xfc09
	opMemoryCopy = 0xfc0a
	opMemoryFill = 0xfc0b
	opTableInit  = 0xfc0c
	opElemDrop   = 0xfc0d
	opTableCopy  = 0xfc0e
	opTableGrow  = 0xfc0f
	opTableSize  = 0xfc10
	opTableFill  = 0xfc11

	opV128Const = 0xfd0c
)

func lookup(op uint16) *operation {
	switch {
	case op < 0x100:
		return &coreOperations[op]
	case op >= 0xfd00:
		return &vectorOperations[op&0xff]
	case int(op&0xff) < len(bulkOperations):
		return &bulkOperations[op&0xff]
	}
	return &coreOperations[0xff] // no operation
}

// proposal returns the feature beyond core WebAssembly 2.0 to which an unknown opcode belongs.
func proposal(op byte) string {
	switch {
	case op >= 0x06 && op <= 0x0a, op == 0x18, op == 0x19, op == 0x1f:
		return " (exceptions)"
	case op == 0x12, op == 0x13:
		return " (tail calls)"
	case op == 0x14, op == 0x15, op >= 0xd3 && op <= 0xd6, op == 0xfb:
		return " (typed references, garbage collection)"
	case op >= 0xe0 && op <= 0xe6:
		return " (stack switching)"
	case op == 0xfe:
		return " (threads)"
	}
	return ""
}
