package meter

// An edit is one change of a function's code. The code between edits is unchanged.
type edit struct {
	at, end int // the range of the module's bytes that it replaces; nothing if equal
	kind    editKind
	value   int64
}

type editKind uint8

const (
	editNone   editKind = iota
	editCharge          // value: fuel
	editCheck           // value: fuel; then check whether any is left
	editCall            // value: the function
	editRef             // likewise for ref.func
	editReturn          // value: the label of the block around the whole body
	editHelper          // value: the helper that takes the value on the stack
)

// A run is a stretch of code without exits before its end: all of it executes, unless it traps.
// Its weight is charged at its start. A small weight is instead charged at the start of a run
// that precedes it on every path at least as often.
type run struct {
	edit   int   // its index in the edits
	weight int64 // of its instructions
	before int   // a run that always precedes it; -1 for the first one and heads of loops
	payer  int   // the run at whose start it is charged; known at its end
	spare  int64 // the remaining weight that it may pay for others
}

// A block is one open block, loop, if or else.
type block struct {
	op     uint16
	run    int   // the run that ended or continued at its start; -1 if unreachable
	unpaid int64 // unpaid at its start
	target bool  // a branch can reach its end
	most   int64 // maximum of unpaid on those branches
	head   int   // of a loop: the run at its head; -1 if unreachable
	sets   int   // number of sets of locals before it
	values int   // number of its parameters or results on the operand stack, whichever is larger
}

// A planner finds the edits of functions, one after the other. Functions must be valid.
type planner struct {
	m      *module
	edits  []edit
	runs   []run
	open   []block
	now    int  // the current run; -1 in unreachable code
	called bool // the current run called a function that charges for itself
	locals carried

	// unpaid limits the weight charged since the last check that runs on any path to this
	// point.
	unpaid int64
}

// plan returns the edits of a function in the order of their positions.
func (p *planner) plan(b *body) []edit {
	if b.free() {
		return nil
	}
	r := &reader{module: p.m.bytes, at: b.code, end: b.end}
	p.edits, p.runs, p.open, p.called, p.unpaid = p.edits[:0], p.runs[:0], p.open[:0], false, 0
	p.locals.reset(b.locals, b.sets)
	p.begin(b.code, -1)
	p.open = append(p.open, block{op: opBlock, run: p.now})
	for len(p.open) > 0 && r.err == nil {
		in := r.instruction(&p.m.limits)
		if p.now >= 0 {
			p.runs[p.now].weight += int64(in.info.weight)
		}
		switch in.op {
		case opBlock, opLoop, opIf, opElse, opEnd:
			p.structure(&in, r.at)
		case opBr, opBrIf, opBrTable, opReturn, opUnreachable:
			p.jump(&in, r.at, b)
		default:
			p.change(&in, r.at)
		}
	}
	return p.edits
}

// begin begins a run. The first run and those at heads of loops are charged at their own start,
// where the remaining fuel is also checked.
func (p *planner) begin(at, before int) {
	p.now = len(p.runs)
	p.runs = append(p.runs, run{edit: len(p.edits), before: before, payer: p.now, spare: Slack})
	p.edits = append(p.edits, edit{at: at, end: at})
	if before < 0 {
		p.edits[len(p.edits)-1].kind = editCheck
		p.unpaid = 0
	}
}

// finish ends the current run, decides where it is charged, and returns it.
func (p *planner) finish() int {
	now := p.now
	p.now = -1
	if now < 0 {
		return now
	}
	s := &p.runs[now]
	if s.before >= 0 {
		payer := p.runs[s.before].payer
		if p.runs[payer].spare >= s.weight {
			p.runs[payer].spare -= s.weight
			s.payer = payer
		} else if e := &p.edits[s.edit]; p.unpaid+s.weight > Overshoot {
			e.kind = editCheck
			p.unpaid = 0
		} else {
			e.kind = editCharge
		}
	}
	e := &p.edits[p.runs[s.payer].edit]
	e.value += s.weight
	if e.kind == editCharge {
		p.unpaid += s.weight
	}
	if p.called {
		// The callee checked everything paid before the call, but not what it paid towards its
		// own end.
		p.unpaid, p.called = Overshoot, false
	}
	return now
}

// structure handles instructions that open and close blocks. at is the position after the
// instruction.
func (p *planner) structure(in *instruction, at int) {
	switch in.op {
	case opBlock:
		p.open = append(p.open, block{op: in.op, run: p.now, sets: p.locals.sets, values: p.values(in)})
	case opLoop, opIf:
		before := p.finish()
		p.open = append(p.open, block{op: in.op, run: before, unpaid: p.unpaid, head: -1, sets: p.locals.sets, values: p.values(in)})
		switch {
		case before < 0:
		case in.op == opLoop:
			p.begin(at, -1)
			p.open[len(p.open)-1].head = p.now
		default:
			p.begin(at, before)
		}
	case opElse:
		b := &p.open[len(p.open)-1]
		if p.finish() >= 0 {
			b.reached(p.unpaid)
		}
		b.op = opElse
		if b.run >= 0 {
			p.unpaid = b.unpaid
			p.begin(at, b.run)
		}
	case opEnd:
		b := p.open[len(p.open)-1]
		p.open = p.open[:len(p.open)-1]
		if b.op == opIf {
			b.reached(b.unpaid)
		}
		if b.op == opLoop && b.head >= 0 { // it is checked where it is charged
			p.edits[p.runs[b.head].edit].value += p.moved(&b)
		}
		if b.run >= 0 && (b.op == opLoop || b.target || len(p.open) == 0) {
			p.join(&b, at)
		}
	}
}

// join continues after a block that branches lead out of, or after a loop, which is left less
// often than it runs.
func (p *planner) join(b *block, at int) {
	if p.finish() >= 0 {
		b.reached(p.unpaid)
	}
	if b.target && len(p.open) > 0 {
		p.unpaid = b.most
		p.begin(at, b.run)
		if b.op != opLoop {
			p.runs[p.now].weight += p.moved(b)
		}
	}
}

// moved returns the weight of the values carried to a block's end, or back to a loop's head.
func (p *planner) moved(b *block) int64 { return moves(p.locals.since(b.sets) + b.values) }

// values returns the number of a block's parameters or results, whichever is larger.
func (p *planner) values(in *instruction) int {
	switch in.block {
	case noValue:
		return 0
	case byIndex:
		t := p.m.types[in.x]
		return max(len(t.params), len(t.results))
	}
	return 1
}

func (b *block) reached(unpaid int64) {
	b.target = true
	b.most = max(b.most, unpaid)
}

func (p *planner) jump(in *instruction, at int, b *body) {
	if in.op == opReturn && b.tracked() {
		p.edits = append(p.edits, edit{in.at, at, editReturn, int64(len(p.open) - 1)})
	}
	before := p.finish()
	if before < 0 {
		return
	}
	switch in.op {
	case opBr:
		p.target(in.x)
	case opBrIf:
		p.target(in.x)
		p.begin(at, before)
	case opBrTable:
		labels := &reader{module: p.m.bytes, at: int(in.y), end: at}
		for range in.x + 1 {
			p.target(labels.u32())
		}
	}
}

func (p *planner) target(label uint32) {
	if b := &p.open[len(p.open)-1-int(label)]; b.op != opLoop {
		b.reached(p.unpaid)
	}
}

// change handles instructions that are rewritten themselves.
func (p *planner) change(in *instruction, at int) {
	switch in.op {
	case opLocalSet, opLocalTee:
		p.locals.set(int(in.x))
	case opCall:
		if int(in.x) < p.m.imported {
			if p.now >= 0 {
				p.runs[p.now].weight += hostWeight
			}
			return
		}
		p.edits = append(p.edits, edit{in.at, at, editCall, int64(in.x)})
		callee := &p.m.bodies[int(in.x)-p.m.imported]
		switch {
		case p.now < 0:
		case callee.free():
			p.runs[p.now].weight += callee.weight
		default:
			p.called = true
		}
	case opCallIndirect:
		if p.now >= 0 {
			p.runs[p.now].weight += freeWeight
			p.called = true
		}
	case opRefFunc:
		if int(in.x) >= p.m.imported {
			p.edits = append(p.edits, edit{in.at, at, editRef, int64(in.x)})
		}
	default:
		if h := helperOf(in.op); h >= 0 {
			p.edits = append(p.edits, edit{in.at, in.at, editHelper, int64(h)})
		}
		if in.op == opMemoryGrow || in.op == opTableGrow {
			p.edits = append(p.edits, edit{at, at, editHelper, helperGrown})
		}
	}
}
