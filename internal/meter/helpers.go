package meter

import "math"

// Helpers are functions that the rewritten module has at its end. The first ones
// take a length, charge for it, and return it, so that a call goes in before a
// bulk operation without further ado. A length that cannot succeed costs nothing:
// the operation fails at once. The one for pages does the growing too, and notes
// where it was refused.
const (
	helperBytes = iota // memory.copy, fill, init
	helperPages        // memory.grow
	helperItems        // tables
	helperSave
	helperRestore
	helpers
)

var helperNames = [helpers]string{
	reservedPrefix + "_bytes", reservedPrefix + "_pages", reservedPrefix + "_items", ExportSave, ExportRestore,
}

// bytesPerUnit is what of memory is copied, filled or given for one unit of fuel.
const bytesPerUnit = 4

func helperOf(op uint16) int {
	switch op {
	case opMemoryCopy, opMemoryFill, opMemoryInit:
		return helperBytes
	case opMemoryGrow:
		return helperPages
	case opTableCopy, opTableFill, opTableInit, opTableGrow:
		return helperItems
	}
	return -1
}

// helper returns the code of one, its declaration of locals included.
func (e *encoder) helper(i int) []byte {
	pages := int64(0)
	for _, mem := range e.m.memories {
		pages = int64(e.memoryMax(mem))
	}
	code := []byte{0} // no locals
	switch i {
	case helperBytes:
		code = e.measure(code, min(pages<<pageBits, math.MaxUint32), 1, bytesPerUnit)
	case helperPages:
		code = e.measure(code, pages, (1<<pageBits)/bytesPerUnit, 1)
		if len(e.m.memories) > 0 {
			code = e.grow(code)
		}
	case helperItems:
		code = e.measure(code, int64(e.m.limits.TableItems), 1, 1)
	case helperSave:
		for k, g := range e.m.mutable() {
			code = appendIndexed(code, opGlobalGet, g)
			code = appendIndexed(code, opGlobalSet, e.shadow(k))
		}
	case helperRestore:
		for k, g := range e.m.mutable() {
			code = appendIndexed(code, opGlobalGet, e.shadow(k))
			code = appendIndexed(code, opGlobalSet, g)
		}
	}
	return append(code, opEnd)
}

// measure charges times/per units for each of the parameter, up to most, and
// returns the parameter.
func (e *encoder) measure(code []byte, most int64, times, per int64) []byte {
	code = append(code, opLocalGet, 0, opI32Const)
	code = appendSigned(code, int64(int32(uint32(most))))
	code = append(code, opI32LeU, opIf, noValue)
	code = append(code, e.getFuel...)
	code = append(code, opLocalGet, 0, opI64ExtendU)
	if times > 1 {
		code = appendSigned(append(code, opI64Const), times)
		code = append(code, opI64Mul)
	}
	if per > 1 {
		code = appendSigned(append(code, opI64Const), per)
		code = append(code, opI64DivU)
	}
	code = append(code, opI64Sub)
	code = append(code, e.setFuel...)
	code = append(code, e.checkFuel...)
	return append(code, opEnd, opLocalGet, 0)
}

// grow replaces the pages on the stack by what memory.grow answers.
func (e *encoder) grow(code []byte) []byte {
	code = append(code, opMemoryGrow, 0, opLocalTee, 0)
	code = appendSigned(append(code, opI32Const), -1)
	code = append(code, opI32Eq, opIf, noValue, opI32Const, 1)
	code = appendIndexed(code, opGlobalSet, len(e.m.globals)+2)
	return append(code, opEnd, opLocalGet, 0)
}

func appendIndexed(code []byte, op byte, index int) []byte {
	return appendUnsigned(append(code, op), uint64(index))
}
