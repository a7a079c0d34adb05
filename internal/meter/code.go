package meter

// code returns the content of the code section without the count.
func (e *encoder) code() []byte {
	out := make([]byte, 0, len(e.m.bytes)*5/4)
	var one []byte
	for i := range e.m.bodies {
		one = e.body(one[:0], &e.m.bodies[i])
		out = append(appendUnsigned(out, uint64(len(one))), one...)
	}
	for i := range helpers {
		h := e.helper(i)
		out = append(appendUnsigned(out, uint64(len(h))), h...)
	}
	return out
}

// body appends a function. If the function takes depth, its body gets a surrounding block.
// Branches out of the function then lead to the end of this block, so the function ends in one
// place:
//
//	charge, take depth, check both
//	block
//	  body
//	end
//	give depth back
func (e *encoder) body(out []byte, b *body) []byte {
	edits := e.plan(b)
	last := b.end - 1 // the end of the body itself
	out = append(out, e.m.bytes[b.start:b.code]...)
	at := b.code
	for i, ed := range edits {
		if ed.kind == editNone {
			continue
		}
		out = append(out, e.m.bytes[at:ed.at]...)
		at = ed.end
		if i == 0 && b.tracked() {
			out = e.enter(out, b, ed.value)
		} else {
			out = e.apply(out, &ed)
		}
	}
	out = append(out, e.m.bytes[at:last]...)
	if b.tracked() {
		out = append(out, opEnd)
		out = e.takeDepth(out, -b.slots)
	}
	return append(out, opEnd)
}

func (e *encoder) enter(out []byte, b *body, fuel int64) []byte {
	out = e.charge(out, fuel)
	out = e.takeDepth(out, b.slots)
	out = append(out, e.getFuel...)
	out = append(out, e.getDepth...)
	out = append(out, opI64Or, opI64Const, 0, opI64LtS) // is either below zero?
	out = e.orExhausted(out)
	out = append(out, opBlock)
	switch len(b.sign.results) {
	case 0:
		return append(out, noValue)
	case 1:
		return append(out, b.sign.results[0])
	}
	return appendSigned(out, int64(e.addType(nil, b.sign.results)))
}

func (e *encoder) edit(out []byte, ed *edit) []byte {
	switch ed.kind {
	case editCharge:
		return e.charge(out, ed.value)
	case editCheck:
		return append(e.charge(out, ed.value), e.checkFuel...)
	case editCall:
		return appendIndexed(out, opCall, e.moved(int(ed.value)))
	case editRef:
		return appendIndexed(out, opRefFunc, e.moved(int(ed.value)))
	case editReturn:
		return appendIndexed(out, opBr, int(ed.value))
	case editHelper:
		return appendIndexed(out, opCall, e.helperIndex(int(ed.value)))
	}
	return out
}

func (e *encoder) charge(out []byte, fuel int64) []byte {
	out = append(out, e.getFuel...)
	out = appendSigned(append(out, opI64Const), fuel)
	return append(append(out, opI64Sub), e.setFuel...)
}

func (e *encoder) takeDepth(out []byte, slots int64) []byte {
	out = append(out, e.getDepth...)
	out = appendSigned(append(out, opI64Const), slots)
	return append(append(out, opI64Sub), e.setDepth...)
}
