package meter

// A body is one function's code and the result of its validation.
type body struct {
	start int // of the declarations of locals
	code  int // of the first instruction
	end   int

	sign   funcType
	slots  int64 // maximum size of the stack
	weight int64 // sum over all instructions, each counted once
	loops  int
	calls  int

	locals   int  // including parameters
	sets     int  // local.set and local.tee
	branches int  // blocks, ifs and conditional branches
	edits    bool // contains instructions that change
}

// free reports whether callers pay for the function and it takes no depth: it is short, has no
// branches and calls nothing.
func (b *body) free() bool {
	return b.calls == 0 && b.loops == 0 && b.weight <= freeWeight && b.slots <= LeafSlots && !b.edits
}

// tracked reports whether the function takes depth when called and returns it at the end.
func (b *body) tracked() bool { return b.calls > 0 || b.slots > LeafSlots }

func (m *module) body(r *reader, v *validator) {
	index := len(m.bodies)
	r.what = m.funcName(index)
	at := r.at
	size := r.u32()
	switch {
	case index >= len(m.funcs)-m.imported:
		r.fail(at, "a body without a declaration")
		return
	case uint64(size) > uint64(r.left()):
		r.fail(at, "%d bytes announced, %d left", size, r.left())
		return
	case uint64(size) > uint64(m.limits.BodyBytes):
		r.fail(at, "body of %d bytes, the limit is %d", size, m.limits.BodyBytes)
		return
	}
	b := body{start: r.at, end: r.at + int(size), sign: m.types[m.funcs[m.imported+index]]}
	inner := &reader{module: r.module, at: r.at, end: b.end, what: r.what}
	v.locals = append(v.locals[:0], b.sign.params...)
	total := uint64(len(b.sign.params))
	for range inner.count(m.limits.BodyBytes, "declarations of locals") {
		at := inner.at
		n := inner.u32()
		t := inner.valueType()
		if total += uint64(n); total > uint64(m.limits.Locals) {
			inner.fail(at, "%d or more locals, the limit is %d", total, m.limits.Locals)
		}
		if inner.err != nil {
			break
		}
		for range n {
			v.locals = append(v.locals, t)
		}
	}
	b.code, b.locals = inner.at, len(v.locals)
	v.run(inner, &b)
	if r.err = inner.err; r.err != nil {
		return
	}
	m.bodies = append(m.bodies, b)
	r.at = b.end
}
