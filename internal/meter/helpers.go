package meter

import "math"

// Helpers are functions at the end of the rewritten module. The first ones take a length,
// charge for it, and return it, so a call fits directly before a bulk operation. A length that
// cannot succeed costs nothing: the operation fails at once.
const (
	helperBytes = iota // memory.copy, fill, init
	helperPages        // memory.grow
	helperItems        // tables
	helperGrown        // takes the result of memory.grow or table.grow, records a refusal, and returns the result
	helperSave
	helperRestore
	helpers
)

var helperNames = [helpers]string{
	reservedPrefix + "_bytes", reservedPrefix + "_pages", reservedPrefix + "_items", reservedPrefix + "_grown", ExportSave, ExportRestore,
}

// bytesPerUnit is the number of memory bytes copied, filled or allocated for one unit of fuel.
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

// helper returns the code of a helper, including its declaration of locals.
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
	case helperItems:
		code = e.measure(code, int64(e.m.limits.TableItems), 1, 1)
	case helperGrown:
		code = append(code, opLocalGet, 0, opI32Const, 0x7f, opI32Eq, opIf, noValue, opI32Const, 1)
		code = append(append(code, e.setRefused...), opEnd, opLocalGet, 0)
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

// measure charges times/per units for each unit of the parameter, up to most, and returns the
// parameter.
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

func appendIndexed(code []byte, op byte, index int) []byte {
	return appendUnsigned(append(code, op), uint64(index))
}
