package meter

import "slices"

// Expressions and statements of the generator. Each appends code that leaves exactly the
// requested values.

func (g *generator) op(op uint16) {
	if op > 0xff {
		g.code = append(g.code, byte(op>>8))
		g.code = appendUnsigned(g.code, uint64(op&0xff))
		return
	}
	g.code = append(g.code, byte(op))
}

func (g *generator) index(op uint16, indices ...int) {
	g.op(op)
	for _, i := range indices {
		g.code = appendUnsigned(g.code, uint64(i))
	}
}

func (g *generator) values(ts []valueType, depth int) {
	for _, t := range ts {
		g.value(t, depth)
	}
}

// pick returns an index of an element with the type, or -1.
func (g *generator) pick(n int, fits func(int) bool) int {
	start := g.IntN(max(n, 1))
	for k := range n {
		if i := (start + k) % n; fits(i) {
			return i
		}
	}
	return -1
}

func (g *generator) value(t valueType, depth int) {
	g.budget--
	if depth <= 0 || g.budget < 0 {
		g.simple(t)
		return
	}
	switch g.IntN(12) {
	case 0, 1:
		g.simple(t)
	case 2:
		g.block([]valueType{t}, depth-1)
	case 3:
		g.value(i32, depth-1)
		g.op(opIf)
		g.code = append(g.code, t)
		g.labels = append(g.labels, []valueType{t})
		g.value(t, depth-1)
		g.op(opElse)
		g.value(t, depth-1)
		g.labels = g.labels[:len(g.labels)-1]
		g.op(opEnd)
	case 4:
		g.value(t, depth-1)
		g.value(t, depth-1)
		g.value(i32, depth-1)
		if !isRef(t) && g.IntN(2) == 0 {
			g.op(opSelect)
			return
		}
		g.op(opSelectTyped)
		g.code = append(g.code, 1, t)
	case 5:
		if l := g.pick(len(g.locals), func(i int) bool { return g.locals[i] == t }); l >= 0 {
			g.value(t, depth-1)
			g.index(opLocalTee, l)
			return
		}
		g.simple(t)
	case 6:
		g.call(t, depth-1)
	case 7:
		g.rare(t, depth-1)
	default:
		g.operation(t, depth-1)
	}
}

func (g *generator) simple(t valueType) {
	switch g.IntN(3) {
	case 0:
		if l := g.pick(len(g.locals), func(i int) bool { return g.locals[i] == t }); l >= 0 {
			g.index(opLocalGet, l)
			return
		}
	case 1:
		if l := g.pick(len(g.globals), func(i int) bool { return g.globals[i].value == t }); l >= 0 {
			g.index(opGlobalGet, l)
			return
		}
	}
	g.code = append(g.code, g.constant(t, false)...)
}

// operation appends an instruction with plain types.
func (g *generator) operation(t valueType, depth int) {
	ops := g.byType[t]
	if len(ops) == 0 {
		g.simple(t)
		return
	}
	o := ops[g.IntN(len(ops))]
	if o.op == opMemoryGrow && g.IntN(4) > 0 {
		o = ops[0]
	}
	g.plain(o, depth)
}

func (g *generator) plain(o operationCode, depth int) {
	memory := o.info.immediate == immMemory || o.info.immediate == immMemoryLane
	for i, c := range []byte(o.info.signature) {
		if c == '>' {
			break
		}
		if i == 0 && memory && g.IntN(5) > 0 {
			g.small(2000) // an address that probably exists
			continue
		}
		g.value(letterType(c), depth)
	}
	if o.info.immediate == immS32 || o.info.immediate == immS64 || o.info.immediate >= immBytes4 {
		g.code = append(g.code, g.constant(letterType(o.info.signature[1]), false)...)
		return
	}
	g.op(o.op)
	switch o.info.immediate {
	case immZero:
		g.code = append(g.code, make([]byte, o.info.argument)...)
	case immMemory, immMemoryLane:
		g.code = append(g.code, byte(g.IntN(int(o.info.argument)+1)))
		g.code = appendUnsigned(g.code, uint64([]int{0, 8, 1000, 70000}[min(3, g.IntN(30)/9)]))
		if o.info.immediate == immMemoryLane {
			g.code = append(g.code, byte(g.IntN(16>>o.info.argument)))
		}
	case immLane:
		g.code = append(g.code, byte(g.IntN(int(o.info.argument))))
	case immShuffle:
		for range 16 {
			g.code = append(g.code, byte(g.IntN(32)))
		}
	}
}

// block appends a block or loop with results, in the short form or by type.
func (g *generator) block(results []valueType, depth int) {
	if g.IntN(3) == 0 {
		// Use a type of the module, and store the results that are not needed.
		if i := g.pick(len(g.types), func(i int) bool { return len(g.types[i][0]) > 0 }); i >= 0 {
			t := g.types[i]
			g.values(t[0], depth)
			g.index(opBlock, i)
			for range t[0] {
				g.op(opDrop)
			}
			g.labels = append(g.labels, t[1])
			g.statement(depth)
			g.values(t[1], depth)
			g.labels = g.labels[:len(g.labels)-1]
			g.op(opEnd)
			for range t[1] {
				g.op(opDrop)
			}
		}
	}
	loop := g.IntN(2) == 0
	label := results
	if loop {
		g.op(opLoop)
		label = nil
	} else {
		g.op(opBlock)
	}
	g.code = append(g.code, results[0])
	g.labels = append(g.labels, label)
	for range g.IntN(3) {
		g.statement(depth)
	}
	if loop && g.IntN(2) == 0 {
		g.code = append(g.code, g.step()...)
		g.op(0x45)
		g.value(i32, depth)
		g.op(0x71) // and
		g.index(opBrIf, 0)
	}
	if loop {
		g.labels[len(g.labels)-1] = []valueType{unknown} // branches to it must take a step
	}
	g.value(results[0], depth)
	g.labels = g.labels[:len(g.labels)-1]
	g.op(opEnd)
}

// typed appends a block, loop or if with parameters and results.
func (g *generator) typed(depth int) {
	i := g.IntN(len(g.types))
	t := g.types[i]
	g.values(t[0], depth)
	op := []uint16{opBlock, opLoop, opIf}[g.IntN(3)]
	if op == opIf {
		g.value(i32, depth)
	}
	g.index(op, i)
	part := func() {
		for range t[0] {
			g.op(opDrop)
		}
		label := t[1]
		if op == opLoop {
			label = []valueType{unknown}
		}
		g.labels = append(g.labels, label)
		g.statement(depth)
		if op == opLoop {
			g.values(t[0], depth)
			g.code = append(g.code, g.step()...)
			g.op(0x45) // eqz
			g.value(i32, depth)
			g.op(0x71) // and
			g.index(opBrIf, 0)
			for range t[0] {
				g.op(opDrop)
			}
		}
		g.values(t[1], depth)
		g.labels = g.labels[:len(g.labels)-1]
	}
	part()
	if op == opIf {
		g.op(opElse)
		part()
	}
	g.op(opEnd)
	for k := len(t[1]) - 1; k >= 0; k-- {
		if l := g.pick(len(g.locals), func(i int) bool { return g.locals[i] == t[1][k] }); l >= 0 && g.IntN(2) == 0 {
			g.index(opLocalSet, l)
		} else {
			g.op(opDrop)
		}
	}
}

func (g *generator) callee(t valueType) int {
	return g.pick(len(g.types), func(i int) bool {
		r := g.types[i][1]
		return len(r) == 1 && r[0] == t
	})
}

func (g *generator) call(t valueType, depth int) {
	i := g.callee(t)
	if i < 0 {
		g.simple(t)
		return
	}
	g.values(g.types[i][0], depth)
	all := append(append([]int(nil), g.imports...), g.funcs...)
	if f := g.pick(len(all), func(k int) bool { return all[k] == i }); f >= 0 && g.IntN(3) > 0 {
		g.index(opCall, f)
		return
	}
	g.code = append(g.code, appendSigned([]byte{opI32Const}, int64(g.IntN(8)))...)
	g.index(opCallIndirect, i, g.IntN(genTables))
}

// rare appends instructions for references and tables.
func (g *generator) rare(t valueType, depth int) {
	switch {
	case isRef(t):
		g.small(6)
		g.index(opTableGet, tableOf(t))
	case t == i32 && g.IntN(3) == 0:
		table := g.IntN(3)
		g.value([]valueType{funcref, funcref, externref}[table], depth)
		g.code = append(g.code, appendSigned([]byte{opI32Const}, int64(g.IntN(4)))...)
		g.index(opTableGrow, table)
	case t == i32 && g.IntN(2) == 0:
		g.value([]valueType{funcref, externref}[g.IntN(2)], depth)
		g.op(opRefIsNull)
	case t == i32:
		g.index(opTableSize, g.IntN(3))
	default:
		g.operation(t, depth)
	}
}

func tableOf(t valueType) int {
	if t == externref {
		return 2
	}
	return 0
}

func (g *generator) statement(depth int) {
	g.budget--
	if depth <= 0 || g.budget < 0 {
		g.op(0x01) // nop
		return
	}
	depth--
	switch g.IntN(14) {
	case 0, 1:
		l := g.IntN(len(g.locals))
		g.value(g.locals[l], depth)
		g.index(opLocalSet, l)
	case 2:
		if l := g.pick(len(g.globals), func(i int) bool { return g.globals[i].mutable }); l >= 0 {
			g.value(g.globals[l].value, depth)
			g.index(opGlobalSet, l)
		}
	case 3, 4:
		g.store(depth)
	case 5:
		g.branch(depth)
	case 6:
		g.value(i32, depth)
		g.op(opIf)
		g.code = append(g.code, noValue)
		g.labels = append(g.labels, []valueType{})
		g.statement(depth)
		if g.IntN(2) == 0 {
			g.op(opElse)
			g.statement(depth)
		}
		g.labels = g.labels[:len(g.labels)-1]
		g.op(opEnd)
	case 7:
		g.bulk(depth)
	case 8:
		i := g.IntN(len(g.funcs))
		t := g.types[g.funcs[i]]
		g.values(t[0], depth)
		g.index(opCall, len(g.imports)+i)
		for range t[1] {
			g.op(opDrop)
		}
	case 9:
		g.table(depth)
	case 10:
		g.typed(depth)
	default:
		g.value(g.anyType(), depth)
		g.op(opDrop)
	}
}

func (g *generator) store(depth int) {
	var all []operationCode
	for op := 0x36; op <= 0x3e; op++ {
		all = append(all, operationCode{uint16(op), &coreOperations[op]})
	}
	for _, op := range []uint16{11, 88, 89, 90, 91} {
		all = append(all, operationCode{0xfd00 | op, &vectorOperations[op]})
	}
	g.plain(all[g.IntN(len(all))], depth)
}

// branch leaves an open block with br, br_if, br_table or return. Code after a br must not
// affect types, so the branch is in its own block.
func (g *generator) branch(depth int) {
	n := g.pick(len(g.labels), func(i int) bool {
		l := g.labels[i]
		return len(l) == 0 && g.labels[i] != nil || len(l) > 0 && l[0] != unknown
	})
	if n < 0 {
		return
	}
	carry := g.labels[n]
	label := len(g.labels) - 1 - n
	switch g.IntN(5) {
	case 0, 1:
		g.values(carry, depth)
		g.value(i32, depth)
		g.index(opBrIf, label)
		for range carry {
			g.op(opDrop)
		}
	case 2:
		g.inBlock(func() { g.values(carry, depth); g.index(opBr, label+1) })
	case 3:
		g.inBlock(func() {
			g.values(carry, depth)
			g.value(i32, depth)
			n := g.IntN(6)
			g.index(opBrTable, n)
			for range n + 1 {
				g.code = appendUnsigned(g.code, uint64(g.alike(carry, label)+1))
			}
		})
	case 4:
		g.inBlock(func() { g.values(g.result, depth); g.op(opReturn) })
	}
}

// inBlock appends code that does not return, under a condition.
func (g *generator) inBlock(f func()) {
	g.value(i32, 1)
	g.op(opIf)
	g.code = append(g.code, noValue)
	g.labels = append(g.labels, []valueType{unknown})
	f()
	if g.IntN(3) == 0 {
		g.dead()
	}
	g.labels = g.labels[:len(g.labels)-1]
	g.op(opEnd)
}

// dead appends unreachable code with the needed types.
func (g *generator) dead() {
	g.op([]uint16{opReturn, opUnreachable}[b2i(g.IntN(4) == 0)])
	switch g.IntN(4) {
	case 0:
		g.op(opDrop)
	case 1:
		g.op(0x6a) // i32.add
		g.index(opBrTable, 1, 0, 0)
	case 2:
		g.op(opSelect)
		g.op(opDrop)
	default:
		g.statement(2)
		g.op(opLoop)
		g.code = append(g.code, noValue)
		g.labels = append(g.labels, nil)
		g.statement(2)
		g.labels = g.labels[:len(g.labels)-1]
		g.op(opEnd)
	}
}

// alike returns the label of an open block with the same operands: the given one or another.
func (g *generator) alike(carry []valueType, label int) int {
	n := g.pick(len(g.labels), func(i int) bool { return g.labels[i] != nil && slices.Equal(g.labels[i], carry) })
	if n < 0 || g.IntN(2) == 0 {
		return label
	}
	return len(g.labels) - 2 - n // the innermost block surrounds the branch
}

func (g *generator) small(n int) {
	if g.IntN(10) == 0 {
		n = 200000
	}
	g.code = append(g.code, appendSigned([]byte{opI32Const}, int64(g.IntN(n)))...)
}

func (g *generator) bulk(depth int) {
	g.small(2000)
	if g.IntN(2) == 0 {
		g.small(30)
	} else {
		g.value(i32, depth)
	}
	g.small(30)
	switch g.IntN(4) {
	case 0:
		g.index(opMemoryCopy, 0, 0)
	case 1:
		g.index(opMemoryFill, 0)
	case 2:
		g.index(opMemoryInit, g.IntN(genData), 0)
	default:
		g.index(opMemoryFill, 0)
		if g.IntN(4) == 0 {
			g.index(opDataDrop, g.IntN(genData))
		}
	}
}

func (g *generator) table(depth int) {
	switch g.IntN(4) {
	case 0:
		t := []valueType{funcref, externref}[g.IntN(2)]
		g.small(6)
		g.value(t, depth)
		g.index(opTableSet, tableOf(t))
	case 1:
		g.small(5)
		g.small(3)
		g.small(3)
		g.index(opTableInit, g.IntN(genElements), g.IntN(genTables))
	case 2:
		g.small(5)
		g.small(5)
		g.small(4)
		g.index(opTableCopy, g.IntN(genTables), g.IntN(genTables))
	case 3:
		g.small(4)
		g.value(funcref, depth)
		g.small(4)
		g.index(opTableFill, g.IntN(genTables))
		if g.IntN(4) == 0 {
			g.index(opElemDrop, g.IntN(genElements))
		}
	}
}
