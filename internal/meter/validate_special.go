package meter

import "slices"

// special validates instructions whose types depend on more than the opcode.
func (v *validator) special(in *instruction, b *body) {
	switch in.op {
	case opBlock, opLoop, opIf, opElse, opEnd, opBr, opBrIf, opBrTable, opReturn, opUnreachable:
		v.control(in, b)
	case opCall:
		b.calls++
		if uint64(in.x) >= uint64(len(v.m.funcs)) {
			v.fail(in, "unknown function %d", in.x)
			return
		}
		v.call(in, v.m.types[v.m.funcs[in.x]])
	case opCallIndirect:
		b.calls++
		if t := v.tableType(in, in.y); t != funcref {
			v.fail(in, "type mismatch: table of %s", typeName(t))
		}
		if uint64(in.x) >= uint64(len(v.m.types)) {
			v.fail(in, "unknown type %d", in.x)
			return
		}
		v.pop(in, i32)
		v.call(in, v.m.types[in.x])
	case opDrop:
		v.popAny(in)
	case opSelect:
		v.pop(in, i32)
		second := v.popAny(in)
		first := v.pop(in, second)
		if isRef(first) || isRef(second) {
			v.fail(in, "type mismatch: a reference needs a select with its type")
		}
		if first == unknown {
			first = second
		}
		v.push(first)
	case opSelectTyped:
		v.pop(in, i32)
		v.pop(in, in.block)
		v.pop(in, in.block)
		v.push(in.block)
	case opLocalGet, opLocalSet, opLocalTee:
		v.local(in)
	case opGlobalGet, opGlobalSet:
		v.global(in)
	default:
		v.reference(in, b)
	}
}

func (v *validator) control(in *instruction, b *body) {
	switch in.op {
	case opUnreachable:
		v.jump()
	case opBlock, opLoop, opIf:
		if in.op == opLoop {
			b.loops++
		}
		if in.op == opIf {
			v.pop(in, i32)
		}
		params, results := v.blockTypes(in)
		v.carry(in, params, results)
		v.popAll(in, params)
		v.open(in, params, results)
	case opElse:
		f := v.close(in)
		v.carry(in, f.params, f.results)
		if f.op != opIf {
			v.fail(in, "without if")
			return
		}
		v.open(in, f.params, f.results)
	case opEnd:
		f := v.close(in)
		v.carry(in, f.results)
		if f.op == opIf && !slices.Equal(f.params, f.results) {
			v.fail(in, "type mismatch: if without else gives %s for %s", typeNames(f.params), typeNames(f.results))
		}
		if len(v.frames) > 0 {
			v.pushAll(f.results)
		}
	case opBr:
		label := v.frame(in, in.x).label()
		v.carry(in, label)
		v.popAll(in, label)
		v.jump()
	case opBrIf:
		v.pop(in, i32)
		label := v.frame(in, in.x).label()
		v.carry(in, label)
		v.popAll(in, label)
		v.pushAll(label)
	case opBrTable:
		v.brTable(in)
	case opReturn:
		v.carry(in, v.frames[0].results)
		v.popAll(in, v.frames[0].results)
		v.jump()
	}
}

func (v *validator) brTable(in *instruction) {
	v.pop(in, i32)
	labels := &reader{module: v.r.module, at: int(in.y), end: v.r.end}
	var first []valueType
	for i := range in.x + 1 {
		label := v.frame(in, labels.u32()).label()
		if i == 0 {
			first = label
		}
		if len(label) != len(first) {
			v.fail(in, "type mismatch: labels carry %d and %d values", len(first), len(label))
		}
		v.carry(in, label)
		if v.r.err != nil {
			return
		}
		v.peek(in, label)
	}
	v.popAll(in, first)
	v.jump()
}

// peek checks the operands on top of the stack and leaves them there.
func (v *validator) peek(in *instruction, want []valueType) {
	f := &v.frames[len(v.frames)-1]
	have := v.stack[f.height:]
	if len(have) < len(want) && !f.unreachable {
		v.fail(in, "type mismatch: %d operands, expected %d", len(have), len(want))
		return
	}
	for i := 1; i <= min(len(have), len(want)); i++ {
		if h, w := have[len(have)-i], want[len(want)-i]; h != w && h != unknown {
			v.fail(in, "type mismatch: expected %s, found %s", typeName(w), typeName(h))
			return
		}
	}
}

func (v *validator) blockTypes(in *instruction) (params, results []valueType) {
	switch in.block {
	case noValue:
		return nil, nil
	case byIndex:
		if uint64(in.x) >= uint64(len(v.m.types)) {
			v.fail(in, "unknown type %d", in.x)
			return nil, nil
		}
		t := v.m.types[in.x]
		return t.params, t.results
	}
	return nil, v.r.module[in.at+1 : in.at+2] // its one byte is the type
}

func (v *validator) call(in *instruction, t funcType) {
	v.carry(in, t.params, t.results)
	v.popAll(in, t.params)
	v.spills += len(v.stack) - v.low // they outlive the call
	v.low = len(v.stack)
	v.pushAll(t.results)
}

func (v *validator) local(in *instruction) {
	if uint64(in.x) >= uint64(len(v.locals)) {
		v.fail(in, "unknown local %d", in.x)
		return
	}
	t := v.locals[in.x]
	if in.op != opLocalGet {
		v.pop(in, t)
	}
	if in.op != opLocalSet {
		v.push(t)
	}
}

func (v *validator) global(in *instruction) {
	if uint64(in.x) >= uint64(len(v.m.globals)) {
		v.fail(in, "unknown global %d", in.x)
		return
	}
	g := v.m.globals[in.x]
	if in.op == opGlobalGet {
		v.push(g.value)
		return
	}
	if !g.mutable {
		v.fail(in, "global %d is immutable", in.x)
	}
	v.pop(in, g.value)
}

// reference validates instructions for references and tables.
func (v *validator) reference(in *instruction, b *body) {
	switch in.op {
	case opRefNull:
		v.push(in.block)
	case opRefIsNull:
		if t := v.popAny(in); t != unknown && !isRef(t) {
			v.fail(in, "type mismatch: expected a reference, found %s", typeName(t))
		}
		v.push(i32)
	case opRefFunc:
		b.edits = true
		switch {
		case uint64(in.x) >= uint64(len(v.m.funcs)):
			v.fail(in, "unknown function %d", in.x)
		case !v.m.declared[in.x]:
			v.fail(in, "undeclared function reference %d", in.x)
		}
		v.push(funcref)
	case opTableGet:
		t := v.tableType(in, in.x)
		v.pop(in, i32)
		v.push(t)
	case opTableSet:
		v.pop(in, v.tableType(in, in.x))
		v.pop(in, i32)
	case opTableSize:
		v.tableType(in, in.x)
		v.push(i32)
	case opTableGrow:
		v.pop(in, i32)
		v.pop(in, v.tableType(in, in.x))
		v.push(i32)
	case opTableFill:
		v.pop(in, i32)
		v.pop(in, v.tableType(in, in.x))
		v.pop(in, i32)
	}
}
