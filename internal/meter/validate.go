package meter

const tooDear = "too dear to compile: blocks and branches times locals, and values of calls and branches, are %d up to here, more than %d and %d for each byte of the module"

// labelPlaces is the cost of a br_table label to the compiler, in branches.
const labelPlaces = 16

// A validator checks function bodies with the algorithm of the specification: a stack of
// operand types and a stack of open blocks. It is reused for all bodies.
type validator struct {
	m      *module
	r      *reader
	locals []valueType
	stack  []valueType
	frames []frame
	height int
	vector bool // some value is a v128
	spills int  // values for which the compiler may reserve a place in the frame
	low    int  // the stack's minimum height since the last call
}

type frame struct {
	op              uint16
	params, results []valueType
	height          int
	unreachable     bool
}

// label returns the operands of a branch to the frame.
func (f *frame) label() []valueType {
	if f.op == opLoop {
		return f.params
	}
	return f.results
}

func newValidator(m *module) *validator {
	return &validator{m: m}
}

func (v *validator) fail(in *instruction, format string, args ...any) {
	v.r.fail(in.at, in.info.name+": "+format, args...)
}

func (v *validator) push(t valueType) {
	v.stack = append(v.stack, t)
	v.height = max(v.height, len(v.stack))
	if len(v.stack) > registers {
		v.spills++
	}
	v.vector = v.vector || t == v128
}

func (v *validator) pushAll(ts []valueType) {
	for _, t := range ts {
		v.push(t)
	}
}

func (v *validator) popAny(in *instruction) valueType {
	f := &v.frames[len(v.frames)-1]
	if len(v.stack) == f.height {
		if !f.unreachable {
			v.fail(in, "type mismatch: an operand is missing")
		}
		return unknown
	}
	t := v.stack[len(v.stack)-1]
	v.stack = v.stack[:len(v.stack)-1]
	v.low = min(v.low, len(v.stack))
	return t
}

func (v *validator) pop(in *instruction, want valueType) valueType {
	got := v.popAny(in)
	if got != want && got != unknown && want != unknown {
		v.fail(in, "type mismatch: expected %s, found %s", typeName(want), typeName(got))
	}
	return got
}

func (v *validator) popAll(in *instruction, want []valueType) {
	for i := len(want) - 1; i >= 0; i-- {
		v.pop(in, want[i])
	}
}

func (v *validator) open(in *instruction, params, results []valueType) {
	if len(v.frames) > v.m.limits.Nesting {
		v.fail(in, "nested more than %d deep", v.m.limits.Nesting)
	}
	v.frames = append(v.frames, frame{op: in.op, params: params, results: results, height: len(v.stack)})
	v.pushAll(params)
}

func (v *validator) close(in *instruction) frame {
	f := v.frames[len(v.frames)-1]
	v.popAll(in, f.results)
	if len(v.stack) != f.height {
		v.fail(in, "type mismatch: %d values left over", len(v.stack)-f.height)
		v.stack = v.stack[:min(f.height, len(v.stack))]
	}
	v.frames = v.frames[:len(v.frames)-1]
	return f
}

// jump marks the rest of the block as unreachable.
func (v *validator) jump() {
	f := &v.frames[len(v.frames)-1]
	v.stack = v.stack[:f.height]
	f.unreachable = true
}

func (v *validator) frame(in *instruction, label uint32) *frame {
	if uint64(label) >= uint64(len(v.frames)) {
		v.fail(in, "unknown label %d", label)
		return &v.frames[0]
	}
	return &v.frames[len(v.frames)-1-int(label)]
}

// run validates one body from its first to its last instruction.
func (v *validator) run(r *reader, b *body) {
	v.r, v.stack, v.frames, v.height, v.vector = r, v.stack[:0], v.frames[:0], 0, false
	v.spills, v.low = 0, 0
	places := 0
	v.frames = append(v.frames, frame{op: opBlock, results: b.sign.results})
	for len(v.frames) > 0 && r.err == nil {
		in := r.instruction(&v.m.limits)
		if r.err != nil {
			return
		}
		b.weight += int64(in.info.weight)
		places += in.places()
		if in.info.signature != "" {
			v.plain(&in)
		} else {
			v.special(&in, b)
		}
		v.note(&in, b)
	}
	if r.err != nil {
		return
	}
	if r.left() > 0 {
		r.fail(r.at, "%d bytes behind the end of the function", r.left())
	}
	v.cross(b.start, places*(len(v.locals)+1)+len(v.locals))
	b.slots = v.slots(b)
}

// cross adds to the estimated cost of the module, and refuses the module if the limit is passed.
func (v *validator) cross(at, n int) {
	l := &v.m.limits
	if v.m.crossings += n; v.m.crossings > l.Crossings+l.CrossingsPerByte*len(v.r.module) {
		v.r.fail(at, tooDear, v.m.crossings, l.Crossings, l.CrossingsPerByte)
	}
}

// carry counts the values that a call, block or branch takes and returns before the validator
// goes through them. An instruction of two bytes can have 256 of them.
func (v *validator) carry(in *instruction, lists ...[]valueType) {
	n := 0
	for _, values := range lists {
		n += len(values)
	}
	v.cross(in.at, n)
}

// places returns the number of blocks or branches of an instruction that a compiler must
// consider for each local.
func (in *instruction) places() int {
	switch in.op {
	case opBlock, opLoop, opIf, opBr, opBrIf:
		return 1
	case opBrTable:
		return labelPlaces * (int(in.x) + 1)
	}
	return 0
}

// slots returns the stack use of a call of the function. wazero keeps every value that outlives
// a call, or finds no register, in its own place in the frame. So a frame can be far larger
// than the locals and the operands in use at any moment. Operands count individually. Values
// set in locals, and values of locals where branches join, count only in part, since most need
// no place. Code written for the purpose can reach a frame of some 16 times the result.
func (v *validator) slots(b *body) int64 {
	size := 1
	for _, t := range v.locals {
		v.vector = v.vector || t == v128
	}
	if v.vector {
		size = 2
	}
	slots := len(v.locals) + v.height
	if b.calls > 0 {
		slots += v.spills + b.sets/4 + (b.branches*len(v.locals))/16
	}
	return int64(frameSlots + size*slots)
}

// plain validates instructions whose types follow from the opcode, and the index of those that
// have one.
func (v *validator) plain(in *instruction) {
	sig := in.info.signature
	arrow := 0
	for sig[arrow] != '>' {
		arrow++
	}
	for i := arrow - 1; i >= 0; i-- {
		v.pop(in, letterType(sig[i]))
	}
	if arrow+1 < len(sig) {
		v.push(letterType(sig[arrow+1]))
	}
	switch in.info.immediate {
	case immMemory, immMemoryLane, immZero:
		v.needMemory(in)
	}
	switch in.op {
	case opMemoryInit:
		v.needMemory(in)
		v.needData(in)
	case opDataDrop:
		v.needData(in)
	case opElemDrop:
		v.elementType(in, in.x)
	case opTableInit:
		if t, e := v.tableType(in, in.y), v.elementType(in, in.x); t != e {
			v.fail(in, "type mismatch: segment of %s for a table of %s", typeName(e), typeName(t))
		}
	case opTableCopy:
		if to, from := v.tableType(in, in.x), v.tableType(in, in.y); to != from {
			v.fail(in, "type mismatch: table of %s from one of %s", typeName(to), typeName(from))
		}
	}
}

func (v *validator) needMemory(in *instruction) {
	if len(v.m.memories) == 0 {
		v.fail(in, "unknown memory 0")
	}
}

func (v *validator) needData(in *instruction) {
	switch {
	case v.m.dataCount < 0:
		v.fail(in, "data count section required")
	case uint64(in.x) >= uint64(v.m.dataCount):
		v.fail(in, "unknown data segment %d", in.x)
	}
}

func (v *validator) tableType(in *instruction, i uint32) valueType {
	if uint64(i) >= uint64(len(v.m.tables)) {
		v.fail(in, "unknown table %d", i)
		return funcref
	}
	return v.m.tables[i].element
}

func (v *validator) elementType(in *instruction, i uint32) valueType {
	if uint64(i) >= uint64(len(v.m.elements)) {
		v.fail(in, "unknown element segment %d", i)
		return funcref
	}
	return v.m.elements[i]
}

// note records facts about an instruction for the rewriter and the host.
func (v *validator) note(in *instruction, b *body) {
	switch in.op {
	case opMemoryGrow:
		v.m.growsMemory = true
	case opTableSet, opTableInit, opTableCopy, opTableGrow, opTableFill:
		v.m.writesTables = true
	case opDataDrop, opElemDrop:
		v.m.dropsSegments = true
	case opBlock, opLoop, opIf, opBrIf, opBrTable:
		b.branches++
	case opLocalSet, opLocalTee:
		b.sets++
	}
	b.edits = b.edits || helperOf(in.op) >= 0
}
